//! Extractors that refuse with problem details, in words.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::problem::{Kind, Problem};
use crate::app::Paging;

/// A JSON body.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        axum::Json::from_request(request, state)
            .await
            .map(|axum::Json(value)| Self(value))
            .map_err(|rejection| body_problem(&rejection))
    }
}

fn body_problem(rejection: &JsonRejection) -> Problem {
    let text = plain(&rejection.body_text());
    match rejection.status().as_u16() {
        413 => Problem::new(Kind::TOO_LARGE, "the body is larger than api.body_kib_max allows"),
        415 => Problem::new(Kind::MEDIA_TYPE, "send JSON, with `Content-Type: application/json`"),
        _ => Problem::new(Kind::MALFORMED, text),
    }
}

/// axum's sentence without the layer that it names first.
fn plain(text: &str) -> String {
    let detail =
        text.rsplit_once("target type: ").or_else(|| text.split_once("as JSON: ")).map_or(text, |(_, detail)| detail);
    format!("the body is not as expected: {detail}")
}

/// The segments of the path.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection: PathRejection| Problem::new(Kind::UNKNOWN, rejection.body_text()))
    }
}

/// The query.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection: QueryRejection| {
                let text = rejection.body_text();
                let detail = text.rsplit_once("string: ").map_or(&*text, |(_, it)| it);
                Problem::new(Kind::MALFORMED, format!("the query is not as expected: {detail}"))
            })
    }
}

/// Where in a list to start, and how much of it to answer.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on the page: 1 to 200, 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
}

impl PageQuery {
    /// # Errors
    /// `limit` outside its bounds.
    pub fn paging(self) -> Result<Paging, Problem> {
        paging(self.cursor, self.limit)
    }
}

/// A checked page request.
///
/// # Errors
/// `limit` outside its bounds.
pub fn paging(cursor: Option<String>, limit: Option<u32>) -> Result<Paging, Problem> {
    let max = crate::limits::PAGE_ITEMS_MAX;
    match limit {
        Some(limit) if limit == 0 || limit > max => {
            Err(Problem::new(Kind::MALFORMED, format!("`limit` is a number from 1 to {max}")))
        }
        limit => Ok(Paging { cursor, limit: limit.unwrap_or(0) }),
    }
}
