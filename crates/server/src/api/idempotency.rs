//! `Idempotency-Key` on POST: a request that is repeated with the same key is done once and answered twice.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::Operator;
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::app::{Actor, KeptReply};
use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, KEPT_REPLY_BYTES_MAX};

/// Keys whose request is being worked on.
#[derive(Default)]
pub struct InFlight(Mutex<HashSet<(String, String)>>);

/// Answers a repeated POST with the reply it had; keeps the reply of a new one that succeeded.
///
/// Only replies of requests that changed something are kept: a refused one may be repeated with the same key.
pub async fn once(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let key = match key_of(&request) {
        Ok(Some(key)) => key,
        Ok(None) => return next.run(request).await,
        Err(problem) => return problem.into_response(),
    };
    let outcome = once_under(&api, &key, request, next).await;
    outcome.unwrap_or_else(IntoResponse::into_response)
}

async fn once_under(api: &Api, key: &str, request: Request, next: Next) -> Result<Response, Problem> {
    let actor = actor_of(&request)?;
    let _guard = Guard::take(&api.in_flight, &actor, key)?;
    let (request, fingerprint) = fingerprinted(request, api.options.body_bytes_max).await?;
    if let Some(kept) = api.app.kept_reply(&actor, key, &fingerprint).await? {
        return Ok(replayed(kept));
    }
    let response = next.run(request).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, KEPT_REPLY_BYTES_MAX)
        .await
        .map_err(|_| Problem::new(Kind::UNAVAILABLE, "the reply is too long to be kept"))?;
    let kept = KeptReply { status: parts.status.as_u16(), body: body.to_vec() };
    api.app.keep_reply(&actor, key, &fingerprint, &kept).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn key_of(request: &Request) -> Result<Option<String>, Problem> {
    if request.method() != Method::POST {
        return Ok(None);
    }
    let Some(value) = request.headers().get("idempotency-key") else {
        return Ok(None);
    };
    let bytes = value.as_bytes();
    let good = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    if !good {
        let detail = format!("Idempotency-Key is 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters");
        return Err(Problem::new(Kind::MALFORMED, detail));
    }
    Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
}

fn actor_of(request: &Request) -> Result<Actor, Problem> {
    let operator = request.extensions().get::<Operator>();
    operator
        .map(|operator| operator.actor.clone())
        .ok_or_else(|| Problem::new(Kind::UNAUTHENTICATED, "an operator credential is needed"))
}

/// The request again, and a hash of what it asks for.
async fn fingerprinted(request: Request, bytes_max: usize) -> Result<(Request, [u8; 32]), Problem> {
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, bytes_max)
        .await
        .map_err(|_| Problem::new(Kind::TOO_LARGE, "the body is larger than api.body_kib_max allows"))?;
    let target = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let hash =
        (bartizan_crypto::AWS_LC.sha256)(&[parts.method.as_str().as_bytes(), b"\n", target.as_bytes(), b"\n", &body]);
    Ok((Request::from_parts(parts, Body::from(body)), hash))
}

fn replayed(kept: KeptReply) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let mut response = (status, kept.body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

/// Holds a key while its request is worked on.
struct Guard<'a> {
    in_flight: &'a InFlight,
    key: (String, String),
}

impl<'a> Guard<'a> {
    fn take(in_flight: &'a InFlight, actor: &Actor, key: &str) -> Result<Self, Problem> {
        let key = (actor.0.clone(), key.to_owned());
        let fresh = in_flight.lock().insert(key.clone());
        if !fresh {
            let detail = "a request with this Idempotency-Key is being worked on";
            return Err(Problem::new(Kind::CONFLICT, detail).retry_after(1));
        }
        Ok(Self { in_flight, key })
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.in_flight.lock().remove(&self.key);
    }
}

impl InFlight {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<(String, String)>> {
        self.0.lock().expect("invariant: no panic under this lock")
    }
}
