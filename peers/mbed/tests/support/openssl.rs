//! OpenSSL's `s_client` and `s_server`, which Debian has.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bartizan_dtls::CipherSuite;

use super::ours::{Client, Server};
use super::{Cell, PSK_HEX};

/// OpenSSL connects to our endpoint, says a line and gets it back.
pub fn openssl_as_client(suite: CipherSuite, name: &str, group: &str) {
    let server = Server::start(suite);
    let address = server.address().to_string();
    let mut child = openssl("s_client", &["-connect", &address, "-quiet"], name, group);
    let output = watch(&mut child);
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"17.5 m3\n").expect("the peer reads");
    let heard = wait_for(&output, "17.5 m3");
    let _ = child.kill();
    let _ = child.wait();
    assert!(heard, "no echo through {name} with {group}");
    let seen = server.stop();
    assert_eq!((seen.handshakes, seen.connection_id), (1, false));
}

/// OpenSSL connects to our endpoint, and both export the same keying material (RFC 5705): the master secret, its
/// extension (RFC 7627) and the exporter are right, not only the same at both of our own ends.
pub fn openssl_exports_the_same(suite: CipherSuite, name: &str) {
    let server = Server::start(suite);
    let address = server.address().to_string();
    let export = ["-keymatexport", "EXPORTER-bartizan-session", "-keymatexportlen", "32"];
    let mut child = openssl("s_client", &[&["-connect", &address], &export[..]].concat(), name, "X25519");
    let output = watch(&mut child);
    let text = text_until(&output, "Extended master secret: yes");
    let _ = child.kill();
    let _ = child.wait();
    let seen = server.stop();
    let ours: String = seen.exporter.iter().map(|byte| format!("{byte:02X}")).collect();
    assert!(text.contains(&format!("Keying material: {ours}")), "{ours} is not in {text}");
    assert!(text.contains("Extended master secret: yes"), "{text}");
}

/// Our client connects to OpenSSL and says a line, which OpenSSL prints.
pub fn openssl_as_server(suite: CipherSuite, name: &str, group: &str) {
    let port = free_port().to_string();
    let mut child = openssl("s_server", &["-accept", &port, "-nocert", "-listen", "-quiet"], name, group);
    let output = watch(&mut child);
    let address = format!("127.0.0.1:{port}").parse().expect("an address");
    let cell = Cell { suite, name: "", cid: false, rebind: false, loss: 0 };
    let mut client = Client::connect(address, &cell);
    client.say(b"17.6 m3\n");
    let heard = wait_for(&output, "17.6 m3");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"open the valve\n").expect("the peer reads");
    let answered = client.hears(b"open the valve\n");
    let _ = child.kill();
    let _ = child.wait();
    assert!(heard && answered, "nothing through {name} with {group}");
    assert_eq!((client.suite, client.peer_cid), (Some(suite), false));
}

fn openssl(role: &str, words: &[&str], name: &str, group: &str) -> Child {
    // OpenSSL calls an 8-byte tag too weak for its default level.
    let cipher = format!("{name}:@SECLEVEL=0");
    let mut command = Command::new("openssl");
    command.args([role, "-dtls1_2", "-psk", PSK_HEX, "-cipher", &cipher, "-groups", group]).args(words);
    if role == "s_client" {
        command.args(["-psk_identity", "Client_identity"]);
    }
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

fn wait_for(output: &mpsc::Receiver<Vec<u8>>, wanted: &str) -> bool {
    let text = text_until(output, wanted);
    let heard = text.contains(wanted);
    if !heard {
        eprintln!("{text}");
    }
    heard
}

/// What the peer prints until it prints what is wanted, or for 20 seconds.
fn text_until(output: &mpsc::Receiver<Vec<u8>>, wanted: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut text = String::new();
    while !text.contains(wanted) {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(bytes) = output.recv_timeout(left) else {
            break;
        };
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    text
}

/// OpenSSL cannot be asked where it is bound, so it is told.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.local_addr().expect("bound").port()
}
