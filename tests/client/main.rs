//! The feature `client`: what needs no process of its own, in one program that compiles once and
//! whose tests wait beside each other. Each test has its own servers and files.
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
