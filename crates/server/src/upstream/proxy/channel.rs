//! DTLS towards the origin, by our own client, over the device's own socket.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bartizan_crypto::AWS_LC;
use bartizan_dtls::{ClientConfig, CloseReason, Connection, ConnectionEvent, Error, SecretBytes};
use bytes::Bytes;

use super::super::{SecureConfig, UpstreamDevice};
use crate::limits;

/// The keys we show an origin, read once.
pub(super) struct Security {
    identity: String,
    keys: HashMap<String, SecretBytes>,
}

impl Security {
    /// Reads the file of `identity,key in hex` lines; empty lines and those that begin with # are skipped.
    pub(super) fn read(config: &SecureConfig) -> Result<Self, String> {
        let name = config.psk_file.display();
        let text = std::fs::read_to_string(&config.psk_file).map_err(|error| format!("{name}: {error}"))?;
        let mut keys = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (identity, key) = parse_line(line).map_err(|why| format!("{name}, line {}: {why}", index + 1))?;
            keys.insert(identity.to_owned(), key);
        }
        let security = Self { identity: config.identity.clone(), keys };
        if !security.identity.contains("{device}") {
            security.key(&security.identity)?;
        }
        Ok(security)
    }

    /// A channel for one device's link. The handshake begins with the first message.
    pub(super) fn channel(&self, device: &UpstreamDevice) -> Result<Channel, String> {
        let identity = self.identity.replace("{device}", &device.name);
        let psk = self.key(&identity)?;
        Ok(Channel {
            config: ClientConfig::new(&AWS_LC, identity.as_bytes(), psk),
            origin: Instant::now(),
            connection: None,
            connected: false,
            waiting: VecDeque::new(),
        })
    }

    fn key(&self, identity: &str) -> Result<SecretBytes, String> {
        let key = self.keys.get(identity).cloned();
        key.ok_or_else(|| format!("the psk_file has no key for {identity:?}"))
    }
}

fn parse_line(line: &str) -> Result<(&str, SecretBytes), &'static str> {
    let (identity, key) = line.rsplit_once(',').ok_or("expected identity,key in hex")?;
    let key = unhex(key.trim()).ok_or("the key is not an even number of hexadecimal digits")?;
    if key.len() < limits::PROXY_PSK_BYTES_MIN {
        return Err("the key is shorter than 16 bytes");
    }
    let key = SecretBytes::new(&key).ok_or("the key is too long")?;
    Ok((identity.trim(), key))
}

fn unhex(text: &str) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().map(zeroize::Zeroizing::new)
}

/// One device's association with the origin.
pub(super) struct Channel {
    config: ClientConfig,
    /// What DTLS time counts from.
    origin: Instant,
    connection: Option<Connection>,
    connected: bool,
    /// Messages that wait for the handshake.
    waiting: VecDeque<Bytes>,
}

