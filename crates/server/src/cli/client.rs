//! One way to the API for every verb: over TLS if a server runs on the data directory, else the same router
//! in this process, under the data directory's lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::ServiceExt;
use zeroize::Zeroizing;

use super::error::{Failure, Status};
use super::open;
use crate::api::{self, Api, Problem};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Loaded;
use crate::data_dir::{self, DataDir, Endpoint, Lock};
use crate::limits::CLI_REPLY_BYTES_MAX;
use crate::ops::{Health, Metrics};

/// How long a verb waits for a server that starts, or for another verb.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the API.
pub struct Client {
    token: Zeroizing<String>,
    way: Way,
}

enum Way {
    Server(SendRequest<Body>),
    Here { router: axum::Router, app: Arc<App>, _lock: Lock },
}

impl Client {
    /// Connects to the server of `dir`, or opens its databases.
    ///
    /// # Errors
    /// Neither works, in one line.
    pub async fn connect(dir: &DataDir, loaded: &Loaded) -> Result<Self, Failure> {
        dir.require()?;
        let token = dir.operator_token()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match dir.lock() {
                Ok(lock) => {
                    let way = here(dir, loaded, lock).await?;
                    return Ok(Self { token, way });
                }
                Err(data_dir::Error::Held(_)) => {}
                Err(error) => return Err(error.into()),
            }
            let reached = match dir.read_endpoint() {
                Some(endpoint) => reach(dir, &endpoint).await,
                None => Err(Failure::new(format!(
                    "another process has {} open, but no server answers there",
                    dir.path().display()
                ))),
            };
            match reached {
                Ok(server) => {
                    let way = Way::Server(server);
                    return Ok(Self { token, way });
                }
                Err(failure) if Instant::now() > deadline => return Err(failure),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Asks for `path` below `/api/v1` and reads the answer as `T`.
    ///
    /// # Errors
    /// What the API answered, in words.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        let request = Request::builder().method(Method::GET);
        self.send(request, path, Body::empty()).await
    }

    /// Sends `body` as JSON.
    ///
    /// # Errors
    /// What the API answered, in words.
    pub async fn send_json<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let request = Request::builder().method(method).header(header::CONTENT_TYPE, "application/json");
        self.send(request, path, Body::from(body.to_string())).await
    }

    /// Sends `body` as it is.
    ///
    /// # Errors
    /// What the API answered, in words.
    pub async fn post_file<T: DeserializeOwned>(&mut self, path: &str, kind: &str, body: Body) -> Result<T, Failure> {
        let request = Request::builder().method(Method::POST).header(header::CONTENT_TYPE, kind);
        self.send(request, path, body).await
    }

    /// # Errors
    /// What the API answered, in words.
    pub async fn delete<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.send(Request::builder().method(Method::DELETE), path, Body::empty()).await
    }

    /// Finishes: what was written here is on the disk afterwards.
    pub async fn close(self) {
        if let Way::Here { app, .. } = &self.way {
            app.shutdown().await;
        }
    }

    async fn send<T: DeserializeOwned>(
        &mut self,
        request: axum::http::request::Builder,
        path: &str,
        body: Body,
    ) -> Result<T, Failure> {
        let request = request
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Bearer {}", *self.token))
            .body(body)
            .map_err(|error| Failure::new(format!("this cannot be asked: {error}")))?;
        let (parts, body) = self.exchange(request).await?.into_parts();
        let bytes = Limited::new(body, CLI_REPLY_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| Failure::new(format!("the server's answer broke off: {error}")))?
            .to_bytes();
        if parts.status.is_success() {
            return serde_json::from_slice(&bytes)
                .map_err(|error| Failure::new(format!("the server's answer is not understood: {error}")));
        }
        Err(refused(parts.status, &bytes))
    }

    async fn exchange(&mut self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        match &mut self.way {
            Way::Server(server) => {
                let gone = |error: hyper::Error| Failure::new(format!("the server went away: {error}"));
                server.ready().await.map_err(gone)?;
                let response = server.send_request(request).await.map_err(gone)?;
                Ok(response.map(Body::new))
            }
            Way::Here { router, .. } => {
                let response = router.clone().oneshot(request).await;
                Ok(response.unwrap_or_else(|never| match never {}))
            }
        }
    }
}

async fn here(dir: &DataDir, loaded: &Loaded, lock: Lock) -> Result<Way, Failure> {
    let app = open::app(dir, &loaded.config, Clock::real()).await?;
    let api = Api::new(
        Arc::clone(&app),
        Arc::new(Health::default()),
        Arc::new(Metrics::default()),
        api::ApiOptions::from_config(&loaded.config, dir.path()),
        api::Live::from_config(&loaded.config),
    );
    Ok(Way::Here { router: api::router(api), app, _lock: lock })
}

async fn reach(dir: &DataDir, endpoint: &Endpoint) -> Result<SendRequest<Body>, Failure> {
    let mut address = endpoint.api;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let told = |error: std::io::Error| Failure::new(format!("the server at {address} does not answer: {error}"));
    let connector = TlsConnector::from(trust(&dir.ca())?);
    let name = ServerName::try_from("localhost").expect("invariant: localhost is a DNS name");
    let stream = TcpStream::connect(address).await.map_err(told)?;
    let stream = connector.connect(name, stream).await.map_err(|error| {
        Failure::new(format!("the server at {address} is not trusted: {error}"))
            .hint(format!("{} has to hold the CA of its certificate", dir.ca().display()))
    })?;
    let (server, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::new(format!("the server at {address} does not answer: {error}")))?;
    tokio::spawn(connection);
    Ok(server)
}

/// Trust in the certificate authority of `ca`, and in no other.
fn trust(ca: &std::path::Path) -> Result<Arc<ClientConfig>, Failure> {
    let told = |error: &dyn std::fmt::Display| Failure::new(format!("cannot read {}: {error}", ca.display()));
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca).map_err(|error| told(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| told(&error))?;
        roots.add(certificate).map_err(|error| told(&error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| told(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn refused(status: axum::http::StatusCode, bytes: &Bytes) -> Failure {
    let Ok(problem) = serde_json::from_slice::<Problem>(bytes) else {
        return Failure::new(format!("the server answered {status}"));
    };
    let Some(lines) = problem.lines else {
        return Failure::new(problem.detail);
    };
    let total = problem.total.unwrap_or(lines.len() as u64);
    let mut text: Vec<String> = lines.iter().map(|bad| format!("line {}: {}", bad.line, bad.error)).collect();
    if total > lines.len() as u64 {
        text.push(format!("and {} more lines", total - lines.len() as u64));
    }
    text.push(problem.detail);
    Failure { status: Status::Found, ..Failure::new(text.join("\n")) }
}
