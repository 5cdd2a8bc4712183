//! Proxies: which one, in what form, and what they cannot do.

use crate::support::child::{in_a_child, variable};
use crate::support::proxy::Proxy;
use crate::support::*;
use gssdk::*;

fn through(api: &StandIn, proxy: impl AsRef<str>) -> GSRequest {
    let mut request = api.set_status();
    request.set_proxy(proxy.as_ref());
    request
}

#[test]
fn http_goes_in_absolute_form_and_https_by_connect() {
    for (api, form) in [
        (StandIn::plain(), "POST http://localhost:"),
        (StandIn::tls(), "CONNECT localhost:"),
    ] {
        let proxy = Proxy::start();
        for _ in 0..3 {
            succeeds(&through(&api, proxy.host()));
        }
        let requests = proxy.requests();
        assert!(requests.len() == 1 && requests[0].starts_with(form));
        let connections = (proxy.connections(), api.connections(), api.executed());
        assert_eq!(connections, (1, 1, 3));
        assert!(api.last().target.ends_with("/socialize.setStatus"));
        assert_eq!(api.last().header("host"), Some(api.host().as_str()));
    }
}

#[test]
fn a_proxy_behind_tls_is_verified_and_used() {
    for api in [StandIn::plain(), StandIn::tls()] {
        let proxy = Proxy::over_tls(certs::server_config(&certs::server(), None));
        let request = through(&api, format!("https://localhost:{}", proxy.port));
        succeeds(&request);
        succeeds(&request);
        assert_eq!(proxy.connections(), 1, "https: {}", api.https);
        let strange = request.ca_certs(certs::Ca::new("Another").pem.as_bytes());
        fails(&strange, 500_000, &["TLS with the proxy localhost failed"]);
    }
}

#[test]
fn the_targets_certificate_is_verified_through_the_proxy() {
    let params = certs::server_params(&["gigya.example"]);
    let api = StandIn::with_tls(certs::server_config(&certs::ca().issue(params), None));
    let proxy = Proxy::start();
    let request = through(&api, proxy.host());
    fails(&request, 500_000, &["another host name"]);
    let stranger = request.ca_certs(certs::Ca::new("Another").pem.as_bytes());
    fails(&stranger, 500_000, &["unknown issuer"]);
    assert!(api.received().is_empty());
}

/// A proxy that asks for a client certificate gets none: it is for the API.
#[test]
fn the_client_certificate_is_not_shown_to_a_proxy() {
    let identity = certs::ca().issue(certs::client_params("us"));
    let asking = || certs::server_config(&certs::server(), Some(certs::ca_pem()));
    let api = StandIn::with_tls(asking());
    let with = |proxy: &Proxy| {
        let request = GSRequest::new(API_KEY, None, "socialize.setStatus", ());
        let request = request.client_cert(identity.cert.as_str(), identity.key.as_str());
        let mut request = api.aim(request);
        request.set_params(json!({"uid": UID, "status": "x"}));
        request.set_proxy(format!("https://localhost:{}", proxy.port));
        request
    };
    let asks = Proxy::over_tls(asking());
    fails(&with(&asks), 500_000, &["Nothing was sent"]);
    assert_eq!(api.connections(), 0);
    let modest = certs::server_config(&certs::server(), None);
    succeeds(&with(&Proxy::over_tls(modest)));
}

#[test]
fn basic_authentication_is_sent_percent_decoded() {
    // printf 'us er:hunter2@:x' | base64
    let basic = "Basic dXMgZXI6aHVudGVyMkA6eA==";
    let proxy = Proxy::requiring(basic);
    for api in [StandIn::plain(), StandIn::tls()] {
        succeeds(&through(&api, proxy.url("us%20er:hunter2%40:x")));
        for wrong in [proxy.url("us%20er:hunter2"), proxy.host()] {
            fails(&through(&api, wrong), 500_000, &["407"]);
        }
        let seen = (!api.https).then_some(basic);
        assert_eq!(api.last().header("proxy-authorization"), seen);
    }
}

#[test]
fn a_proxy_that_fails_is_named() {
    let (plain, tls) = (StandIn::plain(), StandIn::tls());
    for (answer, words) in [
        ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "403"),
        ("HTTP/1.0 503 Service Unavailable\r\n\r\n", "503"),
        ("HTTP/1.1 407 a\tb\r\n\r\n", "407"),
        ("SSH-2.0-garbage\r\n\r\n", "HTTP"),
        ("HTTP/1.1 ", ""),
        ("", ""),
    ] {
        let proxy = Proxy::answering(answer.as_bytes());
        let url = proxy.url("joe:hunter2");
        let name = format!("the proxy {}", proxy.host());
        fails(&through(&tls, &url), 500_000, &[&name, words]);
        fails(&through(&plain, &url), 500_000, &[words]);
    }
    let early = Proxy::answering(b"HTTP/1.1 200 OK\r\n\r\nsurplus");
    for (api, proxy, code, words) in [
        (&tls, &*early.host(), 500_000, "TLS with localhost"),
        (&tls, "joe:hunter2@127.0.0.1:1", 500_000, "connecting to"),
        (&plain, "no-proxy.invalid:1", 500_000, "looking up the"),
        (&plain, "socks5://joe:hunter2@h:1", 400_006, "the proxy"),
    ] {
        fails(&through(api, proxy), code, &[words]);
    }
    assert_eq!(plain.executed() + tls.executed(), 0);
}

