//! A server on loopback with one tenant, and devices that speak real DTLS and CoAP to it.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up should fail here")]

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bartizan_crypto::RUSTCRYPTO;
use bartizan_dtls::{
    CipherSuite, ClientConfig, Connection, ConnectionEvent, SavedSession, SecretBytes, Version, Versions,
};
use bartizan_server::app::{Actor, App, AppOptions, NewDevice, TenantChange};
use bartizan_server::clock::Clock;
use bartizan_server::gateway::journal::{Disk, Folder, Identity};
use bartizan_server::gateway::{Gateway, GatewayHandle, GatewayOptions};
use bartizan_server::store::MasterKey;
use bartizan_wire::coap::{Builder, Code, MessageView, Type};
use bartizan_wire::event::RecordRejection;
use bartizan_wire::{DeviceKey, TenantId};
use tempfile::TempDir;
use tokio::net::UdpSocket;

/// How long anything on loopback may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long silence is listened to before it counts as silence.
pub const SILENCE: Duration = Duration::from_millis(400);

fn key() -> MasterKey {
    MasterKey::from_bytes([42; 32])
}

pub fn ada() -> Actor {
    Actor("ada".into())
}

/// A server with the tenant `city`, whose messages go to a log file.
pub struct Scene {
    pub folder: Arc<TempDir>,
    pub app: Arc<App>,
    pub gateway: GatewayHandle,
    pub tenant: TenantId,
}

