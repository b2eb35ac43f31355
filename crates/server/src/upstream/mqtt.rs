//! An operator's MQTT broker (3.1.1 or 5), published to at QoS 1.
//!
//! A small publish-only client: it numbers its own publishes, so that each PUBACK answers exactly the message
//! it is for, and it hears the reason in a PUBACK of MQTT 5 (a broker that refuses a topic says so there).
//! A lost connection fails everything under way; the devices then repeat, which makes delivery at least once.

mod connection;
mod packet;
mod session;
mod topic;

use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{Counters, MqttConfig, Retraction, UpstreamContext, UpstreamDevice, UpstreamLimits, accepted, rfc3339};
use crate::app::path::{Message, Reply, UpstreamError};
use bytes::Bytes;
pub(super) use topic::Topic;

/// A publish and where its fate is awaited.
struct Publish {
    topic: String,
    payload: Bytes,
    /// Goes along as a user property where the broker speaks MQTT 5.
    trusted: Option<bool>,
    retain: bool,
    answer: oneshot::Sender<Result<(), UpstreamError>>,
}

/// The client of one tenant's broker.
pub(super) struct Mqtt {
    tenant: String,
    topic: Topic,
    limits: UpstreamLimits,
    queue: Mutex<Option<mpsc::Sender<Publish>>>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Mqtt {
    pub(super) async fn open(
        config: MqttConfig,
        context: &UpstreamContext,
        counters: &Arc<Counters>,
    ) -> Result<Self, UpstreamError> {
        let topic = Topic::parse(&config.topic).map_err(UpstreamError::Unavailable)?;
        let broker = connection::Broker::prepare(config, &context.tenant).map_err(UpstreamError::Unavailable)?;
        let (queue, publishes) = mpsc::channel(context.limits.in_flight_max);
        let client = session::Client::new(broker, context.limits.clone(), Arc::clone(counters));
        Ok(Self {
            tenant: context.tenant.clone(),
            topic,
            limits: context.limits.clone(),
            queue: Mutex::new(Some(queue)),
            task: tokio::sync::Mutex::new(Some(tokio::spawn(client.run(publishes)))),
        })
    }

    pub(super) async fn deliver(&self, device: &UpstreamDevice, message: Message) -> Result<Reply, UpstreamError> {
        if !publishes(message.code) {
            return Ok(Reply { code: METHOD_NOT_ALLOWED, ..accepted() });
        }
        let topic = self.topic.of(&self.tenant, device, &message.path)?;
        self.publish(topic, message.payload, message.trusted, false).await.map(|()| accepted())
    }

    /// Tells it under a topic that no device can publish to, retained for who subscribes later.
    pub(super) async fn retract(&self, device: &UpstreamDevice, retraction: Retraction) -> Result<(), UpstreamError> {
        let topic = self.topic.of_trust(&self.tenant, device)?;
        let told = serde_json::json!({
            "at": rfc3339(retraction.at),
            "device": device.name,
            "trusted": retraction.trusted,
            "untrusted_since": rfc3339(retraction.since),
            "trusted_since": retraction.trusted.then(|| rfc3339(retraction.at)),
        });
        self.publish(topic, Bytes::from(told.to_string()), None, true).await
    }

    async fn publish(
        &self,
        topic: String,
        payload: Bytes,
        trusted: Option<bool>,
        retain: bool,
    ) -> Result<(), UpstreamError> {
        let (answer, accepted_by_broker) = oneshot::channel();
        self.enqueue(Publish { topic, payload, trusted, retain, answer })?;
        match tokio::time::timeout(self.limits.answer, accepted_by_broker).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unavailable("the broker's client stopped")),
            Err(_) => Err(unavailable("the broker did not acknowledge in time")),
        }
    }

    fn enqueue(&self, publish: Publish) -> Result<(), UpstreamError> {
        let queue = self.queue.lock().expect("invariant: no panic while the queue is held");
        let queue = queue.as_ref().ok_or_else(|| unavailable("the broker's client is closed"))?;
        queue.try_send(publish).map_err(|_| unavailable("too many messages wait for the broker"))
    }

    /// Waits for the acknowledgements under way, then disconnects.
    pub(super) async fn drain(&self) {
        drop(self.queue.lock().expect("invariant: no panic while the queue is held").take());
        if let Some(mut task) = self.task.lock().await.take()
            && tokio::time::timeout(self.limits.answer, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

/// POST, PUT, PATCH and iPATCH bring something; the others ask a broker what it cannot answer.
fn publishes(code: u8) -> bool {
    matches!(code, 2 | 3 | 6 | 7)
}

/// 4.05 (RFC 7252 section 12.1.2).
const METHOD_NOT_ALLOWED: u8 = 0x85;

fn unavailable(why: &str) -> UpstreamError {
    UpstreamError::Unavailable(why.to_owned())
}
