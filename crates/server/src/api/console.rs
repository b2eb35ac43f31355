//! The console's files, embedded in the binary, for everything that is not the API.

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::{Kind, Problem};

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Files;

/// Vite names files after their content here, so that they never change.
const HASHED: &str = "assets/";

/// A file of the console, or its page for every path that a person may have typed.
pub async fn serve(request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") {
        let detail = format!("there is no {path} in the API; /api/v1/openapi.json lists what is");
        return Problem::new(Kind::UNKNOWN, detail).into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Problem::new(Kind::METHOD, "the console is only read").into_response();
    }
    file_or_page(request.uri())
}

fn file_or_page(uri: &Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Files::get(path) {
        return reply(path, file);
    }
    let names_a_file = path.rsplit('/').next().is_some_and(|last| last.contains('.'));
    if path.starts_with(HASHED) || (names_a_file && !path.starts_with("tenants/")) {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    }
    match Files::get("index.html") {
        Some(page) => reply("index.html", page),
        None => (StatusCode::SERVICE_UNAVAILABLE, Html(NOT_BUILT)).into_response(),
    }
}

fn reply(path: &str, file: EmbeddedFile) -> Response {
    let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kind =
        HeaderValue::from_str(file.metadata.mimetype()).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HeaderValue::from_static(cache))];
    (headers, file.data).into_response()
}

const NOT_BUILT: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>Bartizan</title>
<h1>The console is not part of this build</h1>
<p>Build it and the server again: <code>npm --prefix web ci &amp;&amp; npm --prefix web run build &amp;&amp; cargo build</code>,
or run <code>cargo xtask demo</code>, which does all of it.</p>
<p>The API is at <a href=\"/api/v1/openapi.json\">/api/v1</a>; every verb of the command line works too.</p>
</html>
";
