//! Reference values: manifests that bring them, changes of them, and dry runs of both.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use bartizan_trust::limits::CORIM_BYTES_MAX;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use utoipa::ToSchema;

use super::auth::Operator;
use super::extract::{Json, PageQuery, Path, Query};
use super::problem::{Kind, Problem};
use super::state::Shared;
use crate::app::changes::{ChangeView, FloorView, ManifestView, NewChange};
use crate::app::trials::TrialView;
use crate::limits::CLIENT_STALL_MS_MAX;

/// What a signed manifest is sent as, and what its signature says that it holds (draft-ietf-rats-corim-11 section 12).
const MANIFEST_TYPES: [&str; 2] = ["application/rim+cose", "application/rim+cbor"];

/// A manifest of reference values: a COSE_Sign1 around a CoRIM.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "its description is all that is used")]
struct SignedCorim(Vec<u8>);

/// Takes the reference values of a signed CoRIM: all of them, or none. The same one again changes nothing.
#[utoipa::path(post, path = "/tenants/{tenant}/reference-manifests", tag = "attestation",
    operation_id = "references_import",
    request_body(content = SignedCorim, content_type = "application/rim+cose"),
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = ManifestView),
              (status = 409, description = "It was rolled back, or contradicts what another source says; both are named",
               content_type = "application/problem+json", body = Problem),
              (status = 422, description = "No signer of this tenant signed it, or its validity is over",
               content_type = "application/problem+json", body = Problem)))]
pub async fn import(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    request: Request,
) -> Result<axum::Json<ManifestView>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    let bytes = manifest_of(request).await?;
    Ok(axum::Json(api.app.import_manifest(&operator.actor, tenant, bytes).await?))
}

/// Who would fail if this CoRIM was imported? Judges each device's last evidence again, and changes nothing.
#[utoipa::path(post, path = "/tenants/{tenant}/reference-manifest-trials", tag = "attestation",
    operation_id = "references_try_import",
    request_body(content = SignedCorim, content_type = "application/rim+cose"),
    params(("tenant" = String, Path, description = "The tenant's name"), PageQuery),
    responses((status = 200, body = TrialView)))]
pub async fn try_import(
    State(api): Shared,
    Path(tenant): Path<String>,
    Query(page): Query<PageQuery>,
    request: Request,
) -> Result<axum::Json<TrialView>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    let bytes = manifest_of(request).await?;
    Ok(axum::Json(api.app.try_manifest(tenant, bytes, &page.paging()?).await?))
}

/// Forbids, deprecates or allows a version of a layer, raises a type's least security version, or revokes a tag.
#[utoipa::path(post, path = "/tenants/{tenant}/reference-changes", tag = "attestation",
    operation_id = "references_change", request_body = NewChange,
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = ChangeView)))]
pub async fn change(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    Json(new): Json<NewChange>,
) -> Result<axum::Json<ChangeView>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.change_references(&operator.actor, tenant, &new).await?))
}

/// Who would fail after this change? Judges each device's last evidence again, and changes nothing.
#[utoipa::path(post, path = "/tenants/{tenant}/reference-change-trials", tag = "attestation",
    operation_id = "references_try_change", request_body = NewChange,
    params(("tenant" = String, Path, description = "The tenant's name"), PageQuery),
    responses((status = 200, body = TrialView)))]
pub async fn try_change(
    State(api): Shared,
    Path(tenant): Path<String>,
    Query(page): Query<PageQuery>,
    Json(new): Json<NewChange>,
) -> Result<axum::Json<TrialView>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.try_change(tenant, &new, &page.paging()?).await?))
}

/// The least security version that devices of a type may run.
#[utoipa::path(get, path = "/tenants/{tenant}/types/{type}/security-floor", tag = "attestation",
    operation_id = "references_show_floor",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("type" = String, Path, description = "The type's name")),
    responses((status = 200, body = FloorView)))]
pub async fn show_floor(
    State(api): Shared,
    Path((tenant, device_type)): Path<(String, String)>,
) -> Result<axum::Json<FloorView>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.security_floor(tenant, &device_type).await?))
}

async fn manifest_of(request: Request) -> Result<Vec<u8>, Problem> {
    expect_manifest(request.headers())?;
    let patience = Duration::from_millis(CLIENT_STALL_MS_MAX);
    let whole = Limited::new(request.into_body(), CORIM_BYTES_MAX).collect();
    match tokio::time::timeout(patience, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Kind::TOO_LARGE, format!("a manifest has at most {CORIM_BYTES_MAX} bytes")))
        }
        Ok(Err(error)) => Err(Problem::new(Kind::MALFORMED, format!("the manifest broke off: {error}"))),
        Err(_) => Err(Problem::new(Kind::MALFORMED, "the manifest did not come in time")),
    }
}

fn expect_manifest(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if MANIFEST_TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
        return Ok(());
    }
    let detail = "send the signed CoRIM with `Content-Type: application/rim+cose`";
    Err(Problem::new(Kind::MEDIA_TYPE, detail))
}
