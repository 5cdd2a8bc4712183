//! A site's public keys, and the tokens that they verify.

mod cache;
mod jwks;
mod token;

pub(crate) use cache::{Failure, KeyCache, WAIT};
#[cfg(test)]
pub(crate) use jwks::tests;
pub(crate) use jwks::{Keys, Refusal};
pub(crate) use token::Token;
