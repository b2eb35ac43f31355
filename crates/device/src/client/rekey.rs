//! Another pre-shared key: asked for over the device's own association, stored by the firmware, used at the next
//! handshake. Until that has come to its end the old key is good, too, and every second handshake tries it.

use alloc::vec::Vec;

use bartizan_dtls::{ClientConfig, Instant, SecretBytes, Version};
use bartizan_wire::coap::{Code, content_format};

use super::{Client, Link};
use crate::error::Error;
use crate::event::{ClientEvent, Request, RequestId};

/// Where the gateway hands out keys.
const PATH: &str = "/.well-known/bartizan/key";

/// A pre-shared key, and the identity that a handshake names it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Psk {
    pub identity: Vec<u8>,
    pub key: SecretBytes,
}

/// Where a client stands between two keys.
#[derive(Debug, Default)]
pub(super) struct Rekeying {
    asked: Option<RequestId>,
    /// The handshake under way, or the association, is with [`Config::fallback`](super::Config::fallback).
    with_fallback: bool,
    /// Only associations in which a key can be asked for.
    ephemeral: bool,
}

impl Client {
    /// Asks the gateway for another key. [`ClientEvent::NewKey`] follows, or the gateway's refusal as
    /// [`ClientEvent::Response`]: 4.09, attest in this association and ask again; 4.29, ask later; 4.03, not now.
    ///
    /// It takes an association with an ephemeral exchange. If the present one has none, another handshake comes first,
    /// with those of the configured suites that have. `contribution` is nothing, or 16 to 64 random bytes that are
    /// mixed into the key.
    ///
    /// # Errors
    /// [`Error::Misuse`] if no configured suite has an ephemeral exchange, else as [`Self::request`].
    pub fn request_key(&mut self, now: Instant, contribution: &[u8]) -> Result<RequestId, Error> {
        if !self.config.dtls.suites.iter().any(|suite| has_exchange(&self.config.dtls, *suite)) {
            return Err(Error::Misuse("a new key needs a suite with an ephemeral exchange"));
        }
        let request = Request {
            method: Code::POST,
            path: PATH.into(),
            content_format: (!contribution.is_empty()).then_some(content_format::OCTET_STREAM),
            payload: contribution.into(),
            confirmable: true,
        };
        self.rekeying.ephemeral = true;
        if self.is_link_plain() {
            self.reconnect(now);
        }
        let id = self.request(now, request)?;
        self.rekeying.asked = Some(id);
        Ok(id)
    }

    /// Connects anew with this key. **Store it, beside the old one, before this call**; after a restart say both in the
    /// configuration ([`Config::fallback`](super::Config::fallback)). [`ClientEvent::KeyProven`] tells when the old one
    /// is good no more.
    pub fn use_key(&mut self, now: Instant, new: Psk) {
        let dtls = &mut self.config.dtls;
        let identity = core::mem::replace(&mut dtls.identity, new.identity);
        let key = core::mem::replace(&mut dtls.psk, new.key);
        // Of two that were never proven, the older stays: it is the one that is known to be good.
        self.config.fallback.get_or_insert(Psk { identity, key });
        self.rekeying.with_fallback = false;
        self.reconnect(now);
    }

    /// Whether the association has no ephemeral exchange; one that is still to be made will have one.
    fn is_link_plain(&self) -> bool {
        match &self.link {
            Link::Up(connection) => !connection.suite().is_some_and(|suite| has_exchange(&self.config.dtls, suite)),
            Link::Down { .. } => false,
        }
    }

    /// Requests that wait go over the next association.
    fn reconnect(&mut self, now: Instant) {
        if let Link::Up(connection) = &mut self.link {
            connection.close(now);
            while let Some(datagram) = connection.poll_transmit(now) {
                self.last_words.push_over(datagram);
            }
        }
        self.coap.close();
        self.attempts = 0;
        self.link = Link::Down { retry_at: Some(now) };
    }

