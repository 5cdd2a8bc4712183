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
        let mut own = vec![("httpStatusCodes", "false".into()), ("sdk", SDK.into())];
        if call.params.get("format").is_none_or(Value::is_null) {
            own.push(("format", "json".into()));
        }
        // A bearer token already names the user key.
        let is_bearer = matches!(call.credentials, Credentials::PrivateKey(_));
        if let Some(user_key) = call.user_key.as_deref().filter(|_| !is_bearer) {
            own.push(("userKey", user_key.into()));
        }
        if let Some(api_key) = call.api_key.as_deref() {
            let name = if call.has_token() {
                "oauth_token"
            } else {
                "apiKey"
            };
            own.push((name, api_key.into()));
        }
        if call.is_signed() {
            own.push(("timestamp", stamp.timestamp.into()));
            own.push(("nonce", stamp.nonce.to_string().into()));
        }
        Form::encode(&call.params, &own, call.is_signed().then_some(SIGNATURE))
    }

    /// * `own`: the SDK's parameters; they replace the caller's parameters of the same name.
    /// * `without`: the name of a parameter that is left out.
    pub(crate) fn encode(
        params: &Map<String, Value>,
        own: &[(&str, Value)],
        without: Option<&str>,
    ) -> Self {
        let callers = params.iter().filter(|(name, value)| {
            let is_replaced = own.iter().any(|(own, _)| own == name);
            // null is left out, as Python leaves out None.
            !value.is_null() && !is_replaced && without != Some(name)
        });
        let own = own.iter().map(|(name, value)| (*name, value));
        let mut fields = Vec::from_iter(own);
        fields.extend(callers.map(|(name, value)| (name.as_str(), value)));
        fields.sort_unstable_by_key(|(name, _)| *name);

        // Long texts are what makes a form large: with room for them it need not grow.
        let texts = fields.iter().filter_map(|(_, value)| value.as_str());
        let room = 512 + texts.map(encoded_length).sum::<usize>();
        let mut out = Vec::with_capacity(room);
        let mut signature_at = None;
        for (name, value) in &fields {
            if signature_at.is_none() && *name > SIGNATURE {
                signature_at = Some(out.len());
            }
            if !out.is_empty() {
                out.push(b'&');
            }
            percent_encode(name.as_bytes(), &mut out);
            out.push(b'=');
            write_value(value, &mut out);
        }
        Form {
            signature_at: signature_at.unwrap_or(out.len()),
            text: ascii(out),
        }
    }

    /// The form with its signature.
    pub(crate) fn signed(mut self, signature: &str) -> String {
        let mut pair = format!("{SIGNATURE}=").into_bytes();
        percent_encode(signature.as_bytes(), &mut pair);
        if self.signature_at > 0 {
            pair.insert(0, b'&');
        } else if !self.text.is_empty() {
            pair.push(b'&');
        }
        self.text.insert_str(self.signature_at, &ascii(pair));
        self.text
    }
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
