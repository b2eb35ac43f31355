//! A living city: every device a task, every attack an intervention.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::attack::{Attack, AttackKind};
use crate::city::{City, DeviceSpec, Kind};
use crate::device::{Life, Mode};
use crate::flash::Flash;
use crate::ledger::{Ledger, Tally};
use crate::limits::raise_open_files;
use crate::meter::Installed;
use crate::outsider::{self, KNOCKS_FROM, REPLAYS_FROM};
use crate::pace::Pace;
use crate::radio::Tap;
use crate::random::Seeded;

/// Lights that are taken over together.
const FLOODERS: usize = 4;
/// The real time between two messages of a flooding light.
const FLOOD_EVERY: Duration = Duration::from_millis(15);
/// The real time between two attempts of somebody without a key.
const OUTSIDER_EVERY: Duration = Duration::from_millis(40);
/// Handshakes that an impostor tries at a time: a gateway that says nothing to a wrong key makes him wait.
const KNOCKERS: u64 = 6;
/// Files open beside the devices' sockets.
const OTHER_FILES: u64 = 256;

/// The city against one gateway.
pub struct World {
    city: City,
    pace: Pace,
    gateway: SocketAddr,
    devices: HashMap<String, Handle>,
    tasks: JoinSet<std::io::Result<()>>,
    outsiders: HashMap<AttackKind, JoinSet<std::io::Result<()>>>,
    /// The lock that somebody listens to, and what was heard.
    overheard: (String, Tap),
    /// The lock that the impostor names.
    named: String,
}

struct Handle {
    ledger: Arc<Ledger>,
    mode: watch::Sender<Mode>,
    installed: Option<Installed>,
}

impl Handle {
    /// Changes what lies in the flash, and switches the device off and on.
    fn reprogram(&self, change: impl Fn(&mut Flash)) {
        if let Some(installed) = &self.installed {
            installed.reprogram(change);
        }
    }
}

impl World {
    /// Wakes the city up. Every device connects at its first report.
    ///
    /// # Errors
    /// The system does not allow a socket for each device, or the city is too small for the attacks.
    pub fn start(city: City, gateway: SocketAddr, pace: Pace) -> anyhow::Result<Self> {
        let files = raise_open_files();
        let needed = city.devices.len() as u64 + OTHER_FILES;
        ensure!(files >= needed, "the system allows {files} open files, and {needed} are needed: raise `ulimit -n`");
        let locks: Vec<_> = city.of_kind(Kind::Lock).take(2).map(|lock| lock.name.clone()).collect();
        let [heard, named] = locks.as_slice() else {
            bail!("a city of {} devices has too few bicycle locks to attack", city.devices.len());
        };
        let mut world = Self {
            overheard: (heard.clone(), Tap::default()),
            named: named.clone(),
            pace,
            gateway,
            devices: HashMap::new(),
            tasks: JoinSet::new(),
            outsiders: HashMap::new(),
            city,
        };
        for spec in world.city.devices.clone() {
            world.move_in(spec);
        }
        Ok(world)
    }

    fn move_in(&mut self, spec: DeviceSpec) {
        let (mode, modes) = watch::channel(Mode::Innocent);
        let installed = spec.secret.map(Installed::new);
        let ledger = Arc::new(Ledger::default());
        let tap = (spec.name == self.overheard.0).then(|| Arc::clone(&self.overheard.1));
        self.devices
            .insert(spec.name.clone(), Handle { ledger: Arc::clone(&ledger), mode, installed: installed.clone() });
        let life = Life {
            seed: self.city.seed,
            gateway: self.gateway,
            pace: self.pace.clone(),
            spec,
            ledger,
            mode: modes,
            installed,
            tap,
        };
        self.tasks.spawn(life.run());
    }

    /// Begins an attack.
    ///
    /// # Errors
    /// It is under way already, or the city has nobody for it.
    pub fn attack(&mut self, kind: AttackKind) -> anyhow::Result<Attack> {
        let attack = Attack {
            kind,
            started: self.pace.now(),
            devices: self.victims(kind)?,
            source: match kind {
                AttackKind::LightFlood | AttackKind::MeterFrequency | AttackKind::MeterFirmware => None,
                AttackKind::LockReplay => Some(REPLAYS_FROM),
                AttackKind::WrongKey => Some(KNOCKS_FROM),
            },
        };
        match kind {
            AttackKind::LightFlood => {
                let every_ms = FLOOD_EVERY.as_millis() as u64 * u64::from(self.pace.scale());
                self.take_over(&attack.devices, Mode::Driven { every_ms });
            }
            AttackKind::MeterFrequency => self.take_over(&attack.devices, Mode::Driven { every_ms: 3_600_000 / 50 }),
            AttackKind::MeterFirmware => self.each(&attack.devices, |handle| {
                handle.ledger.compromise();
                handle.reprogram(Flash::patch_firmware);
            }),
            AttackKind::LockReplay | AttackKind::WrongKey => self.let_in(kind, &attack.devices)?,
        }
        Ok(attack)
    }

