//! Reaching the broker: TCP, TLS, CONNECT and its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::super::MqttConfig;
use super::packet::{self, Incoming, Version};

/// The longest silence on a connection before the broker is asked for a sign of life.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A broker gives up on a client that was silent for one and a half times this long (section 3.1.2.10).
const KEEP_ALIVE_TOLD_S: u16 = 60;

/// A broker and everything needed to log in to it, read once.
pub(super) struct Broker {
    config: MqttConfig,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    password: Option<Zeroizing<Vec<u8>>>,
    client_id: String,
    version: Version,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that the broker accepted.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) input: BytesMut,
    pub(super) version: Version,
    /// Publishes the broker lets stand unacknowledged.
    pub(super) receive_maximum: u16,
    pub(super) packet_bytes_max: usize,
}

impl Broker {
    /// Reads the password and the authority's certificate.
    pub(super) fn prepare(config: MqttConfig, tenant: &str) -> Result<Self, String> {
        let password = match &config.password_file {
            Some(file) => Some(read_password(file)?),
            None => None,
        };
        let tls = match (&config.ca, config.tls) {
            (Some(ca), true) => Some(tls(ca, &config.host)?),
            _ => None,
        };
        Ok(Self { client_id: client_id(tenant)?, config, tls, password, version: Version::V5 })
    }

    /// Connects and logs in. A broker that does not know MQTT 5 is asked again with 3.1.1, now and later.
    pub(super) async fn connect(&mut self) -> Result<Connection, String> {
        match self.attempt().await? {
            Ok(connection) => Ok(connection),
            Err(0x84 | 0x01) if self.version == Version::V5 => {
                self.version = Version::V311;
                self.attempt().await?.map_err(|reason| refused(self.version, reason))
            }
            Err(reason) => Err(refused(self.version, reason)),
        }
    }

    /// The inner error is the reason the broker gave.
    async fn attempt(&self) -> Result<Result<Connection, u8>, String> {
        let mut stream = self.open().await?;
        let login = self.config.username.as_deref().map(|username| {
            let password = self.password.as_ref().map_or(&[][..], |password| password);
            (username, password)
        });
        let hello = packet::connect(self.version, &self.client_id, KEEP_ALIVE_TOLD_S, login);
        stream.write_all(&hello).await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        let mut input = BytesMut::new();
        match read_packet(&mut stream, &mut input, self.version).await? {
            Incoming::ConnAck { reason: 0, receive_maximum, packet_bytes_max } => Ok(Ok(Connection {
                stream,
                input,
                version: self.version,
                receive_maximum: receive_maximum.unwrap_or(u16::MAX),
                packet_bytes_max: packet_bytes_max.map_or(usize::MAX, |bytes| bytes as usize),
            })),
            Incoming::ConnAck { reason, .. } => Ok(Err(reason)),
            _ => Err("the broker did not answer CONNECT with CONNACK".into()),
        }
    }

    async fn open(&self) -> Result<Box<dyn Stream>, String> {
        let name = format!("{}:{}", self.config.host, self.config.port);
        let tcp = TcpStream::connect((self.config.host.as_str(), self.config.port))
            .await
            .map_err(|error| format!("{name}: {error}"))?;
        // Not worth failing for: without it an acknowledgement may wait 40 ms.
        let _ = tcp.set_nodelay(true);
        match &self.tls {
            Some((connector, server)) => match connector.connect(server.clone(), tcp).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(format!("{name}: TLS: {error}")),
            },
            None if tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()) => Ok(Box::new(tcp)),
            None => Err(format!("{name} is not on this machine, and plain MQTT does not leave it")),
        }
    }
}

/// Reads until one packet is whole. Nothing is lost if it is dropped while waiting.
pub(super) async fn read_packet<S: AsyncRead + Unpin + ?Sized>(
    stream: &mut S,
    input: &mut BytesMut,
    version: Version,
) -> Result<Incoming, String> {
    loop {
        if let Some(packet) = packet::decode(input, version)? {
            return Ok(packet);
        }
        match stream.read_buf(input).await {
            Ok(0) => return Err("the broker closed the connection".into()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn read_password(file: &std::path::Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut password = Zeroizing::new(std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?);
    while password.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        password.pop();
    }
    if password.len() > usize::from(u16::MAX) {
        return Err(format!("{}: a password is at most 65535 bytes long", file.display()));
    }
    Ok(password)
}

fn tls(ca: &std::path::Path, host: &str) -> Result<(TlsConnector, ServerName<'static>), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", ca.display());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"holds no certificate"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
    Ok((TlsConnector::from(Arc::new(config)), server))
}

/// Unlike every other client's, so that two gateways do not push each other off the broker.
fn client_id(tenant: &str) -> Result<String, String> {
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(|error| format!("no randomness: {error}"))?;
    let tenant: String = tenant.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    let random = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(format!("bartizan-{tenant}-{random}"))
}

/// The reasons an operator can do something about (MQTT 5 table 3-1, MQTT 3.1.1 table 3.1).
fn refused(version: Version, reason: u8) -> String {
    let why = match (version, reason) {
        (Version::V5, 0x86) | (Version::V311, 4) => "wrong username or password",
        (Version::V5, 0x87) | (Version::V311, 5) => "not authorised",
        (Version::V5, 0x85) | (Version::V311, 2) => "it does not accept our client identifier",
        (Version::V5, 0x88 | 0x89) | (Version::V311, 3) => "it is busy",
        (Version::V5, 0x8a) => "we are banned",
        _ => return format!("the broker refused the connection with reason 0x{reason:02x}"),
    };
    format!("the broker refused the connection: {why}")
}
