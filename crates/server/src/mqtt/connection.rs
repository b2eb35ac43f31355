//! One connection, from its TLS handshake to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bartizan_wire::event::{CommandState, HandshakeFailure};
use bartizan_wire::{Access, CommandId, Event, EventKind, Source, Subject};
use bytes::Bytes;
use mqtt_proto::v5::{ConnectReasonCode, DisconnectReasonCode, PubackReasonCode};
use mqtt_proto::{Pid, TopicName};
use rustls::ProtocolVersion;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;

use super::answers::Speaker;
use super::codec::{Connect, Fault, Frames, Incoming, Publish};
use super::{Cut, Ended, Shared};
use crate::app::path::{self, Message, Outcome};
use crate::app::{Device, SessionFacts};
use crate::limits::{
    CLIENT_STALL_MS_MAX, MQTT_CONNECT_MS_MAX, MQTT_KEEP_ALIVE_S_MAX, MQTT_TOPIC_BYTES_MAX, TLS_HANDSHAKE_MS_MAX,
};
use crate::upstream::method_name;

/// What devices subscribe to for their commands.
const COMMANDS: &str = "commands/#";
/// POST (RFC 7252 section 12.1.1): what a message is on the way upstream.
const POST: u8 = 2;

type Stream = TlsStream<TcpStream>;

/// Serves one connection to its end.
pub async fn run(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, _slot: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true);
    let handshake = timeout(Duration::from_millis(TLS_HANDSHAKE_MS_MAX), shared.acceptor.accept(stream)).await;
    let Ok(Ok(stream)) = handshake else {
        shared.suspect(peer);
        return shared.counters.ended(Ended::Handshake);
    };
    let Some((device, facts)) = shared.identify(&stream, peer).await else {
        shared.suspect(peer);
        return shared.counters.ended(Ended::Handshake);
    };
    let (reader, writer) = tokio::io::split(stream);
    let why = greet(&shared, &device, facts, Frames::new(reader), writer).await;
    shared.counters.ended(why);
}

impl Shared {
    /// Whose certificate it was.
    async fn identify(&self, stream: &Stream, peer: SocketAddr) -> Option<(Arc<Device>, SessionFacts)> {
        let (_, tls) = stream.get_ref();
        let chain: Vec<&[u8]> = tls.peer_certificates()?.iter().map(AsRef::as_ref).collect();
        let now = self.app.clock().now();
        let (key, _) = self.app.admission().device_of(&chain, now).ok()?;
        let suite = tls.negotiated_cipher_suite()?.suite();
        let facts = SessionFacts {
            since: now,
            address: peer,
            connection_id: false,
            version: match tls.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "MQTT over TLS 1.3",
                _ => "MQTT over TLS 1.2",
            },
            suite: suite.as_str().unwrap_or("unnamed"),
        };
        let device = self.app.load_device(key).await.ok().flatten()?;
        Some((device, facts))
    }

    /// Somebody who has not shown who it is counts against its source.
    fn suspect(&self, peer: SocketAddr) {
        self.app.observe(Event {
            at: self.app.clock().now(),
            subject: Subject::Source { source: Source::of(peer), claimed: None },
            kind: EventKind::HandshakeFailed { reason: HandshakeFailure::UnknownIdentity },
        });
    }

    fn observe(&self, device: &Device, kind: EventKind) {
        self.app.observe(Event { at: self.app.clock().now(), subject: device.subject(), kind });
    }
}

