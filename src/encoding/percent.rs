//! Percent-encoding (RFC 3986).
//!
//! Everything is written in one pass to an [`Out`], so that large and nested parameters
//! are not copied on the way.

use percent_encoding::percent_encode_byte;

/// A destination for encoded text. ASCII is passed as bytes, so that UTF-8 is checked once
/// per form and not once per piece.
pub(crate) trait Out {
    fn put(&mut self, ascii: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, ascii: &[u8]) {
        self.extend_from_slice(ascii);
    }
}

/// Converts what was written to an [`Out`] into a string.
pub(crate) fn text(ascii: Vec<u8>) -> String {
    // The default is never used: only ASCII is written.
    String::from_utf8(ascii).unwrap_or_default()
}

/// Percent-encodes its input and passes it on: unreserved characters stay, all others
/// become `%XX`.
pub(crate) struct Percent<'a, O: Out>(pub(crate) &'a mut O);

impl<O: Out> Out for Percent<'_, O> {
    // Byte by byte: the pieces that `percent_encode` would find are mostly shorter than what
    // it costs to find them.
    fn put(&mut self, text: &[u8]) {
        for &byte in text {
            if IS_UNRESERVED[usize::from(byte)] {
                self.0.put(&[byte]);
            } else {
                self.0.put(percent_encode_byte(byte).as_bytes());
            }
        }
    }
}

/// How many bytes a text becomes.
pub(crate) fn encoded_length(text: &str) -> usize {
    let is_reserved = |byte: &u8| !IS_UNRESERVED[usize::from(*byte)];
    text.len() + 2 * text.bytes().filter(is_reserved).count()
}

/// Which bytes are unreserved characters (RFC 3986, 2.3).
const IS_UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};
