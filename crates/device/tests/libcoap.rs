//! The CoAP endpoint against libcoap, which others wrote: as its client and as its server, with loss, in blocks,
//! and with observations. Skipped, with a word, where Debian's `libcoap3-bin` is not installed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an outside program is met over a real socket, in real time"
)]

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant as Clock};

use bartizan_device::exchange::Endpoint;
use bartizan_device::{ClientEvent, Code, Command, ExchangeConfig, Instant, Observe, Reply, Request};

const SERVER: &str = "/usr/bin/coap-server-notls";
const CLIENT: &str = "/usr/bin/coap-client-notls";
/// Nothing here takes so long unless it fails.
const PATIENCE: Duration = Duration::from_secs(120);

fn installed() -> bool {
    let installed = Path::new(SERVER).exists() && Path::new(CLIENT).exists();
    if !installed {
        eprintln!("skipped: libcoap3-bin is not installed");
    }
    installed
}

/// Stops the program at the end of its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[&str]) -> Running {
    let child = Program::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Running(child.unwrap())
}

/// Our endpoint over a UDP socket, with whoever spoke last.
struct Node {
    endpoint: Endpoint,
    socket: UdpSocket,
    peer: Option<SocketAddr>,
    started: Clock,
}

impl Node {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut rng = |out: &mut [u8]| getrandom::fill(out).unwrap();
        let config = ExchangeConfig { retransmit_max_unheard: 6, ..ExchangeConfig::default() };
        let mut endpoint = Endpoint::new(config, &mut rng);
        endpoint.open();
        Self { endpoint, socket, peer: None, started: Clock::now() }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.started.elapsed().as_millis() as u64)
    }

    fn step(&mut self) -> Option<ClientEvent> {
        let now = self.now();
        self.endpoint.handle_timeout(now);
        while let Some(message) = self.endpoint.poll_transmit(now) {
            self.socket.send_to(&message, self.peer.unwrap()).unwrap();
        }
        let mut buffer = [0; 2048];
        if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            self.peer = Some(from);
            self.endpoint.handle(self.now(), &buffer[..length]);
        }
        self.endpoint.poll()
    }

    /// Goes on until something is told.
    fn next(&mut self) -> ClientEvent {
        while self.started.elapsed() < PATIENCE {
            if let Some(event) = self.step() {
                return event;
            }
        }
        panic!("nothing happened in {PATIENCE:?}");
    }

    fn response(&mut self) -> (Code, Vec<u8>) {
        match self.next() {
            ClientEvent::Response { code, payload, .. } => (code, payload),
            other => panic!("no response but {other:?}"),
        }
    }
}

/// libcoap's example server with these further arguments, and a node that speaks with it.
fn with_server(arguments: &[&str]) -> (Running, Node) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port_text = port.to_string();
    let server = start(SERVER, &[&["-A", "127.0.0.1", "-p", &port_text, "-d", "10"], arguments].concat());
    let mut node = Node::new();
    node.peer = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    node.endpoint.request(Request::get("/")).unwrap();
    assert_eq!(node.response().0, Code::CONTENT);
    (server, node)
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|index| b'a' + (index % 23) as u8).collect()
}

fn put(node: &mut Node, length: usize) -> Code {
    let put = Request { method: Code::PUT, ..Request::post("/store", 0, &body(length)) };
    node.endpoint.request(put).unwrap();
    node.response().0
}

fn fetch(node: &mut Node) -> (Code, Vec<u8>) {
    node.endpoint.request(Request::get("/store")).unwrap();
    node.response()
}

#[test]
fn libcoap_stores_and_returns_a_body_in_blocks() {
    if installed() {
        let (_server, mut node) = with_server(&[]);
        assert_eq!(put(&mut node, 5_000), Code::CREATED);
        assert_eq!(fetch(&mut node), (Code::CONTENT, body(5_000)));
    }
}

