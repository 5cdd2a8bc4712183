//! How texts and values are written: percent-encoding, and JSON as Python writes it.

pub(crate) mod percent;
pub(crate) mod python_json;
