//! Datagrams in and out.

use bartizan_wire::Source;
use std::net::SocketAddr;

use super::super::counters::{Dropped, count};
use super::super::socket::Received;
use super::Run;
use crate::app::SourceVerdict;
use crate::limits::GATEWAY_DATAGRAMS_PER_TURN;

/// Content type of records with Connection ID (RFC 9146 section 4).
const TLS12_CID: u8 = 25;
/// The first bytes of protected records of DTLS 1.3 (RFC 9147 section 4).
const UNIFIED_FIRST: u8 = 0b0010_0000;
const UNIFIED_LAST: u8 = 0b0011_1111;

impl Run {
    /// Takes the datagrams that are here, up to a bound so that everything else has its turn.
    pub(super) fn receive(&mut self) {
        self.socket.flush();
        for _ in 0..GATEWAY_DATAGRAMS_PER_TURN {
            if self.draining || (self.hold.is_full() && !self.stalled) {
                return;
            }
            let now = self.instant();
            let verdict = |source| self.app.source_verdict(source);
            match self.socket.receive() {
                None => return,
                Some(Received::TooLong) => self.shown.dropped(Dropped::TooLong),
                Some(Received::Datagram(remote, datagram)) => {
                    count(&self.shown.datagrams_received);
                    if self.stalled && self.hold.is_full() {
                        self.shown.dropped(Dropped::JournalBehind);
                    } else if is_unproven(datagram) && limited(remote, verdict) {
                        self.shown.dropped(Dropped::SourceLimited);
                    } else {
                        self.endpoint.handle(now, remote, datagram);
                    }
                }
            }
            while let Some(event) = self.endpoint.poll() {
                self.dtls_event(event);
            }
        }
    }

    pub(super) fn transmit(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            if self.socket.send(transmit) {
                count(&self.shown.datagrams_sent);
            } else {
                self.shown.dropped(Dropped::SocketFull);
            }
        }
    }
}

fn limited(remote: SocketAddr, verdict: impl Fn(Source) -> SourceVerdict) -> bool {
    verdict(Source::of(remote)) == SourceVerdict::Drop
}

/// Whether a datagram would cost work without naming an association: a handshake, or nothing known. A record
/// that claims to be protected (a Connection ID, an epoch after the first, or DTLS 1.3's header) is opened in any case: the
/// device behind a limited address must not suffer for its neighbour.
fn is_unproven(datagram: &[u8]) -> bool {
    match datagram {
        [TLS12_CID | UNIFIED_FIRST..=UNIFIED_LAST, ..] => false,
        [20..=24, _, _, 0, 0, ..] => true,
        [20..=24, _, _, _, _, ..] => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_no_association_is_limited() {
        assert!(!is_unproven(&[25, 254, 253, 0, 1]));
        assert!(!is_unproven(&[23, 254, 253, 0, 1]));
        assert!(!is_unproven(&[0b0010_0000]) && !is_unproven(&[0b0011_1111, 1]), "DTLS 1.3");
        assert!(is_unproven(&[0b0001_1111]) && is_unproven(&[0b0100_0000]));
        assert!(is_unproven(&[22, 254, 253, 0, 0]));
        assert!(is_unproven(&[21, 254, 253, 0, 0]));
        assert!(is_unproven(&[22, 254]));
        assert!(is_unproven(b"GET / HTTP/1.1"));
        assert!(is_unproven(&[]));
    }
}
