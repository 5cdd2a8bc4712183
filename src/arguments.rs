//! Traits for arguments that Python types dynamically.

use std::borrow::Cow;

#[cfg(feature = "client")]
pub use client::{OptionalKey, ParamValue, Params};
#[cfg(feature = "client")]
pub(crate) use client::{key, params, value};

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

    use serde_json::{Map, Number, Value};

    impl super::Text for Value {}
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
    /// An empty string counts as `None`. This trait is sealed: it cannot be
    /// implemented outside this crate.
    ///
    /// ```
    /// use gssdk::*;
    ///
    /// struct Settings {
    ///     api_key: String,
    ///     secret_key: Option<String>,
    /// }
    /// let settings = Settings { api_key: "api key".into(), secret_key: std::env::var("SECRET").ok() };
    /// GSRequest::new(&settings.api_key, &settings.secret_key, "accounts.search", ());
    /// GSRequest::new("access token", None, "socialize.getUserInfo", ());
    /// ```
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not a key or another optional string",
        note = "pass `&str`, `&String`, `String`, `Option<&str>`, `&Option<String>` or `None`",
        note = "pass an `Option<String>` by reference: `&key`"
    )]
    pub trait OptionalKey: sealed::Key {}

    /// The parameters of a request: `json!({…})`, a `Map` or the text of a JSON object, each
    /// also by reference; `()` or `None` for no parameters.
    ///
    /// This trait is sealed: it cannot be implemented outside this crate.
    ///
    /// ```
    /// use gssdk::*;
    ///
    /// let params = json!({"UID": "abc"});
    /// GSRequest::new("api key", "c2VjcmV0", "accounts.getAccountInfo", &params);
    /// GSRequest::new("api key", "c2VjcmV0", "accounts.getAccountInfo", r#"{"UID": "abc"}"#);
    /// GSRequest::new("api key", "c2VjcmV0", "accounts.getSchema", None);
    /// ```
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be the parameters of a request",
        note = "pass `json!({{…}})`, a `Value`, a `Map`, JSON text, a reference to one of these, or `()`; wrap anything else in `json!(…)`"
    )]
    pub trait Params: sealed::Params {}

    /// The value of one parameter: a string, a number, a boolean, a `Value`, a `Map`, a
    /// vector or an array, each also by reference; or an `Option` of one, whose `None`
    /// leaves the parameter out.
    ///
    /// An `f32` is sent in its shortest decimal form. `send` refuses NaN and infinity
    /// with 400006. `json!`, however, turns them into `null`, which leaves them out, and
    /// converts an `f32` to `f64` first.
    ///
    /// This trait is sealed: it cannot be implemented outside this crate.
    ///
    /// ```
    /// use gssdk::*;
    ///
    /// let post = json!({"UID": "abc", "profile": {"age": 42}});
    /// let mut request = GSRequest::new("api key", "c2VjcmV0", "accounts.setAccountInfo", ());
    /// request.set_param("UID", &post["UID"]);
    /// request.set_param("profile", post.get("profile"));
    /// request.set_param("data", post.get("data")); // absent: left out
    /// let email: Option<String> = None;
    /// request.set_param("email", &email); // `None`: left out
    /// assert_eq!(GSRequest::build_qs(request.get_params()), "UID=abc&profile=%7B%22age%22%3A%2042%7D");
    /// ```
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be the value of a parameter",
        note = "pass text, a number, a boolean, a `Value`, a `Map`, a vector of these, \
            or an `Option` of one; wrap anything else in `json!(…)`"
    )]
    pub trait ParamValue: sealed::ParamValue {}

    mod sealed {
        use serde_json::Value;

        pub trait Key {
            fn into_key(self) -> Option<String>;
        }

        pub trait Params {
            fn into_params(self) -> Value;
        }

        pub trait ParamValue {
            /// `None` for NaN and infinity.
            fn into_value(self) -> Option<Value>;
        }
    }

    /// The parameters as a `Value`.
    pub(crate) fn params(params: impl Params) -> Value {
        sealed::Params::into_params(params)
    }

    /// The argument as a `Value`; `None` for NaN and infinity, which JSON does not have.
    pub(crate) fn value(value: impl ParamValue) -> Option<Value> {
        sealed::ParamValue::into_value(value)
    }

    /// The key as text; an empty one counts as absent.
    pub(crate) fn key(key: impl OptionalKey) -> Option<String> {
        sealed::Key::into_key(key).filter(|key| !key.is_empty())
    }

    // The public impls are written out because the compiler's messages quote them; for a
    // macro they would quote its whole source.

    impl OptionalKey for &str {}
    impl OptionalKey for &String {}
    impl OptionalKey for String {}
    impl OptionalKey for Option<&str> {}
    impl OptionalKey for &Option<String> {}

    impl Params for Value {}
    impl Params for &Value {}
    impl Params for Map<String, Value> {}
    impl Params for &Map<String, Value> {}
    impl Params for &str {}
    impl Params for String {}
    impl Params for &String {}
    impl Params for () {}
    impl Params for Option<&Value> {}

    impl ParamValue for Value {}
    impl ParamValue for Map<String, Value> {}
    impl ParamValue for &str {}
    impl ParamValue for String {}
    impl ParamValue for Cow<'_, str> {}
    impl ParamValue for Number {}
    impl ParamValue for bool {}
    impl ParamValue for i8 {}
    impl ParamValue for i16 {}
    impl ParamValue for i32 {}
    impl ParamValue for i64 {}
    impl ParamValue for isize {}
    impl ParamValue for u8 {}
    impl ParamValue for u16 {}
    impl ParamValue for u32 {}
    impl ParamValue for u64 {}
    impl ParamValue for usize {}
    impl ParamValue for f32 {}
    impl ParamValue for f64 {}
    impl ParamValue for () {}
    // Messages about an `Option` or a vector then name the whole type, not its parts.
    #[diagnostic::do_not_recommend]
    impl<T: ParamValue + Clone> ParamValue for &T {}
    #[diagnostic::do_not_recommend]
    impl<T: ParamValue> ParamValue for Option<T> {}
    #[diagnostic::do_not_recommend]
    impl<T: ParamValue> ParamValue for Vec<T> {}
    #[diagnostic::do_not_recommend]
    impl<T: ParamValue + Clone> ParamValue for &[T] {}
    #[diagnostic::do_not_recommend]
    impl<T: ParamValue, const N: usize> ParamValue for [T; N] {}

    macro_rules! takes {
        ($sealed:ident, $into:ident -> $output:ty:
         $([$($bounds:tt)*] $type:ty, $value:ident => $made:expr;)*) => {$(
            impl<$($bounds)*> sealed::$sealed for $type {
                fn $into(self) -> $output {
                    let $value = self;
                    $made
                }
            }
        )*};
    }

    takes! { Key, into_key -> Option<String>:
        [] &str, key => Some(key.to_string());
        [] &String, key => Some(key.clone());
        [] String, key => Some(key);
        [] Option<&str>, key => key.map(str::to_string);
        [] &Option<String>, key => key.clone();
    }

    takes! { Params, into_params -> Value:
        [] Value, params => params;
        [] &Value, params => params.clone();
        [] Map<String, Value>, params => Value::Object(params);
        [] &Map<String, Value>, params => Value::Object(params.clone());
        [] &str, text => Value::from(text);
        [] String, text => Value::from(text);
        [] &String, text => Value::from(text.as_str());
        [] (), _none => Value::Null;
        [] Option<&Value>, params => params.cloned().unwrap_or_default();
    }

    takes! { ParamValue, into_value -> Option<Value>:
        [] Value, value => Some(value);
        [] Map<String, Value>, value => Some(Value::Object(value));
        [] &str, value => Some(Value::from(value));
        [] String, value => Some(Value::from(value));
        [] Cow<'_, str>, value => Some(Value::from(value.into_owned()));
        [] Number, value => Some(Value::from(value));
        [] bool, value => Some(Value::from(value));
        [] i8, value => Some(Value::from(value));
        [] i16, value => Some(Value::from(value));
        [] i32, value => Some(Value::from(value));
        [] i64, value => Some(Value::from(value));
        [] isize, value => Some(Value::from(value));
        [] u8, value => Some(Value::from(value));
        [] u16, value => Some(Value::from(value));
        [] u32, value => Some(Value::from(value));
        [] u64, value => Some(Value::from(value));
        [] usize, value => Some(Value::from(value));
        // The shortest decimal form: 0.1, where a cast gives 0.10000000149011612.
        [] f32, value => value.to_string().parse::<f64>().ok()?.into_value();
        [] f64, value => Number::from_f64(value).map(Value::Number);
        [] (), _none => Some(Value::Null);
        [T: ParamValue + Clone] &T, value => value.clone().into_value();
        [T: ParamValue] Option<T>, value => value.map_or(Some(Value::Null), T::into_value);
        [T: ParamValue] Vec<T>, values => values.into_iter().map(T::into_value).collect();
        [T: ParamValue + Clone] &[T], values => values.iter().cloned().map(T::into_value).collect();
        [T: ParamValue, const N: usize] [T; N], values => values.into_iter().map(T::into_value).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_present_is_borrowed() {
        let owned = Some(String::from("a"));
        assert!(matches!(text("a"), Some(Cow::Borrowed("a"))));
        assert!(matches!(text(&"a"), Some(Cow::Borrowed("a"))));
        assert!(matches!(text(&owned), Some(Cow::Borrowed("a"))));
        assert!(matches!(text(&Some(&owned)), Some(Cow::Borrowed("a"))));
        assert!(text(&None::<&str>).is_none());
        assert!(text(&Some(None::<&str>)).is_none());
    }
}
