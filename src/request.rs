//! [`GSRequest`]: which method to call, and with what.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_core::Serialize;
use serde_json::{Map, Value};

use crate::arguments::{self, OptionalKey, Text, key};
use crate::call::form::write_value;
use crate::call::target::Target;
use crate::call::{Call, Credentials, api_domain, oauth1};
use crate::encoding::ascii;
use crate::error::GSException;
use crate::log::address;
use crate::pem::{ClientCert, Pem};
use crate::response::GSResponse;
use crate::send::{secrets_of, sender, set_ca_certs_path};
use crate::sync::Kept;

/// A request to the Gigya API.
///
/// Mirrors `GSRequest` of `GSSDK.py`: the constructor's first four arguments are those of
/// [`new`](Self::new), the others are methods of the same names.
///
/// Sending does not change the request. It can be sent again, and from several threads at
/// the same time; each send is signed anew.
///
/// ```
/// use gssdk::*;
///
/// // Step 1 - Defining the request and adding parameters
/// let mut request = GSRequest::new(
///     "PUT-YOUR-APIKEY-HERE",
///     "PUT-YOUR-SECRET-KEY-HERE",
///     "socialize.setStatus",
///     json!({"uid": "PUT-UID-HERE", "status": "I feel great"}),
/// )
/// .use_https(true);
/// # // Nothing listens there: the example runs without a network.
/// # request.set_host_override("127.0.0.1:1");
/// # request.set_param("format", "json");
///
/// // Step 2 - Sending the request
/// let response = request.send();
///
/// // Step 3 - handling the request's response.
/// if response.get_error_code() == 0 {
///     println!("Success in setStatus operation.");
/// } else {
///     println!("Got error on setStatus: {}", response.get_error_message());
/// }
/// ```
#[derive(Clone)]
pub struct GSRequest {
    /// Shared with the responses, whose logs are rendered from it.
    call: Arc<Call>,
    /// Where it goes, if it has been sent since it was last changed.
    target: Kept<Target>,
}

impl GSRequest {
    /// The API domain of a request that sets none: `us1.gigya.com`.
    pub const DEFAULT_API_DOMAIN: &'static str = api_domain::DEFAULT;

    /// The version of this crate, sent as `sdk=rust_<VERSION>`.
    pub const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    /// Makes a request for an API method.
    ///
    /// * `api_key`: the site's API key or, without a secret key, an access token.
    /// * `secret_key`: the site's secret key, or that of the
    ///   [`user_key`](Self::user_key), in base64 as Gigya shows it. With it the
    ///   request is signed, and goes over http unless [`use_https`](Self::use_https) is
    ///   called; without it the request goes over https. A secret that holds no base64 at
    ///   all, such as a blank, is not absent: it is error 400002.
    /// * `api_method`: namespace and name, as in `"accounts.getAccountInfo"`;
    ///   without a namespace, `socialize` is assumed.
    /// * `params`: whatever `serde` serializes to a JSON object, by value or by reference:
    ///   `json!({…})`, a `Map`, a `HashMap`, a struct; the text of a JSON object; `()` for
    ///   none. Values that are `None` or `null` are left out.
    ///
    /// These parameters of the caller's are replaced, because the SDK sends its own:
    /// `httpStatusCodes` and `sdk`; `sig`, `timestamp` and `nonce` if the request is signed;
    /// `apiKey`, `oauth_token` and `userKey` if it sends them.
    ///
    /// Arguments that cannot be used are reported by [`send`](Self::send).
    ///
    /// Mirrors `GSRequest(apiKey, secretKey, apiMethod, params)`.
    ///
    /// ```
    /// use gssdk::*;
    /// let params = json!({"UID": "abc", "profile": {"age": 42}});
    /// let request = GSRequest::new("api key", "c2VjcmV0", "accounts.setAccountInfo", params);
    /// let same = GSRequest::new("api key", "c2VjcmV0", "accounts.setAccountInfo",
    ///     r#"{"UID": "abc", "profile": {"age": 42}}"#);
    /// assert_eq!(request.get_params(), same.get_params());
    ///
    /// #[derive(serde::Serialize)]
    /// struct Search<'a> {
    ///     query: &'a str,
    ///     timeout: Option<u32>, // milliseconds
    /// }
    /// let params = Search { query: "SELECT UID FROM accounts", timeout: None };
    /// let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", params);
    /// assert_eq!(GSRequest::build_qs(request.get_params()), "query=SELECT%20UID%20FROM%20accounts");
    /// ```
    pub fn new(
        api_key: impl OptionalKey,
        secret_key: impl OptionalKey,
        api_method: impl AsRef<str>,
        params: impl Serialize,
    ) -> Self {
        let mut call = Call::new(api_method.as_ref(), params);
        call.api_key = key(api_key);
        call.secret_key = key(secret_key);
        GSRequest {
            call: Arc::new(call),
            target: Kept::default(),
        }
    }

