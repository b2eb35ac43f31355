//! Devices in a process of their own: the real SDK on loopback sockets.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bartizan_crypto::RUSTCRYPTO;
use bartizan_device::{Client, ClientEvent, Config, Instant, Request};
use bartizan_dtls::{CipherSuite, ClientConfig, ConnectionId, SecretBytes};
use bartizan_wire::coap::Code;

const PATIENCE: Duration = Duration::from_millis(100);
const REPORT: &[u8] = br#"{"litres":104217}"#;
/// Where a record's Connection ID begins: after type, version, epoch and sequence number (RFC 9146 section 4).
const CID_OFFSET: usize = 11;
const CID_BYTES: usize = 4;
const DATAGRAM_BYTES: usize = 2048;

pub fn name(number: usize) -> String {
    format!("meter-{number}")
}

/// Every device has a key of its own.
pub fn psk(number: usize) -> [u8; 16] {
    let mut psk = *b"bench key 0000th";
    psk[..8].copy_from_slice(&(number as u64).to_be_bytes());
    psk
}

/// `job:load GATEWAY DEVICES`: each device reports, and reports again as soon as it is answered, until this
/// process is killed. Prints the size of a record once all are connected.
pub fn load(arguments: &[String]) -> anyhow::Result<()> {
    let (gateway, count) = parse(arguments)?;
    let mut fleet = Fleet::connect(gateway, count)?;
    fleet.begin()?;
    loop {
        fleet.turn()?;
    }
}

/// `job:flood GATEWAY DEVICES`: one device after the other floods until it is refused. Prints the 99th
/// percentile of the milliseconds from sending the refused message to its refusal.
pub fn flood(arguments: &[String]) -> anyhow::Result<()> {
    let (gateway, count) = parse(arguments)?;
    let mut millis = Vec::new();
    for number in 0..count {
        millis.push(flood_one(gateway, number)?.as_secs_f64() * 1000.0);
    }
    millis.sort_by(f64::total_cmp);
    let rank = (millis.len() * 99).div_ceil(100).saturating_sub(1);
    println!("{}", millis.get(rank).context("no device flooded")?);
    Ok(())
}

fn parse(arguments: &[String]) -> anyhow::Result<(SocketAddr, usize)> {
    let [gateway, count] = arguments else { bail!("wants GATEWAY DEVICES") };
    Ok((gateway.parse()?, count.parse()?))
}

fn flood_one(gateway: SocketAddr, number: usize) -> anyhow::Result<Duration> {
    let mut device = Device::connect(gateway, number)?;
    for _ in 0..10_000 {
        let sent = std::time::Instant::now();
        let (code, _) = device.ask(report())?;
        if code == Code::FORBIDDEN {
            return Ok(sent.elapsed());
        }
        ensure!(code.class() == 2, "the gateway answered {code:?}");
    }
    bail!("10,000 messages without pause were not refused")
}

fn report() -> Request {
    Request::post("/meter/volume", 50, REPORT)
}

/// One device at its own port.
pub struct Device {
    pub client: Client,
    socket: UdpSocket,
    /// When it sent each of its datagrams.
    pub sent: Vec<std::time::Instant>,
}

impl Device {
    pub fn connect(gateway: SocketAddr, number: usize) -> anyhow::Result<Self> {
        let socket = socket(gateway)?;
        let client = Client::new(config(number)?, now(), &mut random).context("client")?;
        let mut device = Self { client, socket, sent: Vec::new() };
        for _ in 0..200 {
            device.exchange()?;
            if device.client.is_connected() {
                return Ok(device);
            }
        }
        bail!("device {number} did not connect")
    }

    /// Sends what is to be sent, and takes one datagram if it comes in time.
    fn exchange(&mut self) -> anyhow::Result<()> {
        while let Some(datagram) = self.client.poll_transmit(now()) {
            self.socket.send(&datagram)?;
            self.sent.push(std::time::Instant::now());
        }
        let mut buffer = [0; DATAGRAM_BYTES];
        match receive(&self.socket, &mut buffer)? {
            Some(datagram) => self.client.handle(now(), datagram),
            None => self.client.handle_timeout(now(), &mut random),
        }
        Ok(())
    }

