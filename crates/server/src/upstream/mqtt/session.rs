//! The life of the client: connect, publish and await acknowledgements, lose the connection, wait, connect again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::super::counters::add;
use super::super::{Counters, UpstreamLimits};
use super::connection::{Broker, Connection, KEEP_ALIVE, Stream, read_packet};
use super::packet::{self, Incoming, Version};
use super::{Publish, unavailable};
use crate::app::path::UpstreamError;
use crate::limits;

/// Owns the connection; its owner holds the other end of the queue of publishes.
pub(super) struct Client {
    broker: Broker,
    limits: UpstreamLimits,
    counters: Arc<Counters>,
}

impl Client {
    pub(super) fn new(broker: Broker, limits: UpstreamLimits, counters: Arc<Counters>) -> Self {
        Self { broker, limits, counters }
    }

    /// Runs until the queue's other end is dropped and all acknowledgements are in.
    pub(super) async fn run(mut self, mut publishes: mpsc::Receiver<Publish>) {
        let (shortest, longest) = self.limits.backoff;
        let mut wait = shortest;
        loop {
            let why = match timeout(self.limits.answer, self.broker.connect()).await {
                Ok(Ok(connection)) => {
                    add(&self.counters.connections);
                    wait = shortest;
                    match Session::new(connection, &self.limits).run(&mut publishes).await {
                        Ok(()) => return,
                        Err(why) => {
                            add(&self.counters.disconnections);
                            why
                        }
                    }
                }
                Ok(Err(why)) => why,
                Err(_) => "the broker did not accept a connection in time".into(),
            };
            tracing::warn!(%why, retry_ms = wait.as_millis() as u64, "the MQTT broker is not available");
            if refuse_for(wait, &why, &mut publishes).await.is_err() {
                return;
            }
            wait = (wait * 2).min(longest);
        }
    }
}

/// While there is no broker, every message is refused at once: its device shall know. An error: queue closed.
async fn refuse_for(wait: Duration, why: &str, publishes: &mut mpsc::Receiver<Publish>) -> Result<(), ()> {
    let until = Instant::now() + wait;
    loop {
        match tokio::time::timeout_at(until, publishes.recv()).await {
            Ok(Some(publish)) => refuse(publish, why),
            Ok(None) => return Err(()),
            Err(_) => return Ok(()),
        }
    }
}

fn refuse(publish: Publish, why: &str) {
    // A sender that no longer waits has already told its device.
    let _ = publish.answer.send(Err(unavailable(why)));
}

/// A publish that the broker has not acknowledged yet.
struct Pending {
    since: Instant,
    publish: Publish,
}

/// One connection's worth.
struct Session {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    input: BytesMut,
    output: BytesMut,
    version: Version,
    packet_bytes_max: usize,
    in_flight_max: usize,
    in_flight: HashMap<u16, Pending>,
    last_id: u16,
    awaiting_ping: bool,
    answer: Duration,
}

impl Session {
    fn new(connection: Connection, limits: &UpstreamLimits) -> Self {
        let (reader, writer) = tokio::io::split(connection.stream);
        let in_flight_max = limits.in_flight_max.min(usize::from(connection.receive_maximum)).max(1);
        Self {
            reader,
            writer,
            input: connection.input,
            output: BytesMut::new(),
            version: connection.version,
            packet_bytes_max: connection.packet_bytes_max.min(limits::MQTT_OUTGOING_BYTES_MAX),
            in_flight_max,
            in_flight: HashMap::new(),
            last_id: 0,
            awaiting_ping: false,
            answer: limits.answer,
        }
    }

    /// `Ok` once the queue is closed and everything is acknowledged, else why the connection ended.
    async fn run(mut self, publishes: &mut mpsc::Receiver<Publish>) -> Result<(), String> {
        let ended = self.exchange(publishes).await;
        if let Err(why) = &ended {
            for (_, pending) in self.in_flight.drain() {
                refuse(pending.publish, why);
            }
        }
        ended
    }

    async fn exchange(&mut self, publishes: &mut mpsc::Receiver<Publish>) -> Result<(), String> {
        let mut alive = tokio::time::interval(KEEP_ALIVE.min(self.answer));
        alive.tick().await;
        let mut open = true;
        while open || !self.in_flight.is_empty() {
            tokio::select! {
                incoming = read_packet(&mut self.reader, &mut self.input, self.version) => self.handle(incoming?)?,
                publish = publishes.recv(), if open && self.in_flight.len() < self.in_flight_max => match publish {
                    Some(publish) => self.send(publish, publishes).await?,
                    None => open = false,
                },
                _ = alive.tick() => self.check().await?,
            }
        }
        self.write(packet::DISCONNECT).await
    }

    fn handle(&mut self, incoming: Incoming) -> Result<(), String> {
        match incoming {
            Incoming::PubAck { id, reason } => {
                if let Some(pending) = self.in_flight.remove(&id) {
                    // A sender that no longer waits was told 5.03; its device repeats the message.
                    let _ = pending.publish.answer.send(accepted_by_broker(reason));
                }
                Ok(())
            }
            Incoming::PingResp => {
                self.awaiting_ping = false;
                Ok(())
            }
            Incoming::Disconnect { reason } => Err(format!("the broker said good-bye with reason 0x{reason:02x}")),
            Incoming::ConnAck { .. } => Err("the broker sent a second CONNACK".into()),
        }
    }

    /// Writes `first` and whatever else waits in one go.
    async fn send(&mut self, first: Publish, publishes: &mut mpsc::Receiver<Publish>) -> Result<(), String> {
        self.encode(first);
        while self.in_flight.len() < self.in_flight_max && self.output.len() < limits::MQTT_BATCH_BYTES {
            let Ok(next) = publishes.try_recv() else { break };
            self.encode(next);
        }
        let output = self.output.split();
        self.write(&output).await
    }

    fn encode(&mut self, publish: Publish) {
        let bytes = publish.topic.len() + publish.payload.len() + 16 + packet::PROPERTIES_BYTES_MAX;
        if bytes > self.packet_bytes_max {
            return refuse(publish, "the message is longer than the broker accepts");
        }
        let id = self.free_id();
        packet::publish(&mut self.output, self.version, id, &publish);
        self.in_flight.insert(id, Pending { since: Instant::now(), publish });
    }

    /// Never zero (section 2.2.1), never one under way: fewer than 65,535 are.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1).max(1);
            if !self.in_flight.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// A broker that answers neither pings nor publishes is as good as gone.
    async fn check(&mut self) -> Result<(), String> {
        let oldest = self.in_flight.values().map(|pending| pending.since.elapsed()).max();
        if self.awaiting_ping || oldest.is_some_and(|age| age > self.answer) {
            return Err("the broker went silent".into());
        }
        self.awaiting_ping = true;
        self.write(packet::PING).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let writer = &mut self.writer;
        let written = timeout(self.answer, async move {
            writer.write_all(bytes).await?;
            writer.flush().await
        });
        match written.await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("the broker stopped reading".into()),
        }
    }
}

/// Success, and "no matching subscribers", which is a fact about subscribers, not about us (section 3.4.2.1).
fn accepted_by_broker(reason: u8) -> Result<(), UpstreamError> {
    match reason {
        0x00 | 0x10 => Ok(()),
        0x87 => Err(unavailable("the broker does not let us publish on this topic")),
        0x90 => Err(unavailable("the broker does not accept this topic")),
        0x97 => Err(unavailable("the broker's quota is used up")),
        reason => Err(unavailable(&format!("the broker refused the message with reason 0x{reason:02x}"))),
    }
}
