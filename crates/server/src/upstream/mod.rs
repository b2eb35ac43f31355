//! Where devices' messages go: a CoAP server behind a proxy, an MQTT broker, or a log file.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bartizan_wire::DeviceKey;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::app::path::{Downlink, Message, Reply, UpstreamError};

/// What a tenant's upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamConfig {
    Log {
        path: PathBuf,
    },
    Mqtt {
        url: String,
        topic: String,
        username: Option<String>,
        password_file: Option<PathBuf>,
        ca: Option<PathBuf>,
    },
    Proxy {
        target: String,
        /// Upstream addresses, each taken with every port.
        pool: Vec<AddressBlock>,
        ports: RangeInclusive<u16>,
        sockets_max: usize,
    },
}

/// `192.0.2.0/24` or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressBlock {
    pub base: IpAddr,
    pub prefix: u8,
}

impl std::str::FromStr for UpstreamConfig {
    type Err = String;

    fn from_str(_text: &str) -> Result<Self, String> {
        todo!()
    }
}

impl std::fmt::Display for UpstreamConfig {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}

/// A device as an upstream sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamDevice {
    pub key: DeviceKey,
    pub name: String,
    pub type_name: String,
    /// LwM2M endpoint names that the device may register.
    pub endpoint_names: Vec<String>,
}

/// Bounds of one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamLimits {}

/// Which upstream address and port belongs to which device; kept over restarts.
pub trait PortBook: Send + Sync {
    /// The device's own address and port, assigned at the first call. `Exhausted` when the pool is.
    fn assign(
        &self,
        device: DeviceKey,
    ) -> Pin<Box<dyn Future<Output = Result<SocketAddr, UpstreamError>> + Send + '_>>;
}

/// An open upstream of one tenant.
pub struct Upstream;

impl Upstream {
    pub async fn open(
        _config: UpstreamConfig,
        _ports: Arc<dyn PortBook>,
        _downlink: mpsc::Sender<Downlink>,
        _limits: UpstreamLimits,
    ) -> Result<Upstream, UpstreamError> {
        todo!()
    }

    /// Returns only after the upstream accepted the message: the origin's reply, PUBACK, fsync.
    pub async fn deliver(
        &self,
        _device: &UpstreamDevice,
        _message: Message,
    ) -> Result<Reply, UpstreamError> {
        todo!()
    }

    /// The device's answer to a downlink request, or a notification.
    pub async fn respond(&self, _device: &UpstreamDevice, _coap: Bytes) {
        todo!()
    }

    /// The device's association ended: its socket may go, its port stays.
    pub fn forget(&self, _device: DeviceKey) {
        todo!()
    }

    pub async fn drain(&self) {
        todo!()
    }
}
