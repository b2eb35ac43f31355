//! Onboarding: who may join, whose make is known, and who waits for a person.

use axum::extract::{Request, State};
use axum::http::StatusCode;

use super::auth::Operator;
use super::extract::{Json, PageQuery, Path, Query};
use super::imports::{Imported, carry};
use super::problem::Problem;
use super::state::Shared;
use crate::app::onboarding::{Approval, ManufacturerView, NewManufacturer, NewVoucher, OrderView, QueuedView};
use crate::app::views::Page;

/// Who waits for a person: strangers whose make is known and whom nobody ordered, and devices that join twice.
#[utoipa::path(get, path = "/tenants/{tenant}/onboarding/queue", tag = "onboarding", operation_id = "onboarding_queue",
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = Vec<QueuedView>)))]
pub async fn queue(State(api): Shared, Path(tenant): Path<String>) -> Result<axum::Json<Vec<QueuedView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.onboarding_queue(tenant).await?))
}

/// Lets a stranger join at its next knock, under this name and type; or lets a device join anew.
#[utoipa::path(post, path = "/tenants/{tenant}/onboarding/queue/{identity}/approval", tag = "onboarding",
    operation_id = "onboarding_approve", request_body = Approval,
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("identity" = String, Path, description = "The line, by its `identity`")),
    responses((status = 200, body = Vec<QueuedView>)))]
pub async fn approve(
    State(api): Shared,
    operator: Operator,
    Path((tenant, identity)): Path<(String, String)>,
    Json(approval): Json<Approval>,
) -> Result<axum::Json<Vec<QueuedView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    api.app.approve(&operator.actor, tenant, &identity, &approval).await?;
    Ok(axum::Json(api.app.onboarding_queue(tenant).await?))
}

/// Sends it away. The line stays as long as it knocks, so that nobody is asked again.
#[utoipa::path(post, path = "/tenants/{tenant}/onboarding/queue/{identity}/refusal", tag = "onboarding",
    operation_id = "onboarding_refuse",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("identity" = String, Path, description = "The line, by its `identity`")),
    responses((status = 200, body = Vec<QueuedView>)))]
pub async fn refuse(
    State(api): Shared,
    operator: Operator,
    Path((tenant, identity)): Path<(String, String)>,
) -> Result<axum::Json<Vec<QueuedView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    api.app.refuse(&operator.actor, tenant, &identity).await?;
    Ok(axum::Json(api.app.onboarding_queue(tenant).await?))
}

/// Who may join, used entries too.
#[utoipa::path(get, path = "/tenants/{tenant}/onboarding/orders", tag = "onboarding", operation_id = "orders_list",
    params(("tenant" = String, Path, description = "The tenant's name"), PageQuery),
    responses((status = 200, body = Page<OrderView>)))]
pub async fn orders(
    State(api): Shared,
    Path(tenant): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<OrderView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.orders(tenant, &page.paging()?).await?))
}

/// Takes back an entry that has not been used.
#[utoipa::path(delete, path = "/tenants/{tenant}/onboarding/orders/{order}", tag = "onboarding",
    operation_id = "orders_remove",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("order" = String, Path, description = "The name that the device would get")),
    responses((status = 204)))]
pub async fn remove_order(
    State(api): Shared,
    operator: Operator,
    Path((tenant, order)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    api.app.remove_order(&operator.actor, tenant, &order).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds the order entries of a CSV file (columns `name`, `type`, and `identity` or `manufacturer` and `serial_number`):
/// all of them, or none and the wrong lines named.
#[utoipa::path(post, path = "/tenants/{tenant}/onboarding/imports", tag = "onboarding", operation_id = "orders_import",
    request_body(content = String, content_type = "text/csv"),
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = Imported),
              (status = 422, description = "Lines are wrong: `lines` names them, `total` counts them",
               content_type = "application/problem+json", body = Problem)))]
pub async fn import_orders(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    request: Request,
) -> Result<axum::Json<Imported>, Problem> {
    let id = api.app.tenant_id(&tenant).await?;
    let import = async |reader| api.app.import_orders(&operator.actor, id, reader).await;
    carry(request, api.options.import_bytes_max, import).await
}

/// Takes a manufacturer's voucher (RFC 8366): an order entry that counts once.
#[utoipa::path(post, path = "/tenants/{tenant}/onboarding/vouchers", tag = "onboarding",
    operation_id = "vouchers_add", request_body = NewVoucher,
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 201, body = OrderView),
              (status = 422, description = "No manufacturer of this tenant signed it, or it has ended",
               content_type = "application/problem+json", body = Problem)))]
pub async fn add_voucher(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    Json(new): Json<NewVoucher>,
) -> Result<(StatusCode, axum::Json<OrderView>), Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    let added = api.app.add_voucher(&operator.actor, tenant, &new).await?;
    Ok((StatusCode::CREATED, axum::Json(added)))
}

/// Who vouches for a make.
#[utoipa::path(get, path = "/tenants/{tenant}/onboarding/manufacturers", tag = "onboarding",
    operation_id = "manufacturers_list", params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = Vec<ManufacturerView>)))]
pub async fn manufacturers(
    State(api): Shared,
    Path(tenant): Path<String>,
) -> Result<axum::Json<Vec<ManufacturerView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    Ok(axum::Json(api.app.manufacturers(tenant).await?))
}

/// Lets a manufacturer vouch for its make, and sign vouchers. It makes nobody a device of this tenant.
#[utoipa::path(post, path = "/tenants/{tenant}/onboarding/manufacturers", tag = "onboarding",
    operation_id = "manufacturers_add", request_body = NewManufacturer,
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 201, body = Vec<ManufacturerView>)))]
pub async fn add_manufacturer(
    State(api): Shared,
    operator: Operator,
    Path(tenant): Path<String>,
    Json(new): Json<NewManufacturer>,
) -> Result<(StatusCode, axum::Json<Vec<ManufacturerView>>), Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    api.app.add_manufacturer(&operator.actor, tenant, &new).await?;
    Ok((StatusCode::CREATED, axum::Json(api.app.manufacturers(tenant).await?)))
}

/// Ends that. Devices that have joined stay.
#[utoipa::path(delete, path = "/tenants/{tenant}/onboarding/manufacturers/{manufacturer}", tag = "onboarding",
    operation_id = "manufacturers_remove",
    params(("tenant" = String, Path, description = "The tenant's name"),
           ("manufacturer" = String, Path, description = "The manufacturer's name")),
    responses((status = 200, body = Vec<ManufacturerView>)))]
pub async fn remove_manufacturer(
    State(api): Shared,
    operator: Operator,
    Path((tenant, manufacturer)): Path<(String, String)>,
) -> Result<axum::Json<Vec<ManufacturerView>>, Problem> {
    let tenant = api.app.tenant_id(&tenant).await?;
    api.app.remove_manufacturer(&operator.actor, tenant, &manufacturer).await?;
    Ok(axum::Json(api.app.manufacturers(tenant).await?))
}

/// The certificate by which devices know the gateway, in PEM: what a manufacturer pins in a voucher.
#[utoipa::path(get, path = "/gateway-certificate", tag = "onboarding", operation_id = "gateway_certificate",
    responses((status = 200, body = String, content_type = "application/pem-certificate-chain")))]
pub async fn gateway_certificate(State(api): Shared) -> Result<impl axum::response::IntoResponse, Problem> {
    let pem = api.app.gateway_certificate_pem().await?;
    Ok(([(axum::http::header::CONTENT_TYPE, "application/pem-certificate-chain")], pem))
}
