//! A device's association with its gateway: DTLS below, CoAP above, and the decisions between them.

mod rekey;

use alloc::vec::Vec;

use bartizan_dtls::{ClientConfig, CloseReason, Connection, ConnectionEvent, Instant, Random, SavedSession};
use zeroize::Zeroizing;

use crate::bounded::Queue;
use crate::error::Error;
use crate::event::{ClientEvent, Failure, IncomingId, Reply, Request, RequestId};
use crate::exchange::{Endpoint, ExchangeConfig, Reader, Writer};
use crate::jitter::{Jitter, doubled};
pub use rekey::Psk;
use rekey::Rekeying;

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub dtls: ClientConfig,
    /// The key before that in `dtls`, while that one has not been used yet ([`Client::use_key`]). Every second handshake
    /// tries it.
    pub fallback: Option<Psk>,
    pub exchange: ExchangeConfig,
    /// Handshakes in a row that may fail before requests fail with them.
    pub handshakes_max: u8,
    /// Delay before the second handshake, doubled with each further one and stretched at random, so that
    /// a fleet does not come back in one instant.
    pub reconnect_ms_min: u64,
    pub reconnect_ms_max: u64,
}

impl Config {
    #[must_use]
    pub fn new(dtls: ClientConfig) -> Self {
        Self {
            dtls,
            fallback: None,
            exchange: ExchangeConfig::default(),
            handshakes_max: 3,
            reconnect_ms_min: 2_000,
            reconnect_ms_max: 300_000,
        }
    }

    /// Messages must leave room for the record around them.
    fn exchange(&self) -> ExchangeConfig {
        let room = self.dtls.mtu.saturating_sub(RECORD_BYTES_MAX);
        ExchangeConfig { message_bytes: self.exchange.message_bytes.min(room), ..self.exchange.clone() }
    }
}

/// Header with the longest Connection ID, explicit nonce, inner type and tag.
const RECORD_BYTES_MAX: usize = 64;

/// A device's side of the association. See the [crate documentation](crate) for how to drive it.
pub struct Client {
    config: Config,
    link: Link,
    coap: Endpoint,
    jitter: Jitter,
    /// Handshakes begun since the gateway was last heard.
    attempts: u8,
    /// No handshake is begun earlier.
    not_before: Instant,
    /// What an association that ended still had to say.
    last_words: Queue<Vec<u8>>,
    rekeying: Rekeying,
}

enum Link {
    Up(Connection),
    /// No association; a handshake is begun at `retry_at`.
    Down {
        retry_at: Option<Instant>,
    },
}

/// A sleeping client as bytes. They hold the association's keys: keep them where nobody else reads.
pub type Asleep = Zeroizing<Vec<u8>>;

/// An alert, and what was queued before it.
const LAST_WORDS_MAX: usize = 4;

const SAVED_VERSION: u8 = 1;
const SAVED_BYTES_USUAL: usize = 2_048;

impl Client {
    /// Begins a handshake; its first datagram waits in [`Self::poll_transmit`].
    ///
    /// # Errors
    /// [`Error::Dtls`] if the configuration cannot work.
    pub fn new(config: Config, now: Instant, rng: &mut dyn Random) -> Result<Self, Error> {
        let connection = Connection::connect(config.dtls.clone(), now, rng)?;
        let mut client = Self::with_link(config, now, rng, Link::Up(connection));
        client.attempts = 1;
        Ok(client)
    }

    /// Continues the association of a client that went to [`sleep`](Self::sleep): no handshake, the next
    /// datagram carries a message. If the gateway does not answer it, a handshake follows by itself.
    ///
    /// Returns also the bytes to keep *before* anything is sent: they replace `saved`, which must not be
    /// used twice. Woken from them after a crash, the device repeats no sequence number.
    ///
    /// # Errors
    /// [`Error::Malformed`] if `saved` is damaged or of another version, [`Error::Dtls`] if it does not
    /// fit the configuration; [`Self::new`] is the way on.
    pub fn wake(config: Config, saved: &[u8], now: Instant, rng: &mut dyn Random) -> Result<(Self, Asleep), Error> {
        let mut reader = Reader(saved);
        let session = match (reader.u8(), reader.bytes()) {
            (Some(SAVED_VERSION), Some(session)) => SavedSession::from_bytes(session)?,
            _ => return Err(Error::Malformed("not a sleeping client of this version")),
        };
        let connection = Connection::resume(config.dtls.clone(), session, now)?;
        let mut client = Self::with_link(config, now, rng, Link::Up(connection));
        client.coap.restore(now, &mut reader).ok_or(Error::Malformed("not a sleeping client of this version"))?;
        let keep = client.save().ok_or(Error::Misuse("not connected"))?;
        client.coap.open();
        Ok((client, keep))
    }

