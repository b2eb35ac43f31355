//! What machines ask around the API: health, readiness, metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::auth;
use super::problem::Problem;
use super::state::{Api, Shared};
use crate::config::MetricsReader;

/// `/healthz`, `/readyz` and `/metrics`.
pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// Why not, in sentences.
    reasons: Vec<String>,
}

async fn alive() -> axum::Json<serde_json::Value> {
    axum::Json(serde_json::json!({ "alive": true, "version": env!("CARGO_PKG_VERSION") }))
}

async fn ready(State(api): Shared) -> (StatusCode, axum::Json<Readiness>) {
    let mut reasons = api.health.reasons();
    for reason in api.app.unready().await {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let status = match reasons.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let readiness = Readiness { ready: reasons.is_empty(), reasons };
    (status, axum::Json(readiness))
}

async fn metrics(State(api): Shared, request: Parts) -> Result<Response, Problem> {
    let local = auth::client(&request.extensions).is_none_or(|ip| ip.is_loopback());
    let open = match api.live().metrics {
        MetricsReader::Anybody => true,
        MetricsReader::Loopback => local,
        MetricsReader::Operator => false,
    };
    if !open {
        auth::authenticate(&api, &request).await?;
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], api.metrics.text()).into_response())
}
