//! JSON as Python's `json.dumps` writes it by default: `", "` and `": "` between
//! items, everything but printable ASCII as `\u` escapes, floats as `repr`.

use std::io::{self, Write};

use serde_core::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

use super::percent::Out;

/// Writes a value as ASCII.
pub(crate) fn write_json(value: &Value, out: &mut impl Out) {
    let mut serializer = Serializer::with_formatter(Sink(out), Python);
    // Cannot fail: the keys of a `Value` are strings, and a sink accepts everything.
    let _ = value.serialize(&mut serializer);
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
pub(crate) fn write_number(number: &str, out: &mut impl Out) {
    let is_integer = !number.contains(['.', 'e', 'E']);
    match number.parse::<f64>() {
        Ok(float) if !is_integer && digits(&format!("{float:e}")) == digits(number) => {
            write_float(float, out);
        }
        _ => out.put(number.as_bytes()),
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
fn write_float(float: f64, out: &mut impl Out) {
    let scientific = format!("{float:e}");
    match scientific.split_once('e') {
        // Python uses scientific notation from 1e16 up and below 1e-4.
        Some((digits, exponent)) if !(-4..16).contains(&exponent.parse().unwrap_or(0)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            out.put(format!("{digits}e{sign}{exponent:0>2}").as_bytes());
        }
        _ => out.put(format!("{float:?}").as_bytes()),
    }
}

struct Sink<'a, O: Out>(&'a mut O);

impl<O: Out> Write for Sink<'_, O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
        let mut text = Vec::new();
        write_float(value, &mut text);
        out.write_all(&text)
    }

    /// Called with `arbitrary_precision`.
    fn write_number_str<W: ?Sized + Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        let mut number = Vec::new();
        write_number(text, &mut number);
        out.write_all(&number)
    }

    /// serde_json has already escaped quotes, backslashes and control characters.
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(plain) = rest.bytes().position(|byte| byte >= 0x7f) {
            out.write_all(&rest.as_bytes()[..plain])?;
            let mut chars = rest[plain..].chars();
            for unit in chars.next().unwrap_or_default().encode_utf16(&mut [0; 2]) {
                let hex = |shift: u32| b"0123456789abcdef"[(*unit >> shift) as usize & 15];
                out.write_all(&[b'\\', b'u', hex(12), hex(8), hex(4), hex(0)])?;
            }
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::percent::text;
    use serde_json::json;

    fn dumps(value: &Value) -> String {
        let mut out = Vec::new();
        write_json(value, &mut out);
        text(out)
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        let value = json!({"a": [1, true, null, "é\u{1F600}\u{7f}\n\""], "b": {}, "c": [[], {}]});
        assert_eq!(
            dumps(&value),
            r#"{"a": [1, true, null, "\u00e9\ud83d\ude00\u007f\n\""], "b": {}, "c": [[], {}]}"#
        );
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        // Each right side is what json.dumps prints.
        for (float, text) in [
            (1.5, "1.5"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e16, "1e+16"),
            (1e22, "1e+22"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(dumps(&json!(float)), text);
        }
    }

    #[test]
    fn numbers_keep_every_digit_and_floats_are_pythons() {
        let written = |number: &str| {
            let mut out = Vec::new();
            write_number(number, &mut out);
            text(out)
        };
        for (number, expected) in [
            ("0", "0"),
            ("-17", "-17"),
            ("98765432109876543210", "98765432109876543210"),
            ("-1.0", "-1.0"),
            ("-0.0", "-0.0"),
            ("0e0", "0.0"),
            ("1e5", "100000.0"),
            ("1E-5", "1e-05"),
            ("1.50", "1.5"),
            ("0012.5e3", "12500.0"),
            ("1e+16", "1e+16"),
            // A float would have other digits.
            ("0.12345678901234567890", "0.12345678901234567890"),
            ("9007199254740993.0", "9007199254740993.0"),
            ("4.9e-324", "4.9e-324"),
            ("1e-400", "1e-400"),
            ("1e+400", "1e+400"),
        ] {
            assert_eq!(written(number), expected);
        }
    }

    #[test]
    fn no_depth_of_nesting_overflows_the_stack() {
        let mut value = json!(1);
        for _ in 0..5_000 {
            value = Value::Array(vec![value]);
        }
        assert_eq!(dumps(&value).len(), 10_001);
    }
}
