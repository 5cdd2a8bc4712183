//! Percent-encoding (RFC 3986).
//!
//! Everything is written in one pass to an [`Out`], so that large and nested parameters
//! are not copied on the way.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// All characters except the unreserved ones (RFC 3986, 2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

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
    fn put(&mut self, text: &[u8]) {
        for piece in percent_encode(text, &RESERVED) {
            self.0.put(piece.as_bytes());
        }
    }
}
