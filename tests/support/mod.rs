//! The stand-in for the API, and requests aimed at it.
#![allow(dead_code, unused_imports)] // each test file uses a part of it

pub use stand_in::*;

use gssdk::{GSRequest, json};

pub trait Aim {
    /// Points a request at the stand-in, over https if it speaks TLS.
    fn aim(&self, request: GSRequest) -> GSRequest;

    /// The same request without a look-up, for tests with a short timeout: to look up a
    /// name takes seconds on some machines.
    fn by_address(&self, request: GSRequest) -> GSRequest;

    /// A signed request to the stand-in.
    fn request(&self, method: &str, params: impl serde::Serialize) -> GSRequest {
        self.aim(GSRequest::new(API_KEY, SECRET, method, params))
    }

    fn set_status(&self) -> GSRequest {
        self.request(
            "socialize.setStatus",
            json!({"uid": UID, "status": "I feel great"}),
        )
    }

    /// A request with an access token, and so without a nonce; https only.
    fn get_account_by_token(&self) -> GSRequest {
        let params = json!({"UID": UID});
        self.aim(GSRequest::new(
            TOKEN,
            None,
            "accounts.getAccountInfo",
            params,
        ))
    }
}

impl Aim for StandIn {
    fn aim(&self, request: GSRequest) -> GSRequest {
        let mut request = request
            .use_https(self.https)
            .ca_certs(certs::ca_pem().as_bytes());
        request.set_host_override(self.host().as_str());
        request
    }

    fn by_address(&self, mut request: GSRequest) -> GSRequest {
        request.set_host_override(self.address.to_string());
        request
    }
}