    /// Makes a request that authenticates with an RSA key: no secret is stored or sent.
    ///
    /// The request goes over https with `Authorization: Bearer <token>`. The token is made
    /// for each attempt and signed with the key (RS256).
    ///
    /// * `api_key`: the site's API key, if the method needs one.
    /// * `user_key`: the key of the user or application that the RSA key
    ///   belongs to.
    /// * `private_key`: the RSA key, PKCS#8 or PKCS#1, a file path or content,
    ///   see [`Pem`]; line ends may be escaped as `\n`, as environment
    ///   variables hold them.
    /// * `api_method`, `params`: as in [`new`](Self::new).
    ///
    /// Like the Java SDK's bearer authentication.
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::with_private_key(
    ///     "api key", "AUserKey", "private.pem", "accounts.getAccountInfo", json!({"UID": "abc"}));
    /// ```
    pub fn with_private_key(
        api_key: impl OptionalKey,
        user_key: impl Text,
        private_key: impl Into<Pem>,
        api_method: impl AsRef<str>,
        params: impl Serialize,
    ) -> Self {
        let mut request = Self::new(api_key, None, api_method, params)
            .user_key(arguments::text(&user_key).as_deref());
        request.call_mut().credentials = Credentials::PrivateKey(private_key.into());
        request
    }

    /// Makes a request without credentials, for methods that are open to everyone, such as
    /// `accounts.getJWTPublicKey`.
    ///
    /// The request goes over https with the `apiKey`, unsigned.
    ///
    /// * `api_key`: the site's API key, see [`Text`]; if it is absent, [`send`](Self::send)
    ///   returns 400002.
    /// * `api_method`, `params`: as in [`new`](Self::new).
    ///
    /// Like the Java SDK's anonymous authentication.
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::anonymous("api key", "accounts.getScreenSets", ());
    /// ```
    pub fn anonymous(
        api_key: impl Text,
        api_method: impl AsRef<str>,
        params: impl Serialize,
    ) -> Self {
        let api_key = arguments::text(&api_key);
        let mut request = Self::new(api_key.as_deref(), None, api_method, params);
        request.call_mut().credentials = Credentials::Anonymous;
        request
    }

    /// Makes a request on behalf of a user who is logged in.
    ///
    /// * `session_token`, `session_secret`: the `sessionToken` and `sessionSecret` in
    ///   the `sessionInfo` that `accounts.login` returned, see [`Text`]; if one is absent or
    ///   empty, [`send`](Self::send) returns 400002.
    /// * `api_method`, `params`: as in [`new`](Self::new); no `apiKey` is sent unless it is
    ///   one of the parameters.
    ///
    /// The request goes over https, signed with the session's secret.
    ///
    /// Like requests of the mobile SDKs.
    ///
    /// ```
    /// use gssdk::*;
    /// let text = r#"{"errorCode": 0, "sessionInfo": {"sessionToken": "token", "sessionSecret": "c2VjcmV0"}}"#;
    /// let login = GSResponse::from_text("accounts.login", text);
    /// let request = GSRequest::with_session(
    ///     login.pointer("/sessionInfo/sessionToken"),
    ///     login.pointer("/sessionInfo/sessionSecret"),
    ///     "accounts.getAccountInfo",
    ///     (),
    /// );
    /// ```
    pub fn with_session(
        session_token: impl Text,
        session_secret: impl Text,
        api_method: impl AsRef<str>,
        params: impl Serialize,
    ) -> Self {
        let token = arguments::text(&session_token);
        let secret = arguments::text(&session_secret);
        let mut request = Self::new(token.as_deref(), secret.as_deref(), api_method, params);
        request.call_mut().credentials = Credentials::Session;
        request
    }

    /// How often to send again what was refused because there were too many calls:
    /// 403048, the API's rate limit, and HTTP 429. The default is 0.
    ///
    /// With [`idempotent`](Self::idempotent), also after 500001, 504001, 409030 and
    /// HTTP 503, which do not say whether the API executed the call, and after failures
    /// of the network. Any other answer ends the call; if an earlier try may have been
    /// executed, its outcome is `Unknown`.
    ///
    /// It waits 1, 2, 4 … s in between, up to 30 s and a little less by chance, or as
    /// long as `Retry-After` says if that is longer, and never beyond the timeout. Each
    /// try is re-signed; the log shows them.
    ///
    /// ```
    /// use gssdk::*;
    /// GSRequest::new("api key", "c2VjcmV0", "accounts.search", ()).retries(3);
    /// ```
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.call_mut().retries = retries;
        self
    }

