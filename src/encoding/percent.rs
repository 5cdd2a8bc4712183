//! Percent-encoding (RFC 3986).
//!
//! Everything is written in one pass to an [`Out`], so that neither a large
//! parameter nor a nested one is copied on the way.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// All but the unreserved characters (RFC 3986, 2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

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
    // Never falls back: only ASCII is written.
    String::from_utf8(ascii).unwrap_or_default()
}

/// Percent-encodes what it is given and hands it on: unreserved characters stay, all
/// others become `%XX`.
pub(crate) struct Percent<'a, O: Out>(pub(crate) &'a mut O);

impl<O: Out> Out for Percent<'_, O> {
    fn put(&mut self, text: &[u8]) {
        for piece in percent_encode(text, &RESERVED) {
            self.0.put(piece.as_bytes());
        }
    }
}
