//! OpenSSL's command line against our stack, with certificates that OpenSSL makes: what the matrix has no cells for, such
//! as resumption, Ed25519, short fragments, and those who are refused.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "real sockets, files and a real clock")]

use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_dtls::{
    AlertDescription, Authentication, CertificateType, CipherSuite, ClientConfig, ClientResumption, Connection,
    ConnectionEvent, Credential, Endpoint, EndpointConfig, EndpointEvent, Instant, MaxFragmentLength, PeerVerifier,
    PublicKey, Random, ResumableSession, Resumption, SignatureScheme, SoftwareKey, VerifiedPeer,
};

const GCM: (CipherSuite, &str) = (CipherSuite::EcdheEcdsaAes128GcmSha256, "ECDHE-ECDSA-AES128-GCM-SHA256");

#[test]
fn ed25519_with_openssl_as_the_client() {
    // Not as the server: OpenSSL 3.0 takes such a certificate in TLS 1.2 and not in DTLS 1.2, whose version it compares
    // with that of TLS.
    let people = People::new(SignatureScheme::Ed25519);
    let server = Server::start(people.server_config(GCM.0));
    let text = people.connect_openssl(&server, GCM.1, &[]);
    assert!(text.contains("17.5 m3") && text.contains("Verify return code: 0 (ok)"), "{text}");
    assert_eq!(server.stop().established, [(1, Authentication::Certificate, GCM.0)], "{text}");
}

#[test]
fn a_client_that_shows_nothing_is_refused() {
    let people = People::new(SignatureScheme::EcdsaSecp256r1Sha256);
    let server = Server::start(people.server_config(GCM.0));
    let text = people.connect_openssl_as(&server, GCM.1, None, &[]);
    assert!(text.contains("handshake failure"), "{text}");
    assert_eq!(server.stop().established, []);
}

#[test]
fn a_stranger_is_refused() {
    let people = People::new(SignatureScheme::EcdsaSecp256r1Sha256);
    let server = Server::start(people.server_config(GCM.0));
    let text = people.connect_openssl_as(&server, GCM.1, Some("stranger"), &[]);
    assert!(text.contains("unknown ca"), "{text}");
    assert_eq!(server.stop().established, []);
}

#[test]
fn openssl_resumes_by_id_and_by_ticket() {
    let people = People::new(SignatureScheme::EcdsaSecp256r1Sha256);
    let lifetime_ms = 60_000;
    for resumption in [Resumption::SessionIds { sessions_max: 4, lifetime_ms }, Resumption::Tickets { lifetime_ms }] {
        let server = Server::start(EndpointConfig { resumption, ..people.server_config(GCM.0) });
        let session = people.path("session");
        let first = people.connect_openssl(&server, GCM.1, &["-sess_out", &session]);
        assert!(first.contains("New, TLSv1.2"), "{first}");
        let second = people.connect_openssl(&server, GCM.1, &["-sess_in", &session]);
        assert!(second.contains("Reused, TLSv1.2") && second.contains("17.5 m3"), "{second}");
        let seen = server.stop();
        assert_eq!(seen.established, [(1, Authentication::Certificate, GCM.0); 2]);
        assert_eq!(seen.resumptions, 1);
    }
}

#[test]
fn we_resume_with_openssl_by_ticket_and_by_id() {
    let people = People::new(SignatureScheme::EcdsaSecp256r1Sha256);
    for words in [&[][..], &["-no_ticket"]] {
        let mut openssl = people.serve_openssl(GCM.1, &[&["-Verify", "1"], words].concat());
        let config = people.client_config(GCM.0);
        let ask = ClientConfig { resumption: ClientResumption::Ask, ..config.clone() };
        let client = Client::connect(openssl.address, ask);
        let session: ResumableSession = client.connection.resumable().expect("OpenSSL lets it").clone();
        let socket = client.say_to(&mut openssl);
        let again = ClientConfig { resumption: ClientResumption::Offer(session), ..config };
        let client = Client::connect_from(socket, openssl.address, again);
        assert!(client.connection.is_resumed(), "{words:?}");
        client.talk(&mut openssl);
    }
}

