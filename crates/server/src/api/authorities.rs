//! A tenant's issuing authorities: asked for here, signed by a root elsewhere, installed here.

use axum::extract::State;
use axum::http::StatusCode;

use super::auth::Operator;
use super::extract::{Json, Path};
use super::problem::{Kind, Problem};
use super::state::Shared;
use crate::app::authorities::{AuthorityView, Bundle};

/// The tenant's authorities, the oldest first.
#[utoipa::path(get, path = "/tenants/{tenant}/authorities", tag = "certificates", operation_id = "authorities_list",
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = Vec<AuthorityView>)))]
pub async fn list(State(api): Shared, Path(tenant): Path<String>) -> Result<axum::Json<Vec<AuthorityView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.authorities(tenant).await?))
}

/// Makes the key of another authority, which never leaves, and the request that a root signs.
#[utoipa::path(post, path = "/tenants/{tenant}/authorities", tag = "certificates",
    operation_id = "authorities_request", params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 201, body = AuthorityView)))]
pub async fn request(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
) -> Result<(StatusCode, axum::Json<AuthorityView>), Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    let view = api.app.request_authority(&operator.actor, tenant).await?;
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// Installs the certificate of an authority that was asked for, together with its root. It issues from then on.
#[utoipa::path(post, path = "/tenants/{tenant}/authorities/install", tag = "certificates",
    operation_id = "authorities_install", request_body = Bundle,
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = AuthorityView)))]
pub async fn install(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    Json(bundle): Json<Bundle>,
) -> Result<axum::Json<AuthorityView>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.install_authority(&operator.actor, tenant, &bundle).await?))
}

/// Gives the tenant's devices further roots, or roots that others certified.
#[utoipa::path(post, path = "/tenants/{tenant}/authorities/roots", tag = "certificates",
    operation_id = "authorities_add_roots", request_body = Bundle,
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = Vec<AuthorityView>)))]
pub async fn add_roots(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    Json(bundle): Json<Bundle>,
) -> Result<axum::Json<Vec<AuthorityView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    api.app.add_roots(&operator.actor, tenant, &bundle).await?;
    Ok(axum::Json(api.app.authorities(tenant).await?))
}

/// Believes nothing that an authority issued, from now on and for good.
#[utoipa::path(post, path = "/tenants/{tenant}/authorities/{number}/distrust", tag = "certificates",
    operation_id = "authorities_distrust",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("number" = u64, Path, description = "Which of the tenant's authorities")),
    responses((status = 200, body = Vec<AuthorityView>)))]
pub async fn distrust(
    State(api): Shared,
    operator: Operator,
    Path((tenant, number)): Path<(String, String)>,
) -> Result<axum::Json<Vec<AuthorityView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    let number = number.parse().map_err(|_| Problem::new(Kind::UNKNOWN, "there is no such authority"))?;
    api.app.distrust_authority(&operator.actor, tenant, number).await?;
    Ok(axum::Json(api.app.authorities(tenant).await?))
}
