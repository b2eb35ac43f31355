//! `bartizan serve`: from a configuration to a running server and back.
//!
//! [`Server::start`] is configuration, databases, gateway, API, in this order, each with one clear line if it
//! fails; [`Server::stop`] is the way back, with a deadline. [`run`] adds what a process needs: logs, signals
//! and the service manager. The demo and tests start a [`Server`] without it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::api::server::{Listener, tls};
use crate::api::{self, Api, ApiOptions, Live};
use crate::app::App;
use crate::cli::{Failure, open};
use crate::clock::Clock;
use crate::config::{Config, Loaded};
use crate::data_dir::{DataDir, Endpoint, Lock, read_secret};
use crate::device_tls::{self, Certificate};
use crate::est;
use crate::gateway::{Gateway, GatewayHandle, GatewayOptions};
use crate::limits::EST_CONNECTIONS_MAX;
use crate::mqtt::{Door, DoorHandle, DoorOptions};
use crate::ops::logs::{self, LevelSwitch};
use crate::ops::{Health, Metrics, notify};

/// A running server.
pub struct Server {
    pub app: Arc<App>,
    pub api: Arc<Api>,
    pub endpoint: Endpoint,
    /// Where EST listens, if it does.
    pub est: Option<SocketAddr>,
    gateway: GatewayHandle,
    mqtt: Option<DoorHandle>,
    dir: DataDir,
    listening: JoinHandle<()>,
    enrolling: Option<JoinHandle<()>>,
    _lock: Lock,
}

impl Server {
    /// Opens everything and serves.
    ///
    /// # Errors
    /// One line: the directory is in use, a port is, a key file or a database cannot be read.
    pub async fn start(dir: &DataDir, config: &Config, clock: Clock) -> Result<Self, Failure> {
        dir.require()?;
        let lock = dir.lock()?;
        let (socket, address) = bind("the API", "api.listen", config.api.listen).await?;
        let tls = certificate(dir, config)?;
        let app = open::app(dir, config, clock).await?;
        let health = Arc::new(Health::default());
        let metrics = Arc::new(Metrics::default());
        metrics.add_app(&app);
        let gateway = gateway(dir, config, &app).await?;
        health.ask_gateway(Box::new(gateway.probe()));
        metrics.add_gateway(gateway.meter());
        let endpoint = Endpoint { api: address, gateway: Some(gateway.local_addr()), pid: std::process::id() };
        let api = Api::new(
            Arc::clone(&app),
            Arc::clone(&health),
            metrics,
            ApiOptions::from_config(config, dir.path()),
            Live::from_config(config),
        );
        let listener = Listener { socket, tls, connections_max: config.api.connections_max.count() };
        let router = api::router(Arc::clone(&api));
        let listening = tokio::spawn(listener.serve(router, health.draining()));
        let (est, enrolling) = match enrolment(dir, config, &app, &health).await? {
            Some((address, task)) => (Some(address), Some(task)),
            None => (None, None),
        };
        let mqtt = mqtt(dir, config, &app).await?;
        if let Some(door) = &mqtt {
            api.metrics.add_mqtt(door.meter());
        }
        dir.write_endpoint(&endpoint)?;
        Ok(Self { app, api, endpoint, est, gateway, mqtt, dir: dir.clone(), listening, enrolling, _lock: lock })
    }

    /// Where strong devices speak MQTT, if they do.
    #[must_use]
    pub fn mqtt_address(&self) -> Option<SocketAddr> {
        self.mqtt.as_ref().map(DoorHandle::local_addr)
    }

    /// Finishes what is under way, as far as `deadline` allows, and closes the databases.
    pub async fn stop(mut self, deadline: Duration) {
        self.dir.remove_endpoint();
        self.api.health.drain();
        let requests = tokio::time::timeout(deadline, &mut self.listening);
        let mqtt = async {
            if let Some(door) = self.mqtt {
                door.drain(deadline).await;
            }
        };
        let (requests, (), ()) = tokio::join!(requests, self.gateway.drain(deadline), mqtt);
        if requests.is_err() {
            tracing::warn!("requests were cut off: they took longer than server.drain_s");
            self.listening.abort();
        }
        if let Some(enrolling) = &self.enrolling {
            enrolling.abort();
        }
        self.app.shutdown().await;
    }
}

async fn gateway(dir: &DataDir, config: &Config, app: &Arc<App>) -> Result<GatewayHandle, Failure> {
    let keys = &config.gateway;
    let options = GatewayOptions {
        sessions_max: u32::try_from(keys.sessions_max.value()).unwrap_or(u32::MAX),
        versions: keys.dtls.into(),
        require_cid: keys.require_cid,
        path_check: keys.address_check.into(),
        lease: keys.lease.value(),
        handshakes_max: u32::try_from(keys.handshakes_max.value()).unwrap_or(u32::MAX),
        ..GatewayOptions::new(keys.listen, dir.data().join("sessions"), dir.master_key()?)
    };
    Ok(Gateway::start(Arc::clone(app), options).await?)
}

