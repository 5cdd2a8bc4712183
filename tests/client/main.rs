//! The tests of the feature `client` that need no process of their own, in one program: they
//! wait for their peers side by side. Each has its own servers and files.
#![cfg(feature = "client")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod arguments;
mod attempts;
mod beyond;
mod client_cert;
mod connections;
mod errors;
mod learned;
mod log;
mod outcomes;
mod pem;
mod proxy;
mod reading;
mod send;
mod sessions;
mod tls_errors;
mod webhooks;