    /// Declares that executing this call twice does no harm: that it only reads, or that it
    /// sets the same values again. The default is `false`.
    ///
    /// [`retries`](Self::retries) then also repeat requests that the API may have executed.
    /// If a reused connection ends before the answer, the request is sent once more even if
    /// it is not signed.
    ///
    /// ```
    /// use gssdk::*;
    /// let params = json!({"UID": "abc"});
    /// GSRequest::new("api key", "c2VjcmV0", "accounts.getAccountInfo", params)
    ///     .idempotent(true)
    ///     .retries(3);
    /// ```
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.call_mut().idempotent = idempotent;
        self
    }

    /// After 301001, goes to the data center that the API names: the request was
    /// refused, so nothing ran, and is re-signed for the other one. The default is
    /// `false`. What an answer over https has named is where later requests with the same
    /// API key go at once if they allow it, until it cannot be reached.
    ///
    /// Only to Gigya's own domains (`*.gigya.com`, `*.sapcdm.cn`, `*.gigya-api.cn`), and
    /// never with a [host override](Self::set_host_override). The log shows both tries.
    ///
    /// ```
    /// use gssdk::*;
    /// GSRequest::new("api key", "c2VjcmV0", "accounts.search", ()).follow_data_center(true);
    /// ```
    #[must_use]
    pub fn follow_data_center(mut self, follow: bool) -> Self {
        self.call_mut().follows_data_center = follow;
        self
    }

    /// Sets whether to send over https. Requests without a secret key and requests with a
    /// client certificate are always sent over https.
    ///
    /// Mirrors the constructor's `useHTTPS`.
    ///
    /// ```
    /// use gssdk::*;
    /// GSRequest::new("api key", "c2VjcmV0", "socialize.getUserInfo", ()).use_https(true);
    /// ```
    #[must_use]
    pub fn use_https(mut self, use_https: bool) -> Self {
        self.call_mut().use_https = use_https;
        self
    }

    /// Sets the key of a user or an application with permissions of its own. The secret key
    /// is then that key's, not the site's.
    ///
    /// Mirrors the constructor's `userKey`.
    ///
    /// ```
    /// use gssdk::*;
    /// GSRequest::new("api key", "c2VjcmV0", "accounts.search", ()).user_key("AKx_user");
    /// ```
    #[must_use]
    pub fn user_key(mut self, user_key: impl OptionalKey) -> Self {
        self.call_mut().user_key = key(user_key);
        self
    }

    /// Sets a TLS client certificate to authenticate with, instead of a secret key or in
    /// addition to one. The request goes to the data center's mTLS host.
    ///
    /// * `cert`: the certificate, followed by any intermediate certificates.
    /// * `key`: its private key, PKCS#8, PKCS#1 or SEC1, not encrypted.
    ///
    /// Both may be file paths or content, see [`Pem`]; a file that has changed is read again at
    /// the next send.
    ///
    /// Mirrors the constructor's `certFile` and `keyFile`.
    ///
    /// ```
    /// use gssdk::*;
    /// GSRequest::new("api key", None, "accounts.search", ())
    ///     .client_cert("client.pem", "client.key");
    /// ```
    #[must_use]
    pub fn client_cert(mut self, cert: impl Into<Pem>, key: impl Into<Pem>) -> Self {
        self.call_mut().client_cert = Some(ClientCert {
            cert: cert.into(),
            key: key.into(),
        });
        self
    }

    /// Trusts these CA certificates, and no others, for this request.
    ///
    /// * `ca_certs`: PEM, a file path or content, see [`Pem`].
    ///
    /// Python has only the process-wide path.
    ///
    /// ```
    /// use gssdk::*;
    /// GSRequest::new("api key", "c2VjcmV0", "accounts.search", ())
    ///     .use_https(true)
    ///     .ca_certs("company-ca.pem");
    /// ```
    #[must_use]
    pub fn ca_certs(mut self, ca_certs: impl Into<Pem>) -> Self {
        self.call_mut().ca_certs = Some(ca_certs.into());
        self
    }

    /// Adds a parameter or replaces one.
    ///
    /// * `value`: whatever `serde` serializes to JSON: text, a number, a boolean,
    ///   `json!({…})`, a `Map`, a vector, a struct, or an `Option` of one. `None` and `null`
    ///   remove the parameter, and so do NaN and infinity, of which JSON has neither.
    ///
    /// A value that serde_json refuses, such as a map whose keys are tuples, or one nested
    /// more than 500 levels deep, makes every later [`send`](Self::send) return 400006.
    ///
    /// **A `Value` that is turned into text keeps its quotes:** `value.to_string()` of the
    /// string `abc` is `"abc"`, and `%22abc%22` is sent. Pass the `Value` itself, or its text:
    /// `value.as_str()`, and of a response [`get_string`](crate::GSResponse::get_string).
    ///
    /// Mirrors `setParam`.
    ///
    /// ```
    /// use gssdk::*;
    /// let post = json!({"UID": "abc", "profile": {"age": 42}});
    /// let mut request = GSRequest::new("api key", "c2VjcmV0", "accounts.setAccountInfo", ());
    /// request.set_param("UID", &post["UID"]);
    /// request.set_param("profile", post.get("profile"));
    /// request.set_param("data", post.get("data")); // absent: left out
    /// assert_eq!(GSRequest::build_qs(request.get_params()), "UID=abc&profile=%7B%22age%22%3A%2042%7D");
    /// ```
    pub fn set_param(&mut self, param: impl Into<String>, value: impl Serialize) {
        self.call_mut().set_param(param.into(), value);
    }

    /// Adds parameters; each replaces the one of its name.
    ///
    /// * `params`: as in [`new`](Self::new). A value that is `None` or `null` removes its
    ///   parameter. Arguments that cannot be used are reported by [`send`](Self::send).
    ///
    /// Mirrors `setParams` of the Java SDK.
    ///
    /// ```
    /// use gssdk::*;
    /// let mut request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", json!({"query": "…"}));
    /// request.set_params(json!({"query": "SELECT UID FROM accounts", "timeout": 10_000}));
    /// assert_eq!(request.get_params()["query"], "SELECT UID FROM accounts");
    /// assert_eq!(request.get_params().len(), 2);
    /// ```
    pub fn set_params(&mut self, params: impl Serialize) {
        self.call_mut().set_params(params);
    }

    /// The API method, as it was given.
    ///
    /// Mirrors `getMethod` of the Java SDK.
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// assert_eq!(request.get_method(), "accounts.search");
    /// ```
    pub fn get_method(&self) -> &str {
        &self.call.api_method
    }

    /// The caller's parameters, without those that `send` adds.
    ///
    /// Mirrors `getParams`.
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::new("api key", "c2VjcmV0", "x.y", json!({"UID": "abc"}));
    /// assert_eq!(request.get_params()["UID"], "abc");
    /// ```
    pub fn get_params(&self) -> &Map<String, Value> {
        &self.call.params
    }

    /// Sets the data center that serves the API key: `us1.gigya.com` (the default),
    /// `eu1.gigya.com`, `eu2.gigya.com`, `au1.gigya.com`, `ru1.gigya.com`,
    /// `cn1.sapcdm.cn` or `global.gigya.com`; or a domain of your own, to which the method's
    /// namespace is prefixed. `None` restores the default.
    ///
    /// For a domain with a scheme, a path or a namespace, and for a data center's short
    /// name, [`send`](Self::send) returns 400006 and says what to write instead.
    ///
    /// Mirrors `setAPIDomain`.
    ///
    /// ```
    /// use gssdk::*;
    /// let mut request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// request.set_api_domain("eu1.gigya.com");
    /// ```
    pub fn set_api_domain(&mut self, api_domain: impl OptionalKey) {
        self.call_mut().api_domain = key(api_domain);
    }

    /// Sets the proxy: `"host:port"`, or `"http://user:password@host:port"` with user and
    /// password percent-encoded; `https://` for a connection to the proxy over TLS.
    ///
    /// `None` removes the explicit proxy: then `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY` decide, as in Python, but for `localhost`, 127.0.0.0/8 and `[::1]`, which
    /// never use a proxy that the environment names. A variable that cannot be read is error
    /// 400006 at [`send`](Self::send). A host override of the form `http://…`, see
    /// [`set_host_override`](Self::set_host_override), never goes through a proxy.
    ///
    /// Mirrors `setProxy`.
    ///
    /// ```
    /// use gssdk::*;
    /// let mut request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// request.set_proxy("proxy.example.com:3128");
    /// ```
    pub fn set_proxy(&mut self, proxy: impl OptionalKey) {
        self.call_mut().proxy = key(proxy);
    }

    /// Sends to this host, or `host:port`, regardless of method and API domain: for
    /// gateways, and for tests on loopback. The signature is for this host, too: a gateway
    /// that passes the request on to Gigya has to sign it again. `None` removes the override.
    ///
    /// It may begin with `https://`, and for loopback (127.0.0.0/8, `[::1]`, `localhost`)
    /// with `http://`: then the request is sent over plain http even if it asks for https,
    /// and never through a proxy, so that a program that uses https can be tested without
    /// certificates. `http://` before any other host is error 400006.
    ///
    /// Mirrors `setHost` of the Java SDK.
    ///
    /// ```
    /// use gssdk::*;
    /// let mut request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// request.set_host_override("localhost:8080");
    /// ```
    pub fn set_host_override(&mut self, host: impl OptionalKey) {
        self.call_mut().host_override = key(host);
    }

    /// Adds a header, such as `Cookie` or a trace id; several headers of the same name are
    /// all sent, in order.
    ///
    /// * `name`: for a header that HTTP or the SDK itself owns (`Host`, `Content-*`,
    ///   `Connection`, `Proxy-*` …), [`send`](Self::send) returns 400006; `Authorization`
    ///   is allowed on [`anonymous`](Self::anonymous) requests only.
    /// * `value`: control characters are refused in the same way, and so are more than
    ///   32 KB of headers in all.
    ///
    /// Mirrors `addHeader` of the Java SDK.
    ///
    /// ```
    /// use gssdk::*;
    /// let mut request = GSRequest::new("api key", "c2VjcmV0", "accounts.login", ());
    /// request.add_header("Cookie", "gmid=…; ucid=…");
    /// ```
    pub fn add_header(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        self.call_mut().add_header(name.as_ref(), value.as_ref());
    }

    /// Trusts the CA certificates in this file, and no others, in all later sends of the
    /// process. An empty path restores the default trust store.
    ///
    /// Mirrors the static `setCACertsPath`.
    ///
    /// ```
    /// use gssdk::*;
    /// GSRequest::set_ca_certs_path("/etc/ssl/certs/ca-certificates.crt");
    /// GSRequest::set_ca_certs_path(""); // back to the default
    /// ```
    pub fn set_ca_certs_path(path: impl AsRef<Path>) {
        set_ca_certs_path(path.as_ref());
    }

    /// Sends the request and waits for the answer.
    ///
    /// Connecting may take 30 s, the server may be silent for 120 s at a time, and the whole
    /// send may take an hour.
    ///
    /// Every failure is reported in the response, see [`GSResponse`]; its
    /// [`outcome`](GSResponse::outcome) says whether the API may have executed the request.
    ///
    /// Mirrors `send`.
    ///
    /// ```
    /// use gssdk::*;
    /// let response = GSRequest::new(None, None, "socialize.setStatus", ()).send();
    /// assert_eq!(response.get_error_code(), 400002);
    /// ```
    #[must_use = "only the response says whether the call failed: look at its get_error_code(), or call into_result()"]
    pub fn send(&self) -> GSResponse {
        sender().send(&self.call, &self.target, None)
    }

    /// Sends the request and waits for the answer.
    ///
    /// * `timeout`: bounds everything: connecting, sending, retries and their pauses, and
    ///   reading the whole answer. Then the error is 504002 "Request Timeout"; its
    ///   [`outcome`](GSResponse::outcome) says whether the API may have executed the request.
    ///   With `Duration::ZERO` nothing is sent; in Python, `send(0)` has no limit.
    ///
    /// Mirrors `send(timeout)`.
    ///
    /// ```
    /// use gssdk::*;
    /// use std::time::Duration;
    /// let mut request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// # request.set_host_override("127.0.0.1:1");
    /// let response = request.send_timeout(Duration::from_secs(5));
    /// ```
    #[must_use = "only the response says whether the call failed: look at its get_error_code(), or call into_result()"]
    pub fn send_timeout(&self, timeout: Duration) -> GSResponse {
        sender().send(&self.call, &self.target, Some(timeout))
    }

    /// Signs and encodes the request for an HTTP client of your own, such as an async one.
    ///
    /// The result is what [`send`](Self::send) would post, with the current time and a new
    /// nonce: post it soon, and only once. Pass the text of the answer to
    /// [`GSResponse::from_text`]. Your program is then responsible for retries and the
    /// clock, and your client for proxy, CA certificates and timeout.
    ///
    /// # Errors
    /// 400002 and 400006, as from `send`; 400006 with a client certificate, which belongs to
    /// the connection and not to the request.
    ///
    /// ```no_run
    /// use gssdk::*;
    ///
    /// let params = json!({"UID": "abc"});
    /// let request = GSRequest::new("api key", "c2VjcmV0", "accounts.getAccountInfo", params);
    /// let prepared = request.use_https(true).prepare()?;
    /// let mut post = ureq::post(prepared.url());
    /// for (name, value) in prepared.headers() {
    ///     post = post.header(name, value);
    /// }
    /// let text = post.send(prepared.body())?.body_mut().read_to_string()?;
    /// let response = GSResponse::from_text("accounts.getAccountInfo", &text);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prepare(&self) -> Result<PreparedRequest, GSException> {
        let (url, headers, body) = sender().prepare(&self.call)?;
        Ok(PreparedRequest { url, headers, body })
    }

    /// Encodes parameters as a query string: sorted by name, percent-encoded.
    ///
    /// Mirrors `buildQS`.
    ///
    /// ```
    /// use gssdk::*;
    /// let params = json!({"status": "I feel great", "uid": 7, "cid": null});
    /// let query = GSRequest::build_qs(params.as_object().unwrap());
    /// assert_eq!(query, "status=I%20feel%20great&uid=7");
    /// ```
    pub fn build_qs(params: &Map<String, Value>) -> String {
        oauth1::query_string(params)
    }

    /// Encodes one value as it is sent: strings percent-encoded, integers in decimal,
    /// booleans as `True` and `False`, objects and arrays as Python's `json.dumps` writes
    /// them, percent-encoded; `null` is empty.
    ///
    /// Mirrors `UrlEncode`.
    ///
    /// ```
    /// use gssdk::*;
    /// assert_eq!(GSRequest::url_encode(&json!("a~b c")), "a~b%20c");
    /// assert_eq!(GSRequest::url_encode(&json!({"a": 1})), "%7B%22a%22%3A%201%7D");
    /// ```
    pub fn url_encode(value: &Value) -> String {
        let mut out = Vec::new();
        write_value(value, &mut out);
        ascii(out)
    }

    /// Returns the base string, the text that is signed: `POST&<url>&<parameters>`, URL and
    /// parameters encoded.
    ///
    /// * `http_method`: `"POST"`, as in all requests of this SDK.
    /// * `url`: the URL of the request; a default port is left out.
    /// * `is_secure_connection`: whether the scheme is https, regardless of `url`.
    /// * `request_params`: all parameters; `sig` is left out.
    ///
    /// # Errors
    /// 400006 when `url` is not an absolute URL.
    ///
    /// Mirrors `calcOAuth1BaseString`.
    ///
    /// ```
    /// use gssdk::*;
    /// let params = json!({"apiKey": "key"});
    /// let base_string = GSRequest::calc_oauth1_base_string(
    ///     "POST", "http://socialize.US1.gigya.com:80/x", false, params.as_object().unwrap())?;
    /// assert_eq!(base_string, "POST&http%3A%2F%2Fsocialize.us1.gigya.com%2Fx&apiKey%3Dkey");
    /// # Ok::<(), GSException>(())
    /// ```
    pub fn calc_oauth1_base_string(
        http_method: &str,
        url: &str,
        is_secure_connection: bool,
        request_params: &Map<String, Value>,
    ) -> Result<String, GSException> {
        let form = oauth1::form_to_sign(request_params);
        let beginning = oauth1::beginning(http_method, url, is_secure_connection)?;
        Ok(oauth1::base_string(&beginning, &form))
    }

    /// Returns the signature of a request: the base string, signed with a secret key.
    ///
    /// * `key`: the secret key, base64.
    ///
    /// For the other parameters see
    /// [`calc_oauth1_base_string`](Self::calc_oauth1_base_string).
    ///
    /// # Errors
    /// 400002 when `key` is empty, or holds no base64 at all; 400006 when it is not valid
    /// base64, or `url` is not an absolute URL.
    ///
    /// Mirrors `getOAuth1Signature`.
    ///
    /// ```
    /// use gssdk::*;
    /// let params = json!({"apiKey": "key"});
    /// let signature = GSRequest::get_oauth1_signature(
    ///     "c2VjcmV0", "POST", "http://host/x", false, params.as_object().unwrap())?;
    /// assert_eq!(signature.len(), 28);
    /// # Ok::<(), GSException>(())
    /// ```
    pub fn get_oauth1_signature(
        key: &str,
        http_method: &str,
        url: &str,
        is_secure_connection: bool,
        request_params: &Map<String, Value>,
    ) -> Result<String, GSException> {
        let form = oauth1::form_to_sign(request_params);
        let beginning = oauth1::beginning(http_method, url, is_secure_connection)?;
        let signer = oauth1::signer(key, &beginning)?;
        Ok(oauth1::sign(signer, &form))
    }

    /// Asks for a page of a search, whose rows are parsed one by one.
    ///
    /// * `cursor`: the cursor of the page; `None` for the first page.
    pub(crate) fn set_page(&mut self, cursor: Option<&str>) {
        let call = self.call_mut();
        call.rows_apart = true;
        call.idempotent = true;
        match cursor {
            None => call.params.insert("openCursor".into(), true.into()),
            Some(cursor) => {
                // A cursor replaces the query that it came from.
                call.params.remove("query");
                call.params.remove("openCursor");
                call.params.insert("cursorId".into(), cursor.into())
            }
        };
    }

    /// What the caller has said, to be changed.
    pub(crate) fn call_mut(&mut self) -> &mut Call {
        self.target = Kept::default();
        Arc::make_mut(&mut self.call)
    }
}

