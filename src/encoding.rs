//! Percent-encoding (RFC 3986), and JSON as Python's `json.dumps` writes it by default:
//! `", "` and `": "` between items, everything but printable ASCII as `\u` escapes, floats as
//! `repr`.
//!
//! Everything is written in one pass, so that large and nested parameters are not copied on
//! the way.

use std::io::{self, Write};

use serde_core::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// Percent-encodes a text: unreserved characters (RFC 3986, 2.3) stay, all others become `%XX`.
///
/// Byte by byte: the pieces that the crate would find are mostly shorter than what it costs
/// to find them.
pub(crate) fn percent_encode(text: &[u8], out: &mut Vec<u8>) {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    out.reserve(text.len());
    for &byte in text {
        if is_unreserved(byte) {
            out.push(byte);
        } else {
            let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
            out.extend_from_slice(&[b'%', high, low]);
        }
    }
}

fn is_unreserved(byte: u8) -> bool {
    UNRESERVED[usize::from(byte)]
}

const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// How many bytes a text becomes.
pub(crate) fn encoded_length(text: &str) -> usize {
    text.len() + 2 * text.bytes().filter(|byte| !is_unreserved(*byte)).count()
}

/// A text percent-encoded.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut out = Vec::with_capacity(encoded_length(text));
    percent_encode(text.as_bytes(), &mut out);
    ascii(out)
}

/// What was written by this module, as a text.
pub(crate) fn ascii(out: Vec<u8>) -> String {
    // The default is never used: only ASCII is written.
    String::from_utf8(out).unwrap_or_default()
}

/// Percent-encodes what is written to it.
pub(crate) struct Percent<'a>(pub(crate) &'a mut Vec<u8>);

impl Write for Percent<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        percent_encode(text, self.0);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The JSON of a value.
pub(crate) fn json(value: &Value) -> String {
    let mut out = Vec::new();
    write_json(value, &mut out);
    ascii(out)
}

/// Writes the JSON of a value.
pub(crate) fn write_json(value: &Value, out: &mut impl Write) {
    // Cannot fail: the keys of a `Value` are strings, and a `Vec` accepts everything.
    let _ = value.serialize(&mut Serializer::with_formatter(out, Python));
}

/// Writes a number as Python does: integers digit by digit, floats by their `repr` if it
/// has the same digits. With `arbitrary_precision` a number may have more digits than a
/// float can hold, and none of them is lost.
///
/// | JSON | written |
/// | --- | --- |
/// | `98765432109876543210` | `98765432109876543210` |
/// | `1e5`, `1.50` | `100000.0`, `1.5` |
/// | `0.12345678901234567890`, `1e+400` | as it is |
pub(crate) fn write_number<W: Write + ?Sized>(number: &str, out: &mut W) -> io::Result<()> {
    let is_integer = !number.contains(['.', 'e', 'E']);
    if is_integer {
        return out.write_all(number.as_bytes());
    }
    match number.parse::<f64>() {
        Ok(float) if digits(&format!("{float:e}")) == digits(number) => write_float(float, out),
        _ => out.write_all(number.as_bytes()),
    }
}

/// The significant digits of a number: without sign, exponent, and leading and trailing
/// zeros.
fn digits(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_string()
}

/// Writes a float as Python's `repr`, and so its JSON, does.
fn write_float<W: Write + ?Sized>(float: f64, out: &mut W) -> io::Result<()> {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or_default();
    match exponent.parse::<i32>() {
        // Python uses scientific notation from 1e16 up and below 1e-4.
        Ok(exponent) if !(-4..16).contains(&exponent) => write!(out, "{digits}e{exponent:+03}"),
        _ => write!(out, "{float:?}"),
    }
}

/// Where Python differs from serde_json's compact form.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        write_float(value, out)
    }

    /// Called with `arbitrary_precision`.
    fn write_number_str<W: ?Sized + Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        write_number(text, out)
    }

    /// serde_json has already escaped quotes, backslashes and control characters.
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        // A byte of 0x80 or more that follows ASCII begins a character.
        while let Some(at) = rest.bytes().position(|byte| byte >= 0x7f) {
            let (plain, special) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut chars = special.chars();
            for unit in chars.next().unwrap_or_default().encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}
