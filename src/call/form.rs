//! Parameters → bytes: the sorted query string.

use serde_json::{Map, Number, Value};

use super::percent::{Out, Percent, is_unreserved, text};
use super::python_json::{write_float, write_json};

/// The value of a parameter, the caller's or the SDK's own.
#[derive(Clone, Copy)]
pub(crate) enum Field<'a> {
    Json(&'a Value),
    Text(&'a str),
    Number(u64),
}

/// The parameters of one request, sorted by name.
pub(crate) struct Form<'a> {
    fields: Vec<(&'a str, Field<'a>)>,
}

impl<'a> Form<'a> {
    /// `own`, the SDK's parameters, take the place of the caller's of the same
    /// name; the caller's parameter named `without` is left out.
    pub(crate) fn new(
        params: &'a Map<String, Value>,
        own: &[(&'a str, Field<'a>)],
        without: Option<&str>,
    ) -> Self {
        let mut fields = Vec::with_capacity(params.len() + own.len());
        fields.extend_from_slice(own);
        for (name, value) in params {
            let replaced = own.iter().any(|(own, _)| own == name);
            // A null is left out, as Python leaves out None.
            if !value.is_null() && !replaced && without != Some(name) {
                fields.push((name, Field::Json(value)));
            }
        }
        fields.sort_unstable_by_key(|(name, _)| *name);
        Form { fields }
    }

    /// Writes `name=value` pairs joined with `&`.
    pub(crate) fn encode(&self) -> Encoded {
        let lengths = self.fields.iter().map(|(name, field)| {
            let length = match field {
                Field::Json(value) => estimated_length(value),
                Field::Text(text) => text.len() + text.len() / 8,
                Field::Number(_) => 20,
            };
            name.len() + length + 2
        });
        let mut out = Vec::with_capacity(lengths.sum::<usize>() + SIGNATURE_PAIR);
        let mut signature_at = None;
        for (name, field) in &self.fields {
            if signature_at.is_none() && *name > SIGNATURE {
                signature_at = Some(out.len());
            }
            if !out.is_empty() {
                out.put(b"&");
            }
            write_pair(name, *field, &mut out);
        }
        Encoded {
            signature_at: signature_at.unwrap_or(out.len()),
            text: text(out),
        }
    }
}

/// At least how long a value is, encoded, but for rare cases: a buffer that grows
/// by doubling would hold a large one up to three times.
fn estimated_length(value: &Value) -> usize {
    if let Value::String(text) = value {
        return text.len() + 2 * escapes_in(text);
    }
    let mut length = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        // Quotes, colons and commas take three bytes each, as do their spaces.
        length += match value {
            Value::String(text) => text.len() + 3 * escapes_in(text) + 12,
            Value::Array(items) => {
                open.extend(items);
                12
            }
            Value::Object(fields) => {
                open.extend(fields.values());
                fields.keys().map(|name| name.len() + 12).sum::<usize>() + 12
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => 16,
        };
    }
    length
}

fn escapes_in(text: &str) -> usize {
    text.bytes().filter(|byte| !is_unreserved(*byte)).count()
}

/// The name of the signature parameter.
pub(crate) const SIGNATURE: &str = "sig";

/// `&sig=` and 20 bytes in base64, a few of its characters escaped.
const SIGNATURE_PAIR: usize = 48;

/// An encoded form, and where in it the signature belongs.
pub(crate) struct Encoded {
    pub(crate) text: String,
    signature_at: usize,
}

impl Encoded {
    /// The form with its signature in its place.
    pub(crate) fn signed(mut self, signature: &str) -> String {
        let mut pair = Vec::with_capacity(SIGNATURE_PAIR);
        if self.signature_at > 0 {
            pair.put(b"&");
        }
        write_pair(SIGNATURE, Field::Text(signature), &mut pair);
        if self.signature_at == 0 && !self.text.is_empty() {
            pair.put(b"&");
        }
        self.text.insert_str(self.signature_at, &text(pair));
        self.text
    }
}

fn write_pair(name: &str, field: Field<'_>, out: &mut Vec<u8>) {
    Percent(out).put(name.as_bytes());
    out.put(b"=");
    match field {
        Field::Json(value) => write_value(value, out),
        Field::Text(text) => Percent(out).put(text.as_bytes()),
        Field::Number(number) => out.put(number.to_string().as_bytes()),
    }
}

/// A value as it goes on the wire: text percent-encoded, numbers in decimal,
/// booleans in Python's spelling, objects and arrays as JSON, percent-encoded.
pub(crate) fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Bool(true) => out.put(b"True"),
        Value::Bool(false) => out.put(b"False"),
        Value::Number(number) => write_number(number, &mut Percent(out)),
        Value::String(text) => Percent(out).put(text.as_bytes()),
        Value::Array(_) | Value::Object(_) => write_json(value, &mut Percent(out)),
    }
}

fn write_number(number: &Number, out: &mut impl Out) {
    match number.as_f64() {
        Some(float) if number.is_f64() => write_float(float, out),
        _ => out.put(number.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_signature_goes_to_its_sorted_place() {
        for (names, expected) in [
            (
                &["a", "sif", "sih", "é"][..],
                "a=1&sif=1&sig=%3D&sih=1&%C3%A9=1",
            ),
            (&["a", "b"], "a=1&b=1&sig=%3D"),
            (&["t", "z"], "sig=%3D&t=1&z=1"),
            (&[], "sig=%3D"),
        ] {
            let params = names
                .iter()
                .map(|name| (name.to_string(), json!(1)))
                .collect();
            let form = Form::new(&params, &[], None).encode();
            assert_eq!(form.signed("="), expected);
        }
    }
}
