//! Mbed TLS against itself: the peer is sound before anything of ours is held against it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test that runs programs")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const PSK: [&str; 2] = ["--psk", "000102030405060708090a0b0c0d0e0f"];

/// Ended when dropped.
struct Peer(Child);

impl Peer {
    fn start(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer-mbed"));
        Self(command.args(words).args(PSK).stdout(Stdio::piped()).spawn().expect("the peer starts"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn mbed_is_the_client_and_the_server() {
    let mut server = Peer::start(&["server", "127.0.0.1:0", "--cid", "6", "--echo", "2"]);
    let mut line = String::new();
    BufReader::new(server.0.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("bound ").expect("where it is bound").to_owned();
    let mut client = Peer::start(&["client", &address, "--cid", "0", "--send", "01", "--rebind", "--send", "02"]);
    let lines: Vec<String> =
        BufReader::new(client.0.stdout.take().expect("piped")).lines().map(|line| line.expect("text")).collect();
    assert_eq!(lines[1], "connected TLS-PSK-WITH-AES-128-CCM-8 cid=on", "{lines:?}");
    assert_eq!(lines[2], "recv 01", "{lines:?}");
    assert!(lines[3].starts_with("rebound "), "{lines:?}");
    assert_eq!(lines[4], "recv 02", "{lines:?}");
}
