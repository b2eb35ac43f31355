//! The API's description (OpenAPI 3.1), made from the handlers.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::{InfoBuilder, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

use super::problem::{PROBLEM_JSON, Problem};

/// The document as it stands in `openapi/bartizan.json`.
#[must_use]
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let mut text = serde_json::to_string_pretty(&build()).expect("invariant: JSON prints");
        text.push('\n');
        text
    });
    &DOCUMENT
}

pub(super) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
}

fn build() -> Value {
    let info = InfoBuilder::new().title("Bartizan").version(env!("CARGO_PKG_VERSION")).description(Some(DESCRIPTION));
    let empty = OpenApiBuilder::new().info(info).build();
    let routes = super::operator_routes().merge(super::streaming_routes()).merge(super::public_routes());
    let api = OpenApiRouter::with_openapi(empty).nest("/api/v1", routes);
    let (_, api) = api.split_for_parts();
    let mut document = serde_json::to_value(api).expect("invariant: the description is JSON");
    add_security(&mut document);
    add_problems(&mut document);
    document
}

const DESCRIPTION: &str = "Security gateway and fleet operations for IoT devices. Times are RFC 3339 in UTC. \
    Lists are pages: pass `next_cursor` as `cursor` for the next one. Errors are problem details (RFC 9457). \
    POST takes an `Idempotency-Key`; tenants and devices carry an `ETag` that `If-Match` insists on.";

/// A token or a cookie, on everything that does not say otherwise.
fn add_security(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "token": { "type": "http", "scheme": "bearer", "description": "The operator token that `bartizan init` made" },
        "session": { "type": "apiKey", "in": "cookie", "name": super::auth::COOKIE },
    });
    document["security"] = json!([{ "token": [] }, { "session": [] }]);
}

/// Every operation may answer with a problem; every POST may carry a key against repetition.
fn add_problems(document: &mut Value) {
    document["components"]["schemas"]["Problem"] =
        serde_json::to_value(Problem::schema()).expect("invariant: a schema is JSON");
    let problem = json!({
        "description": "What went wrong",
        "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            operation["responses"]["default"] = problem.clone();
            let repeatable = !path.ends_with("/imports") && !path.ends_with("/sessions");
            if method == "post" && repeatable && !path.ends_with("/backups") {
                add_parameter(operation);
            }
        }
    }
}

fn add_parameter(operation: &mut Value) {
    let parameter = json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "A repeated request with the same key is done once and answered as the first time",
        "schema": { "type": "string", "maxLength": crate::limits::IDEMPOTENCY_KEY_BYTES_MAX },
    });
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.push(parameter),
        None => operation["parameters"] = json!([parameter]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_description_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/bartizan.json");
        if std::env::var_os("BARTIZAN_BLESS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == document(),
            "openapi/bartizan.json is not current: cargo run -p bartizan-server -- openapi > openapi/bartizan.json"
        );
    }

    #[test]
    fn every_operation_is_described_and_may_fail() {
        let document: Value = serde_json::from_str(document()).unwrap();
        assert_eq!(document["openapi"].as_str().map(|it| &it[..3]), Some("3.1"));
        let mut names = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let place = format!("{method} {path}");
                assert!(operation["summary"].is_string(), "{place} has no summary");
                assert!(operation["responses"]["default"].is_object(), "{place}");
                let id = operation["operationId"].as_str().unwrap_or_default();
                assert!(names.insert(id.to_owned()), "{place}: {id} names two operations");
            }
        }
        assert!(names.len() > 20);
    }
}
