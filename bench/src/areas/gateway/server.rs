//! A server in this process, with devices that may knock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bartizan_platform::brake;
use bartizan_server::app::{Actor, App, AppOptions};
use bartizan_server::clock::Clock;
use bartizan_server::gateway::{Gateway, GatewayHandle, GatewayOptions};
use bartizan_server::store::MasterKey;
use tokio::runtime::Runtime;

use super::devices::{name, psk};

/// The only tenant, and the type of its devices.
pub const TENANT: &str = "city";
pub const TYPE: &str = "meter";

/// Registry, judge, gateway and log upstream in a folder of its own.
pub struct Server {
    runtime: Runtime,
    app: Arc<App>,
    gateway: GatewayHandle,
    _folder: tempfile::TempDir,
}

impl Server {
    pub fn start(devices: usize, clock: Clock) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let key = MasterKey::from_bytes([7; 32]);
        // The brake is loose: the bench isolates a whole fleet, one device at a time.
        let brake = brake::Config { share_permille: 1000, ..brake::Config::default() };
        let options = AppOptions { brake, ..AppOptions::new(folder.path().join("data"), key.clone(), clock) };
        let upstream = format!("log:{}", folder.path().join("messages.ndjson").display());
        let sessions = folder.path().join("data").join("sessions");
        let (app, gateway) = runtime.block_on(async {
            let app = App::open(options).await.context("cannot open the registry")?;
            let actor = Actor("bench".into());
            let tenant = app.add_tenant(&actor, TENANT, upstream.parse().map_err(anyhow::Error::msg)?).await?.name;
            let tenant = app.tenant_id(&tenant).await?;
            app.add_type(&actor, tenant, TYPE).await?;
            app.import_devices(&actor, tenant, std::io::Cursor::new(spreadsheet(devices))).await?;
            let options = GatewayOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)), sessions, key);
            let gateway = Gateway::start(Arc::clone(&app), options).await.context("cannot start the gateway")?;
            anyhow::Ok((app, gateway))
        })?;
        Ok(Self { runtime, app, gateway, _folder: folder })
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.local_addr()
    }

    pub const fn app(&self) -> &Arc<App> {
        &self.app
    }

    pub const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Messages that the upstream took.
    pub fn accepted(&self) -> u64 {
        self.app.counters().messages
    }

    pub fn refused(&self) -> u64 {
        self.app.counters().refused
    }

    pub fn stop(self) {
        self.runtime.block_on(async {
            self.gateway.drain(Duration::from_secs(5)).await;
            self.app.shutdown().await;
        });
    }
}

fn spreadsheet(devices: usize) -> Vec<u8> {
    let mut csv = String::from("name,type,identity,psk\n");
    for number in 0..devices {
        let name = name(number);
        let psk: String = psk(number).iter().map(|byte| format!("{byte:02x}")).collect();
        csv += &format!("{name},meter,{name},{psk}\n");
    }
    csv.into_bytes()
}