/// From CONNECT to the end.
async fn greet(
    shared: &Arc<Shared>,
    device: &Arc<Device>,
    facts: SessionFacts,
    mut frames: Frames<ReadHalf<Stream>>,
    writer: WriteHalf<Stream>,
) -> Ended {
    let first = timeout(Duration::from_millis(MQTT_CONNECT_MS_MAX), frames.first()).await;
    let connect = match first {
        Ok(Ok(Some(frame))) => Connect::read(&frame),
        Ok(Ok(None)) => return Ended::Device,
        Ok(Err(fault)) => Err(fault),
        Err(_) => return Ended::Silent,
    };
    let (connect, refusal) = match connect {
        Ok(connect) => (connect, (device.access() >= Access::Quarantined).then_some(ConnectReasonCode::NotAuthorized)),
        Err(fault) => {
            tracing::debug!(device = %device.name, %fault, "no CONNECT");
            return Ended::Fault;
        }
    };
    let mut voice = Voice { speaker: Speaker(connect.protocol), writer };
    if let Some(refusal) = refusal {
        let _ = voice.say(voice.speaker.turn_away(refusal)).await;
        return Ended::Refused;
    }
    let (number, cut) = shared.enter(device.key);
    let session = Session {
        shared,
        device,
        voice,
        frames,
        cut,
        patience: patience(connect.keep_alive),
        will: connect.will.clone(),
        packet_bytes_max: connect.packet_bytes_max as usize,
        subscribed: false,
        pids: 0,
        command: None,
    };
    shared.counters.opened.fetch_add(1, Relaxed);
    shared.app.session_opened(device, facts.clone());
    shared.observe(device, EventKind::Established { suite: 0, connection_id: false });
    let why = session.serve(&connect).await;
    shared.leave(device.key, number);
    shared.app.session_ended(device, &facts);
    shared.observe(device, EventKind::Closed { by_peer: why == Ended::Device });
    why
}

/// One and a half times the keep-alive (MQTT 5.0 section 3.1.2.10).
fn patience(keep_alive: u16) -> Duration {
    let seconds = match keep_alive {
        0 => MQTT_KEEP_ALIVE_S_MAX,
        asked => asked.min(MQTT_KEEP_ALIVE_S_MAX),
    };
    Duration::from_millis(u64::from(seconds) * 1500)
}

/// The way to the device.
struct Voice {
    speaker: Speaker,
    writer: WriteHalf<Stream>,
}

impl Voice {
    /// A reader that stops reading is dropped.
    async fn say(&mut self, packet: Bytes) -> Result<(), Fault> {
        let written = timeout(Duration::from_millis(CLIENT_STALL_MS_MAX), async {
            self.writer.write_all(&packet).await?;
            self.writer.flush().await
        });
        written.await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(Fault::from)
    }
}

/// A connection whose device is known and was let in.
struct Session<'a> {
    shared: &'a Arc<Shared>,
    device: &'a Arc<Device>,
    voice: Voice,
    frames: Frames<ReadHalf<Stream>>,
    cut: watch::Receiver<Option<Cut>>,
    patience: Duration,
    /// Carried on if the connection ends in another way than the device says.
    will: Option<Publish>,
    packet_bytes_max: usize,
    subscribed: bool,
    pids: u16,
    /// The one that waits for its acknowledgement.
    command: Option<(Pid, CommandId)>,
}

