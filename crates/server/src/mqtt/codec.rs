//! Packets of MQTT 3.1.1 and 5.0 as one set of words.
//!
//! The `mqtt-proto` crate reads and writes them. Here frames are cut from the stream under a bound, and what the two
//! versions call differently gets one name.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mqtt_proto::{Error, Pid, Protocol, QoS, QosPid, TopicName, v3, v5};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::MQTT_DEVICE_PACKET_BYTES_MAX;

/// The first byte of a CONNECT packet.
const CONNECT: u8 = 0x10;
/// Bytes of the length of a packet (MQTT 5.0 section 1.5.5).
const LENGTH_BYTES_MAX: usize = 4;

/// What a device sent that is not to be understood or not to be allowed; the connection ends.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    #[error("a packet of more than {MQTT_DEVICE_PACKET_BYTES_MAX} bytes")]
    TooLong,
    #[error("no MQTT: {0}")]
    Malformed(String),
    #[error("MQTT in another version than 3.1.1 and 5.0")]
    Version,
    #[error("the protocol does not allow it: {0}")]
    Protocol(&'static str),
    #[error("quality of service 2, which is not offered")]
    QualityOfService,
    #[error("a retained message, which is not offered")]
    Retain,
}

/// The first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub protocol: Protocol,
    pub client_id: Arc<str>,
    /// In seconds; zero: never.
    pub keep_alive: u16,
    pub will: Option<Publish>,
    /// The longest packet that the device takes.
    pub packet_bytes_max: u32,
}

/// A message of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub topic: TopicName,
    pub content_type: Option<Arc<str>>,
    pub payload: Bytes,
    /// With quality of service 1: what is to be acknowledged.
    pub pid: Option<Pid>,
}

/// What may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    Publish(Publish),
    /// Of a command; whether the device took it.
    Acknowledged {
        pid: Pid,
        taken: bool,
    },
    Subscribe {
        pid: Pid,
        filters: Vec<String>,
    },
    Unsubscribe {
        pid: Pid,
        filters: Vec<String>,
    },
    Ping,
    /// Whether its will is to be carried on.
    Disconnect {
        with_will: bool,
    },
}

/// Cuts packets from a stream.
pub struct Frames<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The first packet; nothing is waited for once it is no CONNECT.
    pub async fn first(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.buffer.is_empty() && self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Ok(None);
        }
        match self.buffer.first() {
            Some(&CONNECT) => self.next().await,
            _ => Err(NO_CONNECT),
        }
    }

    /// The next whole packet; `None` at the end of the stream. Nothing is lost if this is given up half-way.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if let Some(length) = frame_bytes(&self.buffer)?
                && self.buffer.len() >= length
            {
                return Ok(Some(self.buffer.split_to(length).freeze()));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
    }
}

/// Bytes of the packet that begins here; `None` if its length is not there yet.
fn frame_bytes(buffer: &[u8]) -> Result<Option<usize>, Fault> {
    let mut length = 0;
    for (place, byte) in buffer.iter().skip(1).take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            let whole = 2 + place + length;
            return if whole <= MQTT_DEVICE_PACKET_BYTES_MAX { Ok(Some(whole)) } else { Err(Fault::TooLong) };
        }
    }
    if buffer.len() > LENGTH_BYTES_MAX { Err(Fault::Malformed("the length of a packet".into())) } else { Ok(None) }
}

impl Connect {
    /// Reads the first packet.
    pub fn read(frame: &[u8]) -> Result<Self, Fault> {
        match v5::Packet::decode(frame) {
            Ok(Some(v5::Packet::Connect(connect))) => Self::of_v5(connect),
            Ok(_) => Err(NO_CONNECT),
            Err(v5::ErrorV5::Common(Error::UnexpectedProtocol(Protocol::V311))) => Self::read_v3(frame),
            Err(v5::ErrorV5::Common(Error::UnexpectedProtocol(_) | Error::InvalidProtocol(..))) => Err(Fault::Version),
            Err(error) => Err(Fault::Malformed(error.to_string())),
        }
    }

    fn of_v5(connect: v5::Connect) -> Result<Self, Fault> {
        if connect.properties.auth_method.is_some() {
            return Err(Fault::Protocol("an authentication method besides the certificate"));
        }
        let will = connect.last_will.map(|will| {
            let content_type = will.properties.content_type;
            message(will.qos, will.retain, will.topic_name, content_type, will.payload)
        });
        Ok(Self {
            protocol: connect.protocol,
            client_id: connect.client_id,
            keep_alive: connect.keep_alive,
            will: will.transpose()?,
            packet_bytes_max: connect.properties.max_packet_size.unwrap_or(u32::MAX),
        })
    }