/// Shows the method and settings. Hides what the log hides, and all values of parameters and
/// headers.
impl fmt::Debug for GSRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = &*self.call;
        let secrets = secrets_of(call);
        let address = |text: &String| address::address(text);
        let params = call.params.keys().map(|name| secrets.text(name));
        let headers = call.headers.iter().map(|(name, _)| address::name(name));
        let user_key = call.user_key.as_deref().map(|key| secrets.text(key));
        let client_cert = call.client_cert.as_ref().map(|client| &client.cert);
        f.debug_struct("GSRequest")
            .field("api_method", &address::name(&call.api_method))
            .field("api_domain", &address::address(call.api_domain()))
            .field("host_override", &call.host_override.as_ref().map(address))
            .field("use_https", &call.use_https)
            .field("user_key", &user_key)
            .field("client_cert", &client_cert)
            .field("proxy", &call.proxy.as_ref().map(address))
            .field("params", &params.collect::<Vec<_>>())
            .field("headers", &headers.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A request ready to be sent, always by POST; made by [`GSRequest::prepare`].
///
/// ```
/// use gssdk::*;
/// let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", json!({"query": "…"}));
/// let prepared = request.use_https(true).prepare()?;
/// assert_eq!(prepared.url(), "https://accounts.us1.gigya.com/accounts.search");
/// assert!(prepared.body().contains("&sig="));
/// # Ok::<(), GSException>(())
/// ```
pub struct PreparedRequest {
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl PreparedRequest {
    /// The URL to post to.
    ///
    /// ```
    /// # use gssdk::*;
    /// # let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// let url = request.use_https(true).prepare()?.url().to_string();
    /// assert_eq!(url, "https://accounts.us1.gigya.com/accounts.search");
    /// # Ok::<(), GSException>(())
    /// ```
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers to send, besides those that every client adds by itself.
    ///
    /// ```
    /// # use gssdk::*;
    /// # let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", ());
    /// let prepared = request.prepare()?;
    /// let (name, value) = &prepared.headers()[0];
    /// assert_eq!(format!("{name}: {value}"), "Content-Type: application/x-www-form-urlencoded");
    /// # Ok::<(), GSException>(())
    /// ```
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The form, encoded and signed.
    ///
    /// ```
    /// # use gssdk::*;
    /// # let request = GSRequest::new("api key", "c2VjcmV0", "accounts.search", json!({"query": "a b"}));
    /// assert!(request.prepare()?.body().contains("&query=a%20b&"));
    /// # Ok::<(), GSException>(())
    /// ```
    pub fn body(&self) -> &str {
        &self.body
    }
}

/// Shows the URL only; body and headers may contain secrets.
impl fmt::Debug for PreparedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedRequest")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
