//! What a request costs over loopback, side by side and interleaved in one run: gssdk,
//! a bare ureq loop and libcurl, which post bytes made once, connect by name, read the
//! answer's JSON and check it; and a bare socket as the bound that no client can beat.
//!
//! Two ways, for they tell different things: with the cores kept awake by idle-priority
//! loops, so that a request's time is the work that it causes; and with cores that fall
//! asleep while they wait, as they do between real requests.
//!
//! The client runs on one core and the server on another where `taskset` is installed
//! (Linux). Wall time and CPU time a request are the medians of many short turns. The
//! server is nginx where it is installed, otherwise a small one in a process of its own.
//! `cargo bench -p gssdk-benches --bench end_to_end -- --seconds 10` measures longer.
//!
//! Where valgrind is installed, its callgrind counts each client's instructions in user
//! space, which a busy machine does not change: the difference between 1100 and 100
//! requests. `cargo bench … -- --instructions` does that alone, `--threads` compares
//! threads that share a pool of connections with threads that don't.

mod shared;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use shared::{ANSWER, SECRET, respond};
use stand_in::certs;

/// Where client and server run, if they can be told.
const CLIENT_CORE: &str = "0";
const SERVER_CORE: &str = "1";

/// Each client's turn within a round; many short ones even out the machine's moods.
const TURN: Duration = Duration::from_millis(100);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    if let Some(dir) = value("--serve") {
        return serve(&dir);
    }
    let seconds: f64 = value("--seconds")
        .and_then(|text| text.parse().ok())
        .unwrap_or(4.0);
    if let (Some(client), Some(url), Some(count)) =
        (value("--client"), value("--url"), value("--count"))
    {
        return send(
            &client,
            &url,
            value("--ca"),
            count.parse().expect("a number"),
        );
    }
    let is_given = |name: &str| arguments.iter().any(|argument| argument == name);
    if !is_given("--pinned") && pin(&arguments) {
        return;
    }
    let rounds = (seconds / TURN.as_secs_f64()).ceil() as usize;

    let server = Server::start();
    if is_given("--threads") {
        return agents(&server);
    }
    instructions(&server);
    if is_given("--instructions") {
        return;
    }
    println!(
        "\nserver: {}; {rounds} rounds of {TURN:?} for each",
        server.name
    );
    for awake in [true, false] {
        let _spinners = awake.then(Spinners::start);
        for https in [false, true] {
            compare(&server, awake, https, rounds);
        }
    }
    threads(&server);
    agents(&server);
}

/// Nothing but requests of one client, for callgrind and strace.
fn send(client: &str, url: &str, ca: Option<String>, count: usize) {
    let (scheme, host) = url.split_once("://").expect("http:// or https://");
    let ca_file = PathBuf::from(ca.expect("--ca"));
    let target = Target {
        https: scheme == "https",
        host: host.to_string(),
        ca: std::fs::read_to_string(&ca_file).expect("the CA"),
        ca_file,
    };
    let mut clients = target.clients();
    let (_, send) = clients
        .iter_mut()
        .find(|(name, _)| *name == client)
        .expect("the name of a client");
    (0..count).for_each(|_| send());
}

/// Counts instructions in user space.
fn instructions(server: &Server) {
    println!("instructions a request, in user space; SHA-1, AES and the like in software");
    let file = server.dir.join("callgrind.out");
    for target in [&server.plain, &server.tls] {
        let scheme = if target.https { "https" } else { "http" };
        let count = |client: &str, requests: u64| {
            let out = Command::new("valgrind")
                .arg("--tool=callgrind")
                .arg(format!("--callgrind-out-file={}", file.display()))
                .arg(std::env::current_exe().ok()?)
                .args(["--client", client, "--count", &requests.to_string()])
                .args(["--url", &format!("{scheme}://{}", target.host)])
                .arg("--ca")
                .arg(server.dir.join("ca.pem"))
                .output();
            if !out.is_ok_and(|out| out.status.success()) {
                return None;
            }
            let profile = std::fs::read_to_string(&file).ok()?;
            let total = profile
                .lines()
                .find_map(|line| line.strip_prefix("totals: "))?;
            total.parse::<u64>().ok()
        };
        for (client, _) in target.clients() {
            let each = || Some((count(client, 1100)? - count(client, 100)?) / 1000);
            match each() {
                Some(each) => println!("  {scheme:<6} {client:<12} {each:>8}"),
                None => return println!("  not counted: is valgrind installed?"),
            }
        }
    }
}

