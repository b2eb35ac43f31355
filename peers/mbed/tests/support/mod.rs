//! Both stacks on real loopback sockets.

#![allow(dead_code, unused_imports, reason = "each test file uses another part")]

mod openssl;
mod ours;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use bartizan_dtls::CipherSuite;
pub use openssl::{openssl_as_client, openssl_as_server, openssl_exports_the_same};
use ours::{Client, Server};

pub const PSK: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
pub const PSK_HEX: &str = "000102030405060708090a0b0c0d0e0f";
/// A message is sent again until it is answered: datagrams may be lost on the way there and back.
const TRIES: usize = 40;

pub struct Cell {
    pub suite: CipherSuite,
    /// Mbed TLS's peer calls the suite so.
    pub name: &'static str,
    pub cid: bool,
    pub rebind: bool,
    pub loss: u8,
}

/// Mbed TLS connects to our endpoint, which answers every message with itself.
pub fn mbed_as_client(cell: &Cell) {
    let server = Server::start(cell.suite);
    let mut arguments = vec!["client".to_owned(), server.address().to_string()];
    arguments.extend(common(cell));
    arguments.extend(["--wait-ms".to_owned(), if cell.loss > 0 { "200" } else { "4000" }.to_owned()]);
    if cell.cid {
        arguments.extend(["--cid".to_owned(), "5".to_owned()]);
    }
    let sends = if cell.loss > 0 { TRIES } else { 2 };
    for at in 0..sends {
        arguments.extend(["--send".to_owned(), format!("{:04x}", at)]);
        if at == 0 && cell.rebind {
            arguments.push("--rebind".to_owned());
        }
    }
    let lines = finished(peer(&arguments));
    let state = if cell.cid { "cid=on" } else { "cid=off" };
    assert!(lines.iter().any(|line| line.starts_with("connected") && line.ends_with(state)), "{lines:?}");
    let answered = lines.iter().filter(|line| line.starts_with("recv")).count();
    assert!(answered >= sends.min(if cell.loss > 0 { TRIES / 3 } else { 2 }), "{lines:?}");
    let seen = server.stop();
    assert_eq!(seen.handshakes, 1, "a changed source port must not cost a handshake");
    assert_eq!(seen.rebound, usize::from(cell.rebind));
    assert_eq!(seen.connection_id, cell.cid);
}

/// Our client connects to Mbed TLS, which answers every message with itself.
pub fn mbed_as_server(cell: &Cell) {
    let wanted = if cell.loss > 0 { 5 } else { 2 };
    let mut arguments = vec!["server".to_owned(), "127.0.0.1:0".to_owned(), "--echo".to_owned(), wanted.to_string()];
    arguments.extend(common(cell));
    // Longer than our client waits before it tries again.
    arguments.extend(["--wait-ms", "8000"].map(str::to_owned));
    if cell.cid {
        arguments.extend(["--cid".to_owned(), "6".to_owned()]);
    }
    let mut child = peer(&arguments);
    let address = first_line(&mut child).trim_start_matches("bound ").parse().expect("the peer says where it is bound");
    let mut client = Client::connect(address, cell);
    for at in 0..wanted {
        client.echo(&[0x42, at as u8], TRIES);
        if at == 0 && cell.rebind {
            client.rebind();
        }
    }
    assert_eq!(client.peer_cid, cell.cid);
    assert_eq!(client.suite, Some(cell.suite));
    assert_eq!(client.handshakes, 1);
    let _ = child.kill();
    let _ = child.wait();
}

/// What Mbed TLS says when our endpoint refuses it.
pub fn refused(identity: &str, psk: &str) -> String {
    let server = Server::start(CipherSuite::PskAes128Ccm8);
    let address = server.address().to_string();
    let words = ["client", &address, "--identity", identity, "--psk", psk, "--cid", "0"].map(str::to_owned);
    let mut text = String::new();
    let mut child = peer(&words);
    child.stderr.take().expect("piped").read_to_string(&mut text).expect("text");
    assert!(!child.wait().expect("ends").success());
    server.stop();
    text
}

fn common(cell: &Cell) -> Vec<String> {
    let loss = cell.loss.to_string();
    let words = ["--psk", PSK_HEX, "--suite", cell.name, "--loss", &loss, "--seed", "7"];
    words.map(str::to_owned).to_vec()
}

fn peer(arguments: &[String]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer-mbed"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the peer starts")
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.as_mut().expect("piped"));
    reader.read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

fn finished(child: Child) -> Vec<String> {
    let output = child.wait_with_output().expect("the peer ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect()
}
