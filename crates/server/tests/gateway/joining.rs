//! Devices that have not joined yet, and their makers.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_device::attest::Attester;
use bartizan_device::dice::{Algorithm, Form, KeyPair, certification_request};
use bartizan_device::enrol::{self, PinnedDomain};
use bartizan_device::{Client, ClientConfig, ClientEvent, Code, Config, Request, Versions};
use bartizan_dtls::{Credential, PeerVerifier};
use bartizan_server::app::authorities::Bundle;
use bartizan_server::ca::{self, Authority, Key, Serial, Validity, hierarchy};
use bartizan_sim::{CHAIN_BYTES, Flash};
use bartizan_wire::{DeviceKey, UnixMillis};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair as RcKey,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::UdpSocket;

use super::scene::*;

pub const METER: &str = "water meter";
const DAY_MS: u64 = 86_400_000;

pub fn random(out: &mut [u8]) {
    getrandom::fill(out).unwrap();
}

/// A server whose tenant has an authority.
pub async fn joined_scene() -> Scene {
    let scene = Scene::new().await;
    let now = scene.app.clock().now();
    let validity = Validity { not_before: UnixMillis(now.0 - DAY_MS), not_after: UnixMillis(now.0 + 300 * DAY_MS) };
    let serial = || {
        let mut bytes = [0; 16];
        random(&mut bytes);
        Serial::new(bytes)
    };
    let (key, _) = Key::generate().unwrap();
    let certificate = hierarchy::root("root", &key, &serial(), validity).unwrap();
    let root = Authority::new(certificate.clone(), key).unwrap();
    let asked = scene.app.request_authority(&ada(), scene.tenant).await.unwrap();
    let request = CertificateSigningRequestDer::from_pem_slice(asked.request.as_bytes()).unwrap();
    let signed = hierarchy::sign(&root, &request, &serial(), validity).unwrap();
    let certificates = format!("{}{}", ca::pem("CERTIFICATE", &signed), ca::pem("CERTIFICATE", &certificate));
    scene.app.install_authority(&ada(), scene.tenant, &Bundle { certificates }).await.unwrap();
    scene
}

/// What the device with this place in an order file is called.
pub fn name(number: usize) -> String {
    format!("meter-{number}")
}

/// Imports an order file of the devices with these secrets.
pub async fn order(scene: &Scene, secrets: &[[u8; 32]]) {
    let line =
        |(number, secret): (usize, &[u8; 32])| format!("{},{METER},{}\n", name(number), Flash::identity(*secret));
    let lines: String = secrets.iter().enumerate().map(line).collect();
    let csv = std::io::Cursor::new(format!("name,type,identity\n{lines}"));
    assert_eq!(scene.app.import_orders(&ada(), scene.tenant, csv).await.unwrap(), secrets.len() as u64);
}

/// A device with what it shows before it has joined.
pub struct Pledge {
    pub secret: [u8; 32],
    shown: Credential,
    operational: KeyPair,
    versions: Versions,
    flash: Option<Flash>,
    starts: Option<(Option<u64>, [u8; 16])>,
}

impl Pledge {
    /// A meter with a unique device secret, started once.
    pub fn new(secret: [u8; 32], versions: Versions) -> Self {
        let mut flash = Flash::new(secret);
        let mut chain = [0; CHAIN_BYTES];
        let attester = flash.start_in(Form::X509, &mut random, &mut chain);
        let (shown, operational) = (attester.credential().unwrap(), operational(&attester));
        let starts = Some((attester.boot_count(), *attester.boot_seed()));
        Self { secret, shown, operational, versions, flash: Some(flash), starts }
    }

    /// Power off and on.
    pub fn restart(&mut self) {
        let mut chain = [0; CHAIN_BYTES];
        let attester = self.flash.as_mut().unwrap().start_in(Form::X509, &mut random, &mut chain);
        self.shown = attester.credential().unwrap();
        self.starts = Some((attester.boot_count(), *attester.boot_seed()));
    }

    pub fn request(&self) -> Vec<u8> {
        let mut out = [0; 320];
        let length = certification_request(&RUSTCRYPTO, &mut random, &self.operational, &mut out).unwrap();
        out[..length].to_vec()
    }

    /// Its key, if devices joined in the order of their secrets.
    pub fn key(&self, scene: &Scene) -> DeviceKey {
        DeviceKey::new(scene.tenant.0, u64::from(self.secret[0]))
    }

