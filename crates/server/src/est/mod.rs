//! Enrolment over secure transport (RFC 7030): how a strong device gets its certificate and renews it.
//!
//! A listener of its own, since it asks for client certificates. What is asked is answered by `app::enrolment`, which
//! knows no transport; here is HTTP and nothing else.
//!
//! ```text
//!  GET  /.well-known/est[/TENANT]/cacerts          anybody
//!  GET  …/csrattrs                                 anybody
//!  POST …/simpleenroll, …/serverkeygen             a one-time secret (HTTP Basic), or the device's certificate
//!  POST …/simplereenroll                           the device's certificate, and no other
//! ```

mod answer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bartizan_wire::TenantId;
use tokio::sync::Semaphore;

use crate::api::auth::{ClientAddress, Failures};
use crate::api::pki;
use crate::api::server::PeerCertificate;
use crate::app::certificates::{CertificateError, Enrolled};
use crate::app::enrolment::CSR_ATTRIBUTES;
use crate::app::{App, Device};
use crate::base64;
use crate::ca::certs_only;
use crate::limits::{CSR_BYTES_MAX, EST_FAILURES_PER_MINUTE_MAX, EST_REQUESTS_MAX};
use answer::Refusal;

/// What the handlers share.
pub struct Est {
    app: Arc<App>,
    failures: Failures,
    requests: Semaphore,
}

type Shared = State<Arc<Est>>;

/// The whole service; [`crate::device_tls`] goes before it.
pub fn router(app: Arc<App>) -> Router {
    let est = Est { app, failures: Failures::default(), requests: Semaphore::new(EST_REQUESTS_MAX) };
    let est = Arc::new(est);
    let operations = Router::new()
        .route("/cacerts", get(ca_certificates))
        .route("/csrattrs", get(csr_attributes))
        .route("/simpleenroll", post(enrol))
        .route("/simplereenroll", post(renew))
        .route("/serverkeygen", post(make_key));
    Router::new()
        .nest("/.well-known/est", operations.clone())
        .nest("/.well-known/est/{label}", operations)
        .layer(DefaultBodyLimit::max(CSR_BYTES_MAX * 2))
        .merge(pki::router(Arc::clone(&est.app)))
        .layer(from_fn_with_state(Arc::clone(&est), admit))
        .with_state(est)
}

/// As many at a time as there may be, and each within its time.
async fn admit(State(est): Shared, request: Request, next: Next) -> Response {
    let Ok(_permit) = est.requests.try_acquire() else {
        return Refusal::Busy("as many requests are under way as may be").into_response();
    };
    let limit = std::time::Duration::from_millis(crate::limits::EST_REQUEST_MS_MAX);
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::Busy("it took too long").into_response(),
    }
}

/// The label of the path, which is a tenant's name here (RFC 7030 section 3.2.2).
#[derive(serde::Deserialize)]
struct Label {
    label: Option<String>,
}

async fn ca_certificates(
    State(est): Shared,
    Path(Label { label }): Path<Label>,
    peer: PeerCertificate,
) -> Result<Response, Refusal> {
    let tenant = match (label, est.device_of(&peer).await?) {
        (Some(label), _) => est.app.tenant_id(&label).await?,
        (None, Some(device)) => device.key.tenant,
        (None, None) => est.app.only_certified_tenant().ok_or(Refusal::Unknown)?,
    };
    Ok(answer::certificates(&certs_only(&est.app.ca_certificates(tenant).await?)))
}

async fn csr_attributes() -> Response {
    answer::encoded("application/csrattrs", CSR_ATTRIBUTES)
}

async fn enrol(
    State(est): Shared,
    Path(Label { label }): Path<Label>,
    peer: PeerCertificate,
    request: Request,
) -> Result<Response, Refusal> {
    let asked = est.asked(label, &peer, request).await?;
    let certificate = est.app.issue_certificate(&asked.device, &asked.csr, asked.how()).await?;
    est.use_up(&asked).await?;
    Ok(answer::certificates(&certs_only(&[certificate])))
}

