//! What bounds the work: requests at a time, and the time of each.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Kind, Problem};
use super::state::Api;

/// Counts every answer, and refuses what exceeds the number of requests at a time.
pub async fn admit(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let response = match api.requests.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => {
            let detail = "as many requests are under way as api.requests_max allows";
            Problem::new(Kind::OVERLOADED, detail).retry_after(1).into_response()
        }
    };
    api.metrics.request(&method, response.status());
    response
}

/// Ends what takes longer than `api.request_timeout_s`.
pub async fn hurry(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let limit = api.options.request_timeout;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("it was not done within {} s", limit.as_secs());
            Problem::new(Kind::TIMED_OUT, detail).retry_after(1).into_response()
        }
    }
}
