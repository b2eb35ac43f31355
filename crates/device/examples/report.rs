//! A minimal real device: one report over UDP, and asleep again.
//!
//! ```text
//! cargo run -p bartizan-device --example report -- --gateway 127.0.0.1:5684 \
//!     --identity meter-7 --psk 000102030405060708090a0b0c0d0e0f --payload '{"litres":3}' --save meter-7.session
//! ```
//!
//! With `--save` the association is kept between runs: the second report costs one datagram each way, from
//! whatever address. With `--listen` the device stays awake, prints commands and answers them 2.04. With `--new-key`
//! it takes another key after its report, and comes with that one from then on.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an example is a main program: it owns the socket, the clock, the randomness and the file"
)]

use std::error::Error;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant as Clock};

use bartizan_device::{
    CipherSuite, Client, ClientConfig, ClientEvent, Code, Config, Instant, Psk, Random, Reply, Request, SecretBytes,
    Version, Versions,
};

const USAGE: &str = "\
usage: report --gateway HOST:PORT --identity NAME --psk HEX [options]

  --payload TEXT          what to send (default: nothing)
  --path PATH             the resource (default: /report)
  --method METHOD         GET, POST, PUT, DELETE … (default: POST)
  --content-format N      of the payload (default: 50, JSON)
  --non                   send it once, without repetition
  --save FILE             keep the association there between runs (mode 0600)
  --dtls 1.2|1.3          the version to speak (default: 1.2)
  --psk-only              DTLS 1.3: no ephemeral exchange, so that the key alone protects what was recorded
  --suite NAME            offer only this cipher suite, by its IANA name
  --bind HOST:PORT        own address (default: any)
  --new-key FILE          take another key and keep it there (mode 0600); the one of the command line is the old one
  --listen SECONDS        stay awake, print commands, answer them 2.04
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("report: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match Device::start(options).and_then(Device::report) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    gateway: SocketAddr,
    bind: Option<SocketAddr>,
    config: Config,
    request: Request,
    save: Option<PathBuf>,
    new_key: Option<PathBuf>,
    listen: Duration,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, Box<dyn Error>> {
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).map(String::as_str)
        };
        let needed = |name: &str| value(name).ok_or(format!("{name} is missing"));
        let psk = SecretBytes::new(&from_hex(needed("--psk")?)?).ok_or("the key is too long")?;
        let mut dtls = ClientConfig::new(&bartizan_crypto::RUSTCRYPTO, needed("--identity")?.as_bytes(), psk);
        speak(&mut dtls, value("--dtls").unwrap_or("1.2"))?;
        if arguments.iter().any(|argument| argument == "--psk-only") {
            dtls.groups.clear();
        }
        if let Some(name) = value("--suite") {
            let known = dtls.suites.iter().copied().find(|suite| suite.name() == name);
            dtls.suites = vec![known.ok_or(format!("no suite {name} in this version"))?];
        }
        let method = value("--method").unwrap_or("POST");
        let payload = value("--payload").unwrap_or_default().as_bytes().to_vec();
        let content_format = value("--content-format").unwrap_or("50").parse()?;
        let new_key = value("--new-key").map(PathBuf::from);
        let config = with_kept_key(Config::new(dtls), new_key.as_deref())?;
        Ok(Self {
            gateway: needed("--gateway")?.parse()?,
            bind: value("--bind").map(str::parse).transpose()?,
            config,
            request: Request {
                method: Code::from_method_name(method).ok_or(format!("no method {method}"))?,
                path: value("--path").unwrap_or("/report").to_owned(),
                content_format: (!payload.is_empty()).then_some(content_format),
                payload,
                confirmable: !arguments.iter().any(|argument| argument == "--non"),
            },
            save: value("--save").map(PathBuf::from),
            new_key,
            listen: Duration::from_secs(value("--listen").unwrap_or("0").parse()?),
        })
    }
}

/// The key that was taken before, if one was. Whether a handshake has used it is not known: the old one stays beside it.
fn with_kept_key(mut config: Config, file: Option<&Path>) -> Result<Config, Box<dyn Error>> {
    let Some(Ok(text)) = file.map(std::fs::read_to_string) else { return Ok(config) };
    let (identity, key) = text.trim().split_once(',').ok_or("--new-key: not a file of this program")?;
    let key = SecretBytes::new(&from_hex(key)?).ok_or("the key is too long")?;
    let old = std::mem::replace(&mut config.dtls.identity, from_hex(identity)?);
    config.fallback = Some(Psk { identity: old, key: std::mem::replace(&mut config.dtls.psk, key) });
    Ok(config)
}

/// The version, and its suites, the cheap ones first.
fn speak(dtls: &mut ClientConfig, version: &str) -> Result<(), String> {
    let version = match version {
        "1.2" => return Ok(()), // as it comes
        "1.3" => Version::Dtls13,
        other => return Err(format!("no version {other} of DTLS")),
    };
    dtls.versions = Versions { min: version, max: version };
    dtls.suites = CipherSuite::ALL.into_iter().filter(|suite| suite.version() == version).rev().collect();
    Ok(())
}

fn from_hex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err("a key needs an even number of hexadecimal digits".into());
    }
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    Ok(pairs.collect::<Result<_, _>>()?)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The operating system's randomness.
struct System;

impl Random for System {
    fn fill(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the system has randomness");
    }
}

struct Device {
    options: Options,
    socket: UdpSocket,
    started: Clock,
    client: Client,
}