/// With nothing but the certificate that is renewed: a secret is for the first one.
async fn renew(
    State(est): Shared,
    Path(Label { label }): Path<Label>,
    peer: PeerCertificate,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let device = est.device_of(&peer).await?.ok_or(Refusal::NoCertificate)?;
    est.check_label(label, device.key.tenant).await?;
    let current = peer.0.as_deref().ok_or(Refusal::NoCertificate)?;
    let certificate = est.app.renew_certificate(&device, current, &csr(&headers, &body)?).await?;
    Ok(answer::certificates(&certs_only(&[certificate])))
}

async fn make_key(
    State(est): Shared,
    Path(Label { label }): Path<Label>,
    peer: PeerCertificate,
    request: Request,
) -> Result<Response, Refusal> {
    let asked = est.asked(label, &peer, request).await?;
    let made = est.app.make_key(&asked.device, &asked.csr, asked.how()).await?;
    est.use_up(&asked).await?;
    Ok(answer::key_and_certificate(&made.private, &certs_only(&[made.certificate])))
}

/// Who asks, with what, for what.
struct Asked {
    device: Arc<Device>,
    /// If that is how the device was known.
    secret: Option<zeroize::Zeroizing<String>>,
    csr: Vec<u8>,
}

impl Asked {
    const fn how(&self) -> Enrolled {
        if self.secret.is_some() { Enrolled::Secret } else { Enrolled::Renewal }
    }
}

impl Est {
    async fn asked(&self, label: Option<String>, peer: &PeerCertificate, request: Request) -> Result<Asked, Refusal> {
        let (parts, body) = request.into_parts();
        let (device, secret) = match self.device_of(peer).await? {
            Some(device) => (device, None),
            None => {
                let (user, password) = answer::basic(&parts.headers).ok_or(Refusal::NoSecret)?;
                let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
                (self.with_secret(&user, &password, address).await?, Some(password))
            }
        };
        self.check_label(label, device.key.tenant).await?;
        let body = axum::body::to_bytes(body, CSR_BYTES_MAX * 2).await.map_err(|_| Refusal::TooLarge)?;
        Ok(Asked { device, secret, csr: csr(&parts.headers, &body)? })
    }

    /// The device of the client's certificate, which is asked again for each request: it may have been taken back.
    async fn device_of(&self, peer: &PeerCertificate) -> Result<Option<Arc<Device>>, Refusal> {
        let Some(certificate) = &peer.0 else { return Ok(None) };
        let found = self.app.admission().device_of(&[certificate], self.app.clock().now());
        let (key, _) = found.map_err(|_| Refusal::NoCertificate)?;
        let device = self.app.load_device(key).await?;
        device.map(Some).ok_or(Refusal::NoCertificate)
    }

    /// Wrong secrets are counted against their address; a right one is never locked out by them.
    async fn with_secret(
        &self,
        user: &str,
        password: &str,
        address: Option<SocketAddr>,
    ) -> Result<Arc<Device>, Refusal> {
        if let Some(device) = self.app.device_with_secret(user, password).await? {
            return Ok(device);
        }
        let client = address.map(|address| address.ip().to_canonical());
        match self.failures.note(client, EST_FAILURES_PER_MINUTE_MAX, Instant::now()) {
            Some(seconds) => Err(Refusal::TooMany(seconds)),
            None => Err(Refusal::NoSecret),
        }
    }

    /// Before the answer leaves: of two that used one secret at the same time one gets nothing.
    async fn use_up(&self, asked: &Asked) -> Result<(), Refusal> {
        let Some(secret) = &asked.secret else { return Ok(()) };
        if self.app.use_enrolment_secret(&asked.device, secret).await? { Ok(()) } else { Err(Refusal::NoSecret) }
    }

    async fn check_label(&self, label: Option<String>, tenant: TenantId) -> Result<(), Refusal> {
        match label {
            Some(label) if self.app.tenant_id(&label).await? != tenant => Err(Refusal::Unknown),
            _ => Ok(()),
        }
    }
}

/// The request of a body: PKCS#10 in base64 (RFC 7030 section 4.2.1).
fn csr(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/pkcs10") {
        return Err(Refusal::MediaType);
    }
    let wrong = || CertificateError::Malformed("the body is not base64".into());
    Ok(base64::decode(body).ok_or_else(wrong)?)
}
