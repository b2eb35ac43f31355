//! What everybody may ask of an authority: its certificate, its revocation list, and OCSP. Public, and also on the EST
//! listener.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::problem::{Kind, Problem};
use crate::app::App;
use crate::base64;
use crate::limits::OCSP_REQUEST_BYTES_MAX;

const REQUEST: &str = "application/ocsp-request";

/// Under `/pki/NUMBER`: what certificates name if `certificates.url` is set.
pub fn router<S: Clone + Send + Sync + 'static>(app: Arc<App>) -> Router<S> {
    Router::new()
        .route("/pki/{authority}/ca.der", get(certificate))
        .route("/pki/{authority}/crl.der", get(list))
        .route("/pki/{authority}/ocsp", post(ask))
        .route("/pki/{authority}/ocsp/{*request}", get(ask_by_path))
        .layer(DefaultBodyLimit::max(OCSP_REQUEST_BYTES_MAX))
        .with_state(app)
}

type Asked = State<Arc<App>>;

async fn certificate(State(app): Asked, Path(authority): Path<String>) -> Result<Response, Problem> {
    Ok(answer("application/pkix-cert", 3600, app.authority_certificate(number(&authority)?)?))
}

async fn list(State(app): Asked, Path(authority): Path<String>) -> Result<Response, Problem> {
    let list = app.revocation_list(number(&authority)?).await?;
    Ok(answer("application/pkix-crl", 300, list.to_vec()))
}

/// RFC 6960 appendix A.1.
async fn ask(
    State(app): Asked,
    Path(authority): Path<String>,
    headers: axum::http::HeaderMap,
    request: Bytes,
) -> Result<Response, Problem> {
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes() != REQUEST.as_bytes()) {
        return Err(Problem::new(Kind::MEDIA_TYPE, format!("send {REQUEST}")));
    }
    Ok(answer("application/ocsp-response", 0, app.ocsp(number(&authority)?, &request).await?))
}

/// The request in the path, in base64; its slashes may stand there as they are.
async fn ask_by_path(
    State(app): Asked,
    Path((authority, request)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let request = if request.len() <= OCSP_REQUEST_BYTES_MAX { base64::decode(request.as_bytes()) } else { None };
    Ok(answer("application/ocsp-response", 300, app.ocsp(number(&authority)?, &request.unwrap_or_default()).await?))
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::new(Kind::UNKNOWN, "there is no such authority"))
}

fn answer(kind: &'static str, seconds: u32, body: Vec<u8>) -> Response {
    let keep = if seconds == 0 { "no-store".into() } else { format!("public, max-age={seconds}") };
    ([(header::CONTENT_TYPE, kind.to_owned()), (header::CACHE_CONTROL, keep)], body).into_response()
}
