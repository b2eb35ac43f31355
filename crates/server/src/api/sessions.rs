//! Signing in to the console.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{self, COOKIE, Operator};
use super::extract::Json;
use super::problem::{Kind, Problem};
use super::state::{Api, Shared};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The operator token that `bartizan init` made.
    token: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedIn {
    /// Who is signed in.
    pub operator: String,
}

/// Exchanges an operator token for a session cookie.
#[utoipa::path(post, path = "/sessions", tag = "sessions", operation_id = "sessions_open", request_body = SignIn, security(()),
    responses((status = 204, description = "Signed in; the cookie is HttpOnly, Secure and SameSite=Strict")))]
pub async fn open(State(api): Shared, request: Request) -> Result<Response, Problem> {
    let client = auth::client(request.extensions());
    // A page of another site must not sign its visitor in under a token of its own.
    if request.headers().contains_key(header::ORIGIN) {
        auth::same_origin(request.headers())?;
    }
    let Json(sign_in) = <Json<SignIn> as axum::extract::FromRequest<Arc<Api>>>::from_request(request, &api).await?;
    let actor = auth::operator_of(&api, &sign_in.token, client).await?;
    let lifetime = api.live().session;
    let cookie = api
        .sessions
        .open(actor, lifetime)
        .map_err(|_| Problem::new(Kind::UNAVAILABLE, "the system has no random numbers"))?;
    Ok(no_content(&set_cookie(&cookie, lifetime.as_secs())))
}

/// Who is signed in.
#[utoipa::path(get, path = "/sessions/current", tag = "sessions", operation_id = "sessions_current",
    responses((status = 200, body = SignedIn)))]
pub async fn current(operator: Operator) -> axum::Json<SignedIn> {
    axum::Json(SignedIn { operator: operator.actor.0 })
}

/// Signs out.
#[utoipa::path(delete, path = "/sessions/current", tag = "sessions", operation_id = "sessions_close",
    responses((status = 204, description = "Signed out")))]
pub async fn close(State(api): Shared, operator: Operator) -> Response {
    if let Some(cookie) = operator.cookie {
        api.sessions.close(&cookie);
    }
    no_content(&set_cookie("", 0))
}

fn set_cookie(value: &str, age_s: u64) -> String {
    format!("{COOKIE}={value}; Max-Age={age_s}; Path=/; Secure; HttpOnly; SameSite=Strict")
}

fn no_content(cookie: &str) -> Response {
    let cookie = HeaderValue::from_str(cookie).expect("invariant: hex and attributes are ASCII");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}
