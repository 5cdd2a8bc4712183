//! Any bytes as a proxy's answer to CONNECT: nothing of the request is sent, and the proxy
//! writes no line of its own into a log.
#![no_main]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use gssdk::*;
use libfuzzer_sys::fuzz_target;

static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static PROXY: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let answer = ANSWER.lock().unwrap().clone();
            let _ = stream.write_all(&answer);
        }
    });
    address
});

fuzz_target!(|bytes: &[u8]| {
    *ANSWER.lock().unwrap() = bytes.to_vec();
    let mut request = GSRequest::new("key", "c2VjcmV0", "accounts.search", ()).use_https(true);
    request.set_host_override("localhost:443");
    request.set_proxy(PROXY.to_string());
    let response = request.send_timeout(Duration::from_secs(5));
    assert_eq!(response.outcome(), Outcome::NotSent, "{response}");
    let error = response.into_result().unwrap_err().to_string();
    assert!(!error.contains(['\r', '\n']), "{error:?}");
});