/// This server does not recognise a repeated block: where the answer to the last one is lost, it refuses the
/// repetition or takes it for the whole body. An upload may have to begin again.
#[test]
fn libcoap_loses_datagrams_and_the_body_still_arrives() {
    if installed() {
        let (_server, mut node) = with_server(&["-l", "10%"]);
        let stored = |node: &mut Node| put(node, 3_000).is_success() && fetch(node).1 == body(3_000);
        assert!((0..8).any(|_| stored(&mut node)), "no upload of eight arrived whole");
    }
}

#[test]
fn libcoap_answers_separately() {
    if installed() {
        let (_server, mut node) = with_server(&[]);
        node.endpoint.request(Request::get("/async?1")).unwrap();
        assert_eq!(node.response(), (Code::CONTENT, b"done".to_vec()));
    }
}

#[test]
fn libcoap_is_observed_and_let_go() {
    if !installed() {
        return;
    }
    let (_server, mut node) = with_server(&[]);
    let time = node.endpoint.observe("/time?ticks").unwrap();
    let mut ticks = Vec::new();
    while ticks.len() < 3 {
        match node.next() {
            ClientEvent::Notification { request, payload, .. } if request == time => ticks.push(payload),
            other => panic!("{other:?}"),
        }
    }
    assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
    node.endpoint.cancel(time).unwrap();
    while let ClientEvent::Notification { .. } = node.next() {}
    assert!(node.endpoint.is_idle());
}

/// Answers every command of one run of libcoap's client, and returns the commands and what the client printed.
fn serve(arguments: &[&str], path: &str, reply: &Reply) -> (Vec<Command>, Vec<u8>) {
    let mut node = Node::new();
    let url = format!("coap://127.0.0.1:{}{path}", node.port());
    let client = Program::new(CLIENT).args(arguments).arg(url).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut client = client.unwrap();
    let mut commands = Vec::new();
    while client.try_wait().unwrap().is_none() && node.started.elapsed() < PATIENCE {
        if let Some(ClientEvent::Command(command)) = node.step() {
            node.endpoint.respond(node.now(), command.id, reply).unwrap();
            if command.observe == Some(Observe::Register) {
                node.endpoint.notify(node.now(), command.id, &Reply::content(0, b"later"), true).unwrap();
            }
            commands.push(command);
        }
    }
    let _ = client.kill();
    (commands, client.wait_with_output().unwrap().stdout)
}

#[test]
fn libcoap_uploads_to_us_in_blocks() {
    if !installed() {
        return;
    }
    let file = std::env::temp_dir().join(format!("bartizan-libcoap-{}", std::process::id()));
    std::fs::write(&file, body(4_000)).unwrap();
    let (commands, _) = serve(
        &["-m", "put", "-b", "256", "-f", file.to_str().unwrap()],
        "/firmware?slot=2",
        &Reply::new(Code::CHANGED),
    );
    std::fs::remove_file(&file).unwrap();
    let [command] = &commands[..] else {
        panic!("{} commands", commands.len());
    };
    assert_eq!((command.method, &command.path[..]), (Code::PUT, "/firmware?slot=2"));
    assert_eq!(command.payload, body(4_000));
}

#[test]
fn libcoap_downloads_from_us_in_blocks() {
    if installed() {
        for block in [&["-b", "64"][..], &[]] {
            let (commands, printed) = serve(block, "/log", &Reply::content(0, &body(3_000)));
            assert_eq!(commands.len(), 1, "further blocks need no further command");
            assert_eq!(printed.strip_suffix(b"\n").unwrap_or(&printed), body(3_000));
        }
    }
}

#[test]
fn libcoap_observes_us() {
    if installed() {
        let (commands, printed) = serve(&["-s", "2"], "/3303/0/5700", &Reply::content(0, b"first;"));
        assert_eq!(commands[0].observe, Some(Observe::Register));
        let printed = String::from_utf8_lossy(&printed);
        assert!(printed.contains("first;") && printed.contains("later"), "{printed:?}");
    }
}
