//! Keys, certificates that are no more than a key in some bytes, and verifiers that know whose they are.

use std::sync::Arc;

use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_dtls::*;
use bartizan_wire::event::HandshakeFailure;

use super::{World, failures};

pub use CertificateType::{RawPublicKey, X509};
use SignatureScheme::EcdsaSecp256r1Sha256 as Ecdsa;

/// Somebody with a key.
#[derive(Clone, Copy)]
pub struct Person {
    pub scheme: SignatureScheme,
    pub byte: u8,
}

pub const SERVER: Person = Person { scheme: Ecdsa, byte: 100 };
pub const METER: Person = Person { scheme: Ecdsa, byte: 1 };
pub const STRANGER: Person = Person { scheme: Ecdsa, byte: 66 };

impl Person {
    pub fn of(self, scheme: SignatureScheme) -> Self {
        Self { scheme, ..self }
    }

    pub fn key(self) -> SoftwareKey {
        SoftwareKey::new(self.scheme, Secret::new([self.byte; 32]))
    }

    pub fn public(self) -> PublicKey {
        self.key().public(&RUSTCRYPTO).unwrap()
    }

    /// Of `bytes` bytes, with the key in the middle.
    pub fn certificate(self, bytes: usize) -> Vec<u8> {
        let spki = self.public().to_spki();
        let mut out = vec![0x30; (bytes - spki.len()) / 2];
        out.extend_from_slice(&spki);
        out.resize(bytes, 0x30);
        out
    }

    pub fn credential(self, kind: CertificateType) -> Credential {
        self.with_chain(kind, &[400])
    }

    /// A chain with certificates of these lengths, ours first.
    pub fn with_chain(self, kind: CertificateType, lengths: &[usize]) -> Credential {
        match kind {
            RawPublicKey => Credential::raw_public_key(self.public(), Arc::new(self.key())).unwrap(),
            X509 => {
                let issuer = Self { byte: 200, ..self };
                let mut chain = vec![self.certificate(lengths[0])];
                chain.extend(lengths[1..].iter().map(|length| issuer.certificate(*length)));
                Credential::x509(chain, Arc::new(self.key())).unwrap()
            }
        }
    }

    /// A certificate of this person's, and somebody else's private key.
    pub fn with_the_key_of(self, other: Person, kind: CertificateType) -> Credential {
        match kind {
            RawPublicKey => Credential::raw_public_key(self.public(), Arc::new(other.key())).unwrap(),
            X509 => Credential::x509(vec![self.certificate(400)], Arc::new(other.key())).unwrap(),
        }
    }
}

/// Believes those it knows, by the key that it finds in the leaf.
pub struct Known {
    kinds: Vec<CertificateType>,
    people: Vec<(PublicKey, u64)>,
}

impl PeerVerifier for Known {
    fn verify(&self, kind: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        assert!(self.kinds.contains(&kind) && !chain.is_empty());
        let shown = |key: &PublicKey| {
            let spki = key.to_spki();
            chain[0].windows(spki.len()).any(|window| window == spki)
        };
        let found = self.people.iter().find(|(key, _)| shown(key));
        found
            .map(|(key, principal)| VerifiedPeer { principal: *principal, key: *key })
            .ok_or(AlertDescription::UNKNOWN_CA)
    }

    fn kinds(&self) -> &[CertificateType] {
        &self.kinds
    }
}

/// Knows the server as 100 and the meter as 1, under either scheme.
pub fn known(kinds: &[CertificateType]) -> Arc<dyn PeerVerifier> {
    let people = [SERVER, METER].into_iter().flat_map(|person| SignatureScheme::ALL.map(|scheme| person.of(scheme)));
    let people = people.map(|person| (person.public(), u64::from(person.byte))).collect();
    Arc::new(Known { kinds: kinds.to_vec(), people })
}

/// A server that shows itself this way and judges clients of that kind.
pub fn certified_server(own: Credential, clients: CertificateType) -> EndpointConfig {
    EndpointConfig { credential: Some(own), verifier: Some(known(&[clients])), ..super::server_config() }
}

/// A client without a pre-shared key.
pub fn certified_client(own: Option<Credential>, servers: CertificateType) -> ClientConfig {
    ClientConfig { credential: own, ..ClientConfig::certified(&RUSTCRYPTO, known(&[servers])) }
}

/// What both usually are.
pub fn usual() -> (EndpointConfig, ClientConfig) {
    let server = certified_server(SERVER.credential(X509), X509);
    (server, certified_client(Some(METER.credential(X509)), X509))
}

pub const ECDSA_SUITES: [CipherSuite; 5] = [
    CipherSuite::EcdheEcdsaAes128GcmSha256,
    CipherSuite::EcdheEcdsaAes256GcmSha384,
    CipherSuite::EcdheEcdsaChacha20Poly1305Sha256,
    CipherSuite::EcdheEcdsaAes128Ccm,
    CipherSuite::EcdheEcdsaAes128Ccm8,
];

/// How a world of one client ended: the client's end, and the server's failures.
pub fn outcome(server: EndpointConfig, client: ClientConfig) -> (World, Option<CloseReason>, Vec<HandshakeFailure>) {
    let mut world = World::calm(server);
    let client = world.connect(client);
    world.run(300_000);
    let failures = failures(&world);
    let closed = world.clients[client].closed();
    (world, closed, failures)
}

/// A world whose one client connected and was heard, without a record that went wrong.
pub fn connected(server: EndpointConfig, client: ClientConfig) -> World {
    let (mut world, closed, failures) = outcome(server, client);
    assert_eq!((closed, failures.as_slice()), (None, &[][..]), "{:?}", world.clients[0].events);
    world.exchange(0, b"17.5 m3");
    assert_eq!(world.clients[0].data(), [b"17.5 m3"]);
    let rejected = |event: &EndpointEvent| matches!(event, EndpointEvent::Rejected { .. });
    assert_eq!(world.count(rejected), 0, "{:?}", world.server_events);
    world
}

/// Three clients that are nobody in particular are heard, before a restart and after.
pub fn nobody_takes_anothers_place(server: EndpointConfig, client: ClientConfig) {
    let mut world = World::calm(server);
    let clients: Vec<_> = (0..3).map(|_| world.connected(client.clone())).collect();
    for client in &clients {
        world.exchange(*client, b"hello");
    }
    assert_eq!(world.server.sessions().count(), 3);
    world.restart();
    for client in clients {
        world.exchange(client, b"again");
        assert_eq!(world.clients[client].data(), [&b"hello"[..], b"again"]);
    }
}
