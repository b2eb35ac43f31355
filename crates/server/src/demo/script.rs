//! The plot: a quiet day, five attacks one after another, a repair, a person's release, dusk.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bartizan_sim::{Attack, AttackKind, Kind, World};
use bartizan_wire::DeviceKey;
use tokio::time::Instant;

use super::interrupt::Interrupt;
use super::plan::Plan;
use super::say;
use super::stage::{PERSON, Stage};
use super::summary::{AttackSummary, Beginning, Summary};
use super::watch::{News, Watch};
use crate::app::views::rfc3339;
use crate::app::{Actor, Error, NewCommand, Paging};
use crate::cli::Failure;

/// How often the server is asked what it noticed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long devices may take to deliver what is left.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a person takes to look at an isolated device.
const PERSON_LOOKS_FOR: Duration = Duration::from_millis(1500);

pub(super) struct Script {
    stage: Arc<Stage>,
    plan: Plan,
    headless: bool,
    interrupt: Interrupt,
    world: World,
    watch: Watch,
    attacks: Vec<Attack>,
    /// Attacks that are under way, by index.
    under_way: Vec<usize>,
    begun: Instant,
    beginning: Beginning,
    /// Whose findings were told; further ones are in the console.
    told: HashSet<String>,
    /// Since when a person looks at the isolated meter.
    looked_at: Option<Instant>,
    /// The command that waits for a sleeping light, until it was told what became of it.
    commanded: Option<(DeviceKey, String)>,
}

/// 0.03 (RFC 7252 section 12.1.1).
const PUT: u8 = 3;

/// Why a phase ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    InTime,
    /// Ctrl-C, or SIGTERM.
    Early,
}

impl Script {
    pub(super) fn new(stage: Arc<Stage>, plan: Plan, headless: bool, interrupt: Interrupt) -> Result<Self, Failure> {
        let beginning = Beginning { at: stage.clock.now(), scale: plan.scale };
        let world = World::start(stage.city.clone(), stage.gateway, stage.pace());
        let world = world.map_err(|error| Failure::new(error.to_string()))?;
        Ok(Self {
            stage,
            plan,
            headless,
            interrupt,
            world,
            watch: Watch::default(),
            attacks: Vec::new(),
            under_way: Vec::new(),
            begun: Instant::now(),
            beginning,
            told: HashSet::new(),
            looked_at: None,
            commanded: None,
        })
    }

    /// Plays it to the end, or to Ctrl-C.
    pub(super) async fn play(mut self) -> Result<Summary, Failure> {
        let ended = self.acts().await?;
        if !self.headless && ended == Ended::InTime {
            say("\nThe script is over; the city lives on until Ctrl-C.");
            self.until(None).await?;
        }
        self.dusk().await
    }

    async fn acts(&mut self) -> Result<Ended, Failure> {
        say("\nThe city wakes up; the server gets to know it.");
        if self.until(Some(self.plan.learnt)).await? == Ended::Early {
            return Ok(Ended::Early);
        }
        self.tell_fleet().await?;
        self.command_a_light().await?;
        for (number, kind) in AttackKind::ALL.into_iter().enumerate() {
            self.attack(kind)?;
            let next = self.plan.learnt + self.plan.between * (number as u32 + 1);
            if self.until(Some(next)).await? == Ended::Early {
                return Ok(Ended::Early);
            }
        }
        self.until(Some(self.plan.dusk)).await
    }

    fn attack(&mut self, kind: AttackKind) -> Result<(), Failure> {
        let attack = self.world.attack(kind).map_err(|error| Failure::new(error.to_string()))?;
        say(&format!("\n{} {}: {}.", self.clock_face(), kind.name(), kind.story()));
        self.under_way.push(self.attacks.len());
        self.attacks.push(attack);
        Ok(())
    }

