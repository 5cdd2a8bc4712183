//! Proxies: which one, in what form, and what they cannot do.
#![cfg(feature = "client")]

mod support;

use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;

use gssdk::*;
use support::proxy::Proxy;
use support::*;

fn through(api: &StandIn, proxy: &str) -> GSRequest {
    let mut request = api.set_status();
    request.set_proxy(proxy);
    request
}

#[track_caller]
fn fails(request: &GSRequest, code: i64, words: &str) {
    let response = request.send();
    let message = response.get_error_message();
    assert_eq!(response.get_error_code(), code, "{message}");
    assert!(message.contains(words), "{message:?} should say {words:?}");
    let all = format!("{message} {} {request:?}", response.get_log());
    assert!(!all.contains("hunter2"), "{all}");
}

#[test]
fn http_goes_in_absolute_form_and_https_by_connect() {
    for (api, form) in [
        (StandIn::plain(), "POST http://localhost:"),
        (StandIn::tls(), "CONNECT localhost:"),
    ] {
        let proxy = Proxy::start();
        for _ in 0..3 {
            let response = through(&api, &format!("127.0.0.1:{}", proxy.port)).send();
            assert_eq!(response.get_error_code(), 0, "{response}");
        }
        let requests = proxy.state.requests.lock().unwrap().clone();
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert!(requests[0].starts_with(form), "{requests:?}");
        let connections = proxy.state.connections.load(SeqCst);
        assert_eq!((connections, api.connections(), api.executed()), (1, 1, 3));
        let target = api.last().target;
        assert!(target.ends_with("/socialize.setStatus"), "{target}");
        assert_eq!(api.last().header("host"), Some(api.host().as_str()));
    }
}

#[test]
fn a_proxy_behind_tls_is_verified_and_used() {
    let config = certs::server_config(&certs::server(), None);
    for api in [StandIn::plain(), StandIn::tls()] {
        let proxy = Proxy::over_tls(config.clone());
        let request = through(&api, &format!("https://localhost:{}", proxy.port));
        for _ in 0..2 {
            let response = request.send();
            assert_eq!(response.get_error_code(), 0, "{response}");
        }
        assert_eq!(
            proxy.state.connections.load(SeqCst),
            1,
            "https: {}",
            api.https
        );
        let strange = request.ca_certs(certs::Ca::new("Another").pem.as_bytes());
        fails(&strange, 500_000, "TLS with the proxy localhost failed");
    }
}

#[test]
fn the_targets_certificate_is_verified_through_the_proxy() {
    let params = certs::server_params(&["gigya.example"]);
    let api = StandIn::with_tls(certs::server_config(&certs::ca().issue(params), None));
    let proxy = Proxy::start();
    let request = through(&api, &format!("127.0.0.1:{}", proxy.port));
    fails(&request, 500_000, "another host name");
    let stranger = request.ca_certs(certs::Ca::new("Another").pem.as_bytes());
    fails(&stranger, 500_000, "unknown issuer");
    assert!(api.received().is_empty());
}

/// A proxy that asks for a client certificate gets none: it is for the API.
#[test]
fn the_client_certificate_is_not_shown_to_a_proxy() {
    let identity = certs::ca().issue(certs::client_params("us"));
    let asking = |names: &[&str]| {
        let server = certs::ca().issue(certs::server_params(names));
        certs::server_config(&server, Some(certs::ca_pem()))
    };
    let api = StandIn::with_tls(asking(&["localhost"]));
    let with = |proxy: &Proxy| {
        let params = json!({"UID": UID});
        let request = GSRequest::new(API_KEY, None, "accounts.getAccountInfo", params);
        let mut request = api
            .aim(request)
            .client_cert(identity.cert.as_str(), identity.key.as_str());
        request.set_proxy(format!("https://localhost:{}", proxy.port));
        request
    };
    let demanding = Proxy::over_tls(asking(&["localhost"]));
    fails(&with(&demanding), 500_000, "Nothing was sent");
    assert_eq!(api.connections(), 0);
    let modest = Proxy::over_tls(certs::server_config(&certs::server(), None));
    let response = with(&modest).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
}