    async fn domain(scene: &Scene) -> Arc<dyn PeerVerifier> {
        let certificate = scene.app.gateway_certificate().await.unwrap();
        Arc::new(PinnedDomain::new(&RUSTCRYPTO, &certificate, Some(scene.app.clock().now())).unwrap())
    }

    pub async fn applicant(&mut self, scene: &Scene) -> Link {
        self.try_applicant(scene).await.unwrap_or_else(|| panic!("no handshake: {:?}", scene.gateway.counters()))
    }

    pub async fn try_applicant(&mut self, scene: &Scene) -> Option<Link> {
        self.applicant_believing(scene, Self::domain(scene).await).await
    }

    pub async fn applicant_believing(&mut self, scene: &Scene, domain: Arc<dyn PeerVerifier>) -> Option<Link> {
        Link::connect(scene, self.versions, self.shown.clone(), domain).await
    }

    /// Everything from the first contact to the certificate.
    pub async fn join(&mut self, scene: &Scene) -> Result<Vec<u8>, Code> {
        self.enrol(scene).await
    }

    pub async fn enrol(&mut self, scene: &Scene) -> Result<Vec<u8>, Code> {
        let mut link = self.applicant(scene).await;
        if let Some((count, seed)) = self.starts {
            assert_eq!(link.ask(enrol::starts(count, &seed)).await.code, Code::CHANGED);
        }
        let answer = link.ask(enrol::enrolment(&self.request())).await;
        if !answer.code.is_success() {
            return Err(answer.code);
        }
        let authorities = link.ask(enrol::authorities_request()).await;
        assert_eq!((authorities.code, authorities.format), (Code::CONTENT, Some(281)));
        Ok(enrol::certificate(answer.code, answer.format, &answer.payload, self.operational.public()).unwrap())
    }

    pub async fn operational(&self, scene: &Scene, certificate: &[u8]) -> Link {
        self.try_operational(scene, certificate)
            .await
            .unwrap_or_else(|| panic!("no handshake: {:?}", scene.gateway.counters()))
    }

    pub async fn try_operational(&self, scene: &Scene, certificate: &[u8]) -> Option<Link> {
        let credential = enrol::credential(certificate.to_vec(), &self.operational).unwrap();
        Link::connect(scene, self.versions, credential, Self::domain(scene).await).await
    }
}

fn operational(attester: &Attester<'_>) -> KeyPair {
    let seed = attester.operational_key(&RUSTCRYPTO).unwrap();
    KeyPair::from_seed(&RUSTCRYPTO, Algorithm::P256, &seed).unwrap()
}

/// A manufacturer: an authority whose certificates say what it made.
pub struct Maker {
    pub secret: Secret<32>,
    params: CertificateParams,
    key: RcKey,
}

impl Maker {
    pub fn new() -> Self {
        let key = RcKey::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Acme root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pkcs8 = key.serialize_der();
        // The private key stands behind its head, at the same place in every PKCS#8 of this kind.
        let at = pkcs8.windows(2).position(|pair| pair == [0x04, 0x20]).unwrap() + 2;
        let secret = Secret::new(pkcs8[at..at + 32].try_into().unwrap());
        Self { secret, params, key }
    }

    pub fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    /// A certificate with a serial number, in DER.
    pub fn certificate(&self, serial: &str) -> Vec<u8> {
        self.issue(serial, &RcKey::generate().unwrap())
    }

    /// A certificate in DER, and its key in PEM.
    pub fn files(&self, serial: &str) -> (Vec<u8>, String) {
        let key = RcKey::generate().unwrap();
        (self.issue(serial, &key), key.serialize_pem())
    }

