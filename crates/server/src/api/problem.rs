//! Errors as RFC 9457 problem details. One total function decides which fault is which status.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::{BadLine, Error, Misuse};

/// What an error answers: RFC 9457 section 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Which problem it is, for programs: `urn:bartizan:problem:…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in a few words, for people.
    pub title: String,
    pub status: u16,
    /// What happened this time, and often what to do.
    pub detail: String,
    /// Of an import: the wrong lines, as many as fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<BadLine>>,
    /// Of an import: how many lines are wrong in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Seconds after which another attempt makes sense; the `Retry-After` header says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

/// The content type of [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The kinds of problem: status, last part of the type, title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $status:ident $slug:literal $title:literal;)+) => {
        impl Kind { $($(#[$meta])* pub const $name: Self = Self { status: StatusCode::$status, slug: $slug, title: $title };)+
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

kinds! {
    MALFORMED = BAD_REQUEST "malformed" "The request is malformed";
    UNAUTHENTICATED = UNAUTHORIZED "unauthenticated" "An operator credential is needed";
    FORBIDDEN = FORBIDDEN "forbidden" "This is not allowed";
    CROSS_ORIGIN = FORBIDDEN "cross-origin" "The request comes from another site";
    UNKNOWN = NOT_FOUND "unknown" "There is no such thing";
    METHOD = METHOD_NOT_ALLOWED "method-not-allowed" "This method does not exist here";
    EXISTS = CONFLICT "exists" "The name is taken";
    CONFLICT = CONFLICT "conflict" "The present state does not allow it";
    STALE = PRECONDITION_FAILED "stale" "It was changed meanwhile";
    TOO_LARGE = PAYLOAD_TOO_LARGE "too-large" "The request is too large";
    MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE "media-type" "The content type is not accepted";
    BAD_LINES = UNPROCESSABLE_ENTITY "bad-lines" "Lines of the import are wrong";
    UNTRUSTED = UNPROCESSABLE_ENTITY "untrusted" "It is not to be believed";
    UNSUPPORTED = UNPROCESSABLE_ENTITY "unsupported" "This is not offered";
    FULL = TOO_MANY_REQUESTS "full" "A limit is reached";
    TOO_MANY_FAILURES = TOO_MANY_REQUESTS "too-many-failures" "Too many failed authentications";
    UNAVAILABLE = SERVICE_UNAVAILABLE "unavailable" "The server cannot do it now";
    OVERLOADED = SERVICE_UNAVAILABLE "overloaded" "The server is busy";
    TIMED_OUT = SERVICE_UNAVAILABLE "timed-out" "The request took too long";
}

impl Problem {
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:bartizan:problem:{}", kind.slug),
            title: kind.title.into(),
            status: kind.status.as_u16(),
            detail: detail.into(),
            lines: None,
            total: None,
            retry_after_s: None,
        }
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

/// The kind of problem that each fault is.
#[must_use]
pub const fn kind_of(error: &Error) -> Kind {
    match error {
        Error::Malformed(_) => Kind::MALFORMED,
        Error::Import(_) => Kind::BAD_LINES,
        Error::Misbehaved(_) => Kind::FORBIDDEN,
        Error::Untrusted(_) => Kind::UNTRUSTED,
        Error::Unsupported(_) => Kind::UNSUPPORTED,
        Error::Misuse(Misuse::Unknown(_)) => Kind::UNKNOWN,
        Error::Misuse(Misuse::Exists(_)) => Kind::EXISTS,
        Error::Misuse(Misuse::Conflict(_)) => Kind::CONFLICT,
        Error::Misuse(Misuse::Stale) => Kind::STALE,
        Error::Misuse(Misuse::Full(_)) => Kind::FULL,
        Error::Unavailable(_) => Kind::UNAVAILABLE,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let mut problem = Self::new(kind_of(&error), error.to_string());
        match error {
            Error::Import(bad) => {
                problem.total = Some(bad.total);
                problem.lines = Some(bad.lines);
            }
            Error::Unavailable(reason) => {
                tracing::warn!(reason, "a request could not be served");
                problem.retry_after_s = Some(1);
            }
            _ => {}
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"bartizan\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::BadLines;

    #[test]
    fn every_fault_has_its_status() {
        let text = || "why".to_owned();
        let table = [
            (Error::Malformed(text()), 400),
            (Error::Import(BadLines::default()), 422),
            (Error::Misbehaved(text()), 403),
            (Error::Untrusted(text()), 422),
            (Error::Unsupported(text()), 422),
            (Misuse::Unknown(text()).into(), 404),
            (Misuse::Exists(text()).into(), 409),
            (Misuse::Conflict(text()).into(), 409),
            (Misuse::Stale.into(), 412),
            (Misuse::Full(text()).into(), 429),
            (Error::Unavailable(text()), 503),
        ];
        for (error, status) in table {
            assert_eq!(kind_of(&error).status.as_u16(), status, "{error}");
        }
    }

    #[test]
    fn every_type_is_another() {
        let mut slugs: Vec<_> = Kind::ALL.iter().map(|kind| kind.slug).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }

    #[test]
    fn an_import_carries_its_lines() {
        let bad = BadLines { total: 7, lines: vec![BadLine { line: 3, error: "the key is short".into() }] };
        let problem = serde_json::to_value(Problem::from(Error::Import(bad))).unwrap();
        assert_eq!(problem["total"], 7);
        assert_eq!(problem["lines"][0]["line"], 3);
        assert_eq!(problem["type"], "urn:bartizan:problem:bad-lines");
    }
}
