//! Where a tenant's messages go: the operator's CoAP or LwM2M server, an MQTT broker, or a log file.
//!
//! [`Upstream::deliver`] returns only after the upstream accepted the message (the origin's reply, the
//! broker's PUBACK, the disk's fdatasync), so that what a device was acknowledged cannot be lost here.
//! An upstream knows the transport-neutral types of [`crate::app::path`] and nothing else of the server.

mod config;
mod counters;
mod log;
mod mqtt;
mod options;
mod pool;
mod proxy;

use std::sync::Arc;
use std::time::Duration;

use bartizan_wire::DeviceKey;
use bytes::Bytes;
use tokio::sync::mpsc;

pub use config::{LogConfig, MqttConfig, ProxyConfig, SecureConfig, UpstreamConfig};
pub use counters::{Counted, Counters};
pub use pool::{BoxFuture, MemoryPortBook, Pool, PortBook, exhausted};
pub use proxy::Responded;

use crate::app::path::{Downlink, Message, Reply, UpstreamError};
use crate::clock::Clock;
use crate::limits;

/// A device as an upstream sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamDevice {
    pub key: DeviceKey,
    pub name: String,
    pub type_name: String,
    /// LwM2M endpoint names that the device may register.
    pub endpoint_names: Vec<String>,
}

/// What an upstream is opened with.
#[derive(Clone)]
pub struct UpstreamContext {
    /// The tenant's name, for topics and log lines.
    pub tenant: String,
    /// Event time, for log lines.
    pub clock: Clock,
    pub ports: Arc<dyn PortBook>,
    /// Takes what the origin sends on its own. When it is full the origin is left to repeat itself.
    pub downlink: mpsc::Sender<Downlink>,
    pub limits: UpstreamLimits,
}

/// Bounds of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// How long a message may wait for its acceptance. Devices repeat a request for 45 s and give up after
    /// 93 s (RFC 7252 section 4.8.2), so they hear 5.03 in time to try again.
    pub answer: Duration,
    /// Messages under way at once; more are told 5.03.
    pub in_flight_max: usize,
    /// First retransmission towards an origin (RFC 7252 ACK_TIMEOUT).
    pub ack_timeout: Duration,
    /// Waits between attempts to reach a broker, from the first to the longest.
    pub backoff: (Duration, Duration),
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(20),
            in_flight_max: limits::UPSTREAM_IN_FLIGHT_MAX,
            ack_timeout: Duration::from_secs(2),
            backoff: (Duration::from_millis(200), Duration::from_secs(15)),
        }
    }
}

/// An open upstream of one tenant.
pub struct Upstream {
    kind: Kind,
    counters: Arc<Counters>,
}

enum Kind {
    Log(log::Log),
    Mqtt(mqtt::Mqtt),
    Proxy(proxy::Proxy),
}

impl Upstream {
    /// Opens files and checks keys; a broker or an origin that is down does not fail it, since it may come back.
    ///
    /// # Errors
    /// `Unavailable` with one sentence: the file is in use or cannot be written, a key file is unreadable.
    pub async fn open(config: UpstreamConfig, context: UpstreamContext) -> Result<Self, UpstreamError> {
        let counters = Arc::new(Counters::default());
        let kind = match config {
            UpstreamConfig::Log(config) => Kind::Log(log::Log::open(config, &context).await?),
            UpstreamConfig::Mqtt(config) => Kind::Mqtt(mqtt::Mqtt::open(config, &context, &counters).await?),
            UpstreamConfig::Proxy(config) => Kind::Proxy(proxy::Proxy::open(config, &context, &counters).await?),
        };
        Ok(Self { kind, counters })
    }

    /// Hands `message` over and returns once the upstream accepted it.
    ///
    /// # Errors
    /// Anything but acceptance. The message may still have arrived (at least once): the device repeats it.
    pub async fn deliver(&self, device: &UpstreamDevice, message: Message) -> Result<Reply, UpstreamError> {
        let outcome = match &self.kind {
            Kind::Log(log) => log.deliver(device, message).await,
            Kind::Mqtt(mqtt) => mqtt.deliver(device, message).await,
            Kind::Proxy(proxy) => proxy.deliver(device, message).await,
        };
        self.counters.count(&outcome);
        outcome
    }

    /// Sends a CoAP response of the device on: its answer to a request of the origin, or a notification.
    /// Upstreams without requests of their own have nobody to send it to.
    pub async fn respond(&self, device: &UpstreamDevice, coap: Bytes) -> Responded {
        match &self.kind {
            Kind::Proxy(proxy) => proxy.respond(device, coap).await,
            Kind::Log(_) | Kind::Mqtt(_) => Responded::NotAsked,
        }
    }

    /// Whether CoAP messages pass through as they are: with their blocks, observations and options.
    #[must_use]
    pub const fn speaks_coap(&self) -> bool {
        matches!(self.kind, Kind::Proxy(_))
    }

    /// The device was cut off or is gone: its observations at the origin end (further notifications are
    /// reset), its socket closes, its address and port stay its own.
    pub fn forget(&self, device: DeviceKey) {
        if let Kind::Proxy(proxy) = &self.kind {
            proxy.forget(device);
        }
    }

    /// Finishes what is under way and stops.
    pub async fn drain(&self) {
        match &self.kind {
            Kind::Log(log) => log.drain().await,
            Kind::Mqtt(mqtt) => mqtt.drain().await,
            Kind::Proxy(proxy) => proxy.drain().await,
        }
    }

    /// What happened since it was opened.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.counters.counted()
    }
}

/// What a device hears when a message was accepted that has no answer of its own: 2.04 Changed.
fn accepted() -> Reply {
    Reply { code: CHANGED, content_format: None, payload: Bytes::new(), coap: None }
}

/// 2.04 (RFC 7252 section 12.1.2).
const CHANGED: u8 = 0x44;

/// The CoAP method's name, or its number where it has none (RFC 7252 section 12.1.1, RFC 8132).
pub(crate) fn method_name(code: u8) -> String {
    match code {
        1 => "GET".into(),
        2 => "POST".into(),
        3 => "PUT".into(),
        4 => "DELETE".into(),
        5 => "FETCH".into(),
        6 => "PATCH".into(),
        7 => "iPATCH".into(),
        code => format!("{}.{:02}", code >> 5, code & 31),
    }
}
