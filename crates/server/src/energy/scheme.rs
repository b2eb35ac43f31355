//! The schemes, one row each: those that this project's own stack speaks are run, those that were only published
//! say where, and those that it does not speak yet say so. No byte is made up.

use bartizan_crypto::RUSTCRYPTO;
use bartizan_dtls::{CipherSuite, ClientConfig, ConnectionId, EndpointConfig, Group, SecretBytes, Versions};

use super::measure::Opening;
use super::model::{Load, Traffic};

/// The device's PSK identity: seven bytes, in the clear in every PSK handshake.
const IDENTITY: &[u8] = b"meter-1";

/// A way to begin a report.
pub struct Scheme {
    /// For programs.
    pub id: &'static str,
    pub name: &'static str,
    pub how: How,
}

/// Makes the client's and the server's configuration.
pub type Ends = fn() -> (ClientConfig, EndpointConfig);

/// Where a scheme's bytes come from.
pub enum How {
    /// From running our client against our server.
    Run { opening: Opening, ends: Ends },
    /// The same as soon as the two come to terms; until then from nowhere, for this reason.
    Awaited { opening: Opening, ends: Ends, why: &'static str },
    /// From a publication.
    Published(Published),
    /// From nowhere: our stack does not speak it, for this reason.
    Absent(&'static str),
}

/// The flights of a handshake as published, and what a record adds to its payload.
pub struct Published {
    pub handshake: Traffic,
    /// Header, content type and tag of a record.
    pub record_bytes_up: u32,
    pub record_bytes_down: u32,
    pub source: &'static str,
}

impl Published {
    /// The handshake and a report of `payload` bytes, which leaves together with the last flight.
    #[must_use]
    pub const fn wake_up(&self, payload_up: u32, payload_down: u32) -> Traffic {
        let Traffic { up, down, round_trips } = self.handshake;
        Traffic {
            up: one_more(up, payload_up.saturating_add(self.record_bytes_up)),
            down: one_more(down, payload_down.saturating_add(self.record_bytes_down)),
            round_trips: round_trips + 1,
        }
    }
}

const fn one_more(load: Load, bytes: u32) -> Load {
    Load { datagrams: load.datagrams + 1, bytes: load.bytes.saturating_add(bytes) }
}

/// The scheme that the others are held against.
pub const FULL_PSK: &str = "psk12_full";
/// The scheme that a sleeping device should use.
pub const CID: &str = "cid12";

const NOT_YET_13: &str = "DTLS 1.3 is not in this stack yet";

const COMPARISON: &str = "Preuß Mattsson, Palombini, Vučinić: Comparison of CoAP Security Protocols, \
     draft-ietf-iotops-security-protocol-comparison, with Connection ID, P-256, CCM_8, without a cookie round";

/// All of them, dearest first within each group.
pub const ALL: &[Scheme] = &[
    Scheme {
        id: "ecdsa12_full",
        name: "DTLS 1.2, ECDHE-ECDSA, certificates both ways",
        how: How::Absent("certificates are not in this stack yet"),
    },
    Scheme {
        id: "ecdhe_psk12_full",
        name: "DTLS 1.2, ECDHE-PSK, full handshake",
        how: How::Run { opening: Opening::Handshake, ends: || psk(CipherSuite::EcdhePskAes128Ccm8Sha256, None) },
    },
    Scheme {
        id: FULL_PSK,
        name: "DTLS 1.2, PSK, full handshake",
        how: How::Run { opening: Opening::Handshake, ends: || psk(CipherSuite::PskAes128Ccm8, None) },
    },
    Scheme {
        id: "psk12_resumed",
        name: "DTLS 1.2, PSK, resumption by session id",
        how: How::Absent("this stack refuses resumption by session id or ticket"),
    },
    Scheme {
        id: "psk_ecdhe13_full",
        name: "DTLS 1.3, PSK with ECDHE",
        how: How::Awaited { opening: Opening::Handshake, ends: || psk13(&[Group::X25519], None), why: NOT_YET_13 },
    },
    Scheme {
        id: "psk13_full",
        name: "DTLS 1.3, PSK",
        how: How::Awaited { opening: Opening::Handshake, ends: || psk13(&[], None), why: NOT_YET_13 },
    },
    Scheme {
        id: CID,
        name: "DTLS 1.2, Connection ID",
        how: How::Run { opening: Opening::Saved, ends: || psk(CipherSuite::PskAes128Ccm8, Some(ConnectionId::EMPTY)) },
    },
    Scheme {
        id: "cid13",
        name: "DTLS 1.3, Connection ID",
        how: How::Awaited {
            opening: Opening::Saved,
            ends: || psk13(&[Group::X25519], Some(ConnectionId::EMPTY)),
            why: NOT_YET_13,
        },
    },
    Scheme {
        id: "rpk13_published",
        name: "DTLS 1.3, raw public keys",
        how: How::Published(Published {
            handshake: flights(185, 454, 255),
            record_bytes_up: 12,
            record_bytes_down: 12,
            source: COMPARISON,
        }),
    },
    Scheme {
        id: "psk_ecdhe13_published",
        name: "DTLS 1.3, PSK with ECDHE",
        how: How::Published(Published {
            handshake: flights(219, 226, 56),
            record_bytes_up: 12,
            record_bytes_down: 12,
            source: COMPARISON,
        }),
    },
    Scheme {
        id: "psk13_published",
        name: "DTLS 1.3, PSK",
        how: How::Published(Published {
            handshake: flights(136, 153, 56),
            record_bytes_up: 12,
            record_bytes_down: 12,
            source: COMPARISON,
        }),
    },
    Scheme {
        id: "cid13_published",
        name: "DTLS 1.3, Connection ID",
        how: How::Published(Published {
            handshake: Traffic {
                up: Load { datagrams: 0, bytes: 0 },
                down: Load { datagrams: 0, bytes: 0 },
                round_trips: 0,
            },
            record_bytes_up: 12,
            record_bytes_down: 12,
            source: COMPARISON,
        }),
    },
];

/// Up, down, up; one datagram each. The device waits once.
const fn flights(first: u32, second: u32, third: u32) -> Traffic {
    Traffic {
        up: Load { datagrams: 2, bytes: first + third },
        down: Load { datagrams: 1, bytes: second },
        round_trips: 1,
    }
}

/// One suite offered (PSK: the one of RFC 7925 section 4.2): with a cookie, a longer list is paid for twice.
fn psk(suite: CipherSuite, own_cid: Option<ConnectionId>) -> (ClientConfig, EndpointConfig) {
    let key = SecretBytes::new(&[0x42; 16]).expect("invariant: 16 bytes are a key");
    let client = ClientConfig {
        suites: vec![suite],
        groups: vec![Group::X25519],
        own_cid,
        ..ClientConfig::new(&RUSTCRYPTO, IDENTITY, key)
    };
    (client, EndpointConfig { sessions_max: 4, handshakes_max: 4, ..EndpointConfig::new(&RUSTCRYPTO) })
}

/// The suite of the published comparison. Without groups the PSK alone makes the keys.
fn psk13(groups: &[Group], own_cid: Option<ConnectionId>) -> (ClientConfig, EndpointConfig) {
    let (client, server) = psk(CipherSuite::Aes128Ccm8Sha256, own_cid);
    (ClientConfig { versions: Versions::DTLS_1_3, groups: groups.to_vec(), ..client }, server)
}
