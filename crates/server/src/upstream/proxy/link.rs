//! One device's socket towards the origin and the task that owns it.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bartizan_wire::DeviceKey;
use bytes::Bytes;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::Responded;
use super::channel::Channel;
use super::endpoint::{Endpoint, Output, Seen, Timing};
use crate::app::path::Downlink;
use crate::limits;
use crate::upstream::UpstreamLimits;
use crate::upstream::counters::{Counters, add};

/// What a link is made with.
pub(super) struct Options {
    pub(super) device: DeviceKey,
    pub(super) local: SocketAddr,
    pub(super) target: SocketAddr,
    /// `None`: plain CoAP.
    pub(super) channel: Option<Channel>,
    pub(super) limits: UpstreamLimits,
    pub(super) downlink: mpsc::Sender<Downlink>,
    pub(super) counters: Arc<Counters>,
}

type Answer = oneshot::Sender<Result<Bytes, &'static str>>;

enum Order {
    Request(Bytes, Answer),
    Respond(Bytes, oneshot::Sender<Responded>),
}

/// The handle on a link. Dropping it lets the task finish what is under way and close the socket.
pub(super) struct Link {
    orders: mpsc::Sender<Order>,
    state: Arc<State>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    abort: tokio::task::AbortHandle,
}

/// What the task shows to others.
struct State {
    opened: Instant,
    /// Milliseconds since `opened`.
    last_used: AtomicU64,
    attached: AtomicUsize,
}

impl Link {
    pub(super) async fn open(options: Options) -> io::Result<Self> {
        let socket = bind(options.local).await?;
        socket.connect(options.target).await?;
        let (orders, inbox) = mpsc::channel(limits::PROXY_REQUESTS_PER_DEVICE_MAX);
        let state =
            Arc::new(State { opened: Instant::now(), last_used: AtomicU64::new(0), attached: AtomicUsize::new(0) });
        let timing = Timing { ack_timeout: options.limits.ack_timeout, answer: options.limits.answer };
        let worker =
            Worker { socket, inbox, endpoint: Endpoint::new(timing, seed()?), state: Arc::clone(&state), options };
        let task = tokio::spawn(worker.run());
        Ok(Self { orders, state, abort: task.abort_handle(), task: tokio::sync::Mutex::new(Some(task)) })
    }

    /// The origin's response to a request, or why there is none.
    pub(super) async fn request(&self, coap: Bytes) -> Result<Bytes, &'static str> {
        self.touch();
        let (answer, outcome) = oneshot::channel();
        self.orders.try_send(Order::Request(coap, answer)).map_err(|_| "too many requests of this device wait")?;
        // The worker drops an answer only if the device was cut off meanwhile.
        outcome.await.unwrap_or(Err("the device's link was closed"))
    }

    pub(super) async fn respond(&self, coap: Bytes) -> Responded {
        self.touch();
        let (answer, outcome) = oneshot::channel();
        match self.orders.try_send(Order::Respond(coap, answer)) {
            Ok(()) => outcome.await.unwrap_or(Responded::NotAsked),
            Err(_) => Responded::NotAsked,
        }
    }

    /// When it was last used, if nothing keeps it open now.
    pub(super) fn idle_since(&self, now: Instant) -> Option<Instant> {
        let used = self.state.opened + Duration::from_millis(self.state.last_used.load(Ordering::Relaxed));
        // An order that was just given is not counted as attached yet; a moment ago is not idle.
        let fresh = now.saturating_duration_since(used) < Duration::from_millis(limits::PROXY_IDLE_MS_MIN);
        (self.state.attached.load(Ordering::Relaxed) == 0 && !fresh).then_some(used)
    }

    fn touch(&self) {
        let used = self.state.opened.elapsed().as_millis() as u64;
        self.state.last_used.store(used, Ordering::Relaxed);
    }

    pub(super) fn abort(&self) {
        self.abort.abort();
    }

    /// Waits until nothing is under way, at most until `deadline`.
    pub(super) async fn finish(&self, deadline: tokio::time::Instant) {
        while self.state.attached.load(Ordering::Relaxed) > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.abort();
        if let Some(task) = self.task.lock().await.take() {
            // It was told to end; how does not matter.
            let _ = task.await;
        }
    }
}

/// An ICMP error ("port unreachable") makes a socket ready without anything to read.
const INCOMING: Interest = Interest::READABLE.add(Interest::ERROR);

/// The task's own state.
struct Worker {
    options: Options,
    socket: UdpSocket,
    inbox: mpsc::Receiver<Order>,
    endpoint: Endpoint<Answer>,
    state: Arc<State>,
}

