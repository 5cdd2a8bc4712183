//! Events that only the kernel and the log know of.

use std::cell::RefCell;
use std::net::{TcpListener, TcpStream};
use std::sync::{LazyLock, Once};

thread_local! {
    /// What this thread does before its next request goes out.
    static BEFORE_POST: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// Runs an action of this thread between the look at a connection and the first byte on it:
/// there ureq logs the request.
struct Gate;

impl log::Log for Gate {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target().starts_with("ureq") && BEFORE_POST.with_borrow(Option::is_some)
    }

    fn log(&self, record: &log::Record) {
        if !self.enabled(record.metadata()) || !record.args().to_string().starts_with("POST ") {
            return;
        }
        BEFORE_POST.with_borrow_mut(|action| action.as_mut().map(|action| action()));
    }

    fn flush(&self) {}
}

/// Does this before each request of this thread goes out, while the second argument runs.
pub fn before_each_post<T>(action: impl FnMut() + 'static, run: impl FnOnce() -> T) -> T {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        log::set_logger(&Gate).expect("no other logger");
        log::set_max_level(log::LevelFilter::Debug);
    });
    BEFORE_POST.set(Some(Box::new(action)));
    let done = run();
    BEFORE_POST.set(None);
    done
}

/// Whether the kernel says what has been delivered. Where it does not, worlds do without the
/// behaviours that need to know.
pub fn tells() -> bool {
    static TELLS: LazyLock<bool> = LazyLock::new(|| {
        let ask = || -> Option<bool> {
            let listener = TcpListener::bind("127.0.0.1:0").ok()?;
            let address = listener.local_addr().ok()?;
            let client = TcpStream::connect(address).ok()?;
            let ports = (client.local_addr().ok()?.port(), address.port());
            Some(sockets::state(ports)? == Some((sockets::ESTABLISHED, 0)))
        };
        ask() == Some(true)
    });
    *TELLS
}

/// Waits until the client's kernel has taken all that was sent to it.
pub fn wait_until_delivered(server: u16, client: u16) {
    while let Some(Some((_, 1..))) = sockets::state((server, client)) {
        std::thread::yield_now();
    }
}

/// Waits until the client's end of a connection is no more, or has been closed by the client.
pub fn wait_until_gone(server: u16, client: u16) {
    const CLOSE_WAIT: u8 = 8;
    while let Some(Some((sockets::ESTABLISHED | CLOSE_WAIT, _))) = sockets::state((client, server))
    {
        std::thread::yield_now();
    }
}

/// Linux's `sock_diag`.
#[cfg(target_os = "linux")]
mod sockets {
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketType, netlink, recv, send, socket,
    };

    pub const ESTABLISHED: u8 = 1;

    /// The state of this end of a connection on 127.0.0.1 and how many bytes it has sent that
    /// the other end's kernel has not; `Some(None)` if there is no such connection, `None`
    /// if the kernel does not say.
    ///
    /// * `ports`: of this end and the other.
    pub fn state(ports: (u16, u16)) -> Option<Option<(u8, u32)>> {
        let mut ask = Vec::new();
        // The headers nlmsghdr and inet_diag_req_v2: SOCK_DIAG_BY_FAMILY, AF_INET, TCP.
        ask.extend(72u32.to_ne_bytes());
        ask.extend([20u16, 1].map(u16::to_ne_bytes).as_flattened());
        ask.extend([0; 8]);
        ask.extend([2, 6, 0, 0]);
        ask.extend(u32::MAX.to_ne_bytes());
        ask.extend([ports.0, ports.1].map(u16::to_be_bytes).as_flattened());
        let mut address = [0; 16];
        address[..4].copy_from_slice(&[127, 0, 0, 1]);
        ask.extend([address, address].as_flattened());
        ask.extend(0u32.to_ne_bytes());
        ask.extend(u64::MAX.to_ne_bytes());
        let protocol = Some(netlink::SOCK_DIAG);
        let socket = socket(AddressFamily::NETLINK, SocketType::DGRAM, protocol).ok()?;
        send(&socket, &ask, SendFlags::empty()).ok()?;
        let mut answer = [0; 4096];
        let (length, _) = recv(&socket, &mut answer, RecvFlags::empty()).ok()?;
        let answer = answer.get(..length)?;
        let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
        const ERROR: u8 = 2;
        const NO_ENTRY: i32 = -2;
        if answer.get(4) == Some(&ERROR) {
            return (number(16)? as i32 == NO_ENTRY).then_some(None);
        }
        // Of inet_diag_msg: idiag_state, idiag_wqueue. Where there is no such connection, the
        // kernel speaks of the socket that listens.
        const LISTEN: u8 = 10;
        let state = (*answer.get(17)?, number(16 + 4 + 48 + 8)?);
        Some((state.0 != LISTEN).then_some(state))
    }
}

#[cfg(not(target_os = "linux"))]
mod sockets {
    pub const ESTABLISHED: u8 = 1;

    pub fn state(_: (u16, u16)) -> Option<Option<(u8, u32)>> {
        None
    }
}
