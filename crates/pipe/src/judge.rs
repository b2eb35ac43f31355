//! The judge: hands each event to the branch it belongs to, and turns findings into grades.

use bartizan_wire::{DeviceKey, Event, Finding, Grade, Source, Subject, UnixMillis};

use crate::codec::{Reader, Writer};
use crate::config::{JudgeConfig, ProfileConfig};
use crate::engine::Engine;
use crate::error::Error;
use crate::grade::Grades;
use crate::profile::ProfileEngine;
use crate::protocol::ProtocolEngine;
use crate::source::{SourceLimiter, SourceVerdict};
use crate::view::ProfileView;

/// What the judge has to say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Something is unlike its expectation. Repetitions within a while are left out.
    Finding(Finding),
    /// A device's grade changed. `because` is the finding that weighed most; on the way down, the last one.
    Graded { device: DeviceKey, from: Grade, to: Grade, because: Finding },
    /// Unauthenticated work for this source stops until `until`. Records that open under an association pass.
    SourceLimited { source: Source, until: UnixMillis, because: Finding },
}

/// Engines, grades and the limiter of sources.
pub struct Judge {
    profile: Option<ProfileEngine>,
    protocol: Option<ProtocolEngine>,
    others: Vec<Box<dyn Engine + Send>>,
    grades: Grades,
    sources: SourceLimiter,
}

/// What was shed because a bound was reached, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    /// Profiles of devices and types forgotten to make room.
    pub profiles: u64,
    /// Cases closed to make room.
    pub cases: u64,
    /// Sources forgotten to make room.
    pub sources: u64,
    /// Findings about sources left out because there were too many in one minute.
    pub findings: u64,
}

impl Judge {
    /// A judge with the built-in engines.
    #[must_use]
    pub fn new(config: JudgeConfig) -> Self {
        Self {
            profile: Some(ProfileEngine::new(config.profile)),
            protocol: Some(ProtocolEngine::new()),
            ..Self::bare(config)
        }
    }

    /// A judge without engines of its own, to be given others: what [`crate::harness`] compares.
    #[must_use]
    pub fn bare(config: JudgeConfig) -> Self {
        Self {
            profile: None,
            protocol: None,
            others: Vec::new(),
            grades: Grades::new(config.grade),
            sources: SourceLimiter::new(config.source),
        }
    }

    /// Adds an engine beside the built-in ones.
    #[must_use]
    pub fn with_engine(mut self, engine: Box<dyn Engine + Send>) -> Self {
        self.others.push(engine);
        self
    }

    /// Takes one event. Cheap: no allocation once a device and its type are known.
    pub fn observe(&mut self, event: &Event, out: &mut dyn FnMut(Verdict)) {
        match event.subject {
            Subject::Source { .. } => self.sources.observe(event, out),
            Subject::Device { key, .. } => self.of_device(key, |engine, found| engine.observe(event, found), out),
        }
    }

    /// Lets time pass: evidence decays, grades fall after their dwell. Once a second is plenty.
    pub fn tick(&mut self, now: UnixMillis, out: &mut dyn FnMut(Verdict)) {
        let mut found = Vec::new();
        for engine in self.engines() {
            engine.tick(now, &mut |finding| found.push(finding));
        }
        let mut graded = Vec::new();
        for finding in found {
            if let Subject::Device { key, .. } = finding.subject {
                self.grades.weigh(key, finding, &mut |verdict| note(verdict, &mut graded, out));
            }
        }
        self.grades.tick(now, &mut |verdict| note(verdict, &mut graded, out));
        self.tell(&graded);
    }

    /// Runs the engines over one device and weighs what they find.
    fn of_device(
        &mut self,
        device: DeviceKey,
        mut run: impl FnMut(&mut dyn Engine, &mut dyn FnMut(Finding)),
        out: &mut dyn FnMut(Verdict),
    ) {
        let Self { profile, protocol, others, grades, .. } = self;
        let mut graded = None;
        for engine in all(profile, protocol, others) {
            run(engine, &mut |finding| {
                // An engine cannot speak of another device than the one that the event speaks for.
                if matches!(finding.subject, Subject::Device { key, .. } if key == device) {
                    grades.weigh(device, finding, &mut |verdict| {
                        if let Verdict::Graded { to, .. } = verdict {
                            graded = Some(to);
                        }
                        out(verdict);
                    });
                }
            });
        }
        if let Some(grade) = graded {
            self.tell(&[(device, grade)]);
        }
    }