#[test]
fn basic_authentication_is_sent_percent_decoded() {
    // printf 'us er:hunter2@:x' | base64
    let proxy = Proxy::requiring("Basic dXMgZXI6aHVudGVyMkA6eA==");
    for api in [StandIn::plain(), StandIn::tls()] {
        let with = |user: &str| through(&api, &format!("http://{user}127.0.0.1:{}", proxy.port));
        let response = with("us%20er:hunter2%40:x@").send();
        assert_eq!(response.get_error_code(), 0, "{response}");
        fails(&with("us%20er:hunter2@"), 500_000, "407");
        fails(&with(""), 500_000, "407");
        assert_eq!(
            api.last().header("proxy-authorization"),
            (!api.https).then_some("Basic dXMgZXI6aHVudGVyMkA6eA==")
        );
    }
}

#[test]
fn a_proxy_that_fails_is_named() {
    let (plain, tls) = (StandIn::plain(), StandIn::tls());
    for (answer, words) in [
        (
            &b"HTTP/1.1 403 Forbidden by policy\r\nContent-Length: 0\r\n\r\n"[..],
            "403",
        ),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", "503"),
        (b"HTTP/1.1 407 a\tb\r\n\r\n", "407"),
        (b"SSH-2.0-garbage\r\n\r\n", "HTTP"),
        (b"HTTP/1.1 ", ""),
        (b"", ""),
    ] {
        let proxy = Proxy::answering(answer);
        let url = format!("http://joe:hunter2@127.0.0.1:{}", proxy.port);
        fails(
            &through(&tls, &url),
            500_000,
            &format!("the proxy 127.0.0.1:{}", proxy.port),
        );
        fails(&through(&tls, &url), 500_000, words);
        fails(&through(&plain, &url), 500_000, words);
    }
    let early = Proxy::answering(b"HTTP/1.1 200 OK\r\n\r\nsurplus");
    fails(
        &through(&tls, &format!("127.0.0.1:{}", early.port)),
        500_000,
        "is this a plain http port?",
    );
    fails(
        &through(&tls, "http://joe:hunter2@127.0.0.1:1"),
        500_000,
        "connecting to the proxy",
    );
    fails(
        &through(&plain, "no-such-proxy.invalid:1"),
        500_000,
        "looking up the proxy",
    );
    for bad in [
        "socks5://joe:hunter2@h:1",
        "http://",
        "a b",
        "h:port",
        "http://joe:hunter2@h:1/x",
    ] {
        fails(&through(&plain, bad), 400_006, "the proxy");
    }
    assert_eq!(plain.executed() + tls.executed(), 0);
}

/// Runs one test of this file again in a process with these variables.
fn in_environment(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

/// Where the tests of the environment send to: no name of loopback.
const API: &str = "api.test";

#[test]
#[ignore = "run by the tests of the environment"]
fn child_sends_one_request() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let params = json!({"uid": UID, "status": "x"});
    let mut request = GSRequest::new(API_KEY, SECRET, "socialize.setStatus", params);
    request.set_host_override(variable("GSSDK_TEST_HOST"));
    let response = request
        .use_https(variable("GSSDK_TEST_HTTPS") == "true")
        .ca_certs(variable("GSSDK_TEST_CA"))
        .send();
    let message = response.get_error_message();
    let words = variable("GSSDK_TEST_WORDS");
    assert!(message.contains(&words), "{message:?} should say {words:?}");
    let code = variable("GSSDK_TEST_CODE").parse::<i64>().unwrap();
    assert_eq!(response.get_error_code(), code, "{response}");
}

/// Sends one request in a process with these variables.
///
/// * `expected`: the code, and words of the message.
fn send_with(https: bool, host: &str, proxies: &[(&str, &str)], expected: (&str, &str)) {
    let https = https.to_string();
    let mut variables = vec![
        ("GSSDK_TEST_HTTPS", https.as_str()),
        ("GSSDK_TEST_HOST", host),
        ("GSSDK_TEST_CA", certs::ca_pem()),
        ("GSSDK_TEST_CODE", expected.0),
        ("GSSDK_TEST_WORDS", expected.1),
    ];
    variables.extend(proxies);
    in_environment("child_sends_one_request", &variables);
}

fn api_over_tls() -> StandIn {
    let identity = certs::ca().issue(certs::server_params(&[API]));
    StandIn::with_tls(certs::server_config(&identity, None))
}

fn requests(proxy: &Proxy) -> Vec<String> {
    proxy.state.requests.lock().unwrap().clone()
}

const GOOD: (&str, &str) = ("0", "");

