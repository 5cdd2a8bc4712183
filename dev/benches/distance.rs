//! What a call costs when the API is far away:
//! `cargo bench -p gssdk-benches --bench distance`.
//!
//! Signed https calls go through a relay on loopback that delays every byte by half of a
//! round trip each way, and the first bytes of a connection by one round trip more, which
//! is what TCP's own handshake takes over a distance.
//!
//! | client | |
//! | --- | --- |
//! | gssdk | keeps its connections |
//! | connects anew | a bare ureq loop with a new connection per call, as `GSSDK.py` and PHP's SDK do |
//! | npm gigya 3.0.1 | where `node` and `npm` are installed and the package can be had |
//!
//! The output is two Markdown tables; `plot.rs` makes pictures of them:
//!
//! ```text
//! cargo bench -p gssdk-benches --bench distance | cargo run -p gssdk-benches --bin plot -- docs
//! ```
//!
//! `-- --calls 10` measures fewer calls than a hundred.

mod shared;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use shared::{ANSWER, Helper};
use stand_in::{Folder, certs};

/// Round trips in milliseconds; the threads and the hundred calls are at [`TYPICAL`].
const ROUND_TRIPS: [u64; 5] = [0, 10, 30, 60, 100];
const TYPICAL: u64 = 30;
const THREADS: [usize; 6] = [1, 2, 4, 8, 16, 32];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    if let Some(ca) = value("--serve") {
        return serve(Path::new(&ca));
    }
    let calls: usize = value("--calls").map_or(100, |text| text.parse().expect("a number"));

    let folder = Folder::new();
    let ca = folder.path().join("ca.pem").display().to_string();
    let mut helper = Helper::start(&["--serve", &ca]);
    let relays = ROUND_TRIPS.map(|round_trip| (round_trip, helper.line()));
    let clients = clients(&ca);

    println!("Milliseconds per call, calls one after the other, the first connection included:\n");
    header("round trip, ms", &clients);
    for (round_trip, port) in &relays {
        let calls = if *round_trip == TYPICAL {
            calls
        } else {
            calls.div_ceil(5)
        };
        row(*round_trip, &clients, |client| {
            let took = client.run(port, 1, calls);
            format!("{:.1}", took.as_secs_f64() * 1e3 / calls as f64)
        });
    }

    let (_, port) = relays
        .iter()
        .find(|(round_trip, _)| *round_trip == TYPICAL)
        .expect("it");
    println!("\nCalls per second at a round trip of {TYPICAL} ms:\n");
    header("threads", &clients);
    for threads in THREADS {
        row(threads, &clients, |client| {
            let each = calls.div_ceil(2);
            let took = client.run(port, threads, each);
            format!("{:.0}", (threads * each) as f64 / took.as_secs_f64())
        });
    }
}

fn header(first: &str, clients: &[Client]) {
    let names: Vec<&str> = clients.iter().map(|client| client.name()).collect();
    println!("| {first} | {} |", names.join(" | "));
    println!("| --- |{}", " --- |".repeat(names.len()));
}

fn row(first: impl std::fmt::Display, clients: &[Client], cell: impl Fn(&Client) -> String) {
    let cells: Vec<String> = clients.iter().map(cell).collect();
    println!("| {first} | {} |", cells.join(" | "));
}

enum Client {
    Gssdk {
        ca: String,
    },
    ConnectsAnew {
        ca: String,
    },
    /// The package's folder.
    Npm {
        ca: String,
        folder: Folder,
    },
}

/// Those that can run here.
fn clients(ca: &str) -> Vec<Client> {
    let ca = || ca.to_string();
    let mut clients = vec![
        Client::Gssdk { ca: ca() },
        Client::ConnectsAnew { ca: ca() },
    ];
    let folder = Folder::new();
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
    ]);
    npm.arg(folder.path())
        .arg("gigya@3.0.1")
        .stdout(Stdio::null());
    match npm.status() {
        Ok(status) if status.success() => clients.push(Client::Npm { ca: ca(), folder }),
        _ => eprintln!("without the npm package: npm is not installed, or cannot fetch it"),
    }
    clients
}