    /// Lets time pass until `offset` (for ever if there is none), and tells what the server notices.
    async fn until(&mut self, offset: Option<Duration>) -> Result<Ended, Failure> {
        loop {
            self.look().await?;
            self.release_when_looked_at().await?;
            self.tell_of_command().await?;
            let next = Instant::now() + LOOK_EVERY;
            let end = offset.map(|offset| self.begun + offset);
            if end.is_some_and(|end| Instant::now() >= end) {
                return Ok(Ended::InTime);
            }
            tokio::select! {
                () = tokio::time::sleep_until(end.map_or(next, |end| end.min(next))) => {}
                () = self.interrupt.heard() => return Ok(Ended::Early),
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        for news in self.watch.look(&self.stage.app, self.stage.tenant).await? {
            self.tell(&news);
        }
        self.end_what_is_over();
        Ok(())
    }

    /// An attack that was answered ends: its devices are cleaned, so that they can be let in again. A meter whose
    /// firmware is written anew has to prove it before it is.
    fn end_what_is_over(&mut self) {
        let Self { attacks, under_way, watch, world, beginning, .. } = self;
        under_way.retain(|index| {
            let attack = &attacks[*index];
            let over = AttackSummary::of(attack, watch, *beginning).isolated_s.is_some();
            if over {
                world.end(attack);
                if let (AttackKind::MeterFirmware, [meter, ..]) = (attack.kind, attack.devices.as_slice()) {
                    say(&format!(
                        "             a technician writes the released firmware to {meter}, which starts anew"
                    ));
                }
            }
            !over
        });
    }

    fn tell(&mut self, news: &News) {
        let line = match news {
            News::Found(finding) => {
                let who = finding.device.as_ref().or(finding.source.as_ref()).cloned().unwrap_or_default();
                if !self.told.insert(who.clone()) {
                    return;
                }
                let who = if finding.text.starts_with(&who) { String::new() } else { who + " " };
                format!("found: {who}{}", finding.text)
            }
            News::Isolated(device, isolation) => format!("{}: {device}. {}", isolation.access, isolation.explanation),
            News::Limited(source) => format!("limited: source {}: {}", source.source, source.text),
            News::LetIn(device) if self.is_attesting(device) => {
                format!("let in again: {device} proved good firmware; at a limited rate first")
            }
            News::LetIn(device) => format!("let in again: {device} behaved for long enough; at a limited rate first"),
            News::Rekeyed(device) => {
                format!("free: {device} took a new key and proved itself with it; the old key is void")
            }
        };
        say(&format!("{}   {line}", self.clock_face()));
    }

    fn is_attesting(&self, device: &str) -> bool {
        let firmware = self.attacks.iter().find(|attack| attack.kind == AttackKind::MeterFirmware);
        firmware.is_some_and(|attack| attack.devices.iter().any(|name| name == device))
    }

    async fn tell_fleet(&self) -> Result<(), Error> {
        let fleet = self.stage.app.summary(self.stage.tenant).await?;
        say(&format!(
            "{} {} of {} devices are active, {:.0} messages a second, {} findings.",
            self.clock_face(),
            fleet.active,
            fleet.devices,
            fleet.messages_per_s,
            fleet.findings_total
        ));
        Ok(())
    }

    /// Real seconds, and the city's time of day.
    fn clock_face(&self) -> String {
        let city = rfc3339(self.stage.clock.now());
        let time = city.get(11..16).unwrap_or_default();
        format!("[{:>5.1} s, {time} in the city]", self.begun.elapsed().as_secs_f64())
    }

    /// A person looks at the meter, has it repaired, and lets it in.
    async fn release_when_looked_at(&mut self) -> Result<(), Failure> {
        let meter = self.attacks.iter().find(|attack| attack.kind == AttackKind::MeterFrequency);
        let held = meter.into_iter().flat_map(|attack| &attack.devices).find(|name| self.is_held(name));
        let Some(device) = held.cloned() else { return Ok(()) };
        if self.looked_at.get_or_insert_with(Instant::now).elapsed() < PERSON_LOOKS_FOR {
            return Ok(());
        }
        let key = self.stage.app.device_key(self.stage.tenant, &device).await?;
        let reason = "its firmware was replaced on site";
        let view = self.stage.app.release(&Actor(PERSON.into()), key, reason).await?;
        self.watch.note_release(&device);
        say(&format!(
            "{}   a person releases {device}: {reason}. Its access is {} again.",
            self.clock_face(),
            view.access
        ));
        Ok(())
    }

    /// A command waits for its sleeping device's next record.
    async fn command_a_light(&mut self) -> Result<(), Failure> {
        let lights = self.stage.city.of_kind(Kind::Light);
        let Some(light) = lights.last().map(|light| light.name.clone()) else { return Ok(()) };
        let key = self.stage.app.device_key(self.stage.tenant, &light).await?;
        let command = NewCommand {
            method: PUT,
            path: "/light/on".into(),
            content_format: Some(0),
            payload: "1".into(),
            coap: None,
            expires_in_ms: 24 * 3_600_000,
        };
        let view = self.stage.app.send_command(&Actor(PERSON.into()), key, command).await?;
        say(&format!("{} A person sends PUT /light/on to {light}, which sleeps: {}.", self.clock_face(), view.state));
        self.commanded = Some((key, light));
        Ok(())
    }

    async fn tell_of_command(&mut self) -> Result<(), Error> {
        let Some((key, light)) = self.commanded.clone() else { return Ok(()) };
        let commands = self.stage.app.commands(key, &Paging::default()).await?;
        let state = commands.items.first().map_or("", |command| command.state.as_str());
        if !matches!(state, "queued" | "sent") {
            say(&format!("{}   {light} woke up: PUT /light/on is {state}", self.clock_face()));
            self.commanded = None;
        }
        Ok(())
    }

    fn is_held(&self, name: &str) -> bool {
        self.watch.isolated.contains_key(name) && !self.watch.released.contains_key(name)
    }

    /// Everybody delivers what is left; then the figures.
    async fn dusk(mut self) -> Result<Summary, Failure> {
        say(&format!("\n{} Dusk: devices deliver what is left.", self.clock_face()));
        self.look().await?;
        let before = self.world.tallies();
        let (tallies, unfinished) = tokio::select! {
            finished = self.world.stop(PATIENCE) => finished,
            () = self.interrupt.heard() => (before, self.plan.devices as usize),
        };
        if unfinished > 0 {
            say(&format!("{unfinished} devices did not finish."));
        }
        self.watch.look(&self.stage.app, self.stage.tenant).await?;
        let log = self.stage.messages();
        Ok(Summary::of(&self.plan, self.beginning, &self.attacks, &self.watch, &tallies, &log))
    }
}
