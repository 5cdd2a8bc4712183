//! What the methods of [`GSRequest`](crate::GSRequest) take where Python is
//! dynamic.

/// What a caller passes where Python takes a string or `None`: `&str`,
/// `&String`, `String`, `Option<&str>` or a bare `None`.
///
/// An empty string counts as `None`. This trait is sealed: it cannot be
/// implemented outside this crate.
///
/// ```
/// use gssdk::*;
///
/// let token = String::from("access token");
/// GSRequest::new(token, None, "socialize.getUserInfo", ());
/// GSRequest::new("api key", std::env::var("SECRET").ok().as_deref(), "accounts.search", ());
/// ```
pub trait OptionalKey: sealed::Sealed {}

mod sealed {
    pub trait Sealed {
        fn into_key(self) -> Option<String>;
    }
}

/// The key as text; an empty one is none.
pub(crate) fn key(key: impl OptionalKey) -> Option<String> {
    sealed::Sealed::into_key(key).filter(|key| !key.is_empty())
}

macro_rules! optional_key {
    ($($type:ty, $key:ident => $into:expr;)*) => {$(
        impl OptionalKey for $type {}
        impl sealed::Sealed for $type {
            fn into_key(self) -> Option<String> {
                let $key = self;
                $into
            }
        }
    )*};
}

optional_key! {
    &str, key => Some(key.to_string());
    &String, key => Some(key.clone());
    String, key => Some(key);
    Option<&str>, key => key.map(str::to_string);
}