impl Device {
    fn start(options: Options) -> Result<Self, Box<dyn Error>> {
        let any = if options.gateway.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(options.bind.map_or_else(|| any.parse(), Ok)?)?;
        socket.connect(options.gateway)?;
        let started = Clock::now();
        let client = wake_or_connect(&options)?;
        Ok(Self { options, socket, started, client })
    }

    /// Reports, and sleeps again; whether the gateway took it.
    fn report(mut self) -> Result<bool, Box<dyn Error>> {
        let now = self.now();
        self.client.request(now, self.options.request.clone())?;
        let taken = loop {
            self.exchange(None)?;
            if let Some(taken) = self.tell()? {
                break taken;
            }
        };
        if let Some(file) = self.options.new_key.clone() {
            self.take_key(&file)?;
        }
        let until = self.now().plus(u64::try_from(self.options.listen.as_millis())?);
        while self.now() < until {
            self.exchange(Some(until))?;
            self.tell()?;
        }
        if let Some(file) = &self.options.save
            && let Some(asleep) = self.client.sleep()
        {
            keep(file, &asleep)?;
        }
        Ok(taken)
    }

    /// Asks for another key. It is kept before it is used: whatever happens then, one of both opens the door.
    fn take_key(&mut self, file: &Path) -> Result<(), Box<dyn Error>> {
        let now = self.now();
        let asked = self.client.request_key(now, &[])?;
        loop {
            self.exchange(None)?;
            while let Some(event) = self.client.poll() {
                match event {
                    ClientEvent::NewKey { key, .. } => {
                        keep(file, format!("{},{}\n", to_hex(&key.identity), to_hex(key.key.expose())).as_bytes())?;
                        println!("new key: kept in {}", file.display());
                        self.client.use_key(self.now(), key);
                    }
                    ClientEvent::KeyProven => {
                        println!("new key: in use, the old one is void");
                        return Ok(());
                    }
                    // 4.09 of a device that attests: it has to, in this association, and to ask again.
                    ClientEvent::Response { request, code, payload, .. } if request == asked => {
                        return Err(format!("no new key: {code} {}", String::from_utf8_lossy(&payload)).into());
                    }
                    ClientEvent::Failed { reason, .. } => return Err(format!("no new key: {reason:?}").into()),
                    ClientEvent::Disconnected { retry_at: None, reason } => {
                        return Err(format!("the new key was not taken: {reason:?}").into());
                    }
                    _ => {}
                }
            }
        }
    }

    /// Sends what is to be sent, then waits for a datagram or a timeout, once.
    fn exchange(&mut self, until: Option<Instant>) -> Result<(), Box<dyn Error>> {
        let now = self.now();
        while let Some(datagram) = self.client.poll_transmit(now) {
            self.socket.send(&datagram)?;
        }
        let next = self.client.poll_timeout().into_iter().chain(until).min();
        let wait_ms = next.map_or(1_000, |next| next.since(now)).max(1);
        self.socket.set_read_timeout(Some(Duration::from_millis(wait_ms)))?;
        let mut buffer = [0; 2048];
        match self.socket.recv(&mut buffer) {
            Ok(length) => self.client.handle(self.now(), &mut buffer[..length]),
            // Nobody there is the same as nothing heard: the client repeats and gives up by itself.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => return Err(error.into()),
        }
        let now = self.now();
        if self.client.poll_timeout().is_some_and(|due| due <= now) {
            self.client.handle_timeout(now, &mut System);
        }
        Ok(())
    }

    /// Prints what happened; says whether the report was taken once that is known.
    fn tell(&mut self) -> Result<Option<bool>, Box<dyn Error>> {
        let mut taken = None;
        while let Some(event) = self.client.poll() {
            match event {
                ClientEvent::Connected { suite, connection_id } => {
                    println!("connected: {}, {}, connection id: {connection_id}", suite.version().name(), suite.name());
                }
                ClientEvent::Response { code, payload, .. } => {
                    println!("response: {code} {}", String::from_utf8_lossy(&payload));
                    taken = Some(code.is_success());
                }
                ClientEvent::Failed { reason, .. } => {
                    println!("failed: {reason:?}");
                    taken = Some(false);
                }
                ClientEvent::Command(command) => {
                    let method = command.method.method_name().unwrap_or("?");
                    println!("command: {method} {} {}", command.path, String::from_utf8_lossy(&command.payload));
                    self.client.respond(self.now(), command.id, &Reply::new(Code::CHANGED))?;
                }
                other => println!("{other:?}"),
            }
        }
        Ok(taken)
    }

    fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// Continues the kept association if there is one. The file is replaced before anything is sent, so that a
/// device that loses power in between repeats no sequence number.
fn wake_or_connect(options: &Options) -> Result<Client, Box<dyn Error>> {
    let now = Instant::from_millis(0);
    if let Some(file) = &options.save
        && let Ok(saved) = std::fs::read(file)
    {
        match Client::wake(options.config.clone(), &saved, now, &mut System) {
            Ok((client, asleep)) => {
                keep(file, &asleep)?;
                println!("awake: no handshake");
                return Ok(client);
            }
            Err(error) => eprintln!("report: {}: {error}; connecting anew", file.display()),
        }
    }
    Ok(Client::new(options.config.clone(), now, &mut System)?)
}

/// Replaces a file of secrets at once: written beside, readable by its owner only, then renamed.
fn keep(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let mut new = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    new.write_all(bytes)?;
    new.sync_all()?;
    std::fs::rename(&beside, file)
}
