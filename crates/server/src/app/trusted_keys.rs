//! Keys of others that a tenant believes: of who signs its reference values, and of other verifiers.
//!
//! Whoever is named speaks for the tenant that named it and for no other, and in one role only.

use bartizan_crypto::AWS_LC;
use bartizan_trust::{PublicKey, limits};
use bartizan_wire::TenantId;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{Error, Misuse};
use super::registry::check_name;
use super::views::rfc3339;
use super::{Actor, App};
use crate::limits::{TRUSTED_KEY_PEM_BYTES_MAX, TRUSTED_KEYS_MAX};
use crate::store::{self, TrustedKeyRow};

pub use crate::store::KeyRole;

/// Somebody whose signatures shall be believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTrustedKey {
    /// What verdicts, reference values and logs call it. Whoever has the name speaks for the tags that were signed
    /// under it.
    #[schema(example = "Acme release key")]
    pub name: String,
    /// Its public key: SubjectPublicKeyInfo in PEM, on P-256, P-384 or Ed25519.
    pub key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustedKeyView {
    pub name: String,
    /// P-256, P-384 or Ed25519.
    pub algorithm: String,
    /// SHA-256 thumbprint (RFC 9679) of the key, in hex.
    pub thumbprint: String,
    pub added: String,
    pub added_by: String,
}

impl App {
    /// Who is believed in this role, by name.
    pub async fn trusted_keys(&self, tenant: TenantId, role: KeyRole) -> Result<Vec<TrustedKeyView>, Error> {
        let rows = self.open_tenant(tenant).await?.store.trusted_keys(role).await?;
        rows.iter().map(|row| Ok(view(row, &stored_key(row)?))).collect()
    }

    /// Believes somebody in this role.
    pub async fn add_trusted_key(
        &self,
        actor: &Actor,
        tenant: TenantId,
        role: KeyRole,
        new: &NewTrustedKey,
    ) -> Result<(), Error> {
        let who = role.name();
        check_name(&format!("{who}'s name"), &new.name)?;
        let (der, key) = public_key(who, &new.key)?;
        let row =
            TrustedKeyRow { name: new.name.clone(), key: der, added: self.clock.now(), added_by: actor.0.clone() };
        if !self.open_tenant(tenant).await?.store.add_trusted_key(role, &row).await? {
            return Err(Misuse::Full(format!("a tenant has at most {TRUSTED_KEYS_MAX} {who}s")).into());
        }
        let thumbprint = key.thumbprint(&AWS_LC).to_string();
        self.audit(actor, &format!("{who}.add"), Some(tenant), &new.name, &thumbprint).await
    }

    /// Ends it. What was signed before stays.
    pub async fn remove_trusted_key(
        &self,
        actor: &Actor,
        tenant: TenantId,
        role: KeyRole,
        name: &str,
    ) -> Result<(), Error> {
        let who = role.name();
        if !self.open_tenant(tenant).await?.store.remove_trusted_key(role, name).await? {
            return Err(Misuse::Unknown(format!("{who} {name:?}")).into());
        }
        self.audit(actor, &format!("{who}.remove"), Some(tenant), name, "").await
    }
}

/// The key of a PEM file, in DER and read.
fn public_key(who: &str, pem: &str) -> Result<(Vec<u8>, PublicKey), Error> {
    let wrong =
        |why: &str| Error::Malformed(format!("a {who}'s key is a PEM file that begins with BEGIN PUBLIC KEY: {why}"));
    if pem.len() > TRUSTED_KEY_PEM_BYTES_MAX {
        return Err(wrong("this is longer than any"));
    }
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| wrong("this holds none"))?;
    let key = PublicKey::from_spki(&der).map_err(|error| wrong(&error.to_string()))?;
    Ok((der.to_vec(), key))
}

pub(super) fn stored_key(row: &TrustedKeyRow) -> Result<PublicKey, store::Error> {
    PublicKey::from_spki(&row.key).map_err(|_| store::Error::Damaged("a trusted key"))
}

fn view(row: &TrustedKeyRow, key: &PublicKey) -> TrustedKeyView {
    let algorithm = match key {
        PublicKey::P256(_) => "P-256",
        PublicKey::P384(_) => "P-384",
        PublicKey::Ed25519(_) => "Ed25519",
    };
    TrustedKeyView {
        name: row.name.clone(),
        algorithm: algorithm.into(),
        thumbprint: key.thumbprint(&AWS_LC).to_string(),
        added: rfc3339(row.added),
        added_by: row.added_by.clone(),
    }
}

const _: () = assert!(limits::NAME_BYTES_MAX >= crate::limits::NAME_BYTES_MAX, "a signer's name fits its values");