#[test]
fn short_fragments_both_ways() {
    let people = People::new(SignatureScheme::EcdsaSecp256r1Sha256);
    let server = Server::start(people.server_config(GCM.0));
    let text = people.connect_openssl(&server, GCM.1, &["-maxfraglen", "512"]);
    assert!(text.contains("17.5 m3"), "{text}");
    assert_eq!(server.stop().established.len(), 1);

    let mut openssl = people.serve_openssl(GCM.1, &["-Verify", "1"]);
    let config = people.client_config(GCM.0);
    let short = ClientConfig { max_fragment_length: Some(MaxFragmentLength::Bytes512), ..config };
    let client = Client::connect(openssl.address, short);
    assert_eq!(client.connection.send_bytes_max(), 512);
    client.talk(&mut openssl);
}

/// Keys and certificates in a folder of their own: `server`, `client` and `stranger`.
struct People {
    folder: PathBuf,
    scheme: SignatureScheme,
}

static FOLDERS: AtomicU32 = AtomicU32::new(0);

impl People {
    fn new(scheme: SignatureScheme) -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("people-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the target folder can be written");
        let people = Self { folder, scheme };
        for name in ["server", "client", "stranger"] {
            people.make(name);
        }
        people
    }

    fn make(&self, name: &str) {
        let (key, certificate) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.pem")));
        let algorithm: &[&str] = match self.scheme {
            SignatureScheme::EcdsaSecp256r1Sha256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            SignatureScheme::Ed25519 => &["-newkey", "ed25519"],
        };
        let subject = format!("/CN={name}");
        let rest = ["-nodes", "-days", "3650", "-subj", &subject, "-keyout", &key, "-out", &certificate];
        run(&[&["req", "-x509"], algorithm, &rest[..]].concat());
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The certificate and the private key, as our stack wants them.
    fn credential(&self, name: &str) -> Credential {
        let key = run(&["pkey", "-in", &self.path(&format!("{name}.key")), "-outform", "DER"]);
        // Behind its wrapping a P-256 scalar stands after version 1 (RFC 5915), an Ed25519 seed at the end (RFC 8410).
        let start = match self.scheme {
            SignatureScheme::EcdsaSecp256r1Sha256 => {
                let mark = [0x02, 0x01, 0x01, 0x04, 0x20];
                5 + key.windows(5).position(|window| window == mark).expect("an EC private key")
            }
            SignatureScheme::Ed25519 => key.len() - 32,
        };
        let private = Secret::new(key[start..start + 32].try_into().expect("32 bytes"));
        let signer = Arc::new(SoftwareKey::new(self.scheme, private));
        Credential::x509(vec![self.certificate(name)], signer).expect("one certificate")
    }

    fn certificate(&self, name: &str) -> Vec<u8> {
        run(&["x509", "-in", &self.path(&format!("{name}.pem")), "-outform", "DER"])
    }

    /// Believes the client as 1 and the server as 2, by their very certificates.
    fn verifier(&self) -> Arc<dyn PeerVerifier> {
        Arc::new(Pinned(vec![(self.certificate("client"), 1), (self.certificate("server"), 2)]))
    }

    fn server_config(&self, suite: CipherSuite) -> EndpointConfig {
        EndpointConfig {
            suites: vec![suite],
            credential: Some(self.credential("server")),
            verifier: Some(self.verifier()),
            retransmit_ms: 300,
            ..EndpointConfig::new(&RUSTCRYPTO)
        }
    }

    fn client_config(&self, suite: CipherSuite) -> ClientConfig {
        ClientConfig {
            suites: vec![suite],
            credential: Some(self.credential("client")),
            retransmit_ms: 300,
            ..ClientConfig::certified(&RUSTCRYPTO, self.verifier())
        }
    }

    fn connect_openssl(&self, server: &Server, cipher: &str, words: &[&str]) -> String {
        self.connect_openssl_as(server, cipher, Some("client"), words)
    }

    /// OpenSSL connects, says a line, and should get it back; what it prints.
    fn connect_openssl_as(&self, server: &Server, cipher: &str, who: Option<&str>, words: &[&str]) -> String {
        let (address, anchor) = (server.address.to_string(), self.path("server.pem"));
        let own = who.map(|who| [self.path(&format!("{who}.pem")), self.path(&format!("{who}.key"))]);
        let own: Vec<&str> = own.iter().flat_map(|[certificate, key]| ["-cert", certificate, "-key", key]).collect();
        let fixed = ["-connect", &address, "-CAfile", &anchor, "-verify_return_error"];
        let mut child = openssl("s_client", cipher, &[&fixed[..], &own, words].concat());
        let output = watch(&mut child);
        let mut input = child.stdin.take().expect("piped");
        let mut text = text_until(&output, &["Verify return code", "alert"]);
        let _ = input.write_all(b"17.5 m3\n");
        text.push_str(&text_until(&output, &["17.5 m3", "alert"]));
        // With its input at an end it says goodbye, and has written its session.
        drop(input);
        let _ = child.wait();
        text
    }

    fn serve_openssl(&self, cipher: &str, words: &[&str]) -> OpensslServer {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let address = socket.local_addr().expect("bound");
        drop(socket);
        let port = address.port().to_string();
        let files = ["server.pem", "server.key", "client.pem"].map(|name| self.path(name));
        let [certificate, key, anchor] = &files;
        let fixed =
            ["-accept", &port, "-listen", "-cert", certificate, "-key", key, "-CAfile", anchor, "-verify_return_error"];
        let mut child = openssl("s_server", cipher, &[&fixed[..], words].concat());
        let output = watch(&mut child);
        assert!(text_until(&output, &["ACCEPT"]).contains("ACCEPT"));
        OpensslServer { child, output, address }
    }
}