/// Listens for EST, if it is wanted.
async fn enrolment(
    dir: &DataDir,
    config: &Config,
    app: &Arc<App>,
    health: &Health,
) -> Result<Option<(SocketAddr, JoinHandle<()>)>, Failure> {
    let Some(listen) = config.est.listen.0 else { return Ok(None) };
    let (socket, address) = bind("EST", "est.listen", listen).await?;
    let chain = config.api.certificate.within(dir.path());
    let key = config.api.private_key.within(dir.path());
    let tls = device_tls::tls(app, &chain, &key, Certificate::Optional).map_err(Failure::new)?;
    let listener = Listener { socket, tls, connections_max: EST_CONNECTIONS_MAX };
    let task = tokio::spawn(listener.serve(est::router(Arc::clone(app)), health.draining()));
    Ok(Some((address, task)))
}

async fn mqtt(dir: &DataDir, config: &Config, app: &Arc<App>) -> Result<Option<DoorHandle>, Failure> {
    let Some(listen) = config.mqtt.listen.0 else { return Ok(None) };
    let chain = config.api.certificate.within(dir.path());
    let key = config.api.private_key.within(dir.path());
    let tls = device_tls::tls(app, &chain, &key, Certificate::Required).map_err(Failure::new)?;
    let options = DoorOptions { listen, connections_max: config.mqtt.connections_max.count(), tls };
    Ok(Some(Door::start(Arc::clone(app), options).await?))
}

/// Runs the server of `dir` until a signal ends it.
///
/// # Errors
/// One line.
pub async fn run(dir: &DataDir, config_file: Option<&Path>) -> Result<(), Failure> {
    let loaded = open::config(dir, config_file)?;
    let level = logs::start(&loaded.config.log);
    let mut signals = Signals::new().map_err(|error| Failure::new(format!("the system gives no signals: {error}")))?;
    let server = Server::start(dir, &loaded.config, Clock::real()).await?;
    tell(&server);
    notify::ready();
    let watchdog = tokio::spawn(notify::watchdog());
    let mut process = Process { dir: dir.clone(), config_file: config_file.map(Path::to_owned), loaded, level };
    while signals.next().await == Wish::Reload {
        process.reload(&server);
    }
    notify::stopping();
    let drain = Duration::from_secs(process.loaded.config.server.drain_s.value());
    tracing::info!(seconds = drain.as_secs(), "stopping; a second signal stops at once");
    tokio::select! {
        () = server.stop(drain) => tracing::info!("stopped"),
        () = signals.stop() => tracing::warn!("stopped at once"),
    }
    watchdog.abort();
    Ok(())
}

fn tell(server: &Server) {
    let Endpoint { api, gateway, .. } = server.endpoint;
    let door = |address: Option<SocketAddr>| address.map_or("none".to_owned(), |address| address.to_string());
    let (gateway, est, mqtt) = (door(gateway), door(server.est), door(server.mqtt_address()));
    let console = format!("https://{api}/");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %api, gateway, est, mqtt, console, "serving");
    if let Some(est) = server.est {
        tracing::info!(%est, "devices enrol here");
    }
    if !api.ip().is_loopback() {
        tracing::warn!(%api, "the API is reachable from other machines");
    }
}

/// What can change while the server runs.
struct Process {
    dir: DataDir,
    config_file: Option<PathBuf>,
    loaded: Loaded,
    level: LevelSwitch,
}

impl Process {
    /// Reads the configuration again. A bad one is refused whole, and the old one stays.
    fn reload(&mut self, server: &Server) {
        notify::reloading();
        match open::config(&self.dir, self.config_file.as_deref()) {
            Ok(fresh) => self.take_over(fresh, server),
            Err(faults) => {
                for fault in faults.0 {
                    tracing::error!(fault, "the configuration is bad; the old one stays");
                }
            }
        }
        notify::ready();
    }

    fn take_over(&mut self, fresh: Loaded, server: &Server) {
        let (live, later) = fresh.changes_from(&self.loaded);
        self.level.set(fresh.config.log.level);
        server.api.reload(Live::from_config(&fresh.config));
        tracing::info!(changed = live.join(", "), "the configuration was read again");
        if !later.is_empty() {
            tracing::warn!(keys = later.join(", "), "these keys change at the next start");
        }
        self.loaded = fresh;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Reload,
    Stop,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hang_up.recv() => Wish::Reload,
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

async fn bind(what: &str, key: &str, listen: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new(format!("{what} cannot listen on {listen}: the port is in use"))
            .hint(format!("stop what uses it, or set {key}")),
        io::ErrorKind::AddrNotAvailable => {
            Failure::new(format!("{what} cannot listen on {listen}: this machine has no such address"))
                .hint(format!("set {key}"))
        }
        _ => Failure::new(format!("{what} cannot listen on {listen}: {error}")).hint(format!("set {key}")),
    };
    let socket = TcpListener::bind(listen).await.map_err(told)?;
    let address = socket.local_addr().map_err(told)?;
    Ok((socket, address))
}

fn certificate(dir: &DataDir, config: &Config) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let chain = config.api.certificate.within(dir.path());
    let key = config.api.private_key.within(dir.path());
    read_secret(&key)?; // for its check that nobody else can
    tls(&chain, &key).map_err(Failure::new)
}
