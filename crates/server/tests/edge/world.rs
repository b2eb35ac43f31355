//! An API over a fresh data directory, asked in-process.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bartizan_server::api::{self, Api, ApiOptions, Live};
use bartizan_server::app::{App, AppOptions};
use bartizan_server::clock::Clock;
use bartizan_server::config;
use bartizan_server::ops::{Health, Metrics};
use bartizan_server::store::MasterKey;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

pub const TOKEN: &str = "bartizan_0123456789abcdef";

/// Everything is removed with it.
pub struct World {
    pub api: Arc<Api>,
    pub router: Router,
    pub folder: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The problem's slug; checks that it is one.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert!(body["title"].is_string() && body["detail"].is_string());
        let kind = body["type"].as_str().unwrap();
        kind.strip_prefix("urn:bartizan:problem:").unwrap().to_owned()
    }
}

impl World {
    pub async fn new() -> Self {
        Self::configured("").await
    }

    /// A world whose configuration is this TOML.
    pub async fn configured(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let loaded = config::parse(toml, "test.toml", []).unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let key = MasterKey::from_bytes([7; 32]);
        let app = App::open(AppOptions::new(data, key, Clock::real())).await.unwrap();
        app.add_operator("ada", TOKEN).await.unwrap();
        let options = ApiOptions::from_config(&loaded.config, folder.path());
        let live = Live::from_config(&loaded.config);
        let (health, metrics) = (Arc::new(Health::default()), Arc::new(Metrics::default()));
        metrics.add_app(&app);
        let api = Api::new(app, health, metrics, options, live);
        Self { router: api::router(Arc::clone(&api)), api, folder }
    }

    /// A world with the tenant `water`, the type `meter` and the device `m1`.
    pub async fn with_device() -> Self {
        let world = Self::new().await;
        let upstream = format!("log:{}", world.folder.path().join("log.ndjson").display());
        let tenant = json!({ "name": "water", "upstream": upstream });
        assert_eq!(world.post("/tenants", &tenant).await.status, 201);
        let kind = json!({ "name": "meter" });
        assert_eq!(world.post("/tenants/water/types", &kind).await.status, 201);
        let device = json!({ "name": "m1", "type": "meter" });
        assert_eq!(world.post("/tenants/water/devices", &device).await.status, 201);
        world
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A request with the operator's token and further headers.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut request = operator(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, &[], Some(body)).await
    }
}

/// The beginning of a request with the operator's token.
pub fn operator(method: Method, path: &str) -> axum::http::request::Builder {
    bare(method, path).header("authorization", format!("Bearer {TOKEN}"))
}

/// The beginning of a request without any credential.
pub fn bare(method: Method, path: &str) -> axum::http::request::Builder {
    let outside = ["/healthz", "/readyz", "/metrics"];
    let whole = path.starts_with("/api/") || path == "/" || outside.contains(&path);
    let uri = if whole { path.to_owned() } else { format!("/api/v1{path}") };
    Request::builder().method(method).uri(uri).header("host", "localhost:8443")
}
