//! Keys of others that a tenant believes: who may sign reference values, and whose verdicts count.

use axum::extract::State;
use axum::http::StatusCode;

use super::auth::Operator;
use super::extract::{Json, Path};
use super::problem::Problem;
use super::state::{Api, Shared};
use crate::app::trusted_keys::{KeyRole, NewTrustedKey, TrustedKeyView};

/// Who may sign reference values.
#[utoipa::path(get, path = "/tenants/{tenant}/endorsers", tag = "attestation", operation_id = "endorsers_list",
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = Vec<TrustedKeyView>)))]
pub async fn list_endorsers(
    State(api): Shared,
    Path(tenant): Path<String>,
) -> Result<axum::Json<Vec<TrustedKeyView>>, Problem> {
    list(&api, &tenant, KeyRole::Signer).await
}

/// Lets somebody sign reference values for this tenant, and for no other.
#[utoipa::path(post, path = "/tenants/{tenant}/endorsers", tag = "attestation", operation_id = "endorsers_add",
    request_body = NewTrustedKey, params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 201, body = Vec<TrustedKeyView>)))]
pub async fn add_endorser(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    Json(new): Json<NewTrustedKey>,
) -> Result<(StatusCode, axum::Json<Vec<TrustedKeyView>>), Problem> {
    add(&api, &operator, &tenant, KeyRole::Signer, &new).await
}

/// Ends that. What was signed before vouches on, until its tags are revoked.
#[utoipa::path(delete, path = "/tenants/{tenant}/endorsers/{endorser}", tag = "attestation", operation_id = "endorsers_remove",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("endorser" = String, Path, description = "The signer's name")),
    responses((status = 200, body = Vec<TrustedKeyView>)))]
pub async fn remove_endorser(
    State(api): Shared,
    operator: Operator,
    Path((tenant, name)): Path<(String, String)>,
) -> Result<axum::Json<Vec<TrustedKeyView>>, Problem> {
    remove(&api, &operator, &tenant, KeyRole::Signer, &name).await
}

/// Other verifiers whose attestation results are believed.
#[utoipa::path(get, path = "/tenants/{tenant}/verifiers", tag = "attestation", operation_id = "verifiers_list",
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = Vec<TrustedKeyView>)))]
pub async fn list_verifiers(
    State(api): Shared,
    Path(tenant): Path<String>,
) -> Result<axum::Json<Vec<TrustedKeyView>>, Problem> {
    list(&api, &tenant, KeyRole::Verifier).await
}

/// Believes a verifier's attestation results, for devices of types whose policy names it.
#[utoipa::path(post, path = "/tenants/{tenant}/verifiers", tag = "attestation", operation_id = "verifiers_add",
    request_body = NewTrustedKey, params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 201, body = Vec<TrustedKeyView>)))]
pub async fn add_verifier(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    Json(new): Json<NewTrustedKey>,
) -> Result<(StatusCode, axum::Json<Vec<TrustedKeyView>>), Problem> {
    add(&api, &operator, &tenant, KeyRole::Verifier, &new).await
}

/// Ends that. Devices of types that name it cannot attest any more.
#[utoipa::path(delete, path = "/tenants/{tenant}/verifiers/{verifier}", tag = "attestation", operation_id = "verifiers_remove",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("verifier" = String, Path, description = "The verifier's name")),
    responses((status = 200, body = Vec<TrustedKeyView>)))]
pub async fn remove_verifier(
    State(api): Shared,
    operator: Operator,
    Path((tenant, name)): Path<(String, String)>,
) -> Result<axum::Json<Vec<TrustedKeyView>>, Problem> {
    remove(&api, &operator, &tenant, KeyRole::Verifier, &name).await
}

async fn list(api: &Api, tenant: &str, role: KeyRole) -> Result<axum::Json<Vec<TrustedKeyView>>, Problem> {
    let tenant = api.app.tenant_id(tenant).await?;
    Ok(axum::Json(api.app.trusted_keys(tenant, role).await?))
}

async fn add(
    api: &Api,
    operator: &Operator,
    tenant: &str,
    role: KeyRole,
    new: &NewTrustedKey,
) -> Result<(StatusCode, axum::Json<Vec<TrustedKeyView>>), Problem> {
    let id = api.app.tenant_id(tenant).await?;
    api.app.add_trusted_key(&operator.actor, id, role, new).await?;
    Ok((StatusCode::CREATED, list(api, tenant, role).await?))
}

async fn remove(
    api: &Api,
    operator: &Operator,
    tenant: &str,
    role: KeyRole,
    name: &str,
) -> Result<axum::Json<Vec<TrustedKeyView>>, Problem> {
    let id = api.app.tenant_id(tenant).await?;
    api.app.remove_trusted_key(&operator.actor, id, role, name).await?;
    list(api, tenant, role).await
}