impl Client {
    fn name(&self) -> &'static str {
        match self {
            Client::Gssdk { .. } => "gssdk",
            Client::ConnectsAnew { .. } => "connects anew",
            Client::Npm { .. } => "npm gigya 3.0.1",
        }
    }

    /// How long so many threads take for so many calls each.
    fn run(&self, port: &str, threads: usize, calls: usize) -> Duration {
        match self {
            // A text of its own per run, so that no connection of an earlier one is kept.
            Client::Gssdk { ca } => {
                let pem = std::fs::read_to_string(ca).expect("the CA");
                let run = format!("# {:?}\n{pem}", Instant::now());
                in_threads(
                    threads,
                    calls,
                    || {
                        let params = gssdk::json!({"UID": "_guid_abc", "profile": {"age": 42}});
                        let host = format!("localhost:{port}");
                        shared::request(&host, &run, "accounts.setAccountInfo", params)
                    },
                    |request| assert_eq!(request.send().get_error_code(), 0),
                )
            }
            Client::ConnectsAnew { ca } => {
                let pem = std::fs::read(ca).expect("the CA");
                let ca = ureq::tls::Certificate::from_pem(&pem).expect("the CA");
                let roots = ureq::tls::RootCerts::new_with_certs(&[ca]);
                let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
                let config = ureq::Agent::config_builder()
                    .tls_config(tls)
                    .proxy(None)
                    .build();
                let url = format!("https://localhost:{port}/accounts.setAccountInfo");
                let params = gssdk::json!({"UID": "_guid_abc", "profile": {"age": 42}});
                let request = gssdk::GSRequest::new("3_key", shared::SECRET, "x.y", params);
                let body = request.prepare().expect("a request").body().to_string();
                in_threads(
                    threads,
                    calls,
                    || config.clone(),
                    |config| {
                        let agent = config.new_agent();
                        let post = agent
                            .post(&url)
                            .content_type("application/x-www-form-urlencoded");
                        let mut answer = post.send(&body).expect("an answer");
                        assert_eq!(answer.body_mut().read_to_string().expect("a body"), ANSWER);
                    },
                )
            }
            Client::Npm { ca, folder } => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm_gigya.js");
                let mut node = Command::new("node");
                node.arg(script)
                    .arg(folder.path().join("node_modules/gigya"));
                node.args([ca, port, &threads.to_string(), &calls.to_string()]);
                node.env("NODE_NO_WARNINGS", "1");
                let output = node.output().expect("node");
                let text = String::from_utf8_lossy(&output.stdout);
                let milliseconds = text.trim().parse::<f64>();
                Duration::from_secs_f64(
                    milliseconds.unwrap_or_else(|_| {
                        panic!("node: {text}{}", String::from_utf8_lossy(&output.stderr))
                    }) / 1e3,
                )
            }
        }
    }
}

fn in_threads<T>(
    threads: usize,
    calls: usize,
    prepare: impl Fn() -> T + Sync,
    call: impl Fn(&T) + Sync,
) -> Duration {
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let prepared = prepare();
                (0..calls).for_each(|_| call(&prepared));
            });
        }
    });
    started.elapsed()
}

/// Writes the CA to the file, and prints the ports of the relays.
fn serve(ca: &Path) {
    std::fs::write(ca, certs::ca_pem()).expect("a file");
    let (server, port) = shared::listener();
    thread::spawn(move || shared::serve(&server, |_| ANSWER.to_string()));
    let relays = ROUND_TRIPS.map(|round_trip| {
        let (listener, own) = shared::listener();
        println!("{own}");
        thread::spawn(move || relay(&listener, port, Duration::from_millis(round_trip)))
    });
    for relay in relays {
        let _ = relay.join();
    }
}

fn relay(listener: &TcpListener, to: u16, round_trip: Duration) {
    for client in listener.incoming().flatten() {
        client.set_nodelay(true).expect("no delay");
        let server = shared::connect(to);
        let (client2, server2) = (
            client.try_clone().expect("a socket"),
            server.try_clone().expect("a socket"),
        );
        // Before that the client would not have been connected.
        let connected = Instant::now() + round_trip;
        thread::spawn(move || delay(client, server2, connected, round_trip / 2));
        thread::spawn(move || delay(server, client2, connected, round_trip / 2));
    }
}

/// Passes on what comes, each piece as much later.
fn delay(mut from: TcpStream, mut to: TcpStream, connected: Instant, by: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    let reader = thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        // The end of the stream is passed on like everything: as a piece of no bytes.
        while let Ok(read) = from.read(&mut buffer) {
            let due = Instant::now().max(connected) + by;
            let sent = sender.send((due, buffer[..read].to_vec()));
            if read == 0 || sent.is_err() {
                return;
            }
        }
    });
    for (due, piece) in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if piece.is_empty() || to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
    let _ = reader.join();
}