impl Scene {
    pub async fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let upstream = format!("log:{}", folder.path().join("city.ndjson").display());
        Self::with_upstream(folder, &upstream).await
    }

    pub async fn with_upstream(folder: Arc<TempDir>, upstream: &str) -> Self {
        let app = open_app(folder.path()).await;
        app.add_tenant(&ada(), "city", upstream.parse().unwrap()).await.unwrap();
        Self::start(folder, app, "127.0.0.1:0".parse().unwrap()).await
    }

    /// Devices count as asleep as soon as they have said something.
    pub async fn of_sleepers() -> Self {
        Self::with_options(|options| options.awake_ms = 0).await
    }

    /// For few devices at a time.
    pub async fn of_places(sessions_max: u32) -> Self {
        Self::with_options(|options| options.sessions_max = sessions_max).await
    }

    /// With a journal that is rewritten often.
    pub async fn of_short_journals() -> Self {
        Self::with_options(|options| options.journal_bytes_min = 4096).await
    }

    /// That asks at every new address, and at the old one first.
    pub async fn of_the_wary() -> Self {
        Self::with_options(|options| options.path_check = bartizan_dtls::PathCheck::Enhanced).await
    }

    async fn with_options(change: impl FnOnce(&mut GatewayOptions)) -> Self {
        let Self { folder, app, gateway, tenant } = Self::new().await;
        gateway.drain(PATIENCE).await;
        let mut options = options(folder.path(), "127.0.0.1:0".parse().unwrap());
        change(&mut options);
        let gateway = Gateway::start(Arc::clone(&app), options).await.unwrap();
        Self { folder, app, gateway, tenant }
    }

    /// With the journal on a disk that fills up when the test says so.
    pub async fn on_small_disk() -> (Self, Arc<AtomicBool>) {
        let Self { folder, app, gateway, tenant } = Self::new().await;
        gateway.drain(PATIENCE).await;
        let full = Arc::new(AtomicBool::new(false));
        let disk = TestDisk {
            folder: Folder::open(&sessions(folder.path())).unwrap(),
            full: Arc::clone(&full),
            known: HashMap::new(),
        };
        let options = options(folder.path(), "127.0.0.1:0".parse().unwrap());
        let gateway = Gateway::start_on(Arc::clone(&app), options, disk).await.unwrap();
        (Self { folder, app, gateway, tenant }, full)
    }

    async fn start(folder: Arc<TempDir>, app: Arc<App>, listen: SocketAddr) -> Self {
        let disk = Folder::open(&sessions(folder.path())).unwrap();
        Self::start_on(folder, app, listen, disk).await
    }

    async fn start_on(folder: Arc<TempDir>, app: Arc<App>, listen: SocketAddr, disk: impl Disk) -> Self {
        let tenant = app.tenant_id("city").await.unwrap();
        let gateway = Gateway::start_on(Arc::clone(&app), options(folder.path(), listen), disk).await.unwrap();
        Self { folder, app, gateway, tenant }
    }

    /// Ends the server in order and starts another on the same folder and address.
    pub async fn restart(self) -> Self {
        self.restart_after(|| {}).await
    }

    /// [`Self::restart`] with something done to the folder between the two.
    pub async fn restart_after(self, change: impl FnOnce()) -> Self {
        let Self { folder, app, gateway, .. } = self;
        let address = gateway.local_addr();
        gateway.drain(PATIENCE).await;
        app.shutdown().await;
        drop(app);
        change();
        let app = open_app(folder.path()).await;
        Self::start(folder, app, address).await
    }

    /// What a `kill -9` at this instant leaves on the disk, with a new server on it. The old one is left
    /// running, but nobody speaks to it any more.
    pub async fn crash(&self) -> Self {
        self.start_image(self.crash_image()).await
    }

    /// Starts a server on an image of this one's disk.
    pub async fn start_image(&self, image: Image) -> Self {
        let disk = image.disk();
        self.start_elsewhere(image.folder, disk).await
    }

    /// Starts a server on a copy of this one's folder, as an operator makes one.
    pub async fn start_copy(&self) -> Self {
        let copy = self.crash_image().folder;
        let disk = Folder::open(&sessions(copy.path())).unwrap();
        self.start_elsewhere(copy, disk).await
    }

    async fn start_elsewhere(&self, folder: TempDir, disk: impl Disk) -> Self {
        let folder = Arc::new(folder);
        let app = open_app(folder.path()).await;
        // The server left running still holds its own log.
        let upstream = format!("log:{}", folder.path().join("city.ndjson").display());
        let change = TenantChange { upstream: Some(upstream.parse().unwrap()) };
        let tenant = app.tenant_id("city").await.unwrap();
        app.change_tenant(&ada(), tenant, change, None).await.unwrap();
        Self::start_on(folder, app, "127.0.0.1:0".parse().unwrap(), disk).await
    }

    /// What a `kill -9` at this instant leaves on the disk.
    pub fn crash_image(&self) -> Image {
        let folder = tempfile::tempdir().unwrap();
        let mut known = HashMap::new();
        self.note_identities(&mut known); // of files that are gone once everything is copied
        copy(self.folder.path(), folder.path());
        self.note_identities(&mut known);
        Image { folder, known }
    }

    fn note_identities(&self, known: &mut HashMap<String, Identity>) {
        let disk = Folder::open(&sessions(self.folder.path())).unwrap();
        for name in disk.names().unwrap() {
            if let Ok(identity) = disk.identity(&name) {
                known.insert(name, identity);
            }
        }
    }

    /// Adds a water meter and answers its key.
    pub async fn add(&self, name: &str) -> (DeviceKey, Vec<u8>) {
        let types = self.app.types(self.tenant).await.unwrap();
        if types.items.is_empty() {
            self.app.add_type(&ada(), self.tenant, "water meter").await.unwrap();
        }
        self.add_of(name, "water meter").await
    }

    /// The same for a device of another type, which there must be.
    pub async fn add_of(&self, name: &str, device_type: &str) -> (DeviceKey, Vec<u8>) {
        let device = NewDevice { name: name.into(), device_type: device_type.into(), ..NewDevice::default() };
        let added = self.app.add_device(&ada(), self.tenant, device).await.unwrap();
        let key = self.app.device_key(self.tenant, name).await.unwrap();
        (key, unhex(&added.psk))
    }

    /// Adds a water meter and connects it.
    pub async fn meter(&self, name: &str) -> (DeviceKey, Device) {
        let (key, psk) = self.add(name).await;
        let device = Device::connect(self.gateway.local_addr(), name, &psk).await;
        let device = device.unwrap_or_else(|| panic!("no handshake: {:?}", self.gateway.counters()));
        (key, device)
    }

    /// Adds a water meter that speaks this version, and connects it.
    pub async fn meter_of(&self, name: &str, version: Version) -> (DeviceKey, Device) {
        let (key, psk) = self.add(name).await;
        let device = Device::connect_over(self.gateway.local_addr(), name, &psk, version).await;
        let device = device.unwrap_or_else(|| panic!("no handshake: {:?}", self.gateway.counters()));
        (key, device)
    }

    /// The messages of the log upstream, a line each.
    pub fn delivered(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("city.ndjson")).unwrap_or_default();
        text.lines().filter(|line| !line.contains("\"event\":")).map(str::to_owned).collect()
    }
}

