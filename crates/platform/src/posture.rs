//! What a device is believed to be, and what it may therefore do.
//!
//! Machines speak through [`Posture::by_machine`], people through [`Posture::by_person`]. Restrictions are holds;
//! each ends only by its own exit, and the strictest one in force decides the access.

use bartizan_wire::{Access, Attestation, Cause, Engine, Exit, Grade, Lifecycle, UnixMillis, Update};

mod attested;
mod doubt;
mod owing;
mod prolonged;
mod rekeyed;
mod state;

pub use attested::{AttestationPolicy, Verdict};
pub use owing::{PROOFS, Proof, Schedule};
pub use prolonged::Heartbeat;
pub use rekeyed::Rekey;
pub use state::STATES;

use crate::limits::REASON_BYTES_MAX;
use crate::stage::life_after;
pub use crate::stage::{LifeSignal, Signal, Stage};

/// How grades become holds, and how detection holds end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Access of a device graded suspicious.
    pub suspicious: Access,
    /// Access of a device graded abnormal.
    pub abnormal: Access,
    /// How long the grade must stay normal before a detection hold turns into probation.
    pub dwell_ms: u64,
    /// How long a device then stays limited before it is free.
    pub probation_ms: u64,
    pub attestation: AttestationPolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            suspicious: Access::Full,
            abnormal: Access::Quarantined,
            dwell_ms: 3_600_000,
            probation_ms: 3_600_000,
            attestation: AttestationPolicy::default(),
        }
    }
}

impl Policy {
    #[must_use]
    pub const fn access_of(&self, grade: Grade) -> Access {
        match grade {
            Grade::Normal => Access::Full,
            Grade::Suspicious => self.suspicious,
            Grade::Abnormal => self.abnormal,
        }
    }
}

/// One restriction, with its reason and its only way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Unique within the device, never reused.
    pub id: u64,
    pub cause: Cause,
    /// The engine behind a detection hold.
    pub engine: Option<Engine>,
    pub since: UnixMillis,
    pub exit: Exit,
    /// What it allows while it is [`Stage::Held`].
    pub access: Access,
    /// A plain sentence.
    pub reason: String,
    /// The person who placed it.
    pub by: Option<String>,
    pub stage: Stage,
    /// When `stage` was entered.
    pub stage_since: UnixMillis,
    /// Affirming verdicts since probation began, for a hold that ends by evidence.
    pub passes: u8,
    /// Whether probation waits for another key of the device.
    pub rekey: Rekey,
}

impl Hold {
    /// What it allows at its present stage.
    #[must_use]
    pub fn effect(&self) -> Access {
        self.stage.weaken(self.access)
    }

    /// When its stage ends by itself.
    #[must_use]
    pub fn due(&self, policy: &Policy) -> Option<UnixMillis> {
        match self.stage {
            _ if self.exit != Exit::Dwell => None,
            Stage::Dwelling => Some(self.stage_since.plus(policy.dwell_ms)),
            Stage::Probation => Some(self.stage_since.plus(policy.probation_ms)),
            Stage::Held | Stage::Ended => None,
        }
    }

    fn enter(&mut self, stage: Stage, at: UnixMillis) {
        (self.stage, self.stage_since, self.passes, self.rekey) = (stage, at, 0, Rekey::NotAsked);
    }
}

/// Everything believed about one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posture {
    pub lifecycle: Lifecycle,
    /// The tier of the last verdict.
    pub attestation: Attestation,
    /// When that was.
    pub verdict_at: Option<UnixMillis>,
    /// Whether it has proven lately what it runs.
    pub proof: Proof,
    /// Since when `proof` is so: for [`Proof::Current`] the last good verdict, or what prolonged it; before any, when
    /// the time to the first one started. `None`: it never connected and has no identity.
    pub proof_at: Option<UnixMillis>,
    /// The last heartbeat that prolonged a verdict.
    pub heartbeat: Option<Heartbeat>,
    /// Until when its firmware is known to have been what was released: when the challenge of the last affirming verdict
    /// was issued, or of a heartbeat that prolonged one.
    pub proven_at: Option<UnixMillis>,
    /// Since when its reports are not to be trusted, while that is so. Zero: from the first on.
    pub doubted_since: Option<UnixMillis>,
    pub grade: Grade,
    pub update: Update,
    pub holds: Vec<Hold>,
    /// The number of the next hold.
    pub next_hold: u64,
}

impl Default for Posture {
    fn default() -> Self {
        Self {
            lifecycle: Lifecycle::Pending,
            attestation: Attestation::None,
            verdict_at: None,
            proof: Proof::Current,
            proof_at: None,
            heartbeat: None,
            proven_at: None,
            doubted_since: None,
            grade: Grade::Normal,
            update: Update::None,
            holds: Vec::new(),
            next_hold: 1,
        }
    }
}

