//! The runner's stand-in for a network: datagrams and commands to the clock, over one TCP connection.
//!
//! The runner writes `P` (a datagram: 32-bit length, bytes), `T` (let so many nanoseconds pass; answered with `t`
//! before anything that follows from it), `M` (the MTU), `E` (when our next timeout must be, in nanoseconds from now)
//! and `U` (the first retransmission timeout in milliseconds). We write `P` and `t`. Numbers are big endian.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};

/// Far more than any datagram: a length beyond it is a stream out of step.
const DATAGRAM_BYTES_MAX: u32 = 1 << 20;

/// What the runner sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Datagram(Vec<u8>),
    /// Let time pass.
    Pass {
        ns: u64,
    },
    Mtu(u32),
    /// The next timeout must be in so many nanoseconds; `None`: there must be none.
    ExpectTimeout {
        ns: Option<u64>,
    },
    FirstTimeout {
        ms: u32,
    },
    /// The runner has closed its side.
    End,
}

pub struct Transport(TcpStream);

impl Transport {
    /// Connects to the runner and says which of its shims this is.
    pub fn connect(port: u16, ipv6: bool, shim: u64) -> io::Result<Self> {
        let address: SocketAddr =
            if ipv6 { (Ipv6Addr::LOCALHOST, port).into() } else { (Ipv4Addr::LOCALHOST, port).into() };
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(&shim.to_le_bytes())?;
        Ok(Self(stream))
    }

    pub fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let length = u32::try_from(datagram.len()).map_err(io::Error::other)?;
        let mut frame = Vec::with_capacity(datagram.len() + 5);
        frame.push(b'P');
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(datagram);
        self.0.write_all(&frame)
    }

    /// The next command; waits for it. `Pass` is acknowledged here, since nothing may come in between.
    pub fn receive(&mut self) -> io::Result<Command> {
        let mut opcode = [0];
        match self.0.read(&mut opcode) {
            Ok(0) => return Ok(Command::End),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Command::End),
            outcome => outcome?,
        };
        match opcode {
            [b'P'] => Ok(Command::Datagram(self.datagram()?)),
            [b'T'] => {
                let ns = u64::from_be_bytes(self.array()?);
                self.0.write_all(b"t")?;
                Ok(Command::Pass { ns })
            }
            [b'M'] => Ok(Command::Mtu(u32::from_be_bytes(self.array()?))),
            [b'E'] => {
                let ns = u64::from_be_bytes(self.array()?);
                Ok(Command::ExpectTimeout { ns: (ns != u64::MAX).then_some(ns) })
            }
            [b'U'] => Ok(Command::FirstTimeout { ms: u32::from_be_bytes(self.array()?) }),
            [other] => Err(io::Error::other(format!("the runner sent an unknown opcode {other}"))),
        }
    }

    /// Says that nothing follows, and reads on until the runner says so too: closing a socket with unread bytes
    /// would take away what we have just sent.
    pub fn finish(mut self) {
        if self.0.shutdown(Shutdown::Write).is_ok() {
            while self.0.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
        }
    }

    fn datagram(&mut self) -> io::Result<Vec<u8>> {
        let length = u32::from_be_bytes(self.array()?);
        if length > DATAGRAM_BYTES_MAX {
            return Err(io::Error::other("the runner sent an endless datagram"));
        }
        let mut datagram = vec![0; length as usize];
        self.0.read_exact(&mut datagram)?;
        Ok(datagram)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
