//! HTTP answers: how they are framed and coded, and what those that are not the API's own come
//! to. What random servers do with them is in the model (`dev/conformance/tests/model.rs`).

use std::thread;
use std::time::{Duration, Instant};

use crate::support::answers::{chunked, flooding};
use crate::support::proxy::Proxy;
use crate::support::*;
use gssdk::*;

const GOOD: &str = r#"{"errorCode":0}"#;

/// Never reached, whatever else the machine has to do.
const LONG: Duration = Duration::from_secs(240);

/// Sends to a server that does this wrong, and demands this code and these words.
#[track_caller]
fn expect(api: &StandIn, fault: Fault, code: i64, words: &str) -> GSResponse {
    api.fault(fault);
    let response = api.set_status().send();
    let message = response.get_error_message();
    assert_eq!(response.get_error_code(), code, "{message}");
    assert!(message.contains(words), "{message:?} should say {words:?}");
    response
}

/// Uploads more than any buffer takes to a server that does this wrong.
fn upload(api: &StandIn, fault: Fault) -> GSResponse {
    api.fault(fault);
    let mut request = api.set_status();
    request.set_param("status", "x".repeat(6 * 1024 * 1024));
    request.send_timeout(LONG)
}

// Codes ------------------------------------------------------------------------

/// First line and headers, body, code and words of the message.
const ERRORS: &str = r#"
404 x | <html>not here</html> | 500000 | HTTP Error 404: Not Found
502 x |  | 500000 | HTTP Error 502: Bad Gateway
503 x | {} | 500000 | HTTP Error 503: Service Unavailable
500 x | {"errorCode":  | 500000 | HTTP Error 500
403 Forbidden | {"errorCode": 403007, "errorMessage": "Permission denied"} | 403007 | Permission
500 x | <r><errorCode>500001</errorCode><errorMessage>m</errorMessage></r> | 500001 | m"#;

#[test]
fn http_errors_count_unless_the_body_is_gigyas() {
    let api = StandIn::plain();
    for row in ERRORS.lines().skip(1) {
        let [head, body, code, words] = Vec::from_iter(row.split(" | ")).try_into().unwrap();
        let code = code.parse().unwrap();
        expect(&api, Fault::RawKeep(http(head, body)), code, words);
    }
    let gzip = http("500 x\r\nContent-Encoding: gzip", "no gzip");
    expect(&api, Fault::RawKeep(gzip), 500_000, "HTTP Error 500");
}

/// Headers but for the length, if it is the body's; the body. The first is the API's.
const LIMITS: &str = r#"
|{"errorCode": 400006, "errorMessage": "m", "errorDetails": "d", "callId": "c", "x": 1}
|
|<html>no</html>
|{"errorCode":0}
|<r><errorCode>500001</errorCode></r>
Content-Length: 5000|<html>Too man
Content-Length: 62914560|<html>Too man
Transfer-Encoding: chunked|fff
Content-Length: 8, Content-Encoding: gzip|no gzip!"#;

/// Whatever the body is, even one that is cut short: the status says that nothing was executed.
#[test]
fn http_429_is_a_rate_limit_whatever_its_body() {
    for (number, row) in LIMITS.lines().skip(1).enumerate() {
        let (headers, body) = row.split_once('|').unwrap();
        let answer = match headers {
            "" => http("429 x", body),
            headers => {
                let headers = headers.replace(", ", "\r\n");
                format!("HTTP/1.1 429 x\r\n{headers}\r\n\r\n{body}\r\n").into()
            }
        };
        let [call_id, details] = ["c", "d"].map(|id| (number == 0).then_some(id));
        for api in [StandIn::plain(), StandIn::tls()] {
            let fault = Fault::Raw(answer.clone());
            let response = expect(&api, fault, 403_048, "API rate limit exceeded");
            assert_eq!(response.outcome(), Outcome::Answered, "{body}");
            assert_eq!(response.call_id(), call_id);
            assert_eq!(response.get_i64("x"), call_id.map(|_| 1));
            if headers.is_empty() {
                assert_eq!(response.get_response_text(), body);
            }
            let error = response.into_result().unwrap_err();
            assert_eq!(error.error_details(), details);
        }
    }
    // Nor is a body that does not come a failure.
    let api = StandIn::plain();
    let head = "HTTP/1.1 429 x\r\nContent-Length: 9\r\n\r\nslow";
    api.fault(Fault::RawKeep(head.into()));
    let request = api.by_address(api.set_status());
    let response = request.send_timeout(Duration::from_secs(2));
    assert_eq!(response.get_error_code(), 403_048, "{response}");
    assert_eq!(response.get_response_text(), "slow");
}

// Bodies -----------------------------------------------------------------------

#[test]
fn compressed_and_chunked_answers_are_decoded() {
    let body = format!(r#"{{"errorCode":0,"text":"{}"}}"#, "gigya ".repeat(10_000));
    let closed = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}");
    let packed = http("200 OK\r\nContent-Encoding: gzip", gzip(body.as_bytes()));
    let api = StandIn::plain();
    for fault in [
        Fault::RawKeep(packed),
        Fault::RawKeep(chunked(body.as_bytes(), 7_777)),
        Fault::Raw(closed.into()),
    ] {
        assert_eq!(expect(&api, fault, 0, "").get_response_text(), body);
    }
    // What was read to its end can serve again.
    assert_eq!(api.connections(), 1);
}

#[test]
fn an_incomplete_http_answer_is_an_error() {
    let of = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes();
    let gzipped = "200 OK\r\nContent-Encoding: gzip";
    let chunked = "200 OK\r\nTransfer-Encoding: chunked";
    let mut damaged = gzip(GOOD.as_bytes());
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let flood = format!("200 OK\r\n{}", "X-Flood: yes\r\n".repeat(10_000));
    let long = format!("200 OK\r\nX-Long: {}", "x".repeat(1 << 20));
    for (answer, words) in [
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "not proper HTTP"),
        (b"\0\0\0\0garbage\xff\xfe".to_vec(), "not proper HTTP"),
        (b"HTTP/1.1 200 OK\r\n".to_vec(), ""),
        (of("999999 x", ""), ""),
        (of(&flood, ""), ""),
        (of(&long, ""), ""),
        (of("200 OK\r\nContent-Length: 16", GOOD), ""),
        (of("500 x\r\nContent-Length: 16", GOOD), ""),
        (of("200 OK\r\nContent-Length: -1", GOOD), ""),
        (of(chunked, &format!("f\r\n{GOOD}")), ""),
        (of(chunked, &format!("f\r\n{GOOD}\r\n")), ""),
        (of(chunked, &format!("xyz\r\n{GOOD}")), ""),
        (http(gzipped, damaged), ""),
        (http(gzipped, "no"), "compressed body is damaged"),
    ] {
        for api in [StandIn::plain(), StandIn::tls()] {
            let response = expect(&api, Fault::Raw(answer.clone()), 500_000, words);
            assert_eq!(response.outcome(), Outcome::Unknown);
            expect(&api, Fault::None, 0, "");
        }
    }
}

