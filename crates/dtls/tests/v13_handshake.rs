//! DTLS 1.3, client and server against each other: every suite, every way to agree on keys, any weather.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use bartizan_crypto::{AWS_LC, RUSTCRYPTO, Secret};
use bartizan_dtls::*;
use support::*;

const SUITES: [CipherSuite; 5] = [
    CipherSuite::Aes128GcmSha256,
    CipherSuite::Aes256GcmSha384,
    CipherSuite::Chacha20Poly1305Sha256,
    CipherSuite::Aes128CcmSha256,
    CipherSuite::Aes128Ccm8Sha256,
];

fn psk_config(suite: CipherSuite, groups: &[Group]) -> ClientConfig {
    ClientConfig {
        versions: Versions::DTLS_1_3,
        suites: vec![suite],
        groups: groups.to_vec(),
        ..client_config("meter-1", 1)
    }
}

fn cids() -> [Option<ConnectionId>; 3] {
    [None, Some(ConnectionId::EMPTY), Some(ConnectionId::new(b"device-7").unwrap())]
}

fn key_pair(scheme: SignatureScheme, byte: u8) -> (PublicKey, Arc<SoftwareKey>) {
    let key = SoftwareKey::new(scheme, Secret::new([byte; 32]));
    (key.public(&RUSTCRYPTO).unwrap(), Arc::new(key))
}

/// Believes any chain whose first certificate is a SubjectPublicKeyInfo in disguise.
struct Disguised;

impl PeerVerifier for Disguised {
    fn verify(&self, kind: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        assert_eq!(kind, CertificateType::X509);
        let key = PublicKey::from_spki(chain[0]).ok_or(AlertDescription::BAD_CERTIFICATE)?;
        Ok(VerifiedPeer { principal: 42, key })
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::X509]
    }
}

/// Both sides with raw public keys of each other, or with chains of `padding` more bytes.
fn with_keys(scheme: SignatureScheme, x509: Option<usize>) -> (EndpointConfig, ClientConfig) {
    let (server_public, server_key) = key_pair(scheme, 1);
    let (client_public, client_key) = key_pair(scheme, 2);
    let credential = |public: PublicKey, key: Arc<SoftwareKey>| match x509 {
        None => Credential::raw_public_key(public, key).unwrap(),
        Some(padding) => Credential::x509(vec![public.to_spki(), vec![7; padding]], key).unwrap(),
    };
    let verifier = |public: PublicKey| -> Arc<dyn PeerVerifier> {
        match x509 {
            None => Arc::new(PinnedKeys::new([(public, 42)])),
            Some(_) => Arc::new(Disguised),
        }
    };
    let server = EndpointConfig {
        credential: Some(credential(server_public, server_key)),
        verifier: Some(verifier(client_public)),
        ..server_config()
    };
    let client = ClientConfig {
        psk: SecretBytes::new(b"").unwrap(),
        credential: Some(credential(client_public, client_key)),
        verifier: Some(verifier(server_public)),
        groups: vec![Group::X25519],
        ..psk_config(CipherSuite::Aes128GcmSha256, &[])
    };
    (server, client)
}

fn assert_works(world: &mut World, client: usize, principal: u64) {
    world.exchange(client, b"17.5 m3");
    assert_eq!(world.received(), [b"17.5 m3"]);
    assert_eq!(world.clients[client].data(), [b"17.5 m3"]);
    let info = world.server.session(world.session()).unwrap();
    assert_eq!(info.principal, principal);
    assert_eq!(world.clients[client].connection.exporter(), Some(&info.exporter));
    let rejected = |event: &EndpointEvent| matches!(event, EndpointEvent::Rejected { .. });
    assert_eq!(world.count(rejected), 0, "{:?}", world.server_events);
}

#[test]
fn every_suite_with_a_pre_shared_key() {
    for suite in SUITES {
        for own_cid in cids() {
            for groups in [&[][..], &[Group::X25519], &[Group::Secp256r1], &[Group::X25519MlKem768]] {
                for provider in [&RUSTCRYPTO, &AWS_LC] {
                    let mut world = World::calm(server_config());
                    let config = ClientConfig { own_cid, provider, ..psk_config(suite, groups) };
                    let client = world.connected(config);
                    let expected = ConnectionEvent::Connected { suite, peer_cid: own_cid.is_some() };
                    assert_eq!(world.clients[client].events, [expected]);
                    assert_works(&mut world, client, 1);
                }
            }
        }
    }
}

#[test]
fn raw_public_keys_and_certificates() {
    for scheme in SignatureScheme::ALL {
        for x509 in [None, Some(100), Some(5_000)] {
            for suite in SUITES {
                let (server, client) = with_keys(scheme, x509);
                let mut world = World::calm(server);
                let client = world.connected(ClientConfig { suites: vec![suite], ..client });
                assert_works(&mut world, client, 42);
            }
        }
    }
}

//= test rfc9147#7.1-s1
#[test]
fn any_weather_at_any_mtu() {
    let mut connected = 0;
    for seed in 0..150_u64 {
        let pick = seed as usize;
        let suite = SUITES[pick % 5];
        let mtu = [300, 512, 1200][pick % 3];
        let own_cid = cids()[(pick / 2) % 3];
        let groups = [&[][..], &[Group::X25519], &[Group::X25519MlKem768]][(pick / 4) % 3];
        let (server, client) = match pick % 4 {
            0 | 1 => (server_config(), psk_config(suite, groups)),
            2 => with_keys(SignatureScheme::Ed25519, None),
            _ => with_keys(SignatureScheme::EcdsaSecp256r1Sha256, Some(900)),
        };
        let mut world = World::new(seed, ROUGH, EndpointConfig { mtu, ..server });
        let client = world.connect(ClientConfig { own_cid, mtu, ..client });
        world.run(400_000);
        let state = &world.clients[client];
        if !state.connection.is_connected() {
            assert_eq!(state.closed(), Some(CloseReason::TimedOut), "seed {seed}");
            continue;
        }
        connected += 1;
        for number in 0..10_u8 {
            world.exchange(client, &[number; 20]);
        }
        let mut received = world.received();
        let total = received.len();
        received.sort();
        received.dedup();
        assert_eq!(received.len(), total, "seed {seed}: nothing arrives twice");
        assert!(total > 2, "seed {seed}: most arrive");
    }
    assert!(connected >= 140, "{connected} of 150");
}
