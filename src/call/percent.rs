//! Percent-encoding (RFC 3986).
//!
//! Everything is written in one pass to an [`Out`], so that neither a large
//! parameter nor a nested one is ever copied along the way.

/// Where encoded text goes: ASCII, as bytes, so that a form is checked to be text
/// once and not piece by piece.
pub(crate) trait Out {
    fn put(&mut self, ascii: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, ascii: &[u8]) {
        self.extend_from_slice(ascii);
    }
}

/// What was written to an [`Out`], as text.
pub(crate) fn text(ascii: Vec<u8>) -> String {
    // Falls back never: nothing but ASCII is written.
    String::from_utf8(ascii).unwrap_or_default()
}

/// Percent-encodes what it is given and hands it on: RFC 3986's unreserved
/// characters stay, all others become `%XX`.
pub(crate) struct Percent<'a, O: Out>(pub(crate) &'a mut O);

impl<O: Out> Out for Percent<'_, O> {
    fn put(&mut self, text: &[u8]) {
        for block in text.chunks(BLOCK) {
            let mut encoded = [0; BLOCK * 3 + 1];
            let mut length = 0;
            for byte in block {
                // All four bytes, in one move: the next ones overwrite the surplus.
                let entry = ENCODED[usize::from(*byte)];
                encoded[length..length + 4].copy_from_slice(&entry);
                length += usize::from(entry[3]);
            }
            self.0.put(&encoded[..length]);
        }
    }
}

/// How many bytes are encoded at a time.
const BLOCK: usize = 64;

pub(super) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// For each byte what it becomes, itself or `%XX`, and how many bytes that is.
const ENCODED: [[u8; 4]; 256] = {
    let hex = b"0123456789ABCDEF";
    let mut table = [[0; 4]; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        table[i] = match is_unreserved(byte) {
            true => [byte, 0, 0, 1],
            false => [b'%', hex[i >> 4], hex[i & 15], 3],
        };
        i += 1;
    }
    table
};
