//! What a cell asks of our stack: the one place that learns of new versions, authentications and suites.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_dtls::{
    AlertDescription, CertificateType, CipherSuite, ClientConfig, ConnectionId, Credential, EndpointConfig, Group,
    PeerVerifier, PublicKey, SecretBytes, SignatureScheme, SoftwareKey, VerifiedPeer, Versions,
};
use bartizan_peer_common::{Auth, Role, Version};

use crate::{Cell, Credentials, IDENTITY, PSK, opposite};

/// Datagrams on loopback take no time: what is lost is missed soon.
const RETRANSMIT_MS: u64 = 300;

pub fn server(cell: &Cell, credentials: &Credentials) -> Result<EndpointConfig> {
    let mut config = EndpointConfig::new(&RUSTCRYPTO);
    config.versions = versions(cell);
    config.suites = vec![suite(cell)?];
    config.retransmit_ms = RETRANSMIT_MS;
    if cell.version == Version::Dtls13 {
        config.groups = groups(cell);
    }
    if !cell.auth.has_psk() {
        config.credential = Some(credential(cell, credentials, Role::Server)?);
        config.verifier = Some(Arc::new(Pinned::new(cell, credentials, Role::Server)?));
    }
    Ok(config)
}

pub fn client(cell: &Cell, credentials: &Credentials) -> Result<ClientConfig> {
    let key = if cell.auth.has_psk() { psk()? } else { SecretBytes::new(&[]).context("no key")? };
    let mut config = ClientConfig::new(&RUSTCRYPTO, IDENTITY.as_bytes(), key);
    config.versions = versions(cell);
    config.suites = vec![suite(cell)?];
    config.own_cid = if cell.cid { ConnectionId::new(&[9, 8, 7]) } else { None };
    config.retransmit_ms = RETRANSMIT_MS;
    if cell.version == Version::Dtls13 {
        config.groups = groups(cell);
    }
    if !cell.auth.has_psk() {
        config.credential = Some(credential(cell, credentials, Role::Client)?);
        config.verifier = Some(Arc::new(Pinned::new(cell, credentials, Role::Client)?));
    }
    Ok(config)
}

pub fn psk() -> Result<SecretBytes> {
    SecretBytes::new(&PSK).context("a pre-shared key")
}

fn versions(cell: &Cell) -> Versions {
    match cell.version {
        Version::Dtls12 => Versions::DTLS_1_2,
        Version::Dtls13 => Versions::DTLS_1_3,
    }
}

fn groups(cell: &Cell) -> Vec<Group> {
    cell.group.and_then(|group| Group::from_code(group.code())).into_iter().collect()
}

fn suite(cell: &Cell) -> Result<CipherSuite> {
    if cell.version == Version::Dtls12 && !cell.auth.has_psk() {
        bail!("our side does not do this yet");
    }
    CipherSuite::from_code(cell.code()).context("our side does not have this suite yet")
}

/// What `role` shows of itself, and its key.
fn credential(cell: &Cell, credentials: &Credentials, role: Role) -> Result<Credential> {
    let [shown, key, _] = credentials.of(role, cell.auth);
    let signer = Arc::new(SoftwareKey::new(SignatureScheme::EcdsaSecp256r1Sha256, scalar(&std::fs::read(key)?)?));
    let shown = std::fs::read(shown)?;
    let credential = match cell.auth {
        Auth::Rpk => Credential::raw_public_key(PublicKey::from_spki(&shown).context("a public key")?, signer),
        _ => Credential::x509(vec![shown], signer),
    };
    credential.map_err(|error| anyhow::anyhow!("{error}"))
}

/// The private key in a PKCS #8 document for P-256: the octet string after an ECPrivateKey's version (RFC 5915).
fn scalar(pkcs8: &[u8]) -> Result<Secret<32>> {
    let front = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = pkcs8.windows(front.len()).position(|window| window == front).context("no private key")?;
    let scalar = pkcs8[at + front.len()..].first_chunk::<32>().context("a private key that is too short")?;
    Ok(Secret::new(*scalar))
}

/// Believes the other side's certificate or key, and no other.
struct Pinned {
    kind: CertificateType,
    shown: Vec<u8>,
    key: PublicKey,
}

impl Pinned {
    fn new(cell: &Cell, credentials: &Credentials, role: Role) -> Result<Self> {
        let [shown, ..] = credentials.of(opposite(role), cell.auth);
        let [public, ..] = credentials.of(opposite(role), Auth::Rpk);
        Ok(Self {
            kind: if cell.auth == Auth::Rpk { CertificateType::RawPublicKey } else { CertificateType::X509 },
            shown: std::fs::read(shown)?,
            key: PublicKey::from_spki(&std::fs::read(public)?).context("a public key")?,
        })
    }
}

impl PeerVerifier for Pinned {
    fn verify(&self, kind: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        match kind == self.kind && chain.first() == Some(&&*self.shown) {
            true => Ok(VerifiedPeer { principal: 7, key: self.key }),
            false => Err(AlertDescription::BAD_CERTIFICATE),
        }
    }

    fn kinds(&self) -> &[CertificateType] {
        core::slice::from_ref(&self.kind)
    }
}
