//! Where the demo plays: an installation made for it, the real server on it, and the city's registry.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bartizan_sim::{City, Kind, Pace};
use bartizan_wire::{TenantId, UnixMillis};
use tokio::sync::Mutex;

use super::args::DemoArgs;
use super::firmware;
use super::plan::Plan;
use crate::app::Actor;
use crate::app::references::PolicyView;
use crate::cli::{Failure, init, open};
use crate::clock::Clock;
use crate::config::LogLevel;
use crate::data_dir::DataDir;
use crate::ops::logs;
use crate::serve::Server;
use crate::upstream::UpstreamConfig;

/// Who acts in the demo's histories.
pub(super) const PERSON: &str = "demo";
const TENANT: &str = "city";
const DRAIN: Duration = Duration::from_secs(5);

/// A running server with the city in its registry.
pub(super) struct Stage {
    pub(super) app: std::sync::Arc<crate::app::App>,
    pub(super) tenant: TenantId,
    pub(super) city: City,
    pub(super) clock: Clock,
    pub(super) gateway: std::net::SocketAddr,
    console: std::net::SocketAddr,
    /// `None` once struck.
    server: Mutex<Option<Server>>,
    folder: Folder,
}

/// Removed with everything in it when the demo ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let mut random = [0; 6];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::new(format!("the system has no random numbers: {error}")))?;
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(std::env::temp_dir().join(format!("bartizan-demo-{random}"))))
    }

    fn data_dir(&self) -> DataDir {
        DataDir::new(&self.0)
    }

    fn messages(&self) -> PathBuf {
        self.0.join("messages.ndjson")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    /// Makes an installation, starts the server, adds the tenant and imports the city.
    pub(super) async fn set(args: &DemoArgs, plan: &Plan) -> Result<Self, Failure> {
        let folder = Folder::new()?;
        let dir = folder.data_dir();
        init::make(&dir, PERSON, &[]).await?;
        let mut config = open::config(&dir, None)?.config;
        config.api.listen = args.listen;
        config.gateway.listen = ([127, 0, 0, 1], 0).into();
        config.log.level = LogLevel::Error;
        // Errors only: the demo does the telling. The level stays.
        let _ = logs::start(&config.log);
        let clock = Clock::scaled(morning(Clock::real().now()), plan.scale);
        let server = Server::start(&dir, &config, clock.clone()).await?;
        let gateway = server.endpoint.gateway.ok_or_else(|| Failure::new("the gateway did not start"))?;
        let (app, actor) = (std::sync::Arc::clone(&server.app), Actor(PERSON.into()));
        let log = format!("log:{}", folder.messages().display());
        app.add_tenant(&actor, TENANT, log.parse::<UpstreamConfig>().map_err(Failure::new)?).await?;
        let tenant = app.tenant_id(TENANT).await?;
        let city = City::plan(plan.seed, plan.devices as usize);
        let spreadsheet = std::io::Cursor::new(city.spreadsheet());
        app.import_devices(&actor, tenant, spreadsheet).await?;
        firmware::release(&app, &actor, tenant, Kind::Meter.type_name(), PolicyView::default()).await?;
        let console = server.endpoint.api;
        Ok(Self { app, tenant, city, clock, gateway, console, server: Mutex::new(Some(server)), folder })
    }

    pub(super) fn welcome(&self, plan: &Plan, headless: bool) -> Result<String, Failure> {
        let Plan { devices, seed, scale, seconds, .. } = plan;
        let mut text = format!(
            "A city of {devices} devices (seed {seed}) behind one gateway at {}.\n\
             Its time runs {scale} times as fast as ours, for simulator and server alike; the detectors are as shipped.\n\
             The script takes {seconds} s.",
            self.gateway
        );
        if !headless {
            let token = self.folder.data_dir().operator_token()?;
            text += &format!(
                "\n\nConsole: https://{}/#token={}\n\
                 (The certificate is of the CA made for this demo: your browser will ask.) Ctrl-C ends it.\n",
                self.console,
                token.trim()
            );
        }
        Ok(text)
    }

    pub(super) fn pace(&self) -> Pace {
        let clock = self.clock.clone();
        Pace::new(self.clock.scale(), move || clock.now())
    }

    /// The file that the tenant's messages go to.
    pub(super) fn messages(&self) -> PathBuf {
        self.folder.messages()
    }

    /// Stops the server. The folder goes with the stage.
    pub(super) async fn strike(&self) {
        if let Some(server) = self.server.lock().await.take() {
            server.stop(DRAIN).await;
        }
    }
}

/// Five in the morning of `now`'s day (UTC): dawn, two rush hours and dusk are ahead.
fn morning(now: UnixMillis) -> UnixMillis {
    const DAY_MS: u64 = 24 * 3_600_000;
    UnixMillis(now.0 / DAY_MS * DAY_MS + 5 * 3_600_000)
}

/// All files of a log, set aside ones included.
pub(super) fn log_files(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let name = name.to_string_lossy().into_owned();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_begins_at_five() {
        assert_eq!(morning(UnixMillis(1_795_420_510_042)).0 % 86_400_000, 5 * 3_600_000);
    }

    #[test]
    fn the_folder_goes_with_its_owner() {
        let folder = Folder::new().unwrap();
        std::fs::create_dir_all(folder.0.join("data")).unwrap();
        let path = folder.0.clone();
        drop(folder);
        assert!(!path.exists());
    }
}
