//! Tenants and their device types.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::auth::Operator;
use super::conditions::{Tagged, required_version, unless_known};
use super::extract::{Json, PageQuery, Path, Query};
use super::problem::{Kind, Problem};
use super::state::Shared;
use crate::app::TenantChange;
use crate::app::views::{Page, Summary, TenantView, TypeView};
use crate::upstream::UpstreamConfig;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    name: String,
    /// `log:PATH`, `mqtt://…`, `mqtts://…`, `coap://…` or `coaps://…`.
    #[schema(example = "log:/var/log/water.ndjson")]
    upstream: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    /// Where messages go from now on; as for a new tenant.
    upstream: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewType {
    #[schema(example = "water meter")]
    name: String,
}

/// All tenants.
#[utoipa::path(get, path = "/tenants", tag = "tenants", operation_id = "tenants_list", params(PageQuery),
    responses((status = 200, body = Page<TenantView>)))]
pub async fn list(State(api): Shared, Query(page): Query<PageQuery>) -> Result<axum::Json<Page<TenantView>>, Problem> {
    Ok(axum::Json(api.app.tenants(&page.paging()?).await?))
}

/// Adds a tenant.
#[utoipa::path(post, path = "/tenants", tag = "tenants", operation_id = "tenants_add", request_body = NewTenant,
    responses((status = 201, body = TenantView)))]
pub async fn add(
    State(api): Shared,
    operator: Operator,
    Json(new): Json<NewTenant>,
) -> Result<(StatusCode, Tagged<TenantView>), Problem> {
    let upstream = upstream(&new.upstream)?;
    let tenant = api.app.add_tenant(&operator.actor, &new.name, upstream).await?;
    Ok((StatusCode::CREATED, Tagged(tenant)))
}

/// One tenant.
#[utoipa::path(get, path = "/tenants/{tenant}", tag = "tenants", operation_id = "tenants_show",
    params(("tenant" = String, Path, description = "Its name")),
    responses((status = 200, body = TenantView), (status = 304, description = "As If-None-Match knows it")))]
pub async fn show(State(api): Shared, Path(tenant): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    Ok(unless_known(&headers, api.app.tenant(id).await?))
}

/// Changes a tenant.
#[utoipa::path(patch, path = "/tenants/{tenant}", tag = "tenants", operation_id = "tenants_change", request_body = TenantPatch,
    params(("tenant" = String, Path, description = "Its name"),
           ("If-Match" = Option<String>, Header, description = "The ETag that the change is based on")),
    responses((status = 200, body = TenantView)))]
pub async fn change(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<TenantPatch>,
) -> Result<Tagged<TenantView>, Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    let change = TenantChange { upstream: patch.upstream.as_deref().map(upstream).transpose()? };
    let version = required_version(&headers)?;
    let changed = api.app.change_tenant(&operator.actor, id, change, version).await?;
    Ok(Tagged(changed))
}

/// The fleet at a glance.
#[utoipa::path(get, path = "/tenants/{tenant}/summary", tag = "tenants", operation_id = "tenants_summary",
    params(("tenant" = String, Path, description = "Its name")),
    responses((status = 200, body = Summary)))]
pub async fn summary(State(api): Shared, Path(tenant): Path<String>) -> Result<axum::Json<Summary>, Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.summary(id).await?))
}

/// The tenant's device types.
#[utoipa::path(get, path = "/tenants/{tenant}/types", tag = "types", operation_id = "tenants_types",
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = Page<TypeView>)))]
pub async fn types(State(api): Shared, Path(tenant): Path<String>) -> Result<axum::Json<Page<TypeView>>, Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.types(id).await?))
}

/// Adds a device type.
#[utoipa::path(post, path = "/tenants/{tenant}/types", tag = "types", operation_id = "tenants_add_type", request_body = NewType,
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 201, body = TypeView)))]
pub async fn add_type(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    Json(new): Json<NewType>,
) -> Result<(StatusCode, axum::Json<TypeView>), Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    let added = api.app.add_type(&operator.actor, id, &new.name).await?;
    Ok((StatusCode::CREATED, axum::Json(added)))
}

fn upstream(text: &str) -> Result<UpstreamConfig, Problem> {
    text.parse().map_err(|error| Problem::new(Kind::MALFORMED, format!("upstream: {error}")))
}
