//! An address that neither accepts nor refuses: packets to it vanish, as those to a dead
//! machine behind a firewall do.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A listener on loopback whose queue is full. Unix drops what comes then.
pub struct Blackhole {
    pub address: SocketAddr,
    listener: TcpListener,
    waiting: Vec<TcpStream>,
}

impl Blackhole {
    /// * `address`: port 0 is a free one.
    ///
    /// # Errors
    /// There is no such address, or the system refuses what it has no room for.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&address.into())?;
        socket.listen(0)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        let (mut waiting, mut dropped) = (Vec::new(), 0);
        // Loopback connects at once, or never.
        while dropped < 3 {
            match TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
                Ok(stream) => waiting.push(stream),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => dropped += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(Blackhole {
            address,
            listener,
            waiting,
        })
    }

    /// Several on free ports; `None`, with a word, where there are none.
    pub fn several<const N: usize>() -> Option<[Self; N]> {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let holes = Vec::from_iter((0..N).map_while(|_| Blackhole::at(free).ok()));
        let holes = holes.try_into().ok();
        if holes.is_none() {
            eprintln!("skipped: this system refuses what it has no room for");
        }
        holes
    }

    /// Waits until somebody is connecting to it.
    pub fn wait_until_tried(&self) {
        let port = format!("{:04X}", self.address.port());
        let is_connecting = |line: &str| {
            let mut fields = line.split_ascii_whitespace().skip(2);
            let remote = fields.next().and_then(|remote| remote.rsplit_once(':'));
            let is_syn_sent = fields.next() == Some("02");
            is_syn_sent && remote.is_some_and(|(_, found)| found == port)
        };
        // Elsewhere, the system does not say.
        while let Ok(table) = std::fs::read_to_string("/proc/net/tcp") {
            if table.lines().any(is_connecting) {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Accepts from now on: the next packets of those who try find an open port.
    pub fn revive(self) -> io::Result<TcpListener> {
        for _ in &self.waiting {
            self.listener.accept()?;
        }
        Ok(self.listener)
    }
}