/// Runs this program again on the first core; `false` where that cannot be.
fn pin(arguments: &[String]) -> bool {
    let mut command = Command::new("taskset");
    command
        .args(["-c", CLIENT_CORE])
        .args(arguments)
        .arg("--pinned");
    let pinned = command.status().is_ok_and(|status| status.success());
    if !pinned {
        println!("not pinned: taskset is not installed, or there is one core");
    }
    pinned
}

/// Loops of the lowest priority, which keep both cores from falling asleep.
struct Spinners(Vec<Child>);

impl Spinners {
    fn start() -> Self {
        let spin = |core: &str| {
            let mut command = Command::new("nice");
            command.args([
                "-n",
                "19",
                "taskset",
                "-c",
                core,
                "sh",
                "-c",
                "while :; do :; done",
            ]);
            command.stderr(Stdio::null()).spawn().ok()
        };
        Spinners(
            [CLIENT_CORE, SERVER_CORE]
                .into_iter()
                .filter_map(spin)
                .collect(),
        )
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn compare(server: &Server, awake: bool, https: bool, rounds: usize) {
    let target = if https { &server.tls } else { &server.plain };
    let mut clients = target.clients();
    let mut costs: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); clients.len()];
    for (_, send) in &mut clients {
        (0..200).for_each(|_| send());
    }
    for round in 0..rounds {
        // Each round in another order.
        for i in 0..clients.len() {
            let i = (i + round) % clients.len();
            let (wall, cpu) = cost(&mut *clients[i].1);
            costs[i].0.push(wall);
            costs[i].1.push(cpu);
        }
    }
    let medians: Vec<(f64, f64)> = costs
        .into_iter()
        .map(|(wall, cpu)| (median(wall), median(cpu)))
        .collect();
    let scheme = if https { "https" } else { "http" };
    let cores = if awake { "kept awake" } else { "left to sleep" };
    println!("\n{scheme}, one thread, keep-alive, cores {cores}");
    for ((name, _), (wall, cpu)) in clients.iter().zip(&medians) {
        println!(
            "  {name:<12} {wall:>6.1} µs a request, {cpu:>5.1} of them CPU   gssdk takes {:.2} x",
            medians[0].0 / wall
        );
    }
}

/// A server that takes two milliseconds, as a network does, so that it and the
/// cores are not what limits.
fn threads(server: &Server) {
    println!("\nthreads against a server that answers after 2 ms");
    let mut rates = Vec::new();
    for count in [1, 2, 4] {
        let started = Instant::now();
        let each = 300;
        thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| {
                    let request = server.slow.request();
                    (0..each).for_each(|_| assert_eq!(request.send().get_error_code(), 0));
                });
            }
        });
        let rate = (count * each) as f64 / started.elapsed().as_secs_f64();
        rates.push(rate);
        println!(
            "  {count} threads    {rate:>8.0} requests/s   {:.2} x one",
            rate / rates[0]
        );
    }
}

/// Sixteen threads that share a pool, and sixteen with one each, which
/// different texts of the CA bring about: does the pool's lock cost anything?
fn agents(server: &Server) {
    const THREADS: usize = 16;
    println!("\n{THREADS} threads, https, keep-alive, rate and waits a request, each answer one");
    let shared: Vec<_> = (0..THREADS).map(|_| server.tls.request()).collect();
    let own: Vec<_> = (0..THREADS)
        .map(|i| {
            let ca = format!("{}\n# {i}\n", server.tls.ca);
            server.tls.request().ca_certs(ca)
        })
        .collect();
    let turn = |requests: &[GSRequest]| {
        let started = Instant::now();
        let counts: Vec<(u64, u64)> = thread::scope(|scope| {
            let threads = requests.iter().map(|request| {
                scope.spawn(|| {
                    let (before, mut sent) = (waits(), 0);
                    while started.elapsed() < 5 * TURN {
                        assert_eq!(request.send().get_error_code(), 0);
                        sent += 1;
                    }
                    (sent, waits() - before)
                })
            });
            let threads: Vec<_> = threads.collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.map(|counts| counts.expect("a thread")).collect()
        });
        let sent: u64 = counts.iter().map(|(sent, _)| sent).sum();
        let waits: u64 = counts.iter().map(|(_, waits)| waits).sum();
        let rate = sent as f64 / started.elapsed().as_secs_f64();
        (rate, waits as f64 / sent as f64)
    };
    let mut costs = [(vec![], vec![]), (vec![], vec![])];
    for round in 0..21 {
        for (requests, costs) in [&shared, &own].into_iter().zip(&mut costs) {
            let (rate, waits) = turn(requests);
            if round > 0 {
                costs.0.push(rate);
                costs.1.push(waits);
            }
        }
    }
    let [(shared, shared_waits), (own, own_waits)] = costs;
    let (shared, own) = (median(shared), median(own));
    println!(
        "  one pool      {shared:>8.0} requests/s   {:.3} waits   {:.2} x sixteen",
        median(shared_waits),
        shared / own
    );
    println!(
        "  sixteen pools {own:>8.0} requests/s   {:.3} waits",
        median(own_waits)
    );
}