impl Channel {
    /// Takes a message to send; begins a handshake if there is no association.
    pub(super) fn seal(&mut self, now: Instant, message: Bytes) -> Result<(), &'static str> {
        let at = self.at(now);
        if self.connection.is_none() {
            let mut random = |out: &mut [u8]| {
                getrandom::fill(out).expect("invariant: the system's random source does not fail once it worked");
            };
            let connection = Connection::connect(self.config.clone(), at, &mut random);
            self.connection = Some(connection.map_err(|_| "the DTLS client's configuration cannot work")?);
        }
        if self.waiting.len() >= limits::PROXY_REQUESTS_PER_DEVICE_MAX {
            return Err("too many messages wait for the handshake with the origin");
        }
        self.waiting.push_back(message);
        self.flush(now)
    }

    /// Opens one datagram: the messages in it, and one sentence if the association ended.
    pub(super) fn open(&mut self, now: Instant, datagram: &mut [u8]) -> (Vec<Vec<u8>>, Option<&'static str>) {
        let at = self.at(now);
        if let Some(connection) = &mut self.connection {
            connection.handle(at, datagram);
        }
        self.events(now)
    }

    fn events(&mut self, now: Instant) -> (Vec<Vec<u8>>, Option<&'static str>) {
        let mut messages = Vec::new();
        while let Some(event) = self.connection.as_mut().and_then(Connection::poll) {
            match event {
                ConnectionEvent::Connected { .. } => self.connected = true,
                ConnectionEvent::Data(message) => messages.push(message),
                ConnectionEvent::Closed(reason) => return (messages, Some(why(reason))),
                ConnectionEvent::Rejected(_) => {}
            }
        }
        let broken = self.flush(now).err();
        (messages, broken)
    }

    fn flush(&mut self, now: Instant) -> Result<(), &'static str> {
        let at = self.at(now);
        let Some(connection) = self.connection.as_mut().filter(|_| self.connected) else {
            return Ok(());
        };
        while let Some(message) = self.waiting.pop_front() {
            connection.send(at, &message).map_err(|error| match error {
                Error::Unavailable(_) => "the association with the origin is worn out",
                _ => "the message does not fit a record towards the origin",
            })?;
        }
        Ok(())
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let at = self.at(Instant::now());
        self.connection.as_mut()?.poll_transmit(at)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let at = self.connection.as_ref()?.poll_timeout()?;
        Some(self.origin + Duration::from_millis(at.as_millis()))
    }

    /// One sentence if the association ended by it.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<&'static str> {
        let at = self.at(now);
        let connection = self.connection.as_mut()?;
        if connection.poll_timeout().is_some_and(|due| due <= at) {
            connection.handle_timeout(at);
        }
        self.events(now).1
    }

    /// Forgets the association; the next message begins another.
    pub(super) fn reset(&mut self) {
        self.connection = None;
        self.connected = false;
        self.waiting.clear();
    }

    fn at(&self, now: Instant) -> bartizan_dtls::Instant {
        // Rounded up, so that a timer set in milliseconds has passed when its time has come.
        let elapsed = now.saturating_duration_since(self.origin);
        bartizan_dtls::Instant::from_millis(elapsed.as_micros().div_ceil(1000) as u64)
    }
}

fn why(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Peer | CloseReason::Local | CloseReason::Replaced => "the origin closed the association",
        CloseReason::Alert(_) => "the origin refused the handshake: is the key right?",
        CloseReason::Failed(_) => "the handshake with the origin failed",
        CloseReason::Forgeries => "too many records of the origin's address did not open",
        CloseReason::TimedOut => "the origin did not finish the handshake: is it running, is the key right?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_wire::DeviceKey;

    fn read(identity: &str, text: &str) -> Result<Security, String> {
        let folder = tempfile::tempdir().unwrap();
        let psk_file = folder.path().join("psk");
        std::fs::write(&psk_file, text).unwrap();
        Security::read(&SecureConfig { identity: identity.into(), psk_file })
    }

    #[test]
    fn keys_are_read_by_identity() {
        let key = "00112233445566778899aabbccddeeff";
        assert!(read("gateway", &format!("# ours\n\ngateway,{key}\n")).is_ok());
        assert!(read("{device}", "").is_ok());
        for (text, says) in [
            (String::new(), "no key for"),
            ("gateway".into(), "line 1"),
            ("gateway,00".into(), "shorter than 16"),
            (format!("gateway,{key}0"), "even number"),
            (format!("gateway,{}", "00".repeat(600)), "too long"),
        ] {
            let why = read("gateway", &text).err().unwrap();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn a_device_has_its_own_key_or_none() {
        let security = read("{device}", "meter-1,00112233445566778899aabbccddeeff").unwrap();
        let device = |name: &str| UpstreamDevice {
            key: DeviceKey::new(1, 1),
            name: name.into(),
            type_name: "meter".into(),
            endpoint_names: vec![],
        };
        assert_eq!(security.channel(&device("meter-1")).unwrap().config.identity, b"meter-1");
        assert!(security.channel(&device("meter-2")).err().unwrap().contains("meter-2"));
    }
}
