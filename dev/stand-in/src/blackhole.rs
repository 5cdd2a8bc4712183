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

    /// Accepts from now on: the next packets of those who try find an open port.
    pub fn revive(self) -> io::Result<TcpListener> {
        for _ in &self.waiting {
            self.listener.accept()?;
        }
        Ok(self.listener)
    }
}
