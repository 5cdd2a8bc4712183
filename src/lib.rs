//! The Gigya (SAP Customer Data Cloud) server SDK for Rust, modelled line for
//! line on `GSSDK.py`.
//!
//! `from GSSDK import *` becomes `use gssdk::*`, camelCase becomes snake_case,
//! and a script keeps its shape:
//!
//! ```no_run
//! # #[cfg(feature = "client")] {
//! use gssdk::*;
//!
//! let api_key = std::env::var("GIGYA_API_KEY").ok();
//! let secret_key = std::env::var("GIGYA_SECRET_KEY").ok();
//!
//! // Step 1 - Defining the request and adding parameters
//! let params = json!({"UID": "PUT-UID-HERE"});
//! let request = GSRequest::new(&api_key, &secret_key, "accounts.getAccountInfo", params).use_https(true);
//!
//! // Step 2 - Sending the request
//! let response = request.send();
//!
//! // Step 3 - Handling the response
//! if response.get_error_code() == 0 {
//!     println!("{}", response.pointer_str("/profile/email").unwrap_or("no e-mail address"));
//! } else {
//!     println!("Got error on getAccountInfo: {}", response.get_error_message());
//! }
//! # }
//! ```
//!
//! | to | see |
//! | --- | --- |
//! | call the API | [`GSRequest`], [`GSResponse`] |
//! | check what Gigya signed: users, friends, webhooks | [`sig_utils`] |
//! | know what an error means | [`GSException`], [`Outcome`], [`error_codes`] |
//! | check an `id_token`, a webhook 2.0, an extension | [`jwt_utils`] |
//! | fetch every result of a search | [`search_all`], and `docs/bulk.md` of this package |
//! | port a longer script, test your own code | `docs/porting.md` |
//!
//! Requests block. They may be sent from any thread, and all threads share
//! connections. Nothing here panics on bad input, waits without a limit, or shows
//! a secret in `Debug`, the log or an error.
//!
//! # Features
//!
//! * `client` (default): everything. Without it, [`sig_utils`] and
//!   [`GSException`] alone, for servers that only check signatures.
//! * `preserve_order`: nested JSON parameters keep insertion order.
//! * `arbitrary_precision`: numbers keep every digit in answers, results of a search,
//!   parameters and claims, as Python's integers do. Without it, as everywhere in
//!   `serde_json`, integers beyond 64 bits are read as floats and floats are rounded to
//!   64 bits; a parameter given as JSON text that contains such an integer is then
//!   refused (400006), and a field that exceeds even a float, such as `1e400`, is kept
//!   as its JSON text.
//!
//! The last two pass through to `serde_json`, and so apply to the whole program.
//!
//! # Platforms
//!
//! Linux, macOS and Windows, 64 and 32 bits. WASI (`wasm32-wasip1`) has no sockets:
//! [`sig_utils`] and [`GSRequest::prepare`] work there, and what would be sent fails with
//! [`Outcome::NotSent`]. In a browser (`wasm32-unknown-unknown`) nothing that reads the clock
//! works: the standard library panics there.
//!
//! # What is logged
//!
//! The crate `log` gets a `debug!` line per transmission (method, host, code, call id if it has
//! only letters, digits and `-`, time, size), and a `warn!` for events that no return value reports: a clock corrected by
//! more than a minute, a request sent again. Neither contains secrets. Dependencies log
//! on their own: at `trace!` level they show headers.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
// The front page links to the whole crate, even when only a part of it is built.
#![cfg_attr(not(feature = "client"), allow(rustdoc::broken_intra_doc_links))]

mod arguments;
#[cfg(feature = "client")]
mod call;
mod crypto;
#[cfg(feature = "client")]
mod encoding;
mod error;
#[cfg(feature = "client")]
pub mod error_codes;
#[cfg(feature = "client")]
pub mod jwt_utils;
#[cfg(feature = "client")]
mod keys;
#[cfg(feature = "client")]
mod log;
#[cfg(feature = "client")]
mod pem;
#[cfg(feature = "client")]
mod reading;
#[cfg(feature = "client")]
mod request;
#[cfg(feature = "client")]
mod response;
#[cfg(feature = "client")]
mod search;
#[cfg(feature = "client")]
mod send;
pub mod sig_utils;
#[cfg(feature = "client")]
mod sync;
#[cfg(feature = "client")]
mod transport;

pub use arguments::Text;
pub use error::GSException;
#[doc(no_inline)]
pub use sig_utils as SigUtils;

#[cfg(feature = "client")]
#[doc(no_inline)]
pub use jwt_utils as JwtUtils;
#[cfg(feature = "client")]
pub use {
    arguments::OptionalKey,
    pem::Pem,
    request::{GSRequest, PreparedRequest},
    response::{GSResponse, Outcome},
    search::{SearchResults, TextRows, search_all},
    serde_json::{self, Value, json},
};

/// A JSON object: `serde_json`'s map, with its usual types as defaults.
///
/// ```
/// use gssdk::*;
/// fn uid(data: &Map) -> Option<&str> {
///     data.get("UID")?.as_str()
/// }
/// let response = GSResponse::from_text("accounts.getAccountInfo", r#"{"errorCode": 0, "UID": "abc"}"#);
/// assert_eq!(uid(response.get_data()), Some("abc"));
/// // Indented, for people:
/// println!("{:#}", Value::from(response.get_data().clone()));
/// ```
#[cfg(feature = "client")]
pub type Map<K = String, V = Value> = serde_json::Map<K, V>;

/// Compiles the code samples in the documents.
#[cfg(all(doctest, feature = "client"))]
mod documents {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/porting.md")]
    mod porting {}
    #[doc = include_str!("../docs/bulk.md")]
    mod bulk {}
    #[doc = include_str!("../SECURITY.md")]
    mod security {}
}
