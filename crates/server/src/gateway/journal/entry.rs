//! What the journal remembers: one entry per durable fact about an association.
//!
//! An entry is a tag byte and fixed fields, big-endian; only [`Entry::Session`] carries a length. Entries are
//! packed into blocks (see [`super::block`]), which authenticate them: a decoding error therefore means a
//! version mismatch or a defect, never an attacker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits::JOURNAL_STATE_BYTES_MAX;

/// The anti-replay window of an association: the newest sequence number and which of the 64 up to it were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub top: u64,
    pub bits: u64,
}

/// One durable fact. `session` is the number of the DTLS session (`SessionId::to_u64`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Everything about one association; replaces what was known of it.
    Session {
        session: u64,
        /// The DTLS layer's own encoding, secrets inside.
        state: &'a [u8],
        window: Window,
        /// No record is sent with this sequence number or a later one before a later lease is durable.
        lease: u64,
        address: SocketAddr,
    },
    Closed {
        session: u64,
    },
    Window {
        session: u64,
        window: Window,
    },
    Lease {
        session: u64,
        upto: u64,
    },
    /// The peer moved: an authentic, newer record came from here.
    Address {
        session: u64,
        address: SocketAddr,
    },
    /// Every living association has been written to this file: older files are no longer needed.
    Complete,
}

const SESSION: u8 = 1;
const CLOSED: u8 = 2;
const WINDOW: u8 = 3;
const LEASE: u8 = 4;
const ADDRESS: u8 = 5;
const COMPLETE: u8 = 6;

impl Entry<'_> {
    /// Appends the entry to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Entry::Session { session, state, window, lease, address } => {
                debug_assert!(state.len() <= JOURNAL_STATE_BYTES_MAX);
                put_head(out, SESSION, session);
                put_window(out, window);
                out.extend_from_slice(&lease.to_be_bytes());
                put_address(out, address);
                out.extend_from_slice(&(state.len() as u32).to_be_bytes());
                out.extend_from_slice(state);
            }
            Entry::Closed { session } => put_head(out, CLOSED, session),
            Entry::Window { session, window } => {
                put_head(out, WINDOW, session);
                put_window(out, window);
            }
            Entry::Lease { session, upto } => {
                put_head(out, LEASE, session);
                out.extend_from_slice(&upto.to_be_bytes());
            }
            Entry::Address { session, address } => {
                put_head(out, ADDRESS, session);
                put_address(out, address);
            }
            Entry::Complete => put_head(out, COMPLETE, 0),
        }
    }
}

fn put_head(out: &mut Vec<u8>, tag: u8, session: u64) {
    out.push(tag);
    out.extend_from_slice(&session.to_be_bytes());
}

fn put_window(out: &mut Vec<u8>, window: Window) {
    out.extend_from_slice(&window.top.to_be_bytes());
    out.extend_from_slice(&window.bits.to_be_bytes());
}

fn put_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

/// Why the inside of an authenticated block could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Reads the entries of one block, first to last.
pub struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    #[must_use]
    pub const fn new(block: &'a [u8]) -> Self {
        Self(block)
    }

    fn entry(&mut self) -> Result<Entry<'a>, Unreadable> {
        let tag = self.array::<1>()?[0];
        let session = self.u64()?;
        match tag {
            SESSION => self.session(session),
            CLOSED => Ok(Entry::Closed { session }),
            WINDOW => self.window().map(|window| Entry::Window { session, window }),
            LEASE => self.u64().map(|upto| Entry::Lease { session, upto }),
            ADDRESS => self.address().map(|address| Entry::Address { session, address }),
            COMPLETE => Ok(Entry::Complete),
            _ => Err(Unreadable),
        }
    }

    fn session(&mut self, session: u64) -> Result<Entry<'a>, Unreadable> {
        let window = self.window()?;
        let lease = self.u64()?;
        let address = self.address()?;
        let length = u32::from_be_bytes(self.array()?) as usize;
        if length > JOURNAL_STATE_BYTES_MAX {
            return Err(Unreadable);
        }
        Ok(Entry::Session { session, state: self.bytes(length)?, window, lease, address })
    }

    fn window(&mut self) -> Result<Window, Unreadable> {
        Ok(Window { top: self.u64()?, bits: self.u64()? })
    }

    fn address(&mut self) -> Result<SocketAddr, Unreadable> {
        let ip = match self.array::<1>()?[0] {
            4 => IpAddr::V4(Ipv4Addr::from(self.array::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.array::<16>()?)),
            _ => return Err(Unreadable),
        };
        Ok(SocketAddr::new(ip, u16::from_be_bytes(self.array()?)))
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        self.array().map(u64::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(*head)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(head)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.0 = &[]; // nothing after an unreadable entry has a known start
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Entry<'static>> {
        let window = Window { top: 77, bits: 0x8000_0000_0000_0001 };
        vec![
            Entry::Session {
                session: 0x0102_0304_0506_0708,
                state: b"opaque",
                window,
                lease: 1024,
                address: "192.0.2.7:5684".parse().unwrap(),
            },
            Entry::Window { session: 9, window },
            Entry::Lease { session: 9, upto: u64::MAX },
            Entry::Address { session: 9, address: "[2001:db8::7]:40000".parse().unwrap() },
            Entry::Closed { session: 9 },
            Entry::Complete,
        ]
    }

    #[test]
    fn entries_come_back_as_written() {
        let mut block = Vec::new();
        samples().iter().for_each(|entry| entry.encode(&mut block));
        let read: Result<Vec<_>, _> = Entries::new(&block).collect();
        assert_eq!(read, Ok(samples()));
    }

    #[test]
    fn every_cut_inside_an_entry_is_an_error_and_ends_the_reading() {
        for sample in samples() {
            let mut block = Vec::new();
            sample.encode(&mut block);
            for cut in 1..block.len() {
                let read: Vec<_> = Entries::new(&block[..cut]).collect();
                assert_eq!(read, [Err(Unreadable)], "{sample:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn state_length_stands_on_its_limit() {
        let encode = |length: usize| {
            let mut block = Vec::new();
            put_head(&mut block, SESSION, 1);
            put_window(&mut block, Window::default());
            block.extend_from_slice(&0u64.to_be_bytes());
            put_address(&mut block, "127.0.0.1:1".parse().unwrap());
            block.extend_from_slice(&(length as u32).to_be_bytes());
            block.resize(block.len() + length, 0);
            block
        };
        let read = |length| Entries::new(&encode(length)).all(|entry| entry.is_ok());
        assert!(read(JOURNAL_STATE_BYTES_MAX));
        assert!(!read(JOURNAL_STATE_BYTES_MAX + 1));
    }
}