/// What a machine may say about a device. Nothing of it touches a person's hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Machine {
    /// A handshake finished.
    HandshakeFinished,
    /// The judge graded the device; `reason` is the finding in words. `ceiling` is the strictest access that
    /// the brake permits now.
    Graded { to: Grade, engine: Engine, reason: String, ceiling: Access },
    /// A verifier has judged the device's evidence.
    Appraised(Verdict),
    /// A heartbeat over this challenge or epoch was found good. It counts if [`Posture::takes_heartbeat`].
    Prolonged { challenged: UnixMillis },
    /// An identity was registered that evidence is held against from now on.
    Registered,
    /// What [`Posture::owing`] said, once the brake permits it; or evidence is asked for before its time.
    Owes(Proof),
    /// Somebody else proves the same identity, with a history that cannot be this device's.
    TwoHistories { reason: String },
    /// A handshake finished with a key that was made then.
    Rekeyed(UnixMillis),
    /// Time has passed.
    Tick,
}

/// What a person may decide about a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// Quarantined or blocked, whatever the person asks for.
    Isolate {
        access: Access,
        reason: String,
    },
    /// Ends the holds that only a person ends and the detection holds, and forgives the grade.
    Release,
    Retire,
}

/// One thing that changed, for history and storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Lifecycle(Lifecycle),
    Graded {
        from: Grade,
        to: Grade,
    },
    /// There was a verdict, which may be the same as before.
    Appraised {
        from: Attestation,
        to: Attestation,
    },
    /// What it owes. [`Proof::Current`]: the time to its first evidence started.
    Owes(Proof),
    /// A heartbeat; nothing else changed.
    Prolonged,
    /// What it reported since then is not to be trusted. Zero: all that it ever did.
    Doubted {
        since: UnixMillis,
    },
    /// What it reports from now on is to be trusted again; what it reported since then is not.
    Trusted {
        since: UnixMillis,
    },
    Placed(Hold),
    /// Its stage, access or reason changed.
    Moved(Hold),
    Ended(Hold),
}

/// A retired device stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device is retired, and that is final")]
pub struct Retired;

impl Posture {
    /// What the data path allows: the strictest hold in force wins; a retired device is blocked.
    #[must_use]
    pub fn access(&self) -> Access {
        if self.lifecycle == Lifecycle::Retired {
            return Access::Blocked;
        }
        self.holds.iter().map(Hold::effect).max().unwrap_or(Access::Full)
    }

    /// The access that `grade` would have by `policy` if nothing of it were held yet: what the brake is asked about.
    #[must_use]
    pub fn would_isolate(&self, grade: Grade, engine: Engine, policy: &Policy) -> bool {
        let held = self.detection(engine).map_or(Access::Full, |hold| hold.effect());
        let wanted = policy.access_of(grade);
        wanted >= Access::Quarantined && held < wanted
    }

    /// When [`Machine::Tick`] would change something.
    #[must_use]
    pub fn due(&self, policy: &Policy) -> Option<UnixMillis> {
        self.holds.iter().filter_map(|hold| hold.due(policy)).min()
    }

