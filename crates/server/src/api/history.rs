//! What happened: findings, a device's timeline and habits, and the sources that are limited.

use axum::extract::State;

use super::devices::find;
use super::extract::{PageQuery, Path, Query};
use super::problem::Problem;
use super::state::Shared;
use crate::app::views::{FindingView, Page, ProfileView, SourceView, TimelineEntry};

/// The tenant's findings, newest first.
#[utoipa::path(get, path = "/tenants/{tenant}/findings", tag = "history", operation_id = "history_findings",
    params(("tenant" = String, Path, description = "The tenant's name"), PageQuery),
    responses((status = 200, body = Page<FindingView>)))]
pub async fn findings(
    State(api): Shared,
    Path(tenant): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<FindingView>>, Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.findings(id, &page.paging()?).await?))
}

/// The network sources whose unauthenticated traffic is limited.
#[utoipa::path(get, path = "/tenants/{tenant}/sources", tag = "history", operation_id = "history_sources",
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = Page<SourceView>)))]
pub async fn sources(State(api): Shared, Path(tenant): Path<String>) -> Result<axum::Json<Page<SourceView>>, Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.sources(id).await?))
}

/// A device's history, newest first.
#[utoipa::path(get, path = "/tenants/{tenant}/devices/{device}/timeline", tag = "history", operation_id = "history_timeline",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number"), PageQuery),
    responses((status = 200, body = Page<TimelineEntry>)))]
pub async fn timeline(
    State(api): Shared,
    Path((tenant, device)): Path<(String, String)>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<TimelineEntry>>, Problem> {
    let key = find(&api, &tenant, &device).await?;
    Ok(axum::Json(api.app.timeline(key, &page.paging()?).await?))
}

/// A device's habits: what is expected of it, and what was seen lately.
#[utoipa::path(get, path = "/tenants/{tenant}/devices/{device}/profile", tag = "history", operation_id = "history_profile",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("device" = String, Path, description = "Its name, or its number")),
    responses((status = 200, body = ProfileView)))]
pub async fn profile(
    State(api): Shared,
    Path((tenant, device)): Path<(String, String)>,
) -> Result<axum::Json<ProfileView>, Problem> {
    let key = find(&api, &tenant, &device).await?;
    Ok(axum::Json(api.app.profile(key).await?))
}