#[test]
fn large_answers_are_read_and_larger_ones_refused() {
    let of_size = |megabytes: usize| {
        let text = "x".repeat(megabytes * 1024 * 1024 - 22);
        format!(r#"{{"errorCode":0,"x":"{text}"}}"#)
    };
    let api = StandIn::plain();
    expect(&api, Fault::RawKeep(http("200 OK", of_size(50))), 0, "");
    let larger = of_size(51);
    // A gzip bomb is in memory.rs.
    for answer in [
        http("200 OK", &larger),
        chunked(larger.as_bytes(), larger.len()),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{".to_vec(),
    ] {
        expect(&api, Fault::Raw(answer), 500_000, "larger than the 50 MB");
    }
}

/// Framing without an end, which no limit of the body bounds.
#[test]
fn an_endless_answer_ends() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let link = format!("HTTP/1.1 103 x\r\nLink: {}\r\n\r\n", "x".repeat(60_000));
    for (start, unit, words) in [
        ("HTTP/1.1 200 OK\r\n", "X-Flood: yes\r\n", ""),
        ("HTTP/1.1 200 OK\r\nX-Long: ", "x", ""),
        (&format!("{head}1;"), "x", ""),
        (&format!("{head}0\r\n"), "X-Trailer: yes\r\n", ""),
        ("", "HTTP/1.1 100 Continue\r\n\r\n", "1xx"),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "1xx"),
        ("", &link, "1xx"),
        ("HTTP/1.1 102 x\r\n", "X: y\r\n", "1xx"),
    ] {
        for api in [StandIn::plain(), StandIn::tls()] {
            let unit = unit.repeat(60_000_usize.div_ceil(unit.len()).min(1_000));
            let fault = Fault::Endless(start.into(), unit);
            let response = expect(&api, fault, 500_000, "The response was not received");
            assert!(response.get_error_message().contains(words), "{response}");
            assert_eq!(response.outcome(), Outcome::Unknown);
        }
    }
}

// Interim answers, and answers to the headers of an upload -------------------------