impl Worker {
    async fn run(mut self) {
        let mut open = true;
        while open || self.endpoint.under_way() > 0 {
            self.transmit().await;
            self.state.attached.store(self.endpoint.attached(), Ordering::Relaxed);
            let timeout = self.next_timeout();
            tokio::select! {
                order = self.inbox.recv(), if open => match order {
                    Some(order) => self.follow(order),
                    None => open = false,
                },
                ready = self.socket.ready(INCOMING) => match ready {
                    Ok(ready) if ready.is_error() => self.receive(Interest::ERROR),
                    _ => self.receive(Interest::READABLE),
                },
                () = tokio::time::sleep_until(timeout.into()) => self.handle_timeout(),
            }
        }
        self.transmit().await;
        self.state.attached.store(0, Ordering::Relaxed);
    }

    fn follow(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Request(coap, answer) => {
                if let Err((answer, why)) = self.endpoint.request(now, &coap, answer) {
                    // Whoever asked may have given up, which is no concern here.
                    let _ = answer.send(Err(why));
                }
            }
            Order::Respond(coap, answer) => {
                let _ = answer.send(self.endpoint.respond(now, &coap));
            }
        }
    }

    /// Reads what the socket has. Readiness is cleared one kind at a time, which is how tokio counts it.
    fn receive(&mut self, kind: Interest) {
        let mut buffer = [0; bartizan_wire::limits::DATAGRAM_BYTES_MAX];
        for _ in 0..limits::PROXY_DATAGRAMS_PER_TURN {
            let socket = SockRef::from(&self.socket);
            match self.socket.try_io(kind, || (&*socket).read(&mut buffer)) {
                Ok(length) => self.handle(&mut buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.fail("the origin cannot be reached: is it running?"),
            }
        }
    }

    fn handle(&mut self, datagram: &mut [u8]) {
        let now = Instant::now();
        let Some(channel) = &mut self.options.channel else {
            return self.handle_coap(now, datagram);
        };
        let (messages, broken) = channel.open(now, datagram);
        for message in messages {
            self.handle_coap(now, &message);
        }
        if let Some(why) = broken {
            self.fail(why);
        }
    }

    fn handle_coap(&mut self, now: Instant, coap: &[u8]) {
        let Options { device, downlink, counters, .. } = &self.options;
        let mut offer = |coap: &[u8]| {
            let coap = Bytes::copy_from_slice(coap);
            downlink.try_send(Downlink { device: *device, coap }).is_ok()
        };
        match self.endpoint.handle(now, coap, &mut offer) {
            Seen::Ours => {}
            Seen::Offered => add(&counters.downlinks),
            Seen::Shed => add(&counters.downlinks_shed),
            Seen::Stray => add(&counters.strays),
        }
    }

    fn fail(&mut self, why: &'static str) {
        self.endpoint.fail(why);
        if let Some(channel) = &mut self.options.channel {
            channel.reset();
        }
    }

    /// Sends what is due and hands answers over.
    async fn transmit(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Answered(answer, outcome) => {
                    // The asker's own timeout may have run out a moment before.
                    let _ = answer.send(outcome);
                }
                Output::Transmit(coap) => match &mut self.options.channel {
                    None => self.send(&coap).await,
                    Some(channel) => {
                        if let Err(why) = channel.seal(Instant::now(), coap) {
                            self.fail(why);
                        }
                    }
                },
            }
        }
        while let Some(record) = self.options.channel.as_mut().and_then(Channel::poll_transmit) {
            self.send(&record).await;
        }
    }

    /// An earlier datagram's ICMP error is reported by the next send, which then did not happen: once more.
    /// What is lost nevertheless is repeated by the message layer.
    async fn send(&self, datagram: &[u8]) {
        if self.socket.send(datagram).await.is_err() {
            let _ = self.socket.send(datagram).await;
        }
    }

    fn next_timeout(&self) -> Instant {
        let channel = self.options.channel.as_ref().and_then(Channel::next_timeout);
        let next = [self.endpoint.next_timeout(), channel].into_iter().flatten().min();
        next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    fn handle_timeout(&mut self) {
        let now = Instant::now();
        self.endpoint.handle_timeout(now);
        if let Some(why) = self.options.channel.as_mut().and_then(|channel| channel.handle_timeout(now)) {
            self.fail(why);
        }
    }
}

/// A link that was closed a moment ago may still hold the address.
async fn bind(local: SocketAddr) -> io::Result<UdpSocket> {
    let mut attempts = 0;
    loop {
        match UdpSocket::bind(local).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts < 20 => {
                attempts += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            outcome => return outcome,
        }
    }
}

fn seed() -> io::Result<u64> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(u64::from_ne_bytes(seed))
}