    fn issue(&self, serial: &str, key: &RcKey) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let kind = DnType::CustomDnType(vec![2, 5, 4, 5]);
        params.distinguished_name.push(kind, DnValue::PrintableString(serial.try_into().unwrap()));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.is_ca = IsCa::ExplicitNoCa;
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(key, &issuer).unwrap().der().to_vec()
    }

    /// A device with an IDevID and nothing else.
    pub fn made(&self, serial: &str, versions: Versions) -> Pledge {
        let key = RcKey::generate().unwrap();
        let pkcs8 = key.serialize_der();
        let at = pkcs8.windows(2).position(|pair| pair == [0x04, 0x20]).unwrap() + 2;
        let secret = Secret::new(pkcs8[at..at + 32].try_into().unwrap());
        let scheme = bartizan_dtls::SignatureScheme::EcdsaSecp256r1Sha256;
        let signer = Arc::new(bartizan_dtls::SoftwareKey::new(scheme, secret));
        let shown = Credential::x509(vec![self.issue(serial, &key)], signer).unwrap();
        let mut seed = [0; 32];
        random(&mut seed);
        let operational = KeyPair::from_seed(&RUSTCRYPTO, Algorithm::P256, &Secret::new(seed)).unwrap();
        Pledge { secret: [0; 32], shown, operational, versions, flash: None, starts: None }
    }
}

/// An answer as a test looks at it.
#[derive(Debug)]
pub struct Told {
    pub code: Code,
    pub format: Option<u16>,
    pub payload: Vec<u8>,
}

/// A device's SDK on a socket.
pub struct Link {
    client: Client,
    socket: UdpSocket,
    origin: Instant,
    /// Handshakes that stood.
    pub handshakes: usize,
}

impl Link {
    async fn connect(
        scene: &Scene,
        versions: Versions,
        credential: Credential,
        domain: Arc<dyn PeerVerifier>,
    ) -> Option<Self> {
        let dtls = ClientConfig {
            versions,
            suites: bartizan_device::CipherSuite::ALL.to_vec(),
            credential: Some(credential),
            retransmit_ms: 300,
            ..ClientConfig::certified(&RUSTCRYPTO, domain)
        };
        let mut config = Config { reconnect_ms_min: 100, handshakes_max: 1, ..Config::new(dtls) };
        config.exchange.ack_timeout_ms = 300;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(scene.gateway.local_addr()).await.unwrap();
        let client = Client::new(config, bartizan_device::Instant::from_millis(0), &mut random).unwrap();
        let mut link = Self { client, socket, origin: Instant::now(), handshakes: 0 };
        let end = Instant::now() + Duration::from_secs(10);
        while !link.client.is_connected() {
            if Instant::now() > end || link.turn().await.iter().any(is_over) {
                return None;
            }
        }
        link.handshakes = 1;
        Some(link)
    }

    fn now(&self) -> bartizan_device::Instant {
        bartizan_device::Instant::from_millis(self.origin.elapsed().as_millis() as u64)
    }

    async fn turn(&mut self) -> Vec<ClientEvent> {
        let now = self.now();
        while let Some(datagram) = self.client.poll_transmit(now) {
            self.socket.send(&datagram).await.unwrap();
        }
        let mut buffer = vec![0; 4096];
        let patience = Duration::from_millis(50);
        if let Ok(Ok(length)) = tokio::time::timeout(patience, self.socket.recv(&mut buffer)).await {
            let now = self.now();
            self.client.handle(now, &mut buffer[..length]);
        }
        let now = self.now();
        if self.client.poll_timeout().is_some_and(|due| due <= now) {
            self.client.handle_timeout(now, &mut random);
        }
        let mut events = Vec::new();
        while let Some(event) = self.client.poll() {
            if matches!(event, ClientEvent::Connected { .. }) && self.handshakes > 0 {
                self.handshakes += 1;
            }
            events.push(event);
        }
        events
    }

    /// Sends a request and waits for its last word; 5.03 counts as one.
    pub async fn ask(&mut self, request: Request) -> Told {
        let now = self.now();
        let id = self.client.request(now, request).unwrap();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let events = self.turn().await;
            let seen = format!("{events:?}");
            for event in events {
                match event {
                    ClientEvent::Response { request, code, content_format, payload, .. } if request == id => {
                        return Told { code, format: content_format, payload };
                    }
                    ClientEvent::Deferred { request, .. } if request == id => {
                        return Told { code: Code::SERVICE_UNAVAILABLE, format: None, payload: Vec::new() };
                    }
                    ClientEvent::Failed { request, reason } if request == id => panic!("no answer: {reason:?}: {seen}"),
                    _ => {}
                }
            }
        }
        panic!("no answer in time");
    }
}

fn is_over(event: &ClientEvent) -> bool {
    matches!(event, ClientEvent::Disconnected { .. } | ClientEvent::Failed { .. })
}
