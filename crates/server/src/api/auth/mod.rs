//! Who asks: a bearer token, or a session cookie that was made from one.
//!
//! A token is a 256-bit random number, so what is limited is the noise of wrong ones, not the guessing: a right
//! credential is never locked out by somebody else's wrong ones from the same address.

mod failures;
mod sessions;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

pub use failures::Failures;
pub use sessions::{COOKIE, Sessions};

use super::problem::{Kind, Problem};
use super::state::Api;
use crate::app::Actor;

/// The peer of the connection; absent on requests made in-process.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub SocketAddr);

/// The person or machine behind a request, for handlers.
#[derive(Clone, Debug)]
pub struct Operator {
    pub actor: Actor,
    /// The session's cookie, when that is how the request was authenticated.
    pub cookie: Option<String>,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::new(Kind::UNAUTHENTICATED, NEEDED))
    }
}

const NEEDED: &str = "send `Authorization: Bearer` with an operator token, or sign in";

/// Lets only operators through, and notes who it is.
pub async fn require_operator(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match authenticate(&api, &parts).await {
        Ok(operator) => {
            parts.extensions.insert(operator);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// The operator who makes a request.
///
/// # Errors
/// No credential, a wrong one, too many wrong ones, or a cookie used from another site.
pub async fn authenticate(api: &Api, request: &Parts) -> Result<Operator, Problem> {
    if let Some(token) = bearer(&request.headers) {
        let actor = operator_of(api, token, client(&request.extensions)).await?;
        return Ok(Operator { actor, cookie: None });
    }
    let Some(cookie) = cookie(&request.headers) else {
        return Err(Problem::new(Kind::UNAUTHENTICATED, NEEDED));
    };
    let Some(actor) = api.sessions.actor_of(cookie) else {
        let detail = "the session has ended; sign in again";
        return Err(Problem::new(Kind::UNAUTHENTICATED, detail));
    };
    if !request.method.is_safe() {
        same_origin(&request.headers)?;
    }
    Ok(Operator { actor, cookie: Some(cookie.to_owned()) })
}

/// The operator whose token this is. A wrong one counts against `client`.
///
/// # Errors
/// 401, or 429 after too many wrong ones.
pub async fn operator_of(api: &Api, token: &str, client: Option<IpAddr>) -> Result<Actor, Problem> {
    if let Some(actor) = api.app.operator_of(token).await? {
        return Ok(actor);
    }
    api.metrics.auth_failed();
    let most = api.live().auth_failures_per_minute;
    match api.failures.note(client, most, std::time::Instant::now()) {
        Some(wait_s) => {
            let detail = format!("too many wrong credentials; try again in {wait_s} s");
            Err(Problem::new(Kind::TOO_MANY_FAILURES, detail).retry_after(wait_s))
        }
        None => Err(Problem::new(Kind::UNAUTHENTICATED, "the operator token is not known here")),
    }
}

/// Refuses what a page of another site made the browser send: every unsafe request with a cookie has to come
/// from our own pages. Browsers set `Origin` on each of them and scripts cannot.
///
/// # Errors
/// `Origin` is absent or not `https://` and the host that was asked.
pub fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let ours = text(header::ORIGIN)
        .and_then(|origin| origin.strip_prefix("https://"))
        .zip(text(header::HOST))
        .is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host));
    if ours {
        return Ok(());
    }
    let detail = "a session cookie only works from the console's own pages";
    Err(Problem::new(Kind::CROSS_ORIGIN, detail))
}

/// The address that a request came from; `None` in-process.
#[must_use]
pub fn client(extensions: &Extensions) -> Option<IpAddr> {
    let address = extensions.get::<ClientAddress>();
    address.map(|address| address.0.ip().to_canonical())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_our_own_pages_use_the_cookie() {
        let table = [
            (vec![("host", "h:1"), ("origin", "https://h:1")], true),
            (vec![("host", "H:1"), ("origin", "https://h:1")], true),
            (vec![("host", "h:1")], false),
            (vec![("origin", "https://h:1")], false),
            (vec![("host", "h:1"), ("origin", "null")], false),
            (vec![("host", "h:1"), ("origin", "http://h:1")], false),
            (vec![("host", "h:1"), ("origin", "https://h:2")], false),
            (vec![("host", "h:1"), ("origin", "https://h:1.evil")], false),
        ];
        for (pairs, good) in table {
            assert_eq!(same_origin(&headers(&pairs)).is_ok(), good, "{pairs:?}");
        }
    }

    #[test]
    fn credentials_are_found_where_they_belong() {
        assert_eq!(bearer(&headers(&[("authorization", "bearer  x ")])), Some("x"));
        assert_eq!(bearer(&headers(&[("authorization", "Basic x")])), None);
        let sent = headers(&[("cookie", "a=b; __Host-bartizan=v"), ("cookie", "c=d")]);
        assert_eq!(cookie(&sent), Some("v"));
        assert_eq!(cookie(&headers(&[("cookie", "x__Host-bartizan=v")])), None);
    }
}
