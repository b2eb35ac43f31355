//! The firmware of simulated meters, released to their operator as its maker would.

use bartizan_crypto::AWS_LC;
use bartizan_platform::import::secret::to_hex;
use bartizan_sim::RELEASES;
use bartizan_wire::TenantId;

use crate::app::references::{NewReference, PolicyView};
use crate::app::{Actor, App, Error};

/// Holds devices of a type to the layers of simulated meters and to `terms`, and states what each layer measures as.
///
/// # Errors
/// As [`App::set_attestation_policy`] and [`App::add_reference`].
pub async fn release(
    app: &App,
    actor: &Actor,
    tenant: TenantId,
    device_type: &str,
    terms: PolicyView,
) -> Result<(), Error> {
    let layers = RELEASES.map(|release| release.component.to_owned()).to_vec();
    app.set_attestation_policy(actor, tenant, device_type, &PolicyView { layers, ..terms }).await?;
    for release in RELEASES {
        let new = NewReference {
            component: release.component.into(),
            version: release.version.into(),
            security_version: Some(release.security_version),
            digest: to_hex(&(AWS_LC.sha512)(&[&release.image()])),
        };
        app.add_reference(actor, tenant, device_type, &new).await?;
    }
    Ok(())
}
