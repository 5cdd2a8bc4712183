//! The Gigya (SAP Customer Data Cloud) server SDK for Rust.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "client")]
mod bearer;
#[cfg(feature = "client")]
mod call;
#[cfg(feature = "client")]
mod clock;
#[cfg(feature = "client")]
mod credentials;
#[cfg(feature = "client")]
mod endpoint;
mod error;
#[cfg(feature = "client")]
mod form;
#[cfg(feature = "client")]
pub mod jwt_utils;
#[cfg(feature = "client")]
mod mask;
#[cfg(feature = "client")]
mod oauth1;
#[cfg(feature = "client")]
mod pem;
#[cfg(feature = "client")]
mod request;
#[cfg(feature = "client")]
mod response;
#[cfg(feature = "client")]
mod search;
pub mod sig_utils;
#[cfg(feature = "client")]
mod trace;
#[cfg(feature = "client")]
mod transport;

pub use error::GSException;
#[doc(no_inline)]
pub use sig_utils as SigUtils;

#[cfg(feature = "client")]
#[doc(no_inline)]
pub use jwt_utils as JwtUtils;
#[cfg(feature = "client")]
pub use {
    credentials::OptionalKey,
    pem::Pem,
    request::GSRequest,
    response::GSResponse,
    search::{SearchResults, search_all},
    serde_json::{Map, Value, json},
};

/// For the benchmarks alone, and no part of the API: may change at any time.
#[cfg(feature = "client")]
#[doc(hidden)]
pub mod benchmarks {
    /// Builds, signs and encodes a request, and returns its body.
    pub fn encode(request: &crate::GSRequest) -> Result<String, crate::GSException> {
        request.encode()
    }

    /// Reads the default trust store and returns the number of its roots.
    pub fn load_trust_store() -> usize {
        crate::transport::trust::read_default_roots().len()
    }
}