/// How often this thread has waited for something, as Linux counts it; zero elsewhere.
fn waits() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Wall and CPU time of a request, in µs.
fn cost(send: &mut dyn FnMut()) -> (f64, f64) {
    let (started, used) = (Instant::now(), cpu_time());
    let mut sent = 0;
    while started.elapsed() < TURN {
        (0..10).for_each(|_| send());
        sent += 10;
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(sent);
    (each(started.elapsed()), each(cpu_time() - used))
}

/// How long this thread has been running, as Linux counts it; zero elsewhere.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Reads an answer as its user would.
fn check(answer: &str) {
    let answer: Value = answer.parse().expect("JSON");
    assert_eq!(answer["errorCode"], 0);
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

struct Server {
    name: &'static str,
    child: Child,
    helper: Child,
    dir: PathBuf,
    plain: Target,
    tls: Target,
    slow: Target,
}

/// Where requests go, and whom to trust.
struct Target {
    https: bool,
    host: String,
    ca: String,
    /// The same in a file.
    ca_file: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.helper.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

type Client = (&'static str, Box<dyn FnMut()>);

impl Server {
    fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("gssdk-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let (ca, server) = (certs::ca_pem().to_string(), certs::server());
        std::fs::write(dir.join("ca.pem"), &ca).expect("a file");
        std::fs::write(dir.join("cert.pem"), server.cert).expect("a file");
        std::fs::write(dir.join("key.pem"), server.key).expect("a file");

        let mut helper = Command::new(std::env::current_exe().expect("this program"))
            .arg("--serve")
            .arg(&dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server");
        let mut lines = BufReader::new(helper.stdout.take().expect("its output")).lines();
        let mut target = |https| {
            let port = lines.next().expect("a line").expect("a port");
            Target {
                https,
                host: format!("localhost:{port}"),
                ca: ca.clone(),
                ca_file: dir.join("ca.pem"),
            }
        };
        let [plain, tls, slow] = [target(false), target(true), target(false)];
        let mut server = Server {
            name: "built in (nginx is not installed)",
            child: Command::new("true").spawn().expect("true"),
            helper,
            dir,
            plain,
            tls,
            slow,
        };
        server.use_nginx();
        server
    }

    fn use_nginx(&mut self) -> Option<()> {
        let places = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/bin/nginx"];
        let binary = places
            .iter()
            .find(|path| std::path::Path::new(path).exists())?;
        let port = || {
            TcpListener::bind("127.0.0.1:0")
                .ok()?
                .local_addr()
                .ok()
                .map(|a| a.port())
        };
        let (plain, tls, d) = (port()?, port()?, self.dir.display());
        let config = format!(
            "daemon off; master_process off; pid {d}/pid; error_log {d}/error.log crit;
             events {{}}
             http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
               client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f;
               uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
               server {{ listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl;
                 ssl_certificate {d}/cert.pem; ssl_certificate_key {d}/key.pem;
                 location / {{ default_type application/json; return 200 '{ANSWER}'; }} }} }}"
        );
        std::fs::write(self.dir.join("nginx.conf"), config).ok()?;
        let mut command = Command::new("taskset");
        command.args(["-c", SERVER_CORE]).arg(binary);
        if Command::new("taskset").arg("--version").output().is_err() {
            command = Command::new(binary);
        }
        command
            .arg("-p")
            .arg(&self.dir)
            .arg("-c")
            .arg(self.dir.join("nginx.conf"));
        self.child = command.stderr(Stdio::null()).spawn().ok()?;
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", tls)).is_ok() {
                self.name = "nginx";
                self.plain.host = format!("localhost:{plain}");
                self.tls.host = format!("localhost:{tls}");
                return Some(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

impl Target {
    fn request(&self) -> GSRequest {
        let params = json!({"UID": "_guid_abc", "profile": {"firstName": "Zoë", "age": 42}});
        let mut request = GSRequest::new("3_key", SECRET, "accounts.setAccountInfo", params);
        request.set_host_override(&self.host);
        request.use_https(self.https).ca_certs(self.ca.as_str())
    }

    fn clients(&self) -> Vec<Client> {
        let request = self.request();
        let prepared = request.prepare().expect("a request");
        let (url, body) = (prepared.url().to_string(), prepared.body().to_string());
        let mut clients: Vec<Client> = vec![(
            "gssdk",
            Box::new(move || assert_eq!(request.send().get_error_code(), 0)),
        )];
        if self.https {
            let request = self.request().ca_certs(self.ca_file.as_path());
            clients.push((
                "… a CA file",
                Box::new(move || assert_eq!(request.send().get_error_code(), 0)),
            ));
        }

        let ca = ureq::tls::Certificate::from_pem(self.ca.as_bytes()).expect("the CA");
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::new_with_certs(&[ca]))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .build()
            .new_agent();
        let (ureq_url, ureq_body) = (url.clone(), body.clone());
        clients.push((
            "bare ureq",
            Box::new(move || {
                let mut answer = agent
                    .post(&ureq_url)
                    .content_type("application/x-www-form-urlencoded")
                    .send(&ureq_body)
                    .expect("an answer");
                check(&answer.body_mut().read_to_string().expect("a body"));
            }),
        ));
        #[cfg(feature = "libcurl")]
        clients.push(("libcurl", libcurl(&url, &body, &self.ca)));
        clients.push(("bare socket", bare_socket(self, &body)));
        clients
    }
}

/// What no client can beat: bytes made once, one write, one read, and nothing
/// looked at but their end.
fn bare_socket(target: &Target, body: &str) -> Box<dyn FnMut()> {
    let Target {
        https, host, ca, ..
    } = target;
    let request = format!(
        "POST /accounts.setAccountInfo HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(host).expect("a connection");
    socket.set_nodelay(true).expect("no delay");
    let mut buffer = vec![0; 32 * 1024];
    let mut exchange = move |stream: &mut dyn ReadWrite| {
        stream.write_all(request.as_bytes()).expect("a write");
        let mut read = 0;
        while !buffer[..read].ends_with(ANSWER.as_bytes()) {
            read += stream.read(&mut buffer[read..]).expect("an answer");
        }
    };
    if !*https {
        return Box::new(move || exchange(&mut socket));
    }
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).expect("the CA");
    roots.add(ca).expect("the CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let session = rustls::ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut stream = rustls::StreamOwned::new(session, socket);
    Box::new(move || exchange(&mut stream))
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

#[cfg(feature = "libcurl")]
fn libcurl(url: &str, body: &str, ca: &str) -> Box<dyn FnMut()> {
    let mut easy = curl::easy::Easy::new();
    easy.url(url).expect("the URL");
    easy.post(true).expect("POST");
    easy.proxy("").expect("no proxy");
    easy.http_version(curl::easy::HttpVersion::V11)
        .expect("HTTP/1.1");
    easy.ssl_cainfo_blob(ca.as_bytes()).expect("the CA");
    easy.post_fields_copy(body.as_bytes()).expect("the body");
    Box::new(move || {
        let mut answer = Vec::with_capacity(256);
        {
            let mut transfer = easy.transfer();
            transfer
                .write_function(|bytes| {
                    answer.extend_from_slice(bytes);
                    Ok(bytes.len())
                })
                .expect("a sink");
            transfer.perform().expect("an answer");
        }
        check(std::str::from_utf8(&answer).expect("text"));
    })
}

/// The built-in server: plain, TLS, and plain after 2 ms.
fn serve(dir: &str) {
    let dir = PathBuf::from(dir);
    let identity = certs::Identity {
        cert: std::fs::read_to_string(dir.join("cert.pem")).expect("the certificate"),
        key: std::fs::read_to_string(dir.join("key.pem")).expect("the key"),
    };
    let config = certs::server_config(&identity, None);
    let listeners = [false, true, false].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    for listener in &listeners {
        println!("{}", listener.local_addr().expect("an address").port());
    }
    let at_once = |_: &str| ANSWER.to_string();
    thread::scope(|scope| {
        for (i, listener) in listeners.iter().enumerate() {
            let config = &config;
            scope.spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = stream.set_nodelay(true);
                    let config = Arc::clone(config);
                    thread::spawn(move || match i {
                        1 => {
                            let session = rustls::ServerConnection::new(config).expect("a session");
                            respond(rustls::StreamOwned::new(session, stream), &at_once)
                        }
                        2 => respond(stream, &|_: &str| {
                            thread::sleep(Duration::from_millis(2));
                            ANSWER.to_string()
                        }),
                        _ => respond(stream, &at_once),
                    });
                }
            });
        }
    });
}
