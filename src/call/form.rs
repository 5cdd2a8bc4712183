//! Parameters → the sorted form, percent-encoded.

use serde_json::{Map, Value};

use crate::encoding::percent::{Out, Percent, encoded_length, text};
use crate::encoding::python_json::{write_json, write_number};

/// The timestamp and the nonce of one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// Unix seconds.
    pub(crate) timestamp: u64,
    /// Unix milliseconds followed by random digits; unique within the process.
    pub(crate) nonce: u64,
    /// How many seconds the timestamp is ahead of this machine's clock.
    pub(crate) offset: i64,
}

/// The value of a parameter of the caller or the SDK.
#[derive(Clone, Copy)]
pub(crate) enum Field<'a> {
    Json(&'a Value),
    Text(&'a str),
    Number(u64),
}

/// The name of the signature parameter.
pub(crate) const SIGNATURE: &str = "sig";

/// The parameters of a request as `name=value` pairs, sorted by name and joined with `&`.
pub(crate) struct Form {
    /// The form without the signature.
    pub(crate) text: String,
    /// The position of the signature in the text.
    signature_at: usize,
}

impl Form {
    /// * `own`: the SDK's parameters; they replace the caller's parameters of the same name.
    /// * `without`: the name of a parameter that is left out.
    pub(crate) fn encode<'a>(
        params: &'a Map<String, Value>,
        own: &[(&'a str, Field<'a>)],
        without: Option<&str>,
    ) -> Self {
        let mut fields = Vec::with_capacity(params.len() + own.len());
        fields.extend_from_slice(own);
        for (name, value) in params {
            let replaced = own.iter().any(|(own, _)| own == name);
            // null is left out, as Python leaves out None.
            if !value.is_null() && !replaced && without != Some(name) {
                fields.push((name, Field::Json(value)));
            }
        }
        fields.sort_unstable_by_key(|(name, _)| *name);

        // Long texts are what makes a form large: with room for them it need not grow.
        let length = |field: &Field<'a>| match field {
            Field::Text(text) => encoded_length(text),
            Field::Json(value) => value.as_str().map_or(0, encoded_length),
            Field::Number(_) => 0,
        };
        let lengths = fields.iter().map(|(_, field)| length(field));
        let mut out = Vec::with_capacity(512 + lengths.sum::<usize>());
        let mut signature_at = None;
        for (name, field) in &fields {
            if signature_at.is_none() && *name > SIGNATURE {
                signature_at = Some(out.len());
            }
            if !out.is_empty() {
                out.put(b"&");
            }
            write_pair(name, *field, &mut out);
        }
        Form {
            signature_at: signature_at.unwrap_or(out.len()),
            text: text(out),
        }
    }

    /// The form with its signature.
    pub(crate) fn signed(mut self, signature: &str) -> String {
        let mut pair = Vec::with_capacity(64);
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
        Value::Number(number) => write_number(&number.to_string(), &mut Percent(out)),
        Value::String(text) => Percent(out).put(text.as_bytes()),
        Value::Array(_) | Value::Object(_) => write_json(value, &mut Percent(out)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_signature_is_inserted_in_sorted_order() {
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
            let form = Form::encode(&params, &[], None);
            assert_eq!(form.signed("="), expected);
        }
    }
}