#[test]
fn interim_answers_are_passed_over_whatever_their_headers_look_like() {
    for interim in [
        "HTTP/1.1 102 x\r\nX: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: a,\r\n  b\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink : a\r\n\r\n",
        "HTTP/1.1 102 x\r\nno header\r\n\r\n",
        &format!("HTTP/1.1 102 x\r\n{}\r\n", "X: y\r\n".repeat(100)),
        "HTTP/1.1 102 x\nA: b\n\n",
        "HTTP/1.0 100 Continue\r\n\r\n",
        "\r\nHTTP/1.1 102\r\n\r\n\r\n",
    ] {
        for api in [StandIn::plain(), StandIn::tls()] {
            expect(&api, Fault::Interim(interim.into()), 0, "");
        }
    }
    // Also in the middle of an upload.
    let interim = "HTTP/1.1 102 Processing\r\nX-Step: 1\r\n\r\n".repeat(10);
    let response = upload(&StandIn::tls(), Fault::Interim(interim.into()));
    assert_eq!(response.get_error_code(), 0, "{response}");
    // Only `1xx ` is one.
    for line in ["1234 x", "10x x", "101 Switching"] {
        let mut answer = format!("HTTP/1.1 {line}\r\n\r\n").into_bytes();
        answer.extend(http("200 OK", GOOD));
        let response = expect(&StandIn::plain(), Fault::Raw(answer), 500_000, "");
        assert_eq!(response.outcome(), Outcome::Unknown, "{line}");
    }
}

/// Also behind interim ones, where the connection ends with it, and where none comes.
#[test]
fn an_early_answer_to_an_upload_is_read() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    // As much as one TLS record holds; the answer is in the next, sent along with it. What has
    // been decrypted already is not announced by the socket.
    let filler = 16 * 1024 % interim.len() + interim.len();
    let filler = format!("HTTP/1.1 103 {}\r\n\r\n", "x".repeat(filler - 17));
    let record = interim.repeat(16 * 1024 / interim.len() - 1) + &filler;
    assert_eq!(record.len(), 16 * 1024);
    let early = [record.into_bytes(), http("413 x", "too large")].concat();
    let ends = r#"{"errorCode": 400006, "errorMessage": "too large"}"#;
    let ends = format!("HTTP/1.1 413 x\r\nConnection: close\r\n\r\n{ends}").into_bytes();
    let many = interim.repeat(256 * 1024 / interim.len() + 2).into_bytes();
    let too_large = "HTTP Error 413: Payload Too Large";
    let (early, ends) = (Fault::RefuseEarly(early), Fault::RefuseEarlyAndEnd(ends));
    for (api, fault, code, words) in [
        (StandIn::tls(), early, 500_000, too_large),
        (StandIn::plain(), ends, 400_006, "too large"),
        (StandIn::plain(), Fault::RefuseEarly(many), 500_000, "1xx"),
    ] {
        let response = upload(&api, fault);
        assert_eq!(response.get_error_code(), code, "{response}");
        assert!(response.get_error_message().contains(words), "{response}");
        let is_answer = response.outcome() == Outcome::Answered;
        assert_eq!(is_answer, code == 400_006, "{response}");
        // The connection with the rest of the upload is not used again.
        expect(&api, Fault::None, 0, "");
    }
}

/// A peer that never stops sending what TLS itself asks to read.
#[test]
fn a_peer_that_floods_tls_messages_blocks_no_other_request() {
    let (address, answers) = flooding(http("200 OK", GOOD));
    let request = GSRequest::new(API_KEY, SECRET, "accounts.search", json!({"z": "end"}));
    let mut request = request.use_https(true).ca_certs(certs::ca_pem().as_bytes());
    request.set_host_override(address.to_string());
    let response = request.send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    answers.recv().unwrap();
    let good = StandIn::tls();
    thread::scope(|scope| {
        let hung = scope.spawn(|| {
            let started = Instant::now();
            let response = request.send_timeout(Duration::from_secs(5));
            (response, started.elapsed())
        });
        assert_eq!(good.set_status().send().get_error_code(), 0, "others go on");
        let (response, took) = hung.join().unwrap();
        assert_eq!(response.outcome(), Outcome::Unknown, "{response}");
        assert!(took < LONG, "took {took:?}");
    });
}

#[test]
fn a_tunnel_opens_however_the_proxy_words_its_answer() {
    let api = StandIn::tls();
    for opening in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nVia: a\r\n  folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nProxy-Agent : x\r\nX-Bad Name: y\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    ] {
        let proxy = Proxy::opening(opening.as_bytes());
        let mut request = api.set_status();
        request.set_proxy(format!("127.0.0.1:{}", proxy.port));
        let response = request.send();
        assert_eq!(response.get_error_code(), 0, "{opening:?}: {response}");
    }
}
