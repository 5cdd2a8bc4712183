//! Against nginx and squid as they are installed. Skipped, with a word, where
//! they are not; `GSSDK_REQUIRE_INTEROP=1`, as `.ci/run` sets, forbids that.
#![cfg(unix)]

#[path = "../../../tests/support/mod.rs"]
mod support;

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering::SeqCst};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use gssdk::*;
use support::certs::{Ca, ca, ca_pem, client_params};
use support::*;
use tempfile::TempDir;

/// One squid at a time: it keeps shared memory under a name, one a process.
static SQUID: Mutex<()> = Mutex::new(());

fn program(name: &str) -> Option<PathBuf> {
    let found = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("GSSDK_REQUIRE_INTEROP").is_none(),
            "{name} is not installed"
        );
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// A port below those that the system gives out by itself, so that no other test
/// takes it before the program does: nor one of another `cargo test`, for each has a
/// block of its own and holds the first port of it.
fn free_port() -> u16 {
    const BLOCK: u16 = 64;
    const BLOCKS: u32 = 150;
    static HELD: LazyLock<TcpListener> = LazyLock::new(|| {
        let first = std::process::id() % BLOCKS;
        let blocks = (first..BLOCKS).chain(0..first);
        let mut firsts = blocks.map(|block| 20_000 + BLOCK * block as u16);
        let held = firsts.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        held.expect("a block of ports that nobody has")
    });
    static NEXT: AtomicU16 = AtomicU16::new(1);
    loop {
        let next = NEXT.fetch_add(1, SeqCst);
        assert!(next < BLOCK, "more ports than a block has");
        let port = HELD.local_addr().unwrap().port() + next;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A program that is stopped, and its folder removed, when the test ends.
struct Running {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program, and waits until it listens on all of its ports.
fn start(mut command: Command, folder: TempDir, ports: &[u16]) -> Running {
    // What makes a machine odd for the tests (dev/platforms/odd.sh) is not meant for them.
    command.env_remove("LD_PRELOAD");
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    let mut running = Running {
        child,
        folder,
        port: ports[0],
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    for port in ports {
        while TcpStream::connect(("127.0.0.1", *port)).is_err() {
            assert!(Instant::now() < deadline, "{command:?} does not listen");
            let ended = running.child.try_wait().unwrap();
            assert_eq!(ended, None, "{command:?} has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    running
}

/// A folder with a server's certificate and key, and a CA.
fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let identity = certs::server();
    for (name, content) in [
        ("cert.pem", identity.cert.as_str()),
        ("key.pem", &identity.key),
        ("ca.pem", ca_pem()),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// nginx with TLS, which answers as the API does; `server`: further settings.
fn nginx(server: &str) -> Option<Running> {
    let binary = program("nginx")?;
    let (folder, port) = (certificates(), free_port());
    let dir = folder.path();
    let d = dir.display();
    let config = format!(
        r#"daemon off; master_process off; pid {d}/pid; error_log {d}/error.log;
events {{}}
http {{
  access_log {d}/access.log;
  client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f;
  uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {d}/cert.pem; ssl_certificate_key {d}/key.pem;
    ssl_client_certificate {d}/ca.pem;
    default_type application/json;
    {server}
    location = /accounts.search {{ return 200 '{{"errorCode":0,"connection":$connection,"requests":$connection_requests,"reused":"$ssl_session_reused","dn":"$ssl_client_s_dn"}}'; }}
    location = /accounts.redirect {{ return 302 https://elsewhere.example/; }}
  }}
}}
"#
    );
    std::fs::write(dir.join("nginx.conf"), config).unwrap();
    let command = nginx_in(&binary, dir);
    Some(start(command, folder, &[port]))
}

fn nginx_in(binary: &Path, dir: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("-p").arg(dir).arg("-c");
    command.arg(dir.join("nginx.conf")).stderr(Stdio::null());
    command
}

fn to(nginx: &Running, method: &str) -> GSRequest {
    let mut request = GSRequest::new(API_KEY, SECRET, method, json!({"query": "select *"}));
    request.set_host_override(format!("localhost:{}", nginx.port));
    // Sessions are kept by agent and host name, and every server here is
    // `localhost`: trust of its own gives each an agent of its own.
    let own_trust = format!("# {}\n{}", nginx.port, ca_pem());
    request.use_https(true).ca_certs(own_trust)
}

#[test]
fn nginx_sees_one_connection_and_its_gzip_is_read() {
    let Some(nginx) = nginx("") else { return };
    let answers: Vec<GSResponse> = (0..3)
        .map(|_| to(&nginx, "accounts.search").send())
        .collect();
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!(answer.get_error_code(), 0, "{answer}");
        assert_eq!(answer.get_i64("requests"), Some(i as i64 + 1), "{answer}");
        assert_eq!(
            answer.get_object("connection"),
            answers[0].get_object("connection")
        );
    }
    let missing = to(&nginx, "accounts.missing").send();
    assert_eq!(missing.get_error_message(), "HTTP Error 404: Not Found");
    let redirect = to(&nginx, "accounts.redirect").send();
    assert!(
        redirect.get_error_message().contains("elsewhere.example"),
        "{redirect}"
    );
}

#[test]
fn nginx_closes_idle_connections_without_an_error() {
    let Some(nginx) = nginx("keepalive_timeout 1s;") else {
        return;
    };
    assert_eq!(to(&nginx, "accounts.search").send().get_error_code(), 0);
    // Until its end has arrived here: state 8, CLOSE_WAIT.
    let end = format!(":{:04X} 08 ", nginx.port);
    let deadline = Instant::now() + Duration::from_secs(60);
    while cfg!(target_os = "linux") {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        if sockets.contains(&end) {
            break;
        }
        assert!(Instant::now() < deadline, "nginx does not close");
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = to(&nginx, "accounts.search").send();
    assert_eq!(second.get_i64("requests"), Some(1), "{second}");
    assert_eq!(
        second.get_str("reused"),
        Some("r"),
        "the TLS session resumes: {second}"
    );
}

/// nginx in front of the stand-in, over http and over https.
fn gateway(api: &StandIn) -> Option<(Running, PathBuf, u16)> {
    let binary = program("nginx")?;
    let (folder, port, tls_port) = (certificates(), free_port(), free_port());
    let d = folder.path().display();
    let config = format!(
        r#"daemon off; worker_processes 1; pid {d}/pid; error_log {d}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f;
  uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  server {{
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{tls_port} ssl;
    ssl_certificate {d}/cert.pem; ssl_certificate_key {d}/key.pem;
    location / {{
      proxy_pass http://{};
      proxy_next_upstream off;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"#,
        api.address
    );
    std::fs::write(folder.path().join("nginx.conf"), config).unwrap();
    let command = nginx_in(&binary, folder.path());
    Some((start(command, folder, &[port, tls_port]), binary, tls_port))
}

/// A reload closes every connection that is idle at that moment, and a busy client
/// has just sent a request on some of them. Each answer names its request.
///
/// `GSSDK_TEST_SOAK_SECONDS` makes it longer; it then reloads once a second.
#[test]
fn a_gateway_that_reloads_costs_no_request_and_runs_none_twice() {
    const RELOADS: u32 = 20;
    let soak = std::env::var("GSSDK_TEST_SOAK_SECONDS").ok();
    let seconds = soak.as_ref().map_or(0, |text| text.parse().unwrap());
    let pause = Duration::from_millis(if soak.is_some() { 1_000 } else { 200 });
    let api = StandIn::plain();
    api.forget_requests();
    let Some((mut nginx, binary, tls_port)) = gateway(&api) else {
        return;
    };
    let done = AtomicBool::new(false);
    let [sent, failed, swapped] = [(); 3].map(|()| AtomicU32::new(0));
    let reloads = std::thread::scope(|scope| {
        for thread in 0..16 {
            let (sent, failed, swapped, done) = (&sent, &failed, &swapped, &done);
            let https = thread % 2 == 1;
            let port = if https { tls_port } else { nginx.port };
            scope.spawn(move || {
                while !done.load(SeqCst) {
                    let uid = format!("number-{}", sent.fetch_add(1, SeqCst));
                    let params = json!({"UID": uid});
                    let mut request =
                        GSRequest::new(API_KEY, SECRET, "accounts.getAccountInfo", params)
                            .use_https(https)
                            .ca_certs(ca_pem());
                    request.set_host_override(format!("localhost:{port}"));
                    let response = request.send();
                    if response.get_error_code() != 0 {
                        failed.fetch_add(1, SeqCst);
                        eprintln!("{}", response.get_log());
                    } else if response.get_str("UID") != Some(&uid) {
                        swapped.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        let started = Instant::now();
        let mut reloads = 0;
        while reloads < RELOADS || started.elapsed() < Duration::from_secs(seconds) {
            let mut reload = nginx_in(&binary, nginx.folder.path());
            assert!(reload.args(["-s", "reload"]).status().unwrap().success());
            reloads += 1;
            std::thread::sleep(pause);
        }
        done.store(true, SeqCst);
        reloads
    });
    let mut stop = nginx_in(&binary, nginx.folder.path());
    stop.args(["-s", "stop"]).status().unwrap();
    nginx.child.wait().unwrap();
    let [sent, failed, swapped] = [sent, failed, swapped].map(|count| count.load(SeqCst));
    println!("{sent} requests, {reloads} reloads: {failed} failed, {swapped} swapped");
    assert_eq!((failed, swapped), (0, 0));
    assert_eq!(api.executed(), sent as usize, "each once");
}

#[test]
fn nginx_takes_client_certificates() {
    let Some(nginx) = nginx("ssl_verify_client on;") else {
        return;
    };
    let identity = ca().issue(client_params("the client"));
    let with = |identity: &certs::Identity| {
        let mut request = GSRequest::new(API_KEY, None, "accounts.search", json!({"query": "x"}));
        request.set_host_override(format!("localhost:{}", nginx.port));
        let (cert, key) = (identity.cert.as_str(), identity.key.as_str());
        request.ca_certs(ca_pem()).client_cert(cert, key).send()
    };
    for i in 1..=2 {
        let response = with(&identity);
        assert_eq!(response.get_error_code(), 0, "{response}");
        assert!(
            response.get_str("dn").unwrap().contains("the client"),
            "{response}"
        );
        assert_eq!(response.get_i64("requests"), Some(i));
    }
    let stranger = with(&Ca::new("Unknown").issue(client_params("stranger")));
    assert_eq!(stranger.get_error_message(), "HTTP Error 400: Bad Request");
    let without = to(&nginx, "accounts.search").send();
    assert_eq!(without.get_error_message(), "HTTP Error 400: Bad Request");
}

#[test]
fn a_tls_1_1_only_nginx_is_refused() {
    let Some(nginx) = nginx("ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;") else {
        return;
    };
    let response = to(&nginx, "accounts.search").send();
    let message = response.get_error_message();
    assert_eq!(response.get_error_code(), 500_000);
    assert!(message.contains("neither TLS 1.2 nor 1.3"), "{message}");
    assert!(message.contains("Nothing was sent"), "{message}");
}

/// Squid as Debian configures it, but for the port, the folders, and that
/// loopback targets and the stand-in's port are allowed.
fn squid(stand_in_ports: &[u16], authentication: bool) -> Option<Running> {
    let binary = program("squid")?;
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let dir = folder.path();
    let d = dir.display();
    let mut ports = String::new();
    for port in stand_in_ports {
        ports.push_str(&format!(
            "acl SSL_ports port {port}\nacl Safe_ports port {port}\n"
        ));
    }
    let who = match authentication {
        false => "http_access allow localhost".to_string(),
        true => {
            let helper = ["/usr/lib/squid", "/usr/lib64/squid", "/usr/libexec/squid"]
                .iter()
                .map(|dir| Path::new(dir).join("basic_ncsa_auth"))
                .find(|path| path.exists())?;
            // The password is "p@ss word": openssl passwd -apr1 -salt salt
            let hash = Command::new("openssl")
                .args(["passwd", "-apr1", "-salt", "saltsalt", "p@ss word"])
                .output()
                .unwrap();
            let hash = String::from_utf8(hash.stdout).unwrap();
            std::fs::write(dir.join("passwd"), format!("joe:{hash}")).unwrap();
            format!(
                "auth_param basic program {} {d}/passwd\nauth_param basic realm test\n\
                 acl users proxy_auth REQUIRED\nhttp_access allow users",
                helper.display()
            )
        }
    };
    let config = format!(
        "acl SSL_ports port 443\nacl Safe_ports port 80\nacl Safe_ports port 443\n{ports}\
         http_access deny !Safe_ports\nhttp_access deny CONNECT !SSL_ports\n{who}\n\
         http_access deny all\nhttp_port 127.0.0.1:{port}\npid_filename {d}/squid.pid\n\
         logformat port %>p\naccess_log stdio:{d}/access.log logformat=port\ncache_log {d}/cache.log\ncache_store_log none\n\
         cache deny all\ncoredump_dir {d}\nshutdown_lifetime 1 seconds\nvisible_hostname test\n\
         hosts_file /etc/hosts\nnetdb_filename none\npinger_enable off\n"
    );
    std::fs::write(dir.join("squid.conf"), config).unwrap();
    // Squid gives up root for its own user, who has to write here.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(dir, mode).unwrap();
    let mut command = Command::new(binary);
    command
        .arg("-N")
        // Names its shared memory.
        .args(["-n", &format!("gssdk{}", std::process::id())])
        .arg("-f")
        .arg(dir.join("squid.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Some(start(command, folder, &[port]))
}

#[test]
fn squid_forwards_http_and_tunnels_https() {
    let _one_at_a_time = SQUID.lock().unwrap_or_else(|error| error.into_inner());
    let (plain, tls) = (StandIn::plain(), StandIn::tls());
    let ports = [plain.address.port(), tls.address.port()];
    let Some(squid) = squid(&ports, false) else {
        return;
    };
    for api in [&plain, &tls] {
        for _ in 0..3 {
            let mut request = api.set_status();
            request.set_proxy(format!("127.0.0.1:{}", squid.port));
            let response = request.send();
            assert_eq!(response.get_error_code(), 0, "{response}");
        }
        assert_eq!(api.executed(), 3);
    }
    assert_eq!(tls.connections(), 1, "one tunnel for all");
    // Squid logs the port that each request came from, tunnels at their end;
    // the first line is our look whether it listens.
    let log = std::fs::read_to_string(squid.folder.path().join("access.log")).unwrap();
    let ports: Vec<&str> = log.lines().skip(1).collect();
    assert!(
        ports.len() == 3 && ports.iter().all(|port| *port == ports[0]),
        "{log}"
    );
    // Port 1 is neither safe nor one for TLS.
    for https in [false, true] {
        let mut request = plain.set_status().use_https(https);
        request.set_host_override("localhost:1");
        request.set_proxy(format!("127.0.0.1:{}", squid.port));
        let response = request.send();
        assert_eq!(response.get_error_code(), 500_000);
        assert!(response.get_error_message().contains("403"), "{response}");
    }
}

#[test]
fn squid_checks_basic_authentication() {
    let _one_at_a_time = SQUID.lock().unwrap_or_else(|error| error.into_inner());
    let (plain, tls) = (StandIn::plain(), StandIn::tls());
    let ports = [plain.address.port(), tls.address.port()];
    let Some(squid) = squid(&ports, true) else {
        return;
    };
    for api in [&plain, &tls] {
        let with = |user: &str| {
            let mut request = api.set_status();
            request.set_proxy(format!("http://{user}127.0.0.1:{}", squid.port));
            request.send()
        };
        let response = with("joe:p%40ss%20word@");
        assert_eq!(response.get_error_code(), 0, "{response}");
        for wrong in ["", "joe:wrong@"] {
            let response = with(wrong);
            assert_eq!(response.get_error_code(), 500_000);
            let message = response.get_error_message();
            assert!(
                message.contains("407") && !message.contains("wrong"),
                "{message}"
            );
        }
    }
}