impl Drop for People {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Pinned(Vec<(Vec<u8>, u64)>);

impl PeerVerifier for Pinned {
    fn verify(&self, _: CertificateType, chain: &[&[u8]]) -> Result<VerifiedPeer, AlertDescription> {
        let known = self.0.iter().find(|(certificate, _)| chain.first() == Some(&certificate.as_slice()));
        let (certificate, principal) = known.ok_or(AlertDescription::UNKNOWN_CA)?;
        // The key of a certificate that we have made ourselves is the one thing in it that reads as one.
        let ends = |start: usize| [44, 91].into_iter().filter_map(move |length| certificate.get(start..start + length));
        let key = (0..certificate.len()).flat_map(ends).find_map(PublicKey::from_spki);
        Ok(VerifiedPeer { principal: *principal, key: key.ok_or(AlertDescription::UNSUPPORTED_CERTIFICATE)? })
    }

    fn kinds(&self) -> &[CertificateType] {
        &[CertificateType::X509]
    }
}

struct Os;

impl Random for Os {
    fn fill(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the system has randomness");
    }
}

fn now(start: std::time::Instant) -> Instant {
    Instant::from_millis(start.elapsed().as_millis() as u64)
}

#[derive(Debug, Default)]
struct Seen {
    established: Vec<(u64, Authentication, CipherSuite)>,
    resumptions: usize,
}

/// Our endpoint, which echoes.
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Seen>,
}

impl Server {
    fn start(config: EndpointConfig) -> Self {
        let socket = bind();
        let address = socket.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || serve(&socket, config, &stop)
        });
        Self { address, stop, thread }
    }

    fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the endpoint does not panic")
    }
}

fn serve(socket: &UdpSocket, config: EndpointConfig, stop: &AtomicBool) -> Seen {
    let start = std::time::Instant::now();
    let mut endpoint = Endpoint::server(config, Box::new(Os)).expect("a sound configuration");
    let (mut seen, mut buffer) = (Seen::default(), vec![0; 4096]);
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            endpoint.handle(now(start), from, &mut buffer[..length]);
        }
        if endpoint.poll_timeout().is_some_and(|due| due <= now(start)) {
            endpoint.handle_timeout(now(start));
        }
        while let Some(event) = endpoint.poll() {
            answer(&mut endpoint, now(start), event, &mut seen);
        }
        while let Some(transmit) = endpoint.poll_transmit() {
            socket.send_to(&transmit.data, transmit.to).expect("loopback takes it");
        }
    }
    seen
}

fn answer(endpoint: &mut Endpoint, now: Instant, event: EndpointEvent, seen: &mut Seen) {
    match event {
        EndpointEvent::ResumptionRequested { handshake, principal, .. } => {
            seen.resumptions += 1;
            endpoint.provide_resumption(now, handshake, principal == 1);
        }
        EndpointEvent::Establishing { session, .. } => endpoint.confirm_durable(now, session),
        EndpointEvent::Established { session, .. } => {
            let info = endpoint.session(session).expect("just established");
            seen.established.push((info.principal, info.authentication, info.suite));
        }
        EndpointEvent::Data { session, data, .. } => endpoint.send(now, session, &data).expect("an open session"),
        _ => {}
    }
}

