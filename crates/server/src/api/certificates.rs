//! Certificates of devices: which there are, which end soon, which were taken back.

use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::auth::Operator;
use super::devices::find;
use super::extract::{Json, Path, Query, paging};
use super::problem::Problem;
use super::state::Shared;
use crate::app::certificates::{CertificateFilter, CertificateView, Reason};
use crate::app::enrolment::EnrolmentSecret;
use crate::app::views::Page;

/// Which certificates, and where in the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CertificateQuery {
    /// Only those of this device: its name, or its number.
    device: Option<String>,
    /// Only those in use that end within so many days.
    expiring_days: Option<u32>,
    /// Only those that were taken back, or only the others.
    revoked: Option<bool>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Items on the page: 1 to 200, 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    reason: Reason,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// For how many hours it is good.
    #[schema(example = 24)]
    hours: u32,
}

/// Certificates of the tenant's devices, the newest first.
#[utoipa::path(get, path = "/tenants/{tenant}/certificates", tag = "certificates", operation_id = "certificates_list",
    params(("tenant" = String, Path, description = "The tenant's name"), CertificateQuery),
    responses((status = 200, body = Page<CertificateView>)))]
pub async fn list(
    State(api): Shared,
    Path(tenant): Path<String>,
    Query(query): Query<CertificateQuery>,
) -> Result<axum::Json<Page<CertificateView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    let filter = CertificateFilter { device: query.device, expiring_days: query.expiring_days, revoked: query.revoked };
    Ok(axum::Json(api.app.certificates(tenant, &filter, &paging(query.cursor, query.limit)?).await?))
}

/// One certificate, with its PEM.
#[utoipa::path(get, path = "/tenants/{tenant}/certificates/{serial}", tag = "certificates",
    operation_id = "certificates_show",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("serial" = String, Path, description = "Its serial number, 32 hexadecimal digits")),
    responses((status = 200, body = CertificateView)))]
pub async fn show(
    State(api): Shared,
    Path((tenant, serial)): Path<(String, String)>,
) -> Result<axum::Json<CertificateView>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.certificate(tenant, &serial).await?))
}

/// Takes a certificate back for good; the device's association ends.
#[utoipa::path(post, path = "/tenants/{tenant}/certificates/{serial}/revoke", tag = "certificates",
    operation_id = "certificates_revoke", request_body = Revocation,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("serial" = String, Path, description = "Its serial number, 32 hexadecimal digits")),
    responses((status = 200, body = CertificateView)))]
pub async fn revoke(
    State(api): Shared,
    operator: Operator,
    Path((tenant, serial)): Path<(String, String)>,
    Json(revocation): Json<Revocation>,
) -> Result<axum::Json<CertificateView>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.revoke_certificate(&operator.actor, tenant, &serial, revocation.reason).await?))
}

/// Makes the secret with which a device asks for its first certificate (EST, HTTP Basic). It is shown this once.
#[utoipa::path(post, path = "/tenants/{tenant}/devices/{device}/enrolment-secret", tag = "certificates",
    operation_id = "certificates_make_secret", request_body = NewSecret,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number")),
    responses((status = 200, body = EnrolmentSecret)))]
pub async fn make_secret(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device)): Path<(String, String)>,
    Json(new): Json<NewSecret>,
) -> Result<axum::Json<EnrolmentSecret>, Problem> {
    let key = find(&api, &tenant, &device).await?;
    Ok(axum::Json(api.app.make_enrolment_secret(&operator.actor, key, new.hours).await?))
}