    fn with_link(config: Config, now: Instant, rng: &mut dyn Random, link: Link) -> Self {
        Self {
            coap: Endpoint::new(config.exchange(), rng),
            jitter: Jitter::seeded(rng),
            config,
            link,
            attempts: 0,
            not_before: now,
            last_words: Queue::new(LAST_WORDS_MAX),
            rekeying: Rekeying::default(),
        }
    }

    /// Sends a request when its turn comes. [`ClientEvent::Response`] or [`ClientEvent::Failed`] follows.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the request cannot be expressed; [`Error::Unavailable`] if there are too many.
    pub fn request(&mut self, now: Instant, request: Request) -> Result<RequestId, Error> {
        let id = self.coap.request(request)?;
        self.want_link(now);
        Ok(id)
    }

    /// Asks to be told whenever a resource behind the gateway changes; over a new association the wish is
    /// repeated by itself.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn observe(&mut self, now: Instant, path: &str) -> Result<RequestId, Error> {
        let id = self.coap.observe(path)?;
        self.want_link(now);
        Ok(id)
    }

    /// Ends an observation or drops a request.
    ///
    /// # Errors
    /// [`Error::Misuse`] if there is no such request.
    pub fn cancel(&mut self, now: Instant, request: RequestId) -> Result<(), Error> {
        self.coap.cancel(request)?;
        self.pump(now);
        Ok(())
    }

    /// Answers a [`ClientEvent::Command`].
    ///
    /// # Errors
    /// [`Error::Misuse`] if there is no such command any more or the reply cannot be expressed.
    pub fn respond(&mut self, now: Instant, command: IncomingId, reply: &Reply) -> Result<(), Error> {
        self.coap.respond(now, command, reply)?;
        self.pump(now);
        Ok(())
    }

    /// Tells the gateway the new state of a resource that it observes.
    ///
    /// # Errors
    /// As [`Self::respond`].
    pub fn notify(
        &mut self,
        now: Instant,
        observer: IncomingId,
        reply: &Reply,
        confirmable: bool,
    ) -> Result<(), Error> {
        self.coap.notify(now, observer, reply, confirmable)?;
        self.pump(now);
        Ok(())
    }

    /// Takes in a datagram, which is decrypted in place.
    pub fn handle(&mut self, now: Instant, datagram: &mut [u8]) {
        if let Link::Up(connection) = &mut self.link {
            connection.handle(now, datagram);
        }
        self.pump(now);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.pump(now);
        match &mut self.link {
            Link::Up(connection) => self.last_words.pop().or_else(|| connection.poll_transmit(now)),
            Link::Down { .. } => self.last_words.pop(),
        }
    }

    /// When [`Self::handle_timeout`] wants to be called; a time in the past means at once.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.coap.is_silent() {
            return Some(Instant::default());
        }
        let link = match &self.link {
            Link::Up(connection) => connection.poll_timeout(),
            Link::Down { retry_at } => *retry_at,
        };
        link.into_iter().chain(self.coap.poll_timeout()).min()
    }

    /// Does what is due: repeats, gives up, begins the next handshake.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut dyn Random) {
        if let Link::Up(connection) = &mut self.link {
            connection.handle_timeout(now);
        }
        self.coap.handle_timeout(now);
        self.pump(now);
        let due = match self.link {
            Link::Up(_) => self.coap.is_silent(),
            Link::Down { retry_at } => retry_at.is_some_and(|at| at <= now),
        };
        if due {
            self.connect(now, rng);
        }
    }

    /// The next thing to tell the application.
    pub fn poll(&mut self) -> Option<ClientEvent> {
        let event = self.coap.poll()?;
        Some(self.translated(event))
    }

    /// Whether nothing is under way: no request, no command, nothing to send. A good moment to sleep.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_connected() && self.coap.is_idle()
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        match &self.link {
            Link::Up(connection) => connection.is_connected(),
            Link::Down { .. } => false,
        }
    }

    /// 32 bytes of keying material of this association (RFC 5705), to bind evidence to it.
    #[must_use]
    pub fn exporter(&self) -> Option<&[u8; 32]> {
        match &self.link {
            Link::Up(connection) => connection.exporter(),
            Link::Down { .. } => None,
        }
    }

    /// The client as bytes for [`Self::wake`], while it goes on. Store them before anything further is
    /// sent; from then on they, too, are behind every sequence number that this client may use.
    pub fn save(&mut self) -> Option<Asleep> {
        self.write_down(true)
    }

    /// Ends the client without a word to the gateway and returns it as bytes for [`Self::wake`]; `None`
    /// if there is no association to keep. Observations of both sides go on after it; requests under way are
    /// lost: see [`Self::is_idle`].
    #[must_use = "without these bytes the next wake-up needs a handshake"]
    pub fn sleep(mut self) -> Option<Asleep> {
        self.write_down(false)
    }

    fn write_down(&mut self, ahead: bool) -> Option<Asleep> {
        let Link::Up(connection) = &mut self.link else {
            return None;
        };
        let session = Zeroizing::new(connection.save()?.to_bytes());
        // Room for everything, so that growing leaves no copy of the keys behind.
        let mut writer = Writer(Vec::with_capacity(SAVED_BYTES_USUAL));
        writer.u8(SAVED_VERSION);
        writer.bytes(&session);
        self.coap.save(ahead, &mut writer);
        Some(Zeroizing::new(writer.0))
    }

    /// Says goodbye. The last datagram waits in [`Self::poll_transmit`].
    pub fn close(&mut self, now: Instant) {
        self.coap.fail_all(Failure::Cancelled);
        if let Link::Up(connection) = &mut self.link {
            connection.close(now);
        }
    }

    /// A request waits: make sure that there will be an association.
    fn want_link(&mut self, now: Instant) {
        if let Link::Down { retry_at } = &mut self.link {
            retry_at.get_or_insert(now.max(self.not_before));
        }
        self.pump(now);
    }

    fn connect(&mut self, now: Instant, rng: &mut dyn Random) {
        self.coap.close();
        self.attempts = self.attempts.saturating_add(1);
        match Connection::connect(self.next_config(), now, rng) {
            Ok(connection) => self.link = Link::Up(connection),
            Err(error) => self.disconnected(now, CloseReason::Failed(error)),
        }
    }

    /// Carries events up and messages down until both are still.
    fn pump(&mut self, now: Instant) {
        while let Some(event) = self.next_connection_event() {
            self.take(now, event);
        }
        let Link::Up(connection) = &mut self.link else {
            return;
        };
        while let Some(message) = self.coap.poll_transmit(now) {
            if let Err(bartizan_dtls::Error::Unavailable(_)) = connection.send(now, &message) {
                // The saved lease is used up and nobody saved again: only a new association is safe.
                self.coap.close();
                self.link = Link::Down { retry_at: Some(now) };
                return;
            }
        }
    }

    fn next_connection_event(&mut self) -> Option<ConnectionEvent> {
        match &mut self.link {
            Link::Up(connection) => connection.poll(),
            Link::Down { .. } => None,
        }
    }

    fn take(&mut self, now: Instant, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Connected { suite, peer_cid } => {
                self.coap.open();
                self.coap.tell(ClientEvent::Connected { suite, connection_id: peer_cid });
                self.key_connected();
            }
            ConnectionEvent::Data(message) => {
                self.attempts = 0;
                self.coap.handle(now, &message);
            }
            ConnectionEvent::Closed(reason) => self.disconnected(now, reason),
            // Whatever it was, it was not the gateway's.
            ConnectionEvent::Rejected(_) => {}
        }
    }

    /// The association is gone; a request that waits brings the next one, after a while.
    fn disconnected(&mut self, now: Instant, reason: CloseReason) {
        if let Link::Up(connection) = &mut self.link {
            while let Some(datagram) = connection.poll_transmit(now) {
                self.last_words.push_over(datagram);
            }
        }
        self.coap.close();
        self.key_disconnected();
        let times = self.attempts.saturating_sub(1);
        let delay_ms = doubled(self.config.reconnect_ms_min, times, self.config.reconnect_ms_max);
        self.not_before = now.plus(self.jitter.stretch(delay_ms));
        if self.attempts >= self.config.handshakes_max {
            self.coap.fail_all(Failure::Unreachable);
        }
        let retry_at = self.coap.has_requests().then_some(self.not_before);
        self.link = Link::Down { retry_at };
        self.coap.tell(ClientEvent::Disconnected { reason, retry_at });
    }
}