    fn tell(&mut self, graded: &[(DeviceKey, Grade)]) {
        for (device, grade) in graded {
            self.engines().for_each(|engine| engine.graded(*device, *grade));
        }
    }

    fn engines(&mut self) -> impl Iterator<Item = &mut (dyn Engine + 'static)> {
        all(&mut self.profile, &mut self.protocol, &mut self.others)
    }

    /// A device's grade; normal if nothing is held against it.
    #[must_use]
    pub fn grade(&self, device: DeviceKey) -> Grade {
        self.grades.grade(device)
    }

    /// A device's habits for a person's eyes; `None` if it was never heard.
    #[must_use]
    pub fn profile(&self, device: DeviceKey) -> Option<ProfileView> {
        self.profile.as_ref()?.view(device)
    }

    /// A person released the device: evidence is dropped, and the grade is normal again.
    pub fn pardon(&mut self, device: DeviceKey, now: UnixMillis, out: &mut dyn FnMut(Verdict)) {
        self.grades.pardon(device, now, out);
        self.engines().for_each(|engine| engine.pardon(device));
    }

    /// Puts a grade back that outlived the judge's own state (a crash since the last [`Judge::save`]), so that
    /// its dwell runs again from `now`. Says nothing: the caller knows.
    pub fn reinstate(&mut self, device: DeviceKey, grade: Grade, because: Finding, now: UnixMillis) {
        self.grades.reinstate(device, grade, because, now);
        self.tell(&[(device, grade)]);
    }

    /// Drops everything about a device (it was retired).
    pub fn forget(&mut self, device: DeviceKey) {
        self.grades.forget(device);
        self.engines().for_each(|engine| engine.forget(device));
    }

    /// May unauthenticated bytes of this source cost us work at `now`? See [`SourceLimiter`] for what it
    /// must not be asked about.
    #[must_use]
    pub fn source_verdict(&self, source: Source, now: UnixMillis) -> SourceVerdict {
        self.sources.verdict(source, now)
    }

    #[must_use]
    pub fn sources(&self) -> &SourceLimiter {
        &self.sources
    }

    pub fn sources_mut(&mut self) -> &mut SourceLimiter {
        &mut self.sources
    }

    #[must_use]
    pub fn shed(&self) -> Shed {
        Shed {
            profiles: self.profile.as_ref().map_or(0, ProfileEngine::evicted),
            cases: self.grades.evicted(),
            sources: self.sources.evicted(),
            findings: self.sources.shed(),
        }
    }

    /// What was learnt, and the open cases, as versioned bytes. Limits on sources are not kept: they are short,
    /// and an address means something else tomorrow.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut to = Writer::new();
        match &self.profile {
            Some(profile) => profile.write(&mut to),
            None => ProfileEngine::new(ProfileConfig::default()).write(&mut to),
        }
        self.grades.write(&mut to);
        to.finish()
    }

    /// A judge that carries on from [`Judge::save`].
    ///
    /// # Errors
    /// [`Error::Malformed`] for bytes that were not saved so, [`Error::Unsupported`] for another version's.
    pub fn load(config: JudgeConfig, bytes: &[u8]) -> Result<Self, Error> {
        let mut from = Reader::open(bytes)?;
        let profile = ProfileEngine::read(config.profile, &mut from)?;
        let grades = Grades::read(config.grade, &mut from)?;
        from.finish()?;
        Ok(Self { profile: Some(profile), grades, ..Self::new(config) })
    }
}

fn all<'a>(
    profile: &'a mut Option<ProfileEngine>,
    protocol: &'a mut Option<ProtocolEngine>,
    others: &'a mut [Box<dyn Engine + Send>],
) -> impl Iterator<Item = &'a mut (dyn Engine + 'static)> {
    let profile = profile.iter_mut().map(|engine| engine as &mut dyn Engine);
    let protocol = protocol.iter_mut().map(|engine| engine as &mut dyn Engine);
    let others = others.iter_mut().map(|engine| engine.as_mut() as &mut dyn Engine);
    profile.chain(protocol).chain(others)
}

/// Passes a verdict on, and keeps what the engines have to be told.
fn note(verdict: Verdict, graded: &mut Vec<(DeviceKey, Grade)>, out: &mut dyn FnMut(Verdict)) {
    if let Verdict::Graded { device, to, .. } = verdict {
        graded.push((device, to));
    }
    out(verdict);
}