impl Session<'_> {
    async fn serve(mut self, connect: &Connect) -> Ended {
        let assigned = connect.client_id.is_empty().then_some(self.device.name.as_str());
        let keep_alive =
            (connect.keep_alive == 0 || connect.keep_alive > MQTT_KEEP_ALIVE_S_MAX).then_some(MQTT_KEEP_ALIVE_S_MAX);
        let welcome = self.voice.speaker.welcome(assigned, keep_alive);
        let why = match self.voice.say(welcome).await {
            Ok(()) => self.converse().await,
            Err(fault) => Err(fault),
        };
        let why = match why {
            Ok(why) => why,
            Err(Fault::Broken(_)) => Ended::Device,
            Err(fault) => {
                tracing::debug!(device = %self.device.name, %fault, "a connection is against the protocol");
                self.farewell(fault.reason()).await;
                Ended::Fault
            }
        };
        self.take_back_command().await;
        if let Some(will) = self.will.take().filter(|_| why != Ended::TakenOver) {
            path::submit(&self.shared.app, self.device, message(will)).await;
        }
        let _ = self.voice.writer.shutdown().await;
        why
    }

    async fn converse(&mut self) -> Result<Ended, Fault> {
        let mut due = Instant::now() + self.patience;
        loop {
            let frame = tokio::select! {
                biased;
                cut = cut_off(&mut self.cut) => return Ok(self.cut_by(cut).await),
                frame = self.frames.next() => frame?,
                () = self.device.commanded(), if self.subscribed => {
                    self.offer_command().await?;
                    continue;
                }
                () = tokio::time::sleep_until(due) => {
                    self.farewell(DisconnectReasonCode::KeepAliveTimeout).await;
                    return Ok(Ended::Silent);
                }
            };
            let Some(frame) = frame else { return Ok(Ended::Device) };
            due = Instant::now() + self.patience;
            if let Some(why) = self.hear(&frame).await? {
                return Ok(why);
            }
        }
    }

    /// Takes one packet; answers why the connection ends, if it does.
    async fn hear(&mut self, frame: &[u8]) -> Result<Option<Ended>, Fault> {
        match Incoming::read(self.voice.speaker.0, frame)? {
            Incoming::Publish(publish) => return self.carry(publish).await,
            Incoming::Acknowledged { pid, taken } => self.command_answered(pid, taken).await?,
            Incoming::Subscribe { pid, filters } => {
                let granted: Vec<_> = filters.iter().map(|filter| filter == COMMANDS).collect();
                self.subscribed |= granted.contains(&true);
                self.voice.say(self.voice.speaker.subscribed(pid, &granted)).await?;
                self.offer_command().await?;
            }
            Incoming::Unsubscribe { pid, filters } => {
                let existed: Vec<_> = filters.iter().map(|filter| self.subscribed && filter == COMMANDS).collect();
                self.subscribed &= !existed.contains(&true);
                self.voice.say(self.voice.speaker.unsubscribed(pid, &existed)).await?;
            }
            Incoming::Ping => self.voice.say(self.voice.speaker.pong()).await?,
            Incoming::Disconnect { with_will } => {
                self.will = self.will.take().filter(|_| with_will);
                return Ok(Some(Ended::Device));
            }
        }
        Ok(None)
    }

    /// A message to the upstream, and what its device hears of it. Messages are acknowledged in their order, so that
    /// one waits for the other (MQTT 3.1.1 section 4.6).
    async fn carry(&mut self, publish: Publish) -> Result<Option<Ended>, Fault> {
        let pid = publish.pid;
        if publish.topic.len() >= MQTT_TOPIC_BYTES_MAX {
            return Err(Fault::Protocol("a topic that is longer than is taken"));
        }
        let submitted = path::submit(&self.shared.app, self.device, message(publish));
        let outcome = tokio::select! {
            biased;
            cut = cut_off(&mut self.cut) => return Ok(Some(self.cut_by(cut).await)),
            outcome = submitted => outcome,
        };
        let reason = match outcome {
            Outcome::Replied(_) => {
                self.shared.counters.messages.fetch_add(1, Relaxed);
                PubackReasonCode::Success
            }
            Outcome::Forbidden(Access::Limited) => PubackReasonCode::QuotaExceeded,
            Outcome::Forbidden(_) => PubackReasonCode::NotAuthorized,
            // A device that was told so would not send it again: it is to come back with it.
            Outcome::Unavailable => {
                self.farewell(DisconnectReasonCode::ServerBusy).await;
                return Ok(Some(Ended::Upstream));
            }
        };
        let Some(pid) = pid else { return Ok(None) };
        match self.voice.speaker.acknowledge(pid, reason) {
            Some(packet) => self.voice.say(packet).await.map(|()| None),
            None => Ok(Some(Ended::Refused)),
        }
    }

    // --- commands

    /// Sends the oldest command that is due, unless one is under way.
    async fn offer_command(&mut self) -> Result<(), Fault> {
        let shared = self.shared;
        while self.subscribed && self.command.is_none() {
            let due = shared.app.next_commands(self.device.key, shared.app.clock().now());
            let Some(command) = due.into_iter().next() else { return Ok(()) };
            let topic = command.coap.is_none().then(|| topic_of(command.method, &command.path)).flatten();
            let packet = topic.map(|topic| {
                let pid = self.next_pid();
                (pid, self.voice.speaker.command(pid, topic, command.payload.clone(), command.id.0))
            });
            let (state, detail) = match &packet {
                Some((_, packet)) if packet.len() <= self.packet_bytes_max => (CommandState::Sent, None),
                Some(_) => (CommandState::Refused, Some("it is longer than the device takes")),
                None => (CommandState::Refused, Some("it cannot be said in MQTT")),
            };
            if shared.app.command_state(self.device.key, command.id, state, detail).await.is_err() {
                return Ok(()); // it is offered again with the next one
            }
            if let Some((pid, packet)) = packet.filter(|_| state == CommandState::Sent) {
                self.command = Some((pid, command.id));
                self.voice.say(packet).await?;
            }
        }
        Ok(())
    }

    async fn command_answered(&mut self, pid: Pid, taken: bool) -> Result<(), Fault> {
        let Some((_, command)) = self.command.take_if(|(sent, _)| *sent == pid) else { return Ok(()) };
        let (state, detail) = match taken {
            true => (CommandState::Acknowledged, "the device took it"),
            false => (CommandState::Refused, "the device refused it"),
        };
        if let Err(error) = self.shared.app.command_state(self.device.key, command, state, Some(detail)).await {
            tracing::warn!(device = %self.device.name, %error, "the answer to a command could not be stored");
        }
        self.offer_command().await
    }

    /// What was not acknowledged goes with the next connection.
    async fn take_back_command(&mut self) {
        if let Some((_, command)) = self.command.take() {
            let queued = self.shared.app.command_state(self.device.key, command, CommandState::Queued, None);
            if let Err(error) = queued.await {
                tracing::warn!(device = %self.device.name, %error, "a command could not be queued again");
            }
        }
    }

    fn next_pid(&mut self) -> Pid {
        self.pids = self.pids.checked_add(1).unwrap_or(1);
        Pid::try_from(self.pids).unwrap_or_default()
    }

    // --- the end

    async fn cut_by(&mut self, cut: Cut) -> Ended {
        let (reason, why) = match cut {
            Cut::TakenOver => (DisconnectReasonCode::SessionTakenOver, Ended::TakenOver),
            Cut::Isolated => (DisconnectReasonCode::AdministrativeAction, Ended::Isolated),
            Cut::Stopping => (DisconnectReasonCode::ServerShuttingDown, Ended::Stopping),
        };
        self.farewell(reason).await;
        why
    }

    async fn farewell(&mut self, why: DisconnectReasonCode) {
        if let Some(packet) = self.voice.speaker.farewell(why) {
            let _ = self.voice.say(packet).await;
        }
    }
}

