//! Attestation: who a device is, what it has proven, and what it is held to.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Operator;
use super::devices::find;
use super::extract::{Json, Path, Query};
use super::problem::Problem;
use super::state::Shared;
use crate::app::references::{NewReference, PolicyView};
use crate::app::results::ResultView;
use crate::app::views::{AttestationView, ReferenceView};

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIdentity {
    /// 64 hexadecimal digits: the SHA-256 thumbprint (RFC 9679) of the key of the device's unique secret.
    pub identity: String,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ResultQuery {
    /// The relying party's own, 8 to 64 bytes in base64url: it comes back signed in the result.
    pub nonce: Option<String>,
}

/// What a device has proven of itself.
#[utoipa::path(get, path = "/tenants/{tenant}/devices/{device}/attestation", tag = "attestation",
    operation_id = "attestation_show",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number")),
    responses((status = 200, body = AttestationView)))]
pub async fn show(
    State(api): Shared,
    Path((tenant, device)): Path<(String, String)>,
) -> Result<axum::Json<AttestationView>, Problem> {
    let key = find(&api, &tenant, &device).await?;
    Ok(axum::Json(api.app.show_attestation(key).await?))
}

/// What relying parties may hold of a device now: an attestation result (EAR), signed.
#[utoipa::path(get, path = "/tenants/{tenant}/devices/{device}/attestation/result", tag = "attestation",
    operation_id = "attestation_result",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number"), ResultQuery),
    responses((status = 200, body = ResultView),
              (status = 409, description = "It has no verdict, or none that still stands",
               content_type = "application/problem+json", body = Problem)))]
pub async fn result(
    State(api): Shared,
    Path((tenant, device)): Path<(String, String)>,
    Query(query): Query<ResultQuery>,
) -> Result<axum::Json<ResultView>, Problem> {
    let key = find(&api, &tenant, &device).await?;
    Ok(axum::Json(api.app.attestation_result(key, query.nonce.as_deref()).await?))
}

/// The keys that attestation results are signed with (a JWK set, RFC 7517).
#[utoipa::path(get, path = "/attestation-keys", tag = "attestation", operation_id = "attestation_keys",
    responses((status = 200, body = serde_json::Value, content_type = "application/jwk-set+json")))]
pub async fn keys(State(api): Shared) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/jwk-set+json")], api.app.result_keys().to_string())
}

/// Registers a device's attestation identity. Only this makes it one: what arrives in evidence never does.
#[utoipa::path(put, path = "/tenants/{tenant}/devices/{device}/attestation-identity", tag = "attestation",
    operation_id = "attestation_set_identity", request_body = NewIdentity,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number")),
    responses((status = 200, body = AttestationView)))]
pub async fn set_identity(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device)): Path<(String, String)>,
    Json(new): Json<NewIdentity>,
) -> Result<axum::Json<AttestationView>, Problem> {
    let key = find(&api, &tenant, &device).await?;
    api.app.set_identity(&operator.actor, key, &new.identity).await?;
    Ok(axum::Json(api.app.show_attestation(key).await?))
}

/// What devices of a type are held to when they attest.
#[utoipa::path(get, path = "/tenants/{tenant}/types/{type}/attestation-policy", tag = "attestation",
    operation_id = "attestation_show_policy",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("type" = String, Path, description = "The type's name")),
    responses((status = 200, body = PolicyView)))]
pub async fn show_policy(
    State(api): Shared,
    Path((tenant, device_type)): Path<(String, String)>,
) -> Result<axum::Json<PolicyView>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.show_attestation_policy(tenant, &device_type).await?))
}

/// Says what devices of a type are held to. Without it none of them is appraised.
#[utoipa::path(put, path = "/tenants/{tenant}/types/{type}/attestation-policy", tag = "attestation",
    operation_id = "attestation_set_policy", request_body = PolicyView,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("type" = String, Path, description = "The type's name")),
    responses((status = 200, body = PolicyView)))]
pub async fn set_policy(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device_type)): Path<(String, String)>,
    Json(policy): Json<PolicyView>,
) -> Result<axum::Json<PolicyView>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    api.app.set_attestation_policy(&operator.actor, tenant, &device_type, &policy).await?;
    Ok(axum::Json(policy))
}

/// What good firmware of a type measures as.
#[utoipa::path(get, path = "/tenants/{tenant}/types/{type}/reference-values", tag = "attestation",
    operation_id = "references_list",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("type" = String, Path, description = "The type's name")),
    responses((status = 200, body = Vec<ReferenceView>)))]
pub async fn list_references(
    State(api): Shared,
    Path((tenant, device_type)): Path<(String, String)>,
) -> Result<axum::Json<Vec<ReferenceView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.reference_values(tenant, &device_type).await?))
}

/// States what a version of a layer measures as. A value that contradicts another one is refused.
#[utoipa::path(post, path = "/tenants/{tenant}/types/{type}/reference-values", tag = "attestation",
    operation_id = "references_add", request_body = NewReference,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("type" = String, Path, description = "The type's name")),
    responses((status = 200, body = Vec<ReferenceView>)))]
pub async fn add_reference(
    State(api): Shared,
    operator: Operator,
    Path((tenant, device_type)): Path<(String, String)>,
    Json(new): Json<NewReference>,
) -> Result<axum::Json<Vec<ReferenceView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    api.app.add_reference(&operator.actor, tenant, &device_type, &new).await?;
    Ok(axum::Json(api.app.reference_values(tenant, &device_type).await?))
}
