//! What the upstreams' tests share: outside programs to test against, and devices to test with.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bartizan_server::app::path::{Downlink, Message};
use bartizan_server::clock::Clock;
use bartizan_server::upstream::{MemoryPortBook, Upstream, UpstreamContext, UpstreamDevice, UpstreamLimits};
use bartizan_wire::DeviceKey;
use bytes::Bytes;
use tokio::sync::mpsc;

/// A process that ends with its test.
pub struct Outside(Child);

impl Outside {
    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts an outside program, or says why the test is skipped.
pub fn outside(program: &str, arguments: &[&str]) -> Option<Outside> {
    if !Path::new(program).exists() {
        eprintln!("SKIPPED: {program} is not installed (cargo xtask test installs it)");
        return None;
    }
    let child = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    Some(Outside(child))
}

pub fn free_tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until `ready` says so; outside programs take a moment.
pub async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !ready().await {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not happen within 30 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn device(id: u64) -> UpstreamDevice {
    UpstreamDevice {
        key: DeviceKey::new(1, id),
        name: format!("device-{id}"),
        type_name: "meter".into(),
        endpoint_names: vec![format!("urn:dev:{id}")],
    }
}

pub fn message(path: &str, payload: &str) -> Message {
    Message {
        code: 2,
        path: path.into(),
        content_format: Some(50),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        coap: None,
        trusted: None,
    }
}

/// Short waits, so that a test of an outage is over soon.
pub fn limits() -> UpstreamLimits {
    UpstreamLimits {
        answer: Duration::from_secs(4),
        ack_timeout: Duration::from_millis(300),
        backoff: (Duration::from_millis(50), Duration::from_millis(400)),
        ..UpstreamLimits::default()
    }
}

/// A context and the other end of its downlink.
pub fn context() -> (UpstreamContext, mpsc::Receiver<Downlink>) {
    let (downlink, received) = mpsc::channel(16);
    let context = UpstreamContext {
        tenant: "city".into(),
        clock: Clock::real(),
        ports: Arc::new(MemoryPortBook::default()),
        downlink,
        limits: limits(),
    };
    (context, received)
}

pub async fn open(config: &str, context: UpstreamContext) -> Upstream {
    Upstream::open(config.parse().unwrap(), context).await.unwrap()
}

/// A folder for one test.
pub fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}
