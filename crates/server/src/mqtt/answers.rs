//! Packets to a device, in its version of MQTT.

use std::sync::Arc;

use bytes::Bytes;
use mqtt_proto::v5::{
    ConnackProperties, ConnectReasonCode, DisconnectReasonCode, PubackReasonCode, SubscribeReasonCode,
    UnsubscribeReasonCode,
};
use mqtt_proto::{Pid, Protocol, QoS, QosPid, TopicName, v3, v5};

use super::codec::Fault;
use crate::limits::{MQTT_DEVICE_PACKET_BYTES_MAX, MQTT_DEVICE_PUBLISH_MAX};

/// Says the packets of one version.
#[derive(Clone, Copy, Debug)]
pub struct Speaker(pub Protocol);

impl Speaker {
    /// The device is let in. `assigned` is the name of one that gave none, `keep_alive` what holds if it asked for
    /// something else.
    pub fn welcome(self, assigned: Option<&str>, keep_alive: Option<u16>) -> Bytes {
        if self.0 != Protocol::V500 {
            return v3(&v3::Packet::Connack(v3::Connack::new(false, v3::ConnectReturnCode::Accepted)));
        }
        let mut connack = v5::Connack::new(false, ConnectReasonCode::Success);
        connack.properties = ConnackProperties {
            session_expiry_interval: Some(0),
            receive_max: Some(MQTT_DEVICE_PUBLISH_MAX),
            max_qos: Some(QoS::Level1),
            retain_available: Some(false),
            max_packet_size: u32::try_from(MQTT_DEVICE_PACKET_BYTES_MAX).ok(),
            assigned_client_id: assigned.map(Arc::from),
            subscription_id_available: Some(false),
            shared_subscription_available: Some(false),
            server_keep_alive: keep_alive,
            ..ConnackProperties::default()
        };
        v5(&v5::Packet::Connack(connack))
    }

    /// It is not.
    pub fn turn_away(self, why: ConnectReasonCode) -> Bytes {
        if self.0 == Protocol::V500 {
            return v5(&v5::Packet::Connack(v5::Connack::new(false, why)));
        }
        let code = match why {
            ConnectReasonCode::UnsupportedProtocolVersion => v3::ConnectReturnCode::UnacceptableProtocolVersion,
            ConnectReasonCode::NotAuthorized | ConnectReasonCode::Banned => v3::ConnectReturnCode::NotAuthorized,
            _ => v3::ConnectReturnCode::ServerUnavailable,
        };
        v3(&v3::Packet::Connack(v3::Connack::new(false, code)))
    }

    /// An answer to a message. Without one the device tries again; 3.1.1 knows no refusal.
    pub fn acknowledge(self, pid: Pid, reason: PubackReasonCode) -> Option<Bytes> {
        match self.0 {
            Protocol::V500 => Some(v5(&v5::Packet::Puback(v5::Puback::new(pid, reason)))),
            _ => (reason == PubackReasonCode::Success).then(|| v3(&v3::Packet::Puback(pid))),
        }
    }

    /// Which of the filters of a subscription hold.
    pub fn subscribed(self, pid: Pid, granted: &[bool]) -> Bytes {
        if self.0 == Protocol::V500 {
            let code = |granted: &bool| match granted {
                true => SubscribeReasonCode::GrantedQoS1,
                false => SubscribeReasonCode::NotAuthorized,
            };
            return v5(&v5::Packet::Suback(v5::Suback::new(pid, granted.iter().map(code).collect())));
        }
        let code = |granted: &bool| match granted {
            true => v3::SubscribeReturnCode::MaxLevel1,
            false => v3::SubscribeReturnCode::Failure,
        };
        v3(&v3::Packet::Suback(v3::Suback::new(pid, granted.iter().map(code).collect())))
    }

    pub fn unsubscribed(self, pid: Pid, existed: &[bool]) -> Bytes {
        if self.0 != Protocol::V500 {
            return v3(&v3::Packet::Unsuback(pid));
        }
        let code = |existed: &bool| match existed {
            true => UnsubscribeReasonCode::Success,
            false => UnsubscribeReasonCode::NoSubscriptionExisted,
        };
        v5(&v5::Packet::Unsuback(v5::Unsuback::new(pid, existed.iter().map(code).collect())))
    }

    pub fn pong(self) -> Bytes {
        v3(&v3::Packet::Pingresp) // the same in both versions
    }

    /// A command, with quality of service 1. 5.0 adds its number as correlation data.
    pub fn command(self, pid: Pid, topic: TopicName, payload: Bytes, number: u64) -> Bytes {
        let qos_pid = QosPid::Level1(pid);
        if self.0 != Protocol::V500 {
            return v3(&v3::Packet::Publish(v3::Publish::new(qos_pid, topic, payload)));
        }
        let mut publish = v5::Publish::new(qos_pid, topic, payload);
        publish.properties.correlation_data = Some(Bytes::copy_from_slice(&number.to_be_bytes()));
        v5(&v5::Packet::Publish(publish))
    }

    /// Why the connection ends now; 3.1.1 just ends it.
    pub fn farewell(self, why: DisconnectReasonCode) -> Option<Bytes> {
        let disconnect = || v5(&v5::Packet::Disconnect(v5::Disconnect::new(why)));
        (self.0 == Protocol::V500).then(disconnect)
    }
}

impl Fault {
    /// How MQTT 5.0 calls it.
    pub const fn reason(&self) -> DisconnectReasonCode {
        match self {
            Self::Broken(_) => DisconnectReasonCode::UnspecifiedError,
            Self::TooLong => DisconnectReasonCode::PacketTooLarge,
            Self::Malformed(_) => DisconnectReasonCode::MalformedPacket,
            Self::Version | Self::Protocol(_) => DisconnectReasonCode::ProtocolError,
            Self::QualityOfService => DisconnectReasonCode::QoSNotSupported,
            Self::Retain => DisconnectReasonCode::RetainNotSupported,
        }
    }
}

fn v3(packet: &v3::Packet) -> Bytes {
    Bytes::copy_from_slice(packet.encode().expect("invariant: what is said here is short").as_ref())
}

fn v5(packet: &v5::Packet) -> Bytes {
    Bytes::copy_from_slice(packet.encode().expect("invariant: what is said here is short").as_ref())
}