    pub fn ask(&mut self, request: Request) -> anyhow::Result<(Code, Vec<u8>)> {
        self.client.request(now(), request)?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<(Code, Vec<u8>)> {
        for _ in 0..200 {
            while let Some(event) = self.client.poll() {
                match event {
                    ClientEvent::Response { code, payload, .. } => return Ok((code, payload)),
                    ClientEvent::Failed { reason, .. } => bail!("a request failed: {reason:?}"),
                    _ => {}
                }
            }
            self.exchange()?;
        }
        bail!("no answer")
    }
}

/// Many devices that, once connected, share one port: the gateway knows them by their Connection IDs, and we
/// the gateway's answers by ours.
struct Fleet {
    socket: UdpSocket,
    clients: Vec<Client>,
}

impl Fleet {
    fn connect(gateway: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            clients.push(Device::connect(gateway, number)?.client);
        }
        Ok(Self { socket: socket(gateway)?, clients })
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        let mut record_bytes = 0;
        for client in &mut self.clients {
            while client.poll().is_some() {}
            client.request(now(), report())?;
            record_bytes = send_all(client, &self.socket)?.max(record_bytes);
        }
        println!("{record_bytes}");
        Ok(())
    }

    /// Takes one answer and sends the next report of its device; in silence, repeats what was lost.
    fn turn(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; DATAGRAM_BYTES];
        let Some(datagram) = receive(&self.socket, &mut buffer)? else {
            for client in &mut self.clients {
                client.handle_timeout(now(), &mut random);
                report_again(client)?;
                send_all(client, &self.socket)?;
            }
            return Ok(());
        };
        let cid = datagram.get(CID_OFFSET..CID_OFFSET + CID_BYTES).and_then(|cid| cid.try_into().ok());
        let number = u32::from_be_bytes(cid.unwrap_or([0xff; CID_BYTES])) as usize;
        if let Some(client) = self.clients.get_mut(number) {
            client.handle(now(), datagram);
            report_again(client)?;
            send_all(client, &self.socket)?;
        }
        Ok(())
    }
}

/// Sends the next report if the last one was answered.
fn report_again(client: &mut Client) -> anyhow::Result<()> {
    while let Some(event) = client.poll() {
        if matches!(event, ClientEvent::Response { .. } | ClientEvent::Failed { .. }) {
            client.request(now(), report())?;
        }
    }
    Ok(())
}

/// The size of the longest datagram sent.
fn send_all(client: &mut Client, socket: &UdpSocket) -> anyhow::Result<usize> {
    let mut longest = 0;
    while let Some(datagram) = client.poll_transmit(now()) {
        longest = longest.max(datagram.len());
        socket.send(&datagram)?;
    }
    Ok(longest)
}

fn config(number: usize) -> anyhow::Result<Config> {
    let psk = SecretBytes::new(&psk(number)).context("16 bytes are a key")?;
    let cid = ConnectionId::new(&u32::try_from(number)?.to_be_bytes());
    let mut dtls = ClientConfig::new(&RUSTCRYPTO, name(number).as_bytes(), psk);
    dtls.suites = vec![CipherSuite::PskAes128Ccm8];
    dtls.own_cid = cid;
    Ok(Config::new(dtls))
}

fn socket(gateway: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((gateway.ip(), 0))?;
    socket.connect(gateway)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn receive<'a>(socket: &UdpSocket, buffer: &'a mut [u8]) -> anyhow::Result<Option<&'a mut [u8]>> {
    match socket.recv(buffer) {
        Ok(length) => Ok(Some(&mut buffer[..length])),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Milliseconds since this process asked first.
fn now() -> Instant {
    static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let passed = ORIGIN.get_or_init(std::time::Instant::now).elapsed();
    Instant::from_millis(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
}

pub fn random(out: &mut [u8]) {
    getrandom::fill(out).expect("invariant: the system has randomness");
}
