//! Parameters → the sorted form, percent-encoded.

use serde_json::{Map, Value};

use crate::encoding::{Percent, ascii, encoded_length, percent_encode, write_json, write_number};

use super::Call;
use super::Credentials;

/// The timestamp and the nonce of one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// Unix seconds.
    pub(crate) timestamp: u64,
    /// Unix milliseconds followed by random digits; unique within the process.
    pub(crate) nonce: u128,
    /// How many seconds the timestamp is ahead of this machine's clock.
    pub(crate) offset: i64,
}

/// The name of the signature parameter.
pub(crate) const SIGNATURE: &str = "sig";

/// The value of the parameter `sdk`.
pub(super) const SDK: &str = concat!("rust_", env!("CARGO_PKG_VERSION"));

/// The parameters of a request as `name=value` pairs, sorted by name and joined with `&`.
pub(crate) struct Form {
    /// The form without the signature.
    pub(crate) text: String,
    /// The position of the signature in the text.
    signature_at: usize,
}

impl Form {
    /// The form of one attempt.
    pub(crate) fn of(call: &Call, stamp: Stamp) -> Self {
        let is_signed = call.is_signed();
        let api_key = call.api_key.as_deref();
        let (api_key, token) = match call.has_token() {
            true => (None, api_key),
            false => (api_key, None),
        };
        let has_format = call.params.get("format").is_some_and(|it| !it.is_null());
        // A bearer token already names the user key.
        let is_bearer = matches!(call.credentials, Credentials::PrivateKey(_));
        let (nonce, timestamp) = (stamp.nonce.to_string(), stamp.timestamp.to_string());
        let own = [
            ("apiKey", api_key),
            ("format", (!has_format).then_some("json")),
            ("httpStatusCodes", Some("false")),
            ("nonce", is_signed.then_some(&nonce)),
            ("oauth_token", token),
            ("sdk", Some(SDK)),
            ("timestamp", is_signed.then_some(&timestamp)),
            ("userKey", call.user_key.as_deref().filter(|_| !is_bearer)),
        ];
        Form::encode(&call.params, &own, is_signed.then_some(SIGNATURE))
    }

    /// * `own`: the SDK's parameters; those that have a value replace the caller's of the
    ///   same name.
    /// * `without`: the name of a parameter that is left out.
    pub(crate) fn encode(
        params: &Map<String, Value>,
        own: &[(&str, Option<&str>)],
        without: Option<&str>,
    ) -> Self {
        let callers = params.iter().filter(|(name, value)| {
            let is_replaced = own
                .iter()
                .any(|(own, value)| value.is_some() && own == name);
            // null is left out, as Python leaves out None.
            !value.is_null() && !is_replaced && without != Some(name)
        });
        let mut fields = Vec::with_capacity(own.len() + params.len());
        let own = own.iter();
        fields.extend(own.filter_map(|(name, value)| Some((*name, Field::Text((*value)?)))));
        fields.extend(callers.map(|(name, value)| match value {
            Value::String(text) => (name.as_str(), Field::Text(text)),
            _ => (name.as_str(), Field::Other(value)),
        }));
        fields.sort_unstable_by_key(|(name, _)| *name);

        // Long texts are what makes a form large: with room for them it need not grow.
        let lengths = fields.iter().map(|(_, field)| match field {
            Field::Text(text) => encoded_length(text),
            Field::Other(_) => 0,
        });
        let room = 512 + lengths.sum::<usize>();
        let mut out = Vec::with_capacity(room);
        let mut signature_at = None;
        for (name, field) in &fields {
            if signature_at.is_none() && *name > SIGNATURE {
                signature_at = Some(out.len());
            }
            if !out.is_empty() {
                out.push(b'&');
            }
            percent_encode(name.as_bytes(), &mut out);
            out.push(b'=');
            match field {
                Field::Text(text) => percent_encode(text.as_bytes(), &mut out),
                Field::Other(value) => write_value(value, &mut out),
            }
        }
        Form {
            signature_at: signature_at.unwrap_or(out.len()),
            text: ascii(out),
        }
    }

    /// The form with its signature.
    pub(crate) fn signed(mut self, signature: &str) -> String {
        let mut pair = Vec::with_capacity(64);
        if self.signature_at > 0 {
            pair.push(b'&');
        }
        pair.extend_from_slice(SIGNATURE.as_bytes());
        pair.push(b'=');
        percent_encode(signature.as_bytes(), &mut pair);
        if self.signature_at == 0 && !self.text.is_empty() {
            pair.push(b'&');
        }
        self.text.insert_str(self.signature_at, &ascii(pair));
        self.text
    }
}

/// The value of a parameter.
enum Field<'a> {
    Text(&'a str),
    Other(&'a Value),
}

/// A value as it goes on the wire: text percent-encoded, numbers in decimal,
/// booleans in Python's spelling, objects and arrays as JSON, percent-encoded.
pub(crate) fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Bool(true) => out.extend_from_slice(b"True"),
        Value::Bool(false) => out.extend_from_slice(b"False"),
        // Cannot fail: a `Vec` takes everything.
        Value::Number(number) => drop(write_number(&number.to_string(), &mut Percent(out))),
        Value::String(text) => percent_encode(text.as_bytes(), out),
        Value::Array(_) | Value::Object(_) => write_json(value, &mut Percent(out)),
    }
}
