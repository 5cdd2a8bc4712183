//! Encodings of strings and values: percent-encoding, and JSON as Python writes it.

pub(crate) mod percent;
pub(crate) mod python_json;