    /// What the next handshake is made with.
    pub(super) fn next_config(&self) -> ClientConfig {
        let mut dtls = self.config.dtls.clone();
        if self.rekeying.ephemeral {
            let all = core::mem::take(&mut dtls.suites);
            dtls.suites = all.into_iter().filter(|suite| has_exchange(&dtls, *suite)).collect();
        }
        if let Some(fallback) = self.config.fallback.as_ref().filter(|_| self.rekeying.with_fallback) {
            dtls.identity.clone_from(&fallback.identity);
            dtls.psk = fallback.key.clone();
        }
        dtls
    }

    /// A handshake has come to its end: with the new key, the old one is good no more.
    pub(super) fn key_connected(&mut self) {
        if !self.rekeying.with_fallback && self.config.fallback.take().is_some() {
            self.coap.tell(ClientEvent::KeyProven);
        }
    }

    /// An association or a handshake has ended: the other key, if there is one, is tried the next time.
    pub(super) fn key_disconnected(&mut self) {
        self.rekeying.with_fallback = self.config.fallback.is_some() && !self.rekeying.with_fallback;
    }

    /// The answer to our question for a key is told as the key.
    pub(super) fn translated(&mut self, event: ClientEvent) -> ClientEvent {
        match event {
            ClientEvent::Response { request, code, ref payload, .. } if self.rekeying.asked == Some(request) => {
                self.rekeying.asked = None;
                match read(payload).filter(|_| code == Code::CHANGED) {
                    Some(key) => ClientEvent::NewKey { request, key },
                    None => event,
                }
            }
            ClientEvent::Failed { request, .. } if self.rekeying.asked == Some(request) => {
                self.rekeying.asked = None;
                event
            }
            event => event,
        }
    }
}

/// Whether who learns the pre-shared key later cannot read what is said.
fn has_exchange(dtls: &ClientConfig, suite: bartizan_dtls::CipherSuite) -> bool {
    !dtls.groups.is_empty() && (suite.version() == Version::Dtls13 || (suite.is_ecdhe() && suite.is_psk()))
}

/// The gateway's map of two, in its one form (RFC 8949 section 4.2.1): `{"identity": bytes, "key": bytes}`.
fn read(payload: &[u8]) -> Option<Psk> {
    let rest = payload.strip_prefix(b"\xa2\x68identity")?;
    let (identity, rest) = byte_string(rest)?;
    let (key, rest) = byte_string(rest.strip_prefix(b"\x63key")?)?;
    let fits = rest.is_empty() && !identity.is_empty() && key.len() >= bartizan_dtls::limits::PSK_BYTES_MIN;
    let key = SecretBytes::new(key).filter(|_| fits)?;
    Some(Psk { identity: identity.to_vec(), key })
}

/// A byte string of at most 255 bytes, and what follows it.
fn byte_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes {
        [head @ 0x40..=0x57, rest @ ..] => rest.split_at_checked(usize::from(head - 0x40)),
        [0x58, length, rest @ ..] if *length >= 24 => rest.split_at_checked(usize::from(*length)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_map_of_the_gateway_is_a_key() {
        let good = [&b"\xa2\x68identity\x42k1\x63key\x58\x20"[..], &[7; 32]].concat();
        let key = read(&good).expect("a key");
        assert_eq!((key.identity.as_slice(), key.key.expose()), (&b"k1"[..], &[7; 32][..]));
        for length in 0..good.len() {
            assert_eq!(read(good.get(..length).expect("a part")), None, "cut to {length}");
        }
        let long = [&good[..], b"\0"].concat();
        let short = [&b"\xa2\x68identity\x42k1\x63key\x4f"[..], &[7; 15]].concat();
        let nameless = [&b"\xa2\x68identity\x40\x63key\x50"[..], &[7; 16]].concat();
        let wide = [&b"\xa2\x68identity\x58\x02k1\x63key\x50"[..], &[7; 16]].concat();
        for bad in [long, short, nameless, wide] {
            assert_eq!(read(&bad), None);
        }
    }
}
