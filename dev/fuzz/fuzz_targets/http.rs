//! Any bytes as a server's answer on loopback, on a fresh connection and on one that is
//! kept: no panic, no hang, and never an outcome of nothing sent.
#![no_main]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use gssdk::*;
use libfuzzer_sys::fuzz_target;

static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// A server that answers each request with [`ANSWER`], and closes unless that begins with
/// an even byte.
static SERVER: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // A request of this size comes in one piece.
                while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                    let answer = ANSWER.lock().unwrap().clone();
                    let (keep, answer) = answer.split_first().unwrap_or((&1, &[]));
                    if stream.write_all(answer).is_err() || keep % 2 == 1 {
                        return;
                    }
                }
            });
        }
    });
    address
});

fuzz_target!(|bytes: &[u8]| {
    *ANSWER.lock().unwrap() = bytes.to_vec();
    let mut request = GSRequest::new("key", "c2VjcmV0", "accounts.search", ());
    request.set_host_override(SERVER.to_string());
    let response = request.send_timeout(Duration::from_millis(200));
    assert_ne!(response.outcome(), Outcome::NotSent, "{response}");
    let _ = (response.to_string(), response.get_log());
    let _ = response.into_result().map_err(|error| error.to_string());
});