    /// Applies what a machine says. A retired device does not change.
    pub fn by_machine(&mut self, now: UnixMillis, says: Machine, policy: &Policy) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.lifecycle == Lifecycle::Retired {
            return changes;
        }
        match says {
            Machine::HandshakeFinished => self.connected(now, &mut changes),
            Machine::Registered => self.starts_to_owe(now, &mut changes),
            Machine::Rekeyed(made) => self.rekeyed(made, &mut changes),
            Machine::Tick => self.tick(now, policy, &mut changes),
            Machine::Appraised(verdict) => self.appraised(now, &verdict, policy, &mut changes),
            Machine::Owes(proof) => self.owes(now, proof, &mut changes),
            Machine::TwoHistories { reason } => self.doubted(now, &reason, &mut changes),
            Machine::Prolonged { challenged } => self.prolonged(now, challenged, &mut changes),
            Machine::Graded { to, engine, reason, ceiling } => {
                let wanted = policy.access_of(to).min(ceiling);
                self.grade_to(to, &mut changes);
                self.move_detection(now, to, &mut changes);
                if wanted > Access::Full {
                    self.hold_detection(now, engine, wanted, &reason, &mut changes);
                }
            }
        }
        changes
    }

    /// Applies what a person decides.
    ///
    /// # Errors
    /// [`Retired`] if the device is.
    pub fn by_person(&mut self, now: UnixMillis, by: &str, decides: Person) -> Result<Vec<Change>, Retired> {
        if self.lifecycle == Lifecycle::Retired {
            return Err(Retired);
        }
        let mut changes = Vec::new();
        match decides {
            Person::Isolate { access, reason } => {
                self.end_holds(|hold| hold.cause == Cause::Person, &mut changes);
                let hold = self.new_hold(now, Cause::Person, Exit::Person, access, &reason);
                self.place(Hold { by: Some(by.to_owned()), ..hold }, &mut changes);
            }
            Person::Release => {
                let ends =
                    |hold: &Hold| matches!(hold.cause, Cause::Person | Cause::Detection) || hold.exit == Exit::Person;
                self.end_holds(ends, &mut changes);
                self.grade_to(Grade::Normal, &mut changes);
            }
            Person::Retire => self.live(LifeSignal::Retired, &mut changes),
        }
        Ok(changes)
    }

    /// The first time starts the time to its first evidence.
    fn connected(&mut self, now: UnixMillis, changes: &mut Vec<Change>) {
        self.live(LifeSignal::HandshakeFinished, changes);
        if !changes.is_empty() {
            self.proof_at = Some(now);
        }
    }

    /// Which of the two is the device is for a person to say; until then it reports at a limited rate. One hold is
    /// enough, however often the other one knocks.
    fn doubted(&mut self, now: UnixMillis, reason: &str, changes: &mut Vec<Change>) {
        if !self.holds.iter().any(|hold| hold.cause == Cause::Policy && hold.exit == Exit::Person) {
            let hold = self.new_hold(now, Cause::Policy, Exit::Person, Access::Limited, reason);
            self.place(hold, changes);
        }
    }

    fn live(&mut self, signal: LifeSignal, changes: &mut Vec<Change>) {
        if let Some(next) = life_after(self.lifecycle, signal) {
            self.lifecycle = next;
            changes.push(Change::Lifecycle(next));
        }
    }

    fn grade_to(&mut self, to: Grade, changes: &mut Vec<Change>) {
        let from = std::mem::replace(&mut self.grade, to);
        if from != to {
            changes.push(Change::Graded { from, to });
        }
    }

    /// Moves every detection hold along its table. A hold keeps its own access: one that comes back from
    /// probation is as strict as before, whatever the grade that brought it back.
    fn move_detection(&mut self, now: UnixMillis, grade: Grade, changes: &mut Vec<Change>) {
        let signal = if grade == Grade::Normal { Signal::Calmed } else { Signal::Worsened };
        for hold in self.holds.iter_mut().filter(|hold| hold.exit == Exit::Dwell) {
            if let Some(stage) = hold.stage.after(signal) {
                hold.enter(stage, now);
                changes.push(Change::Moved(hold.clone()));
            }
        }
    }

    /// Places the engine's hold, or makes the one in force stricter; it is never weakened here.
    fn hold_detection(
        &mut self,
        now: UnixMillis,
        engine: Engine,
        access: Access,
        reason: &str,
        changes: &mut Vec<Change>,
    ) {
        let found = self.holds.iter_mut().find(|hold| hold.cause == Cause::Detection && hold.engine == Some(engine));
        match found {
            Some(hold) if hold.access < access => {
                hold.access = access;
                hold.reason = cut(reason);
                changes.push(Change::Moved(hold.clone()));
            }
            Some(_) => {}
            None => {
                let hold = self.new_hold(now, Cause::Detection, Exit::Dwell, access, reason);
                self.place(Hold { engine: Some(engine), ..hold }, changes);
            }
        }
    }

    fn tick(&mut self, now: UnixMillis, policy: &Policy, changes: &mut Vec<Change>) {
        for hold in &mut self.holds {
            // A tick may come late: each stage ends when it was due, so that lateness does not add up.
            while let Some(due) = hold.due(policy).filter(|due| *due <= now) {
                let signal = if hold.stage == Stage::Dwelling { Signal::DwellOver } else { Signal::ProbationOver };
                let Some(stage) = hold.stage.after(signal) else { break };
                hold.enter(stage, due);
                changes.push(match stage {
                    Stage::Ended => Change::Ended(hold.clone()),
                    _ => Change::Moved(hold.clone()),
                });
            }
        }
        self.holds.retain(|hold| hold.stage != Stage::Ended);
    }

    fn detection(&self, engine: Engine) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.cause == Cause::Detection && hold.engine == Some(engine))
    }

    fn new_hold(&mut self, now: UnixMillis, cause: Cause, exit: Exit, access: Access, reason: &str) -> Hold {
        let id = self.next_hold;
        self.next_hold = id.saturating_add(1);
        Hold {
            id,
            cause,
            engine: None,
            since: now,
            exit,
            access,
            reason: cut(reason),
            by: None,
            stage: Stage::Held,
            stage_since: now,
            passes: 0,
            rekey: Rekey::NotAsked,
        }
    }

    fn place(&mut self, hold: Hold, changes: &mut Vec<Change>) {
        changes.push(Change::Placed(hold.clone()));
        self.holds.push(hold);
    }

    fn end_holds(&mut self, ends: impl Fn(&Hold) -> bool, changes: &mut Vec<Change>) {
        let (ended, kept) = std::mem::take(&mut self.holds).into_iter().partition(ends);
        self.holds = kept;
        let ended: Vec<Hold> = ended;
        changes.extend(ended.into_iter().map(|hold| Change::Ended(Hold { stage: Stage::Ended, ..hold })));
    }
}

/// `text` cut to the longest reason, at a character's border.
fn cut(text: &str) -> String {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
