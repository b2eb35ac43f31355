//! The API behind TLS: a bounded number of connections, each with bounded patience.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::auth::ClientAddress;
use crate::limits::{CLIENT_STALL_MS_MAX, REQUEST_HEAD_MS_MAX, TLS_HANDSHAKE_MS_MAX};

/// TLS 1.2 and 1.3 with the certificate and key in these PEM files.
///
/// # Errors
/// One sentence that names the file.
pub fn tls(certificate: &Path, private_key: &Path) -> Result<Arc<ServerConfig>, String> {
    tls_for(certificate, private_key, None).map(Arc::new)
}

/// The same, which asks clients for their certificate if somebody is there to verify it.
///
/// # Errors
/// One sentence that names the file.
pub fn tls_for(
    certificate: &Path,
    private_key: &Path,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| format!("cannot read {}: {error}", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(private_key)
        .map_err(|error| format!("cannot read {}: {error}", private_key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("{} does not work: {error}", certificate.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificate (DER) that the client of the connection showed and that was believed then; absent if it showed none.
#[derive(Clone, Debug, Default)]
pub struct PeerCertificate(pub Option<Arc<[u8]>>);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for PeerCertificate {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The listening half of the API.
pub struct Listener {
    pub socket: TcpListener,
    pub tls: Arc<ServerConfig>,
    pub connections_max: usize,
}

impl Listener {
    /// Serves `router` until `stop` turns true, then waits for what is under way.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(self.connections_max));
        let acceptor = TlsAcceptor::from(self.tls);
        let graceful = GracefulShutdown::new();
        loop {
            let (slot, accepted) = tokio::select! {
                connection = accept(&self.socket, &slots) => connection,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let Ok((stream, peer)) = accepted else {
                // Out of descriptors, most likely: others have to close first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let connection = Connection {
                acceptor: acceptor.clone(),
                router: router.clone(),
                watcher: graceful.watcher(),
                peer,
                _slot: slot,
            };
            tokio::spawn(connection.run(stream));
        }
        drop(self.socket);
        graceful.shutdown().await;
    }
}

/// Takes a slot first, so that what exceeds them waits in the system's queue.
pub(crate) async fn accept(
    socket: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (OwnedSemaphorePermit, io::Result<(TcpStream, SocketAddr)>) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("invariant: the semaphore is never closed");
    (slot, socket.accept().await)
}

struct Connection {
    acceptor: TlsAcceptor,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
    peer: SocketAddr,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let stall = Duration::from_millis(CLIENT_STALL_MS_MAX);
        let handshake = self.acceptor.accept(Impatient::new(stream, stall));
        let limit = Duration::from_millis(TLS_HANDSHAKE_MS_MAX);
        let stream = match tokio::time::timeout(limit, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(peer = %self.peer, %error, "a TLS handshake failed");
                return;
            }
            Err(_) => {
                tracing::debug!(peer = %self.peer, "a TLS handshake took too long");
                return;
            }
        };
        let peer = ClientAddress(self.peer);
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let shown = PeerCertificate(shown.map(|certificate| Arc::from(&**certificate)));
        let service = self.router.map_request(move |mut request: hyper::Request<_>| {
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(shown.clone());
            request
        });
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_millis(REQUEST_HEAD_MS_MAX));
        let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        if let Err(error) = self.watcher.watch(serving.into_owned()).await {
            tracing::debug!(peer = %self.peer, %error, "a connection ended early");
        }
    }
}

/// A stream whose writes must make progress: a reader that stops reading is dropped, and so is what waits
/// for it in memory.
struct Impatient<S> {
    stream: S,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    const fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, stalled: None }
    }

    /// Turns `poll` into an error once it has been pending for too long.
    fn hurry<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = pin!(&mut self.stream).poll_write(cx, bytes);
        self.hurry(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = pin!(&mut self.stream).poll_flush(cx);
        self.hurry(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = pin!(&mut self.stream).poll_shutdown(cx);
        self.hurry(cx, poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_reader_that_stops_reading_is_dropped_and_a_slow_one_is_not() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut near = Impatient::new(near, Duration::from_millis(200));
        let slow = async {
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                far.read_exact(&mut [0; 4]).await.unwrap();
            }
            far
        };
        let (sent, far) = tokio::join!(near.write_all(&[7; 32]), slow);
        assert!(sent.is_ok());
        let error = near.write_all(&[7; 32]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(far);
    }
}
