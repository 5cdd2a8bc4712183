//! Cryptography: HMAC-SHA1, which the API prescribes; all else by rustls' provider.

pub(crate) mod hmac;
#[cfg(feature = "client")]
pub(crate) mod pem;
#[cfg(feature = "client")]
pub(crate) mod provider;

#[cfg(feature = "client")]
pub(crate) use provider::{provider, random, sha256};
