//! Who may sign reference values for a tenant, and the signed manifests (CoRIM) that bring them.
//!
//! A signer speaks for the tenant that named it and for no other. Taking a signer away ends what it may bring from now
//! on; what it has brought vouches on until a tag of it is revoked.

use bartizan_crypto::AWS_LC;
use bartizan_trust::corim::{self, Signer};
use bartizan_trust::reference::Manifest;
use bartizan_trust::{PublicKey, limits};
use bartizan_wire::{TenantId, UnixMillis};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::changes::{Change, ManifestView, TagView, unbelieved};
use super::error::{Error, Misuse};
use super::registry::check_name;
use super::tenant::Tenant;
use super::views::rfc3339;
use super::{Actor, App};
use crate::limits::{ENDORSER_PEM_BYTES_MAX, ENDORSERS_MAX};
use crate::store::{self, EndorserRow};

/// Tags of a manifest that the audit names.
const TAGS_AUDITED: usize = 8;

/// Somebody who may sign reference values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEndorser {
    /// What reference values and logs call it. Whoever has the name speaks for the tags that were signed under it.
    #[schema(example = "Acme release key")]
    pub name: String,
    /// Its public key: SubjectPublicKeyInfo in PEM, on P-256, P-384 or Ed25519.
    pub key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndorserView {
    pub name: String,
    /// P-256, P-384 or Ed25519.
    pub algorithm: String,
    /// SHA-256 thumbprint (RFC 9679) of the key, in hex.
    pub thumbprint: String,
    pub added: String,
    pub added_by: String,
}

impl App {
    /// Who may sign reference values, by name.
    pub async fn endorsers(&self, tenant: TenantId) -> Result<Vec<EndorserView>, Error> {
        let rows = self.open_tenant(tenant).await?.store.endorsers().await?;
        rows.iter().map(|row| Ok(view(row, &stored_key(row)?))).collect()
    }

    /// Lets somebody sign reference values for the tenant.
    pub async fn add_endorser(&self, actor: &Actor, tenant: TenantId, new: &NewEndorser) -> Result<(), Error> {
        check_name("signer's name", &new.name)?;
        let (der, key) = public_key(&new.key)?;
        let row = EndorserRow { name: new.name.clone(), key: der, added: self.clock.now(), added_by: actor.0.clone() };
        if !self.open_tenant(tenant).await?.store.add_endorser(&row).await? {
            return Err(Misuse::Full(format!("a tenant has at most {ENDORSERS_MAX} signers")).into());
        }
        let thumbprint = key.thumbprint(&AWS_LC).to_string();
        self.audit(actor, "endorser.add", Some(tenant), &new.name, &thumbprint).await
    }

    /// Ends it. What was signed before stays.
    pub async fn remove_endorser(&self, actor: &Actor, tenant: TenantId, name: &str) -> Result<(), Error> {
        if !self.open_tenant(tenant).await?.store.remove_endorser(name).await? {
            return Err(Misuse::Unknown(format!("signer {name:?}")).into());
        }
        self.audit(actor, "endorser.remove", Some(tenant), name, "").await
    }

    /// Takes the reference values of a signed manifest: all of them, or none.
    pub async fn import_manifest(
        &self,
        actor: &Actor,
        tenant: TenantId,
        bytes: Vec<u8>,
    ) -> Result<ManifestView, Error> {
        let open = self.open_tenant(tenant).await?;
        let manifest = open.open_manifest(bytes, self.clock.now()).await?;
        let (id, signer) = (manifest.id.clone(), manifest.signer.clone());
        let policies = open.policies().await?;
        let (view, change) = (ManifestView::of(&manifest, &policies), Change::Manifest(manifest));
        let values = open.change_references(|references| change.make(references)).await?;
        let detail = format!("{values} values, signed by {signer}: {}", named(&view.tags));
        self.audit(actor, "reference.import", Some(tenant), &id, &detail).await?;
        Ok(ManifestView { values, ..view })
    }
}

impl Tenant {
    /// Verifies a manifest under the keys of this tenant's signers.
    pub(super) async fn open_manifest(&self, bytes: Vec<u8>, now: UnixMillis) -> Result<Manifest, Error> {
        let rows = self.store.endorsers().await?;
        let keys = rows.iter().map(stored_key).collect::<Result<Vec<_>, _>>()?;
        let open = move || {
            let signers = rows.iter().zip(keys).map(|(row, key)| Signer { name: &row.name, key });
            let signers: Vec<_> = signers.collect();
            corim::open(&AWS_LC, &bytes, &signers, now).map_err(unbelieved)
        };
        let opened = tokio::task::spawn_blocking(open).await;
        let manifest = opened.map_err(|_| Error::Unavailable("the manifest could not be read".into()))??;
        check_names(&manifest)?;
        Ok(manifest)
    }
}

/// The tags of a manifest, for a line of the audit.
fn named(tags: &[TagView]) -> String {
    let mut words: Vec<_> =
        tags.iter().take(TAGS_AUDITED).map(|tag| format!("tag {} version {}", tag.tag, tag.version)).collect();
    if let Some(more) = tags.len().checked_sub(TAGS_AUDITED).filter(|more| *more > 0) {
        words.push(format!("{more} more"));
    }
    words.join(", ")
}

/// Names that people will read in terminals and logs.
fn check_names(manifest: &Manifest) -> Result<(), Error> {
    check_name("manifest's name", &manifest.id)?;
    for tag in &manifest.tags {
        tag.replaces.iter().chain([&tag.id]).try_for_each(|name| check_name("tag's name", name))?;
        for value in &tag.values {
            let names = [&value.class.vendor, &value.class.model, &value.component];
            let mut names = names.into_iter().chain(&value.version);
            names.try_for_each(|name| check_name("name in a reference value", name))?;
        }
    }
    Ok(())
}

/// The key of a PEM file, in DER and read.
fn public_key(pem: &str) -> Result<(Vec<u8>, PublicKey), Error> {
    let wrong =
        |why: &str| Error::Malformed(format!("a signer's key is a PEM file that begins with BEGIN PUBLIC KEY: {why}"));
    if pem.len() > ENDORSER_PEM_BYTES_MAX {
        return Err(wrong("this is longer than any"));
    }
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| wrong("this holds none"))?;
    let key = PublicKey::from_spki(&der).map_err(|error| wrong(&error.to_string()))?;
    Ok((der.to_vec(), key))
}

fn stored_key(row: &EndorserRow) -> Result<PublicKey, store::Error> {
    PublicKey::from_spki(&row.key).map_err(|_| store::Error::Damaged("a signer's key"))
}

fn view(row: &EndorserRow, key: &PublicKey) -> EndorserView {
    let algorithm = match key {
        PublicKey::P256(_) => "P-256",
        PublicKey::P384(_) => "P-384",
        PublicKey::Ed25519(_) => "Ed25519",
    };
    EndorserView {
        name: row.name.clone(),
        algorithm: algorithm.into(),
        thumbprint: key.thumbprint(&AWS_LC).to_string(),
        added: rfc3339(row.added),
        added_by: row.added_by.clone(),
    }
}

const _: () = assert!(limits::NAME_BYTES_MAX >= crate::limits::NAME_BYTES_MAX, "a signer's name fits its values");