    /// Ends an attack: the devices are their owner's again, the outsider is gone.
    pub fn end(&mut self, attack: &Attack) {
        // Dropping them ends them.
        self.outsiders.remove(&attack.kind);
        if attack.kind == AttackKind::MeterFirmware {
            return self.each(&attack.devices, |handle| handle.reprogram(Flash::restore));
        }
        self.each(&attack.devices, |handle| {
            handle.mode.send_if_modified(|mode| {
                let driven = matches!(mode, Mode::Driven { .. });
                if driven {
                    *mode = Mode::Innocent;
                }
                driven
            });
        });
    }

    /// Whom an attack takes over or names; spread over the city by the seed.
    fn victims(&self, kind: AttackKind) -> anyhow::Result<Vec<String>> {
        let pick = |of: Kind, count: usize| -> anyhow::Result<Vec<String>> {
            let all: Vec<_> = self.city.of_kind(of).map(|device| device.name.clone()).collect();
            ensure!(all.len() >= count, "the city has only {} devices of type {:?}", all.len(), of.type_name());
            let start = Seeded::new(self.city.seed).fork(u64::MAX).below((all.len() - count + 1) as u64) as usize;
            Ok(all[start..start + count].to_vec())
        };
        match kind {
            AttackKind::LightFlood => pick(Kind::Light, FLOODERS),
            AttackKind::MeterFrequency => pick(Kind::Meter, 1),
            // Not the one that will report too often.
            AttackKind::MeterFirmware => Ok(pick(Kind::Meter, 2)?.split_off(1)),
            AttackKind::LockReplay => Ok(vec![self.overheard.0.clone()]),
            AttackKind::WrongKey => Ok(vec![self.named.clone()]),
        }
    }

    fn take_over(&self, devices: &[String], mode: Mode) {
        self.each(devices, |handle| {
            handle.ledger.compromise();
            handle.mode.send_replace(mode);
        });
    }

    fn let_in(&mut self, kind: AttackKind, devices: &[String]) -> anyhow::Result<()> {
        ensure!(!self.outsiders.contains_key(&kind), "{} is under way", kind.name());
        let random = Seeded::new(self.city.seed).fork(u64::MAX - 1 - kind as u64);
        let (gateway, mut tasks) = (self.gateway, JoinSet::new());
        if kind == AttackKind::LockReplay {
            tasks.spawn(outsider::replay(gateway, Arc::clone(&self.overheard.1), OUTSIDER_EVERY, random));
        } else {
            let identity = devices.first().context("nobody to name")?;
            for number in 0..KNOCKERS {
                tasks.spawn(outsider::knock(gateway, identity.clone(), OUTSIDER_EVERY, random.fork(number)));
            }
        }
        self.outsiders.insert(kind, tasks);
        Ok(())
    }

    fn each(&self, devices: &[String], act: impl Fn(&Handle)) {
        devices.iter().filter_map(|name| self.devices.get(name)).for_each(act);
    }

    #[must_use]
    pub const fn city(&self) -> &City {
        &self.city
    }

    /// What each device knows of its messages, by name.
    #[must_use]
    pub fn tallies(&self) -> HashMap<String, Tally> {
        self.devices.iter().map(|(name, handle)| (name.clone(), handle.ledger.tally())).collect()
    }

    /// Messages sent so far, by all devices.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.devices.values().map(|handle| handle.ledger.tally().sent).sum()
    }

    /// Ends the day: nobody begins anything new, everybody delivers what is left, at most until `patience` is over.
    /// Returns the tallies, and how many devices did not finish.
    pub async fn stop(mut self, patience: Duration) -> (HashMap<String, Tally>, usize) {
        self.outsiders.clear();
        for handle in self.devices.values() {
            handle.mode.send_replace(Mode::Stopping);
        }
        let all_done = async { while self.tasks.join_next().await.is_some() {} };
        // Whoever is late is counted below.
        let _ = tokio::time::timeout(patience, all_done).await;
        let unfinished = self.tasks.len();
        (self.tallies(), unfinished)
    }
}