/// Returns when the connection is to be cut from this side.
async fn cut_off(cut: &mut watch::Receiver<Option<Cut>>) -> Cut {
    match cut.wait_for(Option::is_some).await {
        Ok(cut) => cut.unwrap_or(Cut::Stopping),
        Err(_) => Cut::Stopping, // whoever could cut it is gone
    }
}

fn message(publish: Publish) -> Message {
    Message {
        code: POST,
        path: format!("/{}", publish.topic.trim_start_matches('/')),
        content_format: publish.content_type.as_deref().and_then(content_format),
        payload: publish.payload,
        coap: None,
        trusted: None,
    }
}

/// The number that CoAP has for a media type (RFC 7252 section 12.3).
fn content_format(media_type: &str) -> Option<u16> {
    match media_type.split(';').next().unwrap_or_default().trim() {
        "text/plain" => Some(0),
        "application/xml" => Some(41),
        "application/octet-stream" => Some(42),
        "application/json" => Some(50),
        "application/cbor" => Some(60),
        "application/senml+json" => Some(110),
        "application/senml+cbor" => Some(112),
        _ => None,
    }
}

/// `commands/POST/3303/0/5700`; `None` if the path cannot stand in a topic.
fn topic_of(method: u8, path: &str) -> Option<TopicName> {
    TopicName::try_from(format!("commands/{}{path}", method_name(method)).as_str()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_topics_where_they_can_be() {
        assert_eq!(topic_of(2, "/3303/0/5700").as_deref(), Some("commands/POST/3303/0/5700"));
        assert_eq!(topic_of(1, "/a?x=1").as_deref(), Some("commands/GET/a?x=1"));
        assert!(topic_of(2, "/a/+").is_none() && topic_of(2, "/a/#").is_none());
    }

    #[test]
    fn patience_has_bounds() {
        assert_eq!(patience(10), Duration::from_secs(15));
        let longest = Duration::from_millis(u64::from(MQTT_KEEP_ALIVE_S_MAX) * 1500);
        assert_eq!((patience(0), patience(u16::MAX)), (longest, longest));
    }
}
