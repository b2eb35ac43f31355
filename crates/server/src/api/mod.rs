//! The HTTP API under `/api/v1` and the embedded console.
//!
//! [`router`] is all of it as one service: the [`server`] puts it behind TLS, the command line calls it
//! in-process when no server runs. [`openapi`] is its description, which `openapi/bartizan.json` holds.

mod attestation;
pub mod auth;
mod authorities;
mod backups;
mod bounds;
mod certificates;
mod commands;
mod conditions;
mod console;
mod devices;
mod events;
mod extract;
mod headers;
mod history;
mod idempotency;
mod imports;
mod onboarding;
mod openapi;
mod operations;
pub mod pki;
pub mod problem;
mod references;
pub mod server;
mod sessions;
mod state;
mod tenants;
mod trusted_keys;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Router, routing::get};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use backups::BackupView;
pub use imports::Imported;
pub use openapi::document as openapi;
pub use problem::Problem;
pub use state::{Api, ApiOptions, Live};

use problem::Kind;

/// The whole service: API, health and metrics, console.
pub fn router(api: Arc<Api>) -> Router {
    let (operator, _) = operator_routes().split_for_parts();
    let (streaming, _) = streaming_routes().split_for_parts();
    let (public, _) = public_routes().split_for_parts();
    let hurry = || from_fn_with_state(Arc::clone(&api), bounds::hurry);
    let identified = || from_fn_with_state(Arc::clone(&api), auth::require_operator);
    let once = from_fn_with_state(Arc::clone(&api), idempotency::once);
    let api_v1 = operator
        .layer(once)
        .layer(identified())
        .merge(public)
        .layer(hurry())
        .merge(streaming.layer(identified()))
        .route("/openapi.json", get(openapi::serve))
        .method_not_allowed_fallback(wrong_method);
    Router::new()
        .nest("/api/v1", api_v1)
        .merge(operations::routes().layer(hurry()))
        .merge(pki::router(Arc::clone(&api.app)).layer(hurry()))
        .fallback(console::serve)
        .layer(DefaultBodyLimit::max(api.options.body_bytes_max))
        .layer(from_fn_with_state(Arc::clone(&api), bounds::admit))
        .layer(from_fn(headers::secure))
        .with_state(api)
}

/// For operators; each is done within a bounded time.
fn operator_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::default()
        .routes(routes!(sessions::current, sessions::close))
        .routes(routes!(tenants::list, tenants::add))
        .routes(routes!(tenants::show, tenants::change))
        .routes(routes!(tenants::summary))
        .routes(routes!(tenants::types, tenants::add_type))
        .routes(routes!(devices::list, devices::add))
        .routes(routes!(devices::show))
        .routes(routes!(devices::isolate))
        .routes(routes!(devices::release))
        .routes(routes!(devices::retire))
        .routes(routes!(devices::rotate_key))
        .routes(routes!(devices::ask_for_key))
        .routes(routes!(attestation::show))
        .routes(routes!(attestation::result))
        .routes(routes!(attestation::set_identity))
        .routes(routes!(attestation::show_policy, attestation::set_policy))
        .routes(routes!(attestation::list_references, attestation::add_reference))
        .routes(routes!(trusted_keys::list_endorsers, trusted_keys::add_endorser))
        .routes(routes!(trusted_keys::remove_endorser))
        .routes(routes!(trusted_keys::list_verifiers, trusted_keys::add_verifier))
        .routes(routes!(trusted_keys::remove_verifier))
        .routes(routes!(references::import))
        .routes(routes!(references::try_import))
        .routes(routes!(references::change))
        .routes(routes!(references::try_change))
        .routes(routes!(references::show_floor))
        .routes(routes!(onboarding::queue))
        .routes(routes!(onboarding::approve))
        .routes(routes!(onboarding::refuse))
        .routes(routes!(onboarding::orders))
        .routes(routes!(onboarding::remove_order))
        .routes(routes!(onboarding::add_voucher))
        .routes(routes!(onboarding::manufacturers, onboarding::add_manufacturer))
        .routes(routes!(onboarding::remove_manufacturer))
        .routes(routes!(onboarding::gateway_certificate))
        .routes(routes!(authorities::list, authorities::request))
        .routes(routes!(authorities::install))
        .routes(routes!(authorities::add_roots))
        .routes(routes!(authorities::distrust))
        .routes(routes!(certificates::list))
        .routes(routes!(certificates::show))
        .routes(routes!(certificates::revoke))
        .routes(routes!(certificates::make_secret))
        .routes(routes!(commands::list, commands::send))
        .routes(routes!(commands::decide))
        .routes(routes!(history::timeline))
        .routes(routes!(history::profile))
        .routes(routes!(history::findings))
        .routes(routes!(history::sources))
}

/// For operators; these take as long as their data.
fn streaming_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::default()
        .routes(routes!(imports::import))
        .routes(routes!(onboarding::import_orders))
        .routes(routes!(events::stream))
        .routes(routes!(backups::create))
}

/// For everybody.
fn public_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::default().routes(routes!(sessions::open)).routes(routes!(attestation::keys))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} does not exist on {}", uri.path());
    Problem::new(Kind::METHOD, detail)
}