    fn read_v3(frame: &[u8]) -> Result<Self, Fault> {
        match v3::Packet::decode(frame) {
            Ok(Some(v3::Packet::Connect(connect))) => {
                let will =
                    connect.last_will.map(|will| message(will.qos, will.retain, will.topic_name, None, will.message));
                Ok(Self {
                    protocol: connect.protocol,
                    client_id: connect.client_id,
                    keep_alive: connect.keep_alive,
                    will: will.transpose()?,
                    packet_bytes_max: u32::MAX,
                })
            }
            Ok(_) => Err(NO_CONNECT),
            Err(error) => Err(Fault::Malformed(error.to_string())),
        }
    }
}

fn message(
    qos: QoS,
    retain: bool,
    topic: TopicName,
    content_type: Option<Arc<str>>,
    payload: Bytes,
) -> Result<Publish, Fault> {
    if qos == QoS::Level2 {
        return Err(Fault::QualityOfService);
    }
    if retain {
        return Err(Fault::Retain);
    }
    Ok(Publish { topic, content_type, payload, pid: None })
}

fn published(
    qos_pid: QosPid,
    retain: bool,
    topic: TopicName,
    content_type: Option<Arc<str>>,
    payload: Bytes,
) -> Result<Incoming, Fault> {
    let pid = qos_pid.pid();
    message(qos_pid.qos(), retain, topic, content_type, payload).map(|it| Incoming::Publish(Publish { pid, ..it }))
}

impl Incoming {
    /// Reads a packet after the first.
    pub fn read(protocol: Protocol, frame: &[u8]) -> Result<Self, Fault> {
        match protocol {
            Protocol::V500 => Self::read_v5(frame),
            _ => Self::read_v3(frame),
        }
    }

    fn read_v5(frame: &[u8]) -> Result<Self, Fault> {
        let packet = v5::Packet::decode(frame).map_err(|error| Fault::Malformed(error.to_string()))?;
        match packet.ok_or(CUT_SHORT)? {
            v5::Packet::Publish(it) => {
                if it.properties.topic_alias.is_some() {
                    return Err(Fault::Protocol("a topic alias, which is not offered"));
                }
                published(it.qos_pid, it.retain, it.topic_name, it.properties.content_type, it.payload)
            }
            v5::Packet::Puback(it) => {
                Ok(Self::Acknowledged { pid: it.pid, taken: (it.reason_code as u8) < REFUSALS_FROM })
            }
            v5::Packet::Subscribe(it) => {
                let filters = it.topics.iter().map(|(filter, _)| filter.to_string()).collect();
                Ok(Self::Subscribe { pid: it.pid, filters })
            }
            v5::Packet::Unsubscribe(it) => {
                Ok(Self::Unsubscribe { pid: it.pid, filters: it.topics.iter().map(ToString::to_string).collect() })
            }
            v5::Packet::Pingreq => Ok(Self::Ping),
            v5::Packet::Disconnect(it) => {
                Ok(Self::Disconnect { with_will: it.reason_code != v5::DisconnectReasonCode::NormalDisconnect })
            }
            _ => Err(OUT_OF_PLACE),
        }
    }

    fn read_v3(frame: &[u8]) -> Result<Self, Fault> {
        let packet = v3::Packet::decode(frame).map_err(|error| Fault::Malformed(error.to_string()))?;
        match packet.ok_or(CUT_SHORT)? {
            v3::Packet::Publish(it) => published(it.qos_pid, it.retain, it.topic_name, None, it.payload),
            v3::Packet::Puback(pid) => Ok(Self::Acknowledged { pid, taken: true }),
            v3::Packet::Subscribe(it) => {
                let filters = it.topics.iter().map(|(filter, _)| filter.to_string()).collect();
                Ok(Self::Subscribe { pid: it.pid, filters })
            }
            v3::Packet::Unsubscribe(it) => {
                Ok(Self::Unsubscribe { pid: it.pid, filters: it.topics.iter().map(ToString::to_string).collect() })
            }
            v3::Packet::Pingreq => Ok(Self::Ping),
            v3::Packet::Disconnect => Ok(Self::Disconnect { with_will: false }),
            _ => Err(OUT_OF_PLACE),
        }
    }
}

/// Reason codes of MQTT 5.0 from here on are failures (section 2.4).
const REFUSALS_FROM: u8 = 0x80;
const NO_CONNECT: Fault = Fault::Protocol("the first packet is not CONNECT");
const CUT_SHORT: Fault = Fault::Protocol("a packet that is shorter than it says");
const OUT_OF_PLACE: Fault = Fault::Protocol("a packet that is not for a device to send now");
