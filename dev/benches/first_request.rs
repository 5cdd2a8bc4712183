//! What a process spends before its first https request leaves:
//! `cargo bench -p gssdk-benches --bench first_request`, on Linux, which tells how many
//! nanoseconds of CPU time a process has used.
//!
//! Each sample is a process of its own that sends one request with the default
//! trust store. Its first byte, that of the TLS handshake, reaches a server that
//! never answers: while the process waits, its time is read.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use gssdk::*;

const SAMPLES: usize = 51;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "--https", host] => send(host, true),
        [_, "--http", host] => send(host, false),
        [_, "--bare", host] => {
            let mut stream = TcpStream::connect(host).expect("a connection");
            stream.write_all(b"x").expect("a write");
            let _ = stream.read(&mut [0]);
        }
        _ => {
            println!("CPU time of a process when the first byte of its first request arrives:");
            for (what, mode) in [
                ("a bare TCP connection", "--bare"),
                ("gssdk over http", "--http"),
                ("gssdk over https", "--https"),
            ] {
                println!("  {what:<24} {:.2} ms", median(mode).as_secs_f64() * 1e3);
            }
        }
    }
}

fn send(host: &str, https: bool) {
    let params = json!({"UID": "abc", "profile": {"firstName": "Zoë", "age": 42}});
    let secret = "Cc5yFv4kcjAeqg/J7Xhn+A==";
    let mut request = GSRequest::new("key", secret, "accounts.setAccountInfo", params);
    request.set_host_override(host);
    let _ = request.use_https(https).send();
}

fn median(mode: &str) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let mut samples: Vec<u64> = (0..SAMPLES)
        .map(|_| sample(&listener, mode, &host))
        .collect();
    samples.sort_unstable();
    Duration::from_nanos(samples[SAMPLES / 2])
}

fn sample(listener: &TcpListener, mode: &str, host: &str) -> u64 {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args([mode, host])
        .spawn()
        .expect("a process");
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.read_exact(&mut [0]).expect("a first byte");
    std::thread::sleep(Duration::from_millis(10)); // until it waits
    let statistics = format!("/proc/{}/schedstat", child.id());
    let statistics = std::fs::read_to_string(statistics).expect("Linux's /proc");
    drop(stream);
    let _ = child.wait();
    let nanoseconds = statistics.split(' ').next().map(str::parse);
    nanoseconds.and_then(Result::ok).expect("a number")
}
