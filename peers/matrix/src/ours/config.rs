//! What a cell asks of our stack: the one place that learns of versions, authentications, suites and groups.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_dtls::{
    AlertDescription, CertificateType, CipherSuite, ClientConfig, ConnectionId, Credential, EndpointConfig, Group,
    PeerVerifier, PinnedKeys, PublicKey, RouteConfig, Routes, SecretBytes, SignatureScheme, SoftwareKey, VerifiedPeer,
    Versions,
};
use bartizan_peer_common::{Auth, Role, Version};

use crate::credentials::opposite;
use crate::{Cell, Credentials, IDENTITY, PSK};

/// Datagrams on loopback take no time: what is lost is missed soon.
const RETRANSMIT_MS: u64 = 300;
/// Whom the other side is taken for.
const PRINCIPAL: u64 = 7;

pub fn server(cell: &Cell, credentials: &Credentials) -> Result<EndpointConfig> {
    let (credential, verifier) = keys(cell, credentials, Role::Server)?.unzip();
    Ok(EndpointConfig {
        versions: versions(cell),
        suites: vec![suite(cell)?],
        groups: cell.group.map(group).into_iter().collect(),
        credential,
        verifier,
        routes: routes()?,
        retransmit_ms: RETRANSMIT_MS,
        ..EndpointConfig::new(&RUSTCRYPTO)
    })
}

/// Encrypted ones, as at the gateway: only these give a peer of DTLS 1.3 spare Connection IDs (RFC 9147 section 9), for
/// each would look like the next otherwise.
fn routes() -> Result<Routes> {
    Routes::sealed(&RouteConfig::new(1, Secret::new([0x5a; 16]))).map_err(|error| anyhow!("{error}"))
}

pub fn client(cell: &Cell, credentials: &Credentials) -> Result<ClientConfig> {
    let (credential, verifier) = keys(cell, credentials, Role::Client)?.unzip();
    let psk = if cell.auth.has_psk() { psk()? } else { SecretBytes::new(&[]).context("no pre-shared key")? };
    Ok(ClientConfig {
        versions: versions(cell),
        suites: vec![suite(cell)?],
        groups: offered_groups(cell),
        credential,
        verifier,
        own_cid: if cell.cid { ConnectionId::new(&[9, 8, 7]) } else { None },
        retransmit_ms: RETRANSMIT_MS,
        ..ClientConfig::new(&RUSTCRYPTO, IDENTITY.as_bytes(), psk)
    })
}

pub fn psk() -> Result<SecretBytes> {
    SecretBytes::new(&PSK).context("a pre-shared key")
}

const fn versions(cell: &Cell) -> Versions {
    match cell.version {
        Version::Dtls12 => Versions::DTLS_1_2,
        Version::Dtls13 => Versions::DTLS_1_3,
    }
}

fn suite(cell: &Cell) -> Result<CipherSuite> {
    CipherSuite::from_code(cell.code()).context("our side does not have this suite")
}

const fn group(group: bartizan_peer_common::Group) -> Group {
    match group {
        bartizan_peer_common::Group::X25519 => Group::X25519,
        bartizan_peer_common::Group::P256 => Group::Secp256r1,
        bartizan_peer_common::Group::X25519MlKem768 => Group::X25519MlKem768,
    }
}

/// In DTLS 1.3 P-256 comes second, so that the server, which has nothing else, must ask for a share of it with a
/// HelloRetryRequest. In DTLS 1.2 the list also names the curves of certificates (RFC 8422 section 5.1.1).
fn offered_groups(cell: &Cell) -> Vec<Group> {
    match (cell.version, cell.group.map(group)) {
        (Version::Dtls13, Some(Group::Secp256r1)) => vec![Group::X25519, Group::Secp256r1],
        (Version::Dtls12, Some(Group::X25519)) if !cell.auth.has_psk() => vec![Group::X25519, Group::Secp256r1],
        (_, wanted) => wanted.into_iter().collect(),
    }
}

/// What `role`, which is ours, shows, and whom it believes.
fn keys(cell: &Cell, credentials: &Credentials, role: Role) -> Result<Option<(Credential, Arc<dyn PeerVerifier>)>> {
    if cell.auth.has_psk() {
        return Ok(None);
    }
    let read = |role: Role, name: &str| {
        let path = credentials.path(&format!("{}.{name}", role.name()));
        std::fs::read(&path).with_context(|| format!("cannot read {path}"))
    };
    let public = |role| PublicKey::from_spki(&read(role, "public.der")?).context("a P-256 key");
    let signer = Arc::new(private_key(&read(role, "key.der")?)?);
    let key = public(opposite(role))?;
    Ok(Some(match cell.auth {
        Auth::Rpk => {
            let credential = Credential::raw_public_key(public(role)?, signer);
            (credential.map_err(|error| anyhow!("{error}"))?, Arc::new(PinnedKeys::new([(key, PRINCIPAL)])))
        }
        _ => {
            let credential = Credential::x509(vec![read(role, "der")?], signer);
            let certificate = read(opposite(role), "der")?;
            (credential.map_err(|error| anyhow!("{error}"))?, Arc::new(PinnedCertificate { certificate, key }))
        }
    }))
}

/// In PKCS #8 of a P-256 key, its scalar stands behind version 1 of RFC 5915.
fn private_key(pkcs8: &[u8]) -> Result<SoftwareKey> {
    const BEFORE_SCALAR: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = pkcs8.windows(BEFORE_SCALAR.len()).position(|window| window == BEFORE_SCALAR);
    let scalar = at.and_then(|at| pkcs8[at + BEFORE_SCALAR.len()..].first_chunk()).context("a P-256 key")?;
    Ok(SoftwareKey::new(SignatureScheme::EcdsaSecp256r1Sha256, Secret::new(*scalar)))
}

/// Believes one certificate, whose key is known: chains are for the platform to judge.
struct PinnedCertificate {
    certificate: Vec<u8>,
    key: PublicKey,
}

impl PeerVerifier for PinnedCertificate {
    fn verify(&self, _: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        match chain.first() {
            Some(leaf) if *leaf == self.certificate => Ok(VerifiedPeer { principal: PRINCIPAL, key: self.key }),
            _ => Err(AlertDescription::UNKNOWN_CA),
        }
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::X509]
    }
}