async fn open_app(folder: &Path) -> Arc<App> {
    App::open(AppOptions::new(folder.join("data"), key(), Clock::real())).await.unwrap()
}

fn options(folder: &Path, listen: SocketAddr) -> GatewayOptions {
    GatewayOptions { sessions_max: 1_000, ..GatewayOptions::new(listen, sessions(folder), key()) }
}

pub fn sessions(folder: &Path) -> PathBuf {
    folder.join("data").join("sessions")
}

/// Oldest journals first: what is deleted meanwhile stands in a later one.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = std::fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), target) {
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{}", entry.path().display());
        }
    }
}

pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn fill(out: &mut [u8]) {
    getrandom::fill(out).unwrap();
}

/// Waits until `ready` says so.
pub async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !ready().await {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A disk as it was at one instant: its files are those of the original, not copies.
pub struct Image {
    folder: TempDir,
    known: HashMap<String, Identity>,
}

impl Image {
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn disk(&self) -> impl Disk + use<> {
        let folder = Folder::open(&sessions(self.path())).unwrap();
        TestDisk { folder, full: Arc::default(), known: self.known.clone() }
    }
}

/// A folder on a disk that may be full, and whose files may pass for others.
struct TestDisk {
    folder: Folder,
    full: Arc<AtomicBool>,
    known: HashMap<String, Identity>,
}

impl Disk for TestDisk {
    type File = <Folder as Disk>::File;

    fn names(&self) -> io::Result<Vec<String>> {
        self.folder.names()
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn io::Read>> {
        self.folder.read(name)
    }

    fn create(&self, name: &str) -> io::Result<Self::File> {
        self.folder.create(name)
    }

    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            self.folder.append(file, &bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.folder.append(file, bytes)
    }

    fn truncate(&self, file: &mut Self::File, length: u64) -> io::Result<()> {
        self.folder.truncate(file, length)
    }

    fn sync(&self, file: &mut Self::File) -> io::Result<()> {
        self.folder.sync(file)
    }

    fn identity(&self, name: &str) -> io::Result<Identity> {
        self.known.get(name).map_or_else(|| self.folder.identity(name), |known| Ok(*known))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.folder.sync_names()
    }
}

/// A response as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub kind: Type,
    pub code: Code,
    pub max_age: Option<u32>,
    pub payload: Vec<u8>,
}

impl Response {
    fn of(view: &MessageView<'_>) -> Self {
        Self { kind: view.kind(), code: view.code(), max_age: view.max_age(), payload: view.payload().to_vec() }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

/// A device: one DTLS connection on one socket.
pub struct Device {
    pub connection: Connection,
    pub gateway: SocketAddr,
    socket: UdpSocket,
    origin: Instant,
    next_id: u16,
    /// Datagrams as they were sent, for an attacker to replay.
    pub sent: Vec<Vec<u8>>,
    /// Application data not yet looked at.
    inbox: Vec<Vec<u8>>,
    pub closed: bool,
    /// Epoch and sequence number of every record of the server after the handshake. DTLS 1.3 hides them.
    pub heard: Vec<u64>,
    /// Datagrams of the server.
    pub received: usize,
    /// Records of the server with a number that was used before, in either version.
    pub repeated: usize,
    config: ClientConfig,
}

impl Device {
    /// Connects; `None` if the handshake is not finished in time.
    pub async fn connect(gateway: SocketAddr, identity: &str, psk: &[u8]) -> Option<Self> {
        Self::connect_within(gateway, identity, psk, PATIENCE).await
    }

    pub async fn connect_within(gateway: SocketAddr, identity: &str, psk: &[u8], patience: Duration) -> Option<Self> {
        let config = ClientConfig {
            retransmit_ms: 300,
            ..ClientConfig::new(&RUSTCRYPTO, identity.as_bytes(), SecretBytes::new(psk).unwrap())
        };
        Self::connect_with(gateway, config, patience).await
    }

    /// Connects with this version, and an ephemeral exchange in the newer one.
    pub async fn connect_over(gateway: SocketAddr, identity: &str, psk: &[u8], version: Version) -> Option<Self> {
        Self::connect_with(gateway, config_of(identity, psk, version), PATIENCE).await
    }

    /// A device whose handshake has been made elsewhere.
    pub async fn connected(gateway: SocketAddr, connection: Connection, config: ClientConfig) -> Self {
        Self::new(gateway, connection, config).await
    }

    /// One of the many deployed devices that know no Connection ID.
    pub async fn connect_without_cid(gateway: SocketAddr, identity: &str, psk: &[u8]) -> Option<Self> {
        let psk = SecretBytes::new(psk).unwrap();
        let config = ClientConfig { own_cid: None, ..ClientConfig::new(&RUSTCRYPTO, identity.as_bytes(), psk) };
        Self::connect_with(gateway, config, PATIENCE).await
    }

    async fn new(gateway: SocketAddr, connection: Connection, config: ClientConfig) -> Self {
        Self {
            connection,
            gateway,
            socket: bound().await,
            origin: Instant::now(),
            next_id: 1,
            sent: Vec::new(),
            inbox: Vec::new(),
            closed: false,
            heard: Vec::new(),
            received: 0,
            repeated: 0,
            config,
        }
    }

    pub async fn connect_with(gateway: SocketAddr, config: ClientConfig, patience: Duration) -> Option<Self> {
        let start = bartizan_dtls::Instant::from_millis(0);
        let connection = Connection::connect(config.clone(), start, &mut fill).unwrap();
        let mut device = Self::new(gateway, connection, config).await;
        device.wait(patience, |device| device.connection.exporter().is_some()).await.then_some(device)
    }

    fn now(&self) -> bartizan_dtls::Instant {
        bartizan_dtls::Instant::from_millis(self.origin.elapsed().as_millis() as u64)
    }

    /// Writes the association down, forgets everything, and goes on from what was written, at another port.
    pub async fn sleep_and_wake(&mut self) {
        let saved = self.connection.save().unwrap().to_bytes();
        let saved = SavedSession::from_bytes(&saved).unwrap();
        self.connection = Connection::resume(self.config.clone(), saved, self.now()).unwrap();
        self.connection.save().unwrap();
        self.rebind().await;
        self.sent.clear();
        self.received = 0;
    }

    /// As a NAT does while a device sleeps: another port, the same association.
    pub async fn rebind(&mut self) {
        self.socket = bound().await;
    }

    pub async fn transmit(&mut self) {
        let now = self.now();
        while let Some(datagram) = self.connection.poll_transmit(now) {
            self.socket.send_to(&datagram, self.gateway).await.unwrap();
            self.sent.push(datagram);
        }
    }

    /// Runs the connection until `done`; `false` if that does not happen in time.
    pub async fn wait(&mut self, patience: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = Instant::now() + patience;
        loop {
            self.transmit().await;
            self.take_events();
            if done(self) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.receive(left.min(Duration::from_millis(50))).await;
        }
    }

    async fn receive(&mut self, patience: Duration) {
        let mut buffer = vec![0; 4096];
        let received = tokio::time::timeout(patience, self.socket.recv_from(&mut buffer)).await;
        let now = self.now();
        if let Ok(Ok((length, _))) = received {
            self.received += 1;
            self.note_sequence(&buffer[..length]);
            self.connection.handle(now, &mut buffer[..length]);
        }
        if self.connection.poll_timeout().is_some_and(|due| due <= now) {
            self.connection.handle_timeout(now);
        }
    }

    /// The server sends protected records without Connection ID (we asked for none): type, version, epoch
    /// and sequence number.
    fn note_sequence(&mut self, datagram: &[u8]) {
        if let [_, 254, 253, number @ ..] = datagram
            && let Some(number) = number.first_chunk()
            && u64::from_be_bytes(*number) >> 48 == 1
        {
            self.heard.push(u64::from_be_bytes(*number));
        }
    }

    pub async fn close(&mut self) {
        let now = self.now();
        self.connection.close(now);
        self.transmit().await;
    }

    fn take_events(&mut self) {
        while let Some(event) = self.connection.poll() {
            match event {
                ConnectionEvent::Data(data) => self.inbox.push(data),
                ConnectionEvent::Closed(_) => self.closed = true,
                ConnectionEvent::Rejected(RecordRejection::Replayed) => self.repeated += 1,
                _ => {}
            }
        }
    }

    /// Sends bytes as one record's content.
    pub async fn send(&mut self, bytes: &[u8]) {
        let now = self.now();
        self.connection.send(now, bytes).unwrap();
        self.transmit().await;
    }

    /// The next CoAP message of the server.
    pub async fn next(&mut self, patience: Duration) -> Option<Vec<u8>> {
        self.wait(patience, |device| !device.inbox.is_empty()).await.then(|| self.inbox.remove(0))
    }

    /// A confirmable request under the next message id, its payload JSON.
    pub fn request(&mut self, code: Code, target: &str, payload: &[u8]) -> Vec<u8> {
        self.request_as(code, target, 50, payload)
    }

    pub fn request_as(&mut self, code: Code, target: &str, content_format: u16, payload: &[u8]) -> Vec<u8> {
        self.next_id += 1;
        let mut buffer = vec![0; 2048];
        let token = self.next_id.to_be_bytes();
        Builder::new(&mut buffer, Type::Confirmable, code, self.next_id, &token)
            .target(target)
            .content_format(content_format)
            .payload(payload)
            .finish()
            .unwrap()
            .to_vec()
    }

    /// Sends a request, and again every second as RFC 7252 has it, until it is answered.
    pub async fn insist(&mut self, message: &[u8]) -> Response {
        let token = MessageView::parse(message).unwrap().token().to_vec();
        for _ in 0..60 {
            self.send(message).await;
            while let Some(answer) = self.next(Duration::from_secs(1)).await {
                let view = MessageView::parse(&answer).unwrap();
                if view.token() == token && view.code().is_response() {
                    return Response::of(&view);
                }
            }
        }
        panic!("no answer in a minute");
    }

    /// Sends a request and waits for its response.
    pub async fn exchange(&mut self, message: &[u8]) -> Option<Response> {
        let token = MessageView::parse(message).unwrap().token().to_vec();
        self.send(message).await;
        let end = Instant::now() + PATIENCE;
        while let Some(answer) = self.next(end.saturating_duration_since(Instant::now())).await {
            let view = MessageView::parse(&answer).unwrap();
            if view.token() == token && view.code().is_response() {
                return Some(Response::of(&view));
            }
        }
        None
    }

    pub async fn post(&mut self, target: &str, payload: &str) -> Response {
        let message = self.request(Code::POST, target, payload.as_bytes());
        self.exchange(&message).await.expect("a response")
    }

    pub async fn status(&mut self) -> Response {
        let message = self.request(Code::GET, "/.well-known/bartizan/status", b"");
        self.exchange(&message).await.expect("a response")
    }
}

/// One suite that both can, in this version.
pub fn config_of(identity: &str, psk: &[u8], version: Version) -> ClientConfig {
    let suite = match version {
        Version::Dtls12 => CipherSuite::PskAes128Ccm8,
        Version::Dtls13 => CipherSuite::Aes128Ccm8Sha256,
    };
    ClientConfig {
        versions: Versions { min: version, max: version },
        suites: vec![suite],
        retransmit_ms: 300,
        ..ClientConfig::new(&RUSTCRYPTO, identity.as_bytes(), SecretBytes::new(psk).unwrap())
    }
}

async fn bound() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}