#[test]
fn the_environment_chooses_the_proxy() {
    for api in [StandIn::plain(), api_over_tls()] {
        let form = if api.https {
            "CONNECT "
        } else {
            "POST http://"
        };
        let proxy = Proxy::redirecting(api.address);
        let url = format!("http://127.0.0.1:{}", proxy.port);
        let (mine, other) = match api.https {
            true => ("HTTPS_PROXY", "HTTP_PROXY"),
            false => ("HTTP_PROXY", "HTTPS_PROXY"),
        };
        let nobody = "http://127.0.0.1:1";
        send_with(api.https, API, &[(mine, &url), (other, nobody)], GOOD);
        send_with(api.https, API, &[("ALL_PROXY", &url)], GOOD);
        let received = requests(&proxy);
        assert_eq!(received.len(), 2);
        assert!(
            received.iter().all(|line| line.starts_with(form)),
            "{received:?}"
        );
        // Directly, nobody is there.
        let direct = [("ALL_PROXY", url.as_str()), ("NO_PROXY", "x *.test")];
        send_with(
            api.https,
            API,
            &direct,
            ("500000", "looking up api.test failed"),
        );
        assert_eq!(requests(&proxy).len(), 2);
    }
    let strange = [("ALL_PROXY", "socks5://127.0.0.1:1")];
    send_with(true, API, &strange, ("400006", "ALL_PROXY"));
}

#[test]
fn loopback_goes_through_no_proxy_that_the_environment_names() {
    for api in [StandIn::plain(), StandIn::tls()] {
        let proxies = [("ALL_PROXY", "http://127.0.0.1:1")];
        send_with(api.https, &api.host(), &proxies, GOOD);
        send_with(api.https, &api.host(), &[("ALL_PROXY", "a b")], GOOD);
        assert_eq!(api.executed(), 2);
        // One that the caller names is used.
        let proxy = Proxy::start();
        let response = through(&api, &format!("127.0.0.1:{}", proxy.port)).send();
        assert_eq!(response.get_error_code(), 0, "{response}");
        assert_eq!(requests(&proxy).len(), 1);
    }
}

#[test]
fn a_connect_tells_the_callers_user_agent() {
    let api = StandIn::tls();
    for set in [None, Some("shop/1.0 (nightly)")] {
        let proxy = Proxy::start();
        let mut request = through(&api, &format!("http://joe:x@127.0.0.1:{}", proxy.port));
        if let Some(agent) = set {
            request.add_header("User-Agent", agent);
        }
        assert_eq!(request.send().get_error_code(), 0);
        let head = proxy.state.heads.lock().unwrap()[0].clone();
        let agent = api.last().header("user-agent").unwrap().to_string();
        assert!(set.is_none_or(|set| agent == set), "{agent}");
        let line = format!("User-Agent: {agent}");
        assert_eq!(
            head.lines().filter(|found| *found == line).count(),
            1,
            "{head}"
        );
    }
}

/// To a tunnel and to a plain request alike.
#[test]
fn a_proxy_that_wants_other_credentials_says_which() {
    let refusal = |offers: &str| {
        let head = format!("HTTP/1.1 407 x\r\n{offers}Content-Length: 0\r\n\r\n");
        Proxy::answering(head.as_bytes())
    };
    let several =
        "Proxy-Authenticate: NTLM\r\nproxy-authenticate : Negotiate abc, Basic realm=\"a\"\r\n";
    for api in [StandIn::plain(), StandIn::tls()] {
        // Names of headers with spaces behind them are no HTTP, which ureq refuses.
        let several = if api.https {
            several
        } else {
            &several.replace(" :", ":")
        };
        for (user, offers, words) in [
            (
                "",
                several,
                "(it offers NTLM, Negotiate, Basic; Basic, with user and password",
            ),
            (
                "",
                "",
                "(Basic, with user and password in the proxy's URL, is supported)",
            ),
            (
                "joe:hunter2@",
                several,
                "Basic; the user and password in the proxy's URL were refused)",
            ),
            (
                "joe:hunter2@",
                "",
                "(the user and password in the proxy's URL were refused)",
            ),
        ] {
            let proxy = refusal(offers);
            let request = through(&api, &format!("http://{user}127.0.0.1:{}", proxy.port));
            fails(&request, 500_000, "407");
            fails(&request, 500_000, words);
            fails(
                &request,
                500_000,
                &format!("the proxy 127.0.0.1:{}", proxy.port),
            );
        }
        assert_eq!(api.executed(), 0);
    }
}
