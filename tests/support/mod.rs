//! The stand-in for the API, and requests aimed at it.
#![allow(dead_code, unused_imports)] // each test file uses a part of it

pub use stand_in::*;

use gssdk::{GSRequest, Outcome, json};

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

/// Sends, and demands success.
#[track_caller]
pub fn succeeds(request: &GSRequest) {
    let response = request.send();
    assert_eq!(response.get_error_code(), 0, "{response}");
}

/// Sends, and demands this code, these words of the message, and that no password shows. Returns
/// the message.
#[track_caller]
pub fn fails(request: &GSRequest, code: i64, words: &[&str]) -> String {
    let response = request.send();
    let message = response.get_error_message().to_string();
    assert_eq!(response.get_error_code(), code, "{message}");
    for words in words {
        assert!(message.contains(words), "{message:?} should say {words:?}");
    }
    let all = format!("{message} {} {request:?}", response.get_log());
    assert!(
        !all.contains("hunter2") && !all.contains("-----BEGIN"),
        "{all}"
    );
    message
}

/// The same, and that the request was not sent.
#[track_caller]
pub fn is_refused(request: &GSRequest, code: i64, words: &[&str]) -> String {
    let message = fails(request, code, words);
    assert_eq!(request.send().outcome(), Outcome::NotSent, "{message}");
    message
}
