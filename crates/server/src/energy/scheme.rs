//! The schemes, one row each: those that this project's own stack speaks are run, the others say where their bytes were
//! published. No byte is made up.

use std::sync::Arc;

use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_dtls::{
    AlertDescription, CertificateType, CipherSuite, ClientConfig, ClientResumption, ConnectionId, Credential,
    EndpointConfig, Error, Group, PeerVerifier, PinnedKeys, PublicKey, Resumption, RouteConfig, Routes, SecretBytes,
    SignatureScheme, SoftwareKey, VerifiedPeer, Versions,
};

use super::measure::Opening;
use super::model::{Load, Traffic};

/// The device's PSK identity: seven bytes, in the clear in every PSK handshake.
const IDENTITY: &[u8] = b"meter-1";
/// A leaf for a key on P-256 with a short name and the usual four extensions, as OpenSSL makes it, has some 400 bytes.
pub const CERTIFICATE_BYTES: usize = 400;

/// A way to begin a report.
pub struct Scheme {
    /// For programs.
    pub id: &'static str,
    pub name: &'static str,
    pub how: How,
}

/// Makes the client's and the server's configuration.
pub type Ends = fn() -> Result<(ClientConfig, EndpointConfig), Error>;

/// Where a scheme's bytes come from.
pub enum How {
    /// From running our client against our server.
    Run { opening: Opening, ends: Ends },
    /// From a publication.
    Published(Published),
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
/// The same two in DTLS 1.3.
pub const FULL_PSK_13: &str = "psk13_full";
pub const CID_13: &str = "cid13";

const ECDSA: CipherSuite = CipherSuite::EcdheEcdsaAes128Ccm8;
const CCM_8_13: CipherSuite = CipherSuite::Aes128Ccm8Sha256;

const COMPARISON: &str = "Preuß Mattsson, Palombini, Vučinić: Comparison of CoAP Security Protocols, \
     draft-ietf-iotops-security-protocol-comparison, with Connection ID, P-256, CCM_8, without a cookie round";

/// All of them, dearest first within each group.
pub const ALL: &[Scheme] = &[
    Scheme {
        id: "ecdsa12_full",
        name: "DTLS 1.2, X.509 both ways, full handshake",
        how: How::Run { opening: Opening::Handshake, ends: || certified(CertificateType::X509, ECDSA) },
    },
    Scheme {
        id: "rpk12_full",
        name: "DTLS 1.2, raw public keys, full handshake",
        how: How::Run { opening: Opening::Handshake, ends: || certified(CertificateType::RawPublicKey, ECDSA) },
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
        name: "DTLS 1.2, resumption by session id",
        how: How::Run { opening: Opening::Resumed, ends: resumed },
    },
    Scheme {
        id: "rpk13_full",
        name: "DTLS 1.3, raw public keys, full handshake",
        how: How::Run { opening: Opening::Handshake, ends: || certified(CertificateType::RawPublicKey, CCM_8_13) },
    },
    Scheme {
        id: "psk_ecdhe13_full",
        name: "DTLS 1.3, PSK with ECDHE, full handshake",
        how: How::Run { opening: Opening::Handshake, ends: || psk13(&[Group::X25519], None) },
    },
    Scheme {
        id: FULL_PSK_13,
        name: "DTLS 1.3, PSK, full handshake",
        how: How::Run { opening: Opening::Handshake, ends: || psk13(&[], None) },
    },
    Scheme {
        id: CID,
        name: "DTLS 1.2, Connection ID",
        how: How::Run { opening: Opening::Saved, ends: || psk(CipherSuite::PskAes128Ccm8, Some(ConnectionId::EMPTY)) },
    },
    Scheme {
        id: CID_13,
        name: "DTLS 1.3, Connection ID",
        how: How::Run { opening: Opening::Saved, ends: || psk13(&[Group::X25519], Some(ConnectionId::EMPTY)) },
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
fn psk(suite: CipherSuite, own_cid: Option<ConnectionId>) -> Result<(ClientConfig, EndpointConfig), Error> {
    named(IDENTITY, suite, own_cid)
}

fn named(
    identity: &[u8],
    suite: CipherSuite,
    own_cid: Option<ConnectionId>,
) -> Result<(ClientConfig, EndpointConfig), Error> {
    let key = SecretBytes::new(&[0x42; 16]).expect("invariant: 16 bytes are a key");
    let client = ClientConfig {
        suites: vec![suite],
        groups: vec![Group::X25519],
        own_cid,
        ..ClientConfig::new(&RUSTCRYPTO, identity, key)
    };
    Ok((client, server()?))
}

/// Connection IDs as the gateway makes them.
fn server() -> Result<EndpointConfig, Error> {
    let routes = Routes::sealed(&RouteConfig::new(1, Secret::new([0x43; 16])))?;
    Ok(EndpointConfig { routes, sessions_max: 4, handshakes_max: 4, ..EndpointConfig::new(&RUSTCRYPTO) })
}

/// The suite of the published comparison. Without groups the PSK alone makes the keys.
fn psk13(groups: &[Group], own_cid: Option<ConnectionId>) -> Result<(ClientConfig, EndpointConfig), Error> {
    let (client, server) = psk(CCM_8_13, own_cid)?;
    Ok((ClientConfig { versions: Versions::DTLS_1_3, groups: groups.to_vec(), ..client }, server))
}

/// As the smallest published handshake has it: one byte of identity, a Connection ID of the server's.
///
/// # Errors
/// What the state machines say of such a configuration.
pub fn like_the_best() -> Result<(ClientConfig, EndpointConfig), Error> {
    let (client, server) = named(b"m", CCM_8_13, Some(ConnectionId::EMPTY))?;
    Ok((ClientConfig { versions: Versions::DTLS_1_3, groups: Vec::new(), ..client }, server))
}

/// Any full handshake will do before it: what is resumed does not show how it began.
fn resumed() -> Result<(ClientConfig, EndpointConfig), Error> {
    let (client, server) = psk(CipherSuite::PskAes128Ccm8, None)?;
    let resumption = Resumption::SessionIds { sessions_max: 4, lifetime_ms: 3_600_000 };
    Ok((ClientConfig { resumption: ClientResumption::Ask, ..client }, EndpointConfig { resumption, ..server }))
}

/// Both sides show a key on P-256, raw or in one certificate of [`CERTIFICATE_BYTES`].
fn certified(kind: CertificateType, suite: CipherSuite) -> Result<(ClientConfig, EndpointConfig), Error> {
    let (gate, meter) = (Party::new(1)?, Party::new(2)?);
    let versions = Versions { min: suite.version(), max: suite.version() };
    let client = ClientConfig {
        versions,
        suites: vec![suite],
        groups: vec![Group::X25519, Group::Secp256r1], // the second for the certificates' keys (RFC 8422 section 5.1)
        own_cid: None,
        credential: Some(meter.credential(kind)?),
        ..ClientConfig::certified(&RUSTCRYPTO, gate.verifier(kind))
    };
    let server =
        EndpointConfig { credential: Some(gate.credential(kind)?), verifier: Some(meter.verifier(kind)), ..server()? };
    Ok((client, server))
}

/// A key that is nobody's.
struct Party {
    byte: u8,
    public: PublicKey,
}

impl Party {
    fn new(byte: u8) -> Result<Self, Error> {
        let public = Self::key(byte).public(&RUSTCRYPTO).ok_or(Error::Misuse("no private key"))?;
        Ok(Self { byte, public })
    }

    fn key(byte: u8) -> SoftwareKey {
        SoftwareKey::new(SignatureScheme::EcdsaSecp256r1Sha256, Secret::new([byte; 32]))
    }

    fn credential(&self, kind: CertificateType) -> Result<Credential, Error> {
        let signer = Arc::new(Self::key(self.byte));
        match kind {
            CertificateType::RawPublicKey => Credential::raw_public_key(self.public, signer),
            CertificateType::X509 => Credential::x509(vec![vec![self.byte; CERTIFICATE_BYTES]], signer),
        }
    }

    fn verifier(&self, kind: CertificateType) -> Arc<dyn PeerVerifier> {
        match kind {
            CertificateType::RawPublicKey => Arc::new(PinnedKeys::new([(self.public, 1)])),
            CertificateType::X509 => Arc::new(Lengthy(self.public)),
        }
    }
}

/// Believes any certificate: only lengths count here.
struct Lengthy(PublicKey);

impl PeerVerifier for Lengthy {
    fn verify(&self, _kind: CertificateType, _chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        Ok(VerifiedPeer { principal: 1, key: self.0 })
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::X509]
    }
}