/// Our client.
struct Client {
    socket: UdpSocket,
    remote: SocketAddr,
    start: std::time::Instant,
    connection: Connection,
    inbox: Vec<u8>,
}

impl Client {
    fn connect(remote: SocketAddr, config: ClientConfig) -> Self {
        Self::connect_from(bind(), remote, config)
    }

    fn connect_from(socket: UdpSocket, remote: SocketAddr, config: ClientConfig) -> Self {
        let start = std::time::Instant::now();
        let connection = Connection::connect(config, now(start), &mut Os).expect("a sound configuration");
        let mut client = Self { socket, remote, start, connection, inbox: Vec::new() };
        client.until(|client| client.connection.is_connected());
        assert!(client.connection.is_connected(), "no handshake within 20 s");
        client
    }

    /// A line there, a line back, and goodbye.
    fn talk(mut self, openssl: &mut OpensslServer) {
        self.say(b"17.6 m3\n");
        let heard = text_until(&openssl.output, &["17.6 m3"]);
        assert!(heard.contains("17.6 m3"), "{heard}");
        let input = openssl.child.stdin.as_mut().expect("piped");
        input.write_all(b"open the valve\n").expect("the peer reads");
        self.until(|client| client.inbox.ends_with(b"open the valve\n"));
        assert!(self.inbox.ends_with(b"open the valve\n"));
        self.leave();
    }

    /// A line there, and goodbye, after which OpenSSL waits for the next client: at the same address, to which it has
    /// connected its socket.
    fn say_to(mut self, openssl: &mut OpensslServer) -> UdpSocket {
        self.say(b"17.6 m3\n");
        let heard = text_until(&openssl.output, &["17.6 m3"]);
        self.leave();
        let ended = text_until(&openssl.output, &["DONE"]);
        assert!(ended.contains("DONE"), "{heard}{ended}");
        self.socket
    }

    fn say(&mut self, line: &[u8]) {
        self.connection.send(now(self.start), line).expect("an open connection");
        self.step();
    }

    fn leave(&mut self) {
        self.connection.close(now(self.start));
        self.step();
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !done(self) && !self.connection.is_closed() && std::time::Instant::now() < deadline {
            self.step();
        }
    }

    fn step(&mut self) {
        let mut buffer = vec![0; 4096];
        while let Some(datagram) = self.connection.poll_transmit(now(self.start)) {
            self.socket.send_to(&datagram, self.remote).expect("loopback takes it");
        }
        if let Ok(length) = self.socket.recv(&mut buffer) {
            self.connection.handle(now(self.start), &mut buffer[..length]);
        }
        if self.connection.poll_timeout().is_some_and(|due| due <= now(self.start)) {
            self.connection.handle_timeout(now(self.start));
        }
        while let Some(event) = self.connection.poll() {
            match event {
                ConnectionEvent::Data(data) => self.inbox.extend_from_slice(&data),
                ConnectionEvent::Closed(reason) => eprintln!("closed: {reason:?}"),
                ConnectionEvent::Connected { .. } | ConnectionEvent::Rejected(_) => {}
            }
        }
    }
}

struct OpensslServer {
    child: Child,
    output: mpsc::Receiver<Vec<u8>>,
    address: SocketAddr,
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// OpenSSL does something and is done.
fn run(words: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(words).output().expect("Debian's package openssl is installed");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn openssl(role: &str, cipher: &str, words: &[&str]) -> Child {
    // OpenSSL calls an 8-byte tag too weak for its default level.
    let cipher = format!("{cipher}:@SECLEVEL=0");
    let mut command = Command::new("openssl");
    command.args([role, "-dtls1_2", "-cipher", &cipher]).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("Debian's package openssl is installed")
}

/// The peer's output as it comes.
fn watch(child: &mut Child) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let streams: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
    for mut stream in streams {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok(length) = stream.read(&mut buffer) {
                if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// What the peer prints until it prints one of these, or for 20 seconds.
fn text_until(output: &mpsc::Receiver<Vec<u8>>, wanted: &[&str]) -> String {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let mut text = String::new();
    while !wanted.iter().any(|wanted| text.contains(wanted)) {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let Ok(bytes) = output.recv_timeout(left) else {
            break;
        };
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    text
}

fn bind() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    socket
}