#[test]
#[ignore = "run by the tests of the environment"]
fn child_sends_one_request() {
    let params = json!({"UID": UID});
    let mut request = GSRequest::new(API_KEY, SECRET, "accounts.getAccountInfo", params);
    request.set_host_override(variable("GSSDK_TEST_HOST"));
    let request = request.use_https(variable("GSSDK_TEST_HTTPS") == "true");
    let response = request.ca_certs(variable("GSSDK_TEST_CA")).send();
    let code = response.get_error_code().to_string();
    let told = format!("{code} {}", response.get_error_message());
    let expected = variable("GSSDK_TEST_EXPECTED");
    let (code, words) = expected.split_once(' ').unwrap();
    assert!(told.starts_with(code) && told.contains(words), "{told}");
    if words.starts_with("looking up") {
        assert_eq!(response.outcome(), Outcome::NotSent, "{told}");
    }
}

/// Sends one request in a process with these variables.
///
/// * `expected`: the code, and words of the message.
#[track_caller]
fn send_with(https: bool, host: &str, proxies: &[(&str, &str)], expected: &str) {
    let mut variables = vec![
        ("GSSDK_TEST_HTTPS", if https { "true" } else { "false" }),
        ("GSSDK_TEST_HOST", host),
        ("GSSDK_TEST_CA", certs::ca_pem()),
        ("GSSDK_TEST_EXPECTED", expected),
    ];
    variables.extend(proxies);
    in_a_child("proxy::child_sends_one_request", &variables);
}

#[test]
fn the_environment_chooses_the_proxy() {
    let name = "api.test"; // no name of loopback
    let identity = certs::ca().issue(certs::server_params(&[name]));
    let tls = StandIn::with_tls(certs::server_config(&identity, None));
    let (http, https) = ("HTTP_PROXY", "HTTPS_PROXY");
    for (api, form, mine, other) in [
        (StandIn::plain(), "POST http://", http, https),
        (tls, "CONNECT ", https, http),
    ] {
        let proxy = Proxy::redirecting(api.address);
        let (host, nobody) = (proxy.host(), "http://127.0.0.1:1");
        send_with(api.https, name, &[(mine, &host), (other, nobody)], "0 ");
        send_with(api.https, name, &[("ALL_PROXY", &host)], "0 ");
        let requests = proxy.requests();
        assert_eq!(requests.len(), 2);
        assert!(requests.iter().all(|line| line.starts_with(form)));
        // Directly, nobody is there.
        let direct = [("ALL_PROXY", host.as_str()), ("NO_PROXY", "x *.test")];
        let failed = "500000 looking up api.test failed";
        send_with(api.https, name, &direct, failed);
        assert_eq!(proxy.requests().len(), 2);
    }
    let strange = [("all_proxy", "socks5://127.0.0.1:1")];
    send_with(true, name, &strange, "400006 all_proxy");
}

#[test]
fn a_connect_tells_the_callers_user_agent() {
    let api = StandIn::tls();
    for set in [None, Some("shop/1.0 (nightly)")] {
        let proxy = Proxy::start();
        let mut request = through(&api, proxy.url("joe:x"));
        if let Some(agent) = set {
            request.add_header("User-Agent", agent);
        }
        succeeds(&request);
        let agent = api.last().header("user-agent").unwrap().to_string();
        assert!(set.is_none_or(|set| agent == set), "{agent}");
        let head = proxy.state.heads.lock().unwrap()[0].clone();
        let line = format!("User-Agent: {agent}");
        let told = head.lines().filter(|found| *found == line);
        assert_eq!(told.count(), 1, "{head}");
    }
}

/// To a tunnel and to a plain request alike.
#[test]
fn a_proxy_that_wants_other_credentials_says_which() {
    for api in [StandIn::plain(), StandIn::tls()] {
        // Names of headers with spaces behind them are no HTTP, which ureq refuses.
        let space = if api.https { " " } else { "" };
        let offers = format!(
            "Proxy-Authenticate: NTLM\r\n\
             proxy-authenticate{space}: Negotiate abc, Basic realm=\"a\"\r\n"
        );
        let (basic, refused) = ("Basic, with user and password", "were refused)");
        let offered = "(it offers NTLM, Negotiate, Basic; ";
        let in_url = "(the user and password in the proxy's URL were refused)";
        for (user, offers, words) in [
            ("", offers.as_str(), [offered, basic]),
            ("", "", ["(", basic]),
            ("joe:hunter2@", &offers, [offered, refused]),
            ("joe:hunter2@", "", ["", in_url]),
        ] {
            let head = format!("HTTP/1.1 407 x\r\n{offers}Content-Length: 0\r\n\r\n");
            let proxy = Proxy::answering(head.as_bytes());
            let request = through(&api, format!("{user}{}", proxy.host()));
            let name = format!("the proxy {}", proxy.host());
            fails(&request, 500_000, &[words[0], words[1], "407", &name]);
        }
        assert_eq!(api.executed(), 0);
    }
}
