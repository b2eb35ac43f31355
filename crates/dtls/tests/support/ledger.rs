//! Bytes that came from each address and went to it, so that nobody is sent more than three times what came from an
//! address that may be somebody else's (RFC 9147 section 5.1, RFC 9853 section 5).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

const AMPLIFICATION: usize = 3;
/// Long enough that no two datagrams share so many bytes but for a cookie.
const COOKIE_PIECE_BYTES: usize = 16;
/// Record header, message header and version.
const VERIFY_REQUEST_FRONT_BYTES: usize = 13 + 12 + 2;

#[derive(Default)]
struct Account {
    came: usize,
    went: usize,
    /// Questions that only somebody at the address can answer.
    cookies: Vec<Vec<u8>>,
}

#[derive(Default)]
pub struct Ledger {
    accounts: BTreeMap<SocketAddr, Account>,
    trusted: BTreeSet<SocketAddr>,
    /// Peers that cannot be asked where they are (RFC 9853) are believed at their next datagram.
    pub unaskable: BTreeSet<SocketAddr>,
}

impl Ledger {
    /// Somebody has shown that he receives there.
    pub fn trust(&mut self, address: SocketAddr) {
        self.trusted.insert(address);
    }

    /// A datagram arrives at the server.
    pub fn came(&mut self, from: SocketAddr, datagram: &[u8]) {
        let account = self.accounts.entry(from).or_default();
        let has_cookie = |cookie: &Vec<u8>| {
            let pieces = cookie.windows(COOKIE_PIECE_BYTES);
            pieces.into_iter().any(|piece| datagram.windows(COOKIE_PIECE_BYTES).any(|other| other == piece))
        };
        let returned = is_hello(datagram) && account.cookies.iter().any(has_cookie);
        if returned || (account.came > 0 && self.unaskable.contains(&from)) {
            self.trusted.insert(from);
        }
        account.came += datagram.len();
    }

    /// The server sends a datagram.
    pub fn went(&mut self, to: SocketAddr, datagram: &[u8]) {
        let account = self.accounts.entry(to).or_default();
        account.went += datagram.len();
        if is_handshake(datagram) && !self.trusted.contains(&to) {
            account.cookies.push(datagram.get(VERIFY_REQUEST_FRONT_BYTES..).unwrap_or_default().to_vec());
        }
        let Account { came, went, .. } = account;
        let allowed = self.trusted.contains(&to) || *went <= AMPLIFICATION * *came;
        assert!(allowed, "{went} bytes went to {to}, from where {came} came");
    }
}

fn is_handshake(datagram: &[u8]) -> bool {
    datagram.first() == Some(&22)
}

fn is_hello(datagram: &[u8]) -> bool {
    is_handshake(datagram) && datagram.get(13) == Some(&1)
}
