//! Traits for arguments that Python types dynamically.

use std::borrow::Cow;

#[cfg(feature = "client")]
pub use client::OptionalKey;
#[cfg(feature = "client")]
pub(crate) use client::{key, parse, value};

/// A string argument that may be absent: `&str`, `String`, `Cow<str>`, with the feature
/// `client` also `Value` (a string as it is, a number as its text, anything else is
/// absent), and references to and `Option`s of all of these, such as `Option<&Value>`.
///
/// This trait is sealed: it cannot be implemented outside this crate.
///
/// ```
/// # #[cfg(feature = "client")] {
/// use gssdk::*;
///
/// let text = r#"{"errorCode": 0, "UID": "abc", "signatureTimestamp": 1700000000}"#;
/// let response = GSResponse::from_text("accounts.login", text);
/// let secret_key = std::env::var("GIGYA_SECRET_KEY").ok();
/// // The answer has no UIDSignature: an absent signature validates nothing.
/// assert!(!SigUtils::validate_user_signature(
///     response.get_object("UID"),
///     response.get_object("signatureTimestamp"),
///     &secret_key,
///     response.get_object("UIDSignature"),
/// ));
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a string argument",
    note = "pass `&str`, `String`, `Cow<str>` or `Value`, a reference to one of these, or an `Option` of one"
)]
pub trait Text: sealed::Text {}

mod sealed {
    use std::borrow::Cow;

    pub trait Text {
        fn text(&self) -> Option<Cow<'_, str>>;
    }
}

/// The text, or `None` if it is absent.
pub(crate) fn text<T: Text + ?Sized>(text: &T) -> Option<Cow<'_, str>> {
    sealed::Text::text(text)
}

impl Text for str {}
impl sealed::Text for str {
    fn text(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl Text for String {}
impl sealed::Text for String {
    fn text(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl Text for Cow<'_, str> {}
impl sealed::Text for Cow<'_, str> {
    fn text(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl<T: Text + ?Sized> Text for &T {}
impl<T: Text + ?Sized> sealed::Text for &T {
    fn text(&self) -> Option<Cow<'_, str>> {
        sealed::Text::text(*self)
    }
}

impl<T: Text> Text for Option<T> {}
impl<T: Text> sealed::Text for Option<T> {
    fn text(&self) -> Option<Cow<'_, str>> {
        self.as_ref().and_then(sealed::Text::text)
    }
}

#[cfg(feature = "client")]
mod client {
    use std::borrow::Cow;
    use std::io::{self, Write};

    use serde_core::Serialize;
    use serde_core::de::Error;
    use serde_json::ser::{Formatter, Serializer};
    use serde_json::{Number, Value};

    use super::Text;
    use super::text;
    use crate::reading::json;

    impl Text for Value {}
    impl super::sealed::Text for Value {
        fn text(&self) -> Option<Cow<'_, str>> {
            match self {
                Value::String(text) => Some(Cow::Borrowed(text)),
                Value::Number(number) => Some(Cow::Owned(number.to_string())),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            }
        }
    }

    /// An argument for which Python takes a string or `None`: `&str`, `&String`, `String`,
    /// `Option<&str>`, `&Option<String>` or a bare `None`.
    ///
    /// An empty string counts as `None`. This trait is sealed, as [`Text`] is: it cannot be
    /// implemented outside this crate.
    ///
    /// ```
    /// use gssdk::*;
    /// use std::collections::HashMap;
    ///
    /// let api_key = String::from("api key");
    /// let secret_key: Option<String> = std::env::var("SECRET").ok();
    /// GSRequest::new(&api_key, &secret_key, "accounts.search", ());
    /// GSRequest::new("access token", None, "socialize.getUserInfo", ());
    ///
    /// let settings = HashMap::from([("key".to_string(), "api key".to_string())]);
    /// let key = settings.get("key").map(String::as_str);
    /// GSRequest::new(key, "c2VjcmV0", "accounts.search", ());
    ///
    /// let config = json!({"key": "api key"});
    /// GSRequest::new(config["key"].as_str(), "c2VjcmV0", "accounts.search", ());
    /// ```
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not a key or another optional string",
        note = "this takes `&str`, `&String`, `String`, `Option<&str>`, `&Option<String>` or `None`",
        note = "of an `Option<String>` pass a reference, `&key`",
        note = "of an `Option<&String>`, such as `map.get(\"key\")`, pass `.map(String::as_str)`",
        note = "of a `Value` pass `value.as_str()`; of an `Option<&Value>` `.and_then(Value::as_str)`"
    )]
    pub trait OptionalKey: Text {}

    /// The key as text; an empty one counts as absent.
    pub(crate) fn key(key: impl OptionalKey) -> Option<String> {
        let key = text(&key).map(Cow::into_owned);
        key.filter(|key| !key.is_empty())
    }

    // Of the types of `Text` those among which a bare `None` is not ambiguous.
    impl OptionalKey for &str {}
    impl OptionalKey for &String {}
    impl OptionalKey for String {}
    impl OptionalKey for Option<&str> {}
    impl OptionalKey for &Option<String> {}

    /// How deeply arguments may be nested: serde_json recurses, and in a debug build a level
    /// takes up to 2 KB of the stack.
    const MAX_DEPTH: usize = 500;

    /// What serde_json makes of an argument.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub(crate) fn value(argument: impl Serialize) -> Result<Value, String> {
        let mut bounds = Serializer::with_formatter(io::sink(), Bounds { depth: 0 });
        let checked = argument.serialize(&mut bounds);
        let value = checked.and_then(|()| serde_json::to_value(argument));
        value.map_err(|error| error.to_string())
    }

    /// Writes nothing, and refuses what [`serde_json::to_value`] must not be given.
    struct Bounds {
        depth: usize,
    }

    impl Bounds {
        fn enter(&mut self) -> io::Result<()> {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                let why = format!("it is nested more than {MAX_DEPTH} levels deep");
                return Err(io::Error::other(why));
            }
            Ok(())
        }
    }

    impl Formatter for Bounds {
        fn begin_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
            self.enter()
        }

        fn end_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
            self.depth -= 1;
            Ok(())
        }

        fn begin_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
            self.enter()
        }

        fn end_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
            self.depth -= 1;
            Ok(())
        }

        /// A `RawValue`: JSON text of the caller's, which may be anywhere.
        fn write_raw_fragment<W: ?Sized + Write>(
            &mut self,
            _: &mut W,
            json: &str,
        ) -> io::Result<()> {
            parse(json).map(drop).map_err(io::Error::other)
        }
    }

    /// Reads JSON text of the caller's.
    ///
    /// # Errors
    /// When it is not JSON, or no `Value` can hold all of it.
    pub(crate) fn parse(json: &str) -> serde_json::Result<Value> {
        let value = json::parse_strictly(json)?;
        if has_rounded_integer(json) {
            return Err(Error::custom(
                "an integer does not fit 64 bits: send it as text",
            ));
        }
        Ok(value)
    }

    /// Whether serde_json makes a float of an integer in this JSON: unless
    /// `arbitrary_precision` is on, it does so beyond 64 bits.
    fn has_rounded_integer(json: &str) -> bool {
        let (mut in_string, mut is_escaped) = (false, false);
        let mut tokens = json.split(|c: char| {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                '"' => in_string = !in_string,
                _ => {}
            }
            in_string || !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')
        });
        tokens.any(|token| {
            let is_integer = !token.contains(['.', 'e', 'E']) && token.parse::<i64>().is_err();
            is_integer && token.parse::<Number>().is_ok_and(|number| number.is_f64())
        })
    }
}
