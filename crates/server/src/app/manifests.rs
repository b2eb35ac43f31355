//! Signed manifests (CoRIM) that bring reference values.
//!
//! A signer speaks for the tenant that named it and for no other. Taking a signer away ends what it may bring from now
//! on; what it has brought vouches on until a tag of it is revoked.

use bartizan_crypto::AWS_LC;
use bartizan_trust::corim::{self, Signer};
use bartizan_trust::reference::Manifest;
use bartizan_wire::{TenantId, UnixMillis};

use super::changes::{Change, ManifestView, TagView, unbelieved};
use super::error::Error;
use super::registry::check_name;
use super::tenant::Tenant;
use super::trusted_keys::stored_key;
use super::{Actor, App};
use crate::store::KeyRole;

/// Tags of a manifest that the audit names.
const TAGS_AUDITED: usize = 8;

impl App {
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
        let rows = self.store.trusted_keys(KeyRole::Signer).await?;
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
