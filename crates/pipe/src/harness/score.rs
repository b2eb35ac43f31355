//! Scoring a judge in a world.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bartizan_wire::{DeviceKey, Feature, Finding, Grade, Subject, UnixMillis};

use super::attack::Attack;
use super::benign::{DAY_MS, MINUTE_MS};
use super::world::{Labelled, Shortcut, World, WorldConfig, refuse_shortcuts};
use crate::judge::{Judge, Verdict};

/// After an attack its device is neither innocent nor attacked for so long.
const AFTERMATH_MS: u64 = DAY_MS;

/// How a judge did.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub attacks: Vec<AttackScore>,
    pub events: u64,
    /// Time under observation of devices that were not attacked.
    pub benign_device_days: f64,
    pub false_findings: u64,
    pub false_suspicions: u64,
    pub false_isolations: u64,
    /// The first few false isolations, for a person to look at.
    pub examples: Vec<Finding>,
    /// Grades that moved because of events that spoke for no device. Must be zero.
    pub unauthenticated_grades: u64,
}

/// How one attack was met.
#[derive(Clone, Debug, PartialEq)]
pub struct AttackScore {
    pub name: &'static str,
    pub devices: usize,
    /// Attacked devices that were found, graded abnormal (or, from outside, whose attacker was limited).
    pub found: usize,
    pub isolated: usize,
    /// The worst times from the first attacking event, in milliseconds.
    pub found_after_ms: u64,
    pub isolated_after_ms: u64,
    /// The most attacking events that a device sent before it was found, and isolated.
    pub found_after_events: u32,
    pub isolated_after_events: u32,
    /// Devices whose first grade was explained by a right feature.
    pub explained: usize,
    /// What the first grade was because of.
    pub because: Option<Finding>,
}

impl Report {
    /// False isolations in a hundred thousand device-days.
    #[must_use]
    pub fn false_isolations_per_100k_device_days(&self) -> f64 {
        self.false_isolations as f64 * 100_000.0 / self.benign_device_days.max(f64::MIN_POSITIVE)
    }
}

/// What is being noted of one device under one attack.
#[derive(Clone, Copy, Default)]
struct Course {
    began: UnixMillis,
    events: u32,
    found: Option<(u64, u32)>,
    isolated: Option<(u64, u32)>,
    explained: bool,
    because: Option<Finding>,
}

struct Scorer<'a> {
    config: &'a WorldConfig,
    courses: BTreeMap<(usize, DeviceKey), Course>,
    attack_of: BTreeMap<DeviceKey, usize>,
    accused: BTreeSet<(DeviceKey, Feature, u64)>,
    report: Report,
}

/// Runs `judge` through the world of `config`, ticking it each minute of virtual time.
///
/// # Errors
/// A world in which an attack can be told by a [`Shortcut`] is not scored.
pub fn evaluate(config: &WorldConfig, mut judge: Judge) -> Result<Report, Shortcut> {
    if !config.attacks.is_empty() {
        refuse_shortcuts(&config.attacks, World::new(config))?;
    }
    let mut scorer = Scorer::new(config);
    let mut minute = 0;
    for labelled in World::new(config) {
        let now = labelled.event.at;
        if now.0 / MINUTE_MS != minute {
            minute = now.0 / MINUTE_MS;
            judge.tick(now, &mut |verdict| scorer.hear(now, None, &verdict));
        }
        scorer.see(&labelled);
        judge.observe(&labelled.event, &mut |verdict| scorer.hear(now, Some(&labelled), &verdict));
    }
    Ok(scorer.finish())
}

impl<'a> Scorer<'a> {
    fn new(config: &'a WorldConfig) -> Self {
        let attack_of = (0..config.attacks.len())
            .flat_map(|attack| config.victims(attack).into_iter().map(move |device| (device, attack)))
            .collect();
        Self {
            config,
            courses: BTreeMap::new(),
            attack_of,
            accused: BTreeSet::new(),
            report: Report {
                attacks: Vec::new(),
                events: 0,
                benign_device_days: exposure(config),
                false_findings: 0,
                false_suspicions: 0,
                false_isolations: 0,
                examples: Vec::new(),
                unauthenticated_grades: 0,
            },
        }
    }

    fn see(&mut self, labelled: &Labelled) {
        self.report.events += 1;
        let Some(attack) = labelled.attack else {
            return;
        };
        if let Some(device) = named(&labelled.event.subject) {
            let course = self.courses.entry((attack, device)).or_default();
            if course.events == 0 {
                course.began = labelled.event.at;
            }
            course.events += 1;
        }
    }

    fn hear(&mut self, now: UnixMillis, cause: Option<&Labelled>, verdict: &Verdict) {
        match verdict {
            Verdict::Finding(finding) => self.hear_finding(now, finding),
            Verdict::Graded { device, from, to, because } if to > from => {
                let outside = cause.is_some_and(|cause| cause.event.device().is_none());
                self.report.unauthenticated_grades += u64::from(outside);
                self.hear_grade(now, *device, *to, because);
            }
            Verdict::Graded { .. } => {}
            Verdict::SourceLimited { because, .. } => {
                if let Some(course) = named(&because.subject).and_then(|device| self.outsider(device)) {
                    course.isolate(now, because, true);
                }
            }
        }
    }

    fn hear_finding(&mut self, now: UnixMillis, finding: &Finding) {
        let Some(device) = named(&finding.subject) else {
            return;
        };
        let outside = matches!(finding.subject, Subject::Source { .. });
        let right = self.truth(device).contains(&finding.feature);
        let course = if outside { self.outsider(device) } else { self.insider(device) };
        if let Some(course) = course {
            if right {
                course.find(now);
            }
        } else if !self.in_aftermath(now, device) {
            // Within a day, one accusation of one device for one feature is one accusation.
            let news = self.accused.insert((device, finding.feature, now.0 / DAY_MS));
            self.report.false_findings += u64::from(news);
        }
    }

    fn hear_grade(&mut self, now: UnixMillis, device: DeviceKey, to: Grade, because: &Finding) {
        let right = self.truth(device).contains(&because.feature);
        if let Some(course) = self.insider(device) {
            course.find(now);
            course.explain(because, right);
            if to == Grade::Abnormal {
                course.isolate(now, because, right);
            }
        } else if !self.in_aftermath(now, device) {
            self.accuse(to, because);
        }
    }

    fn accuse(&mut self, to: Grade, because: &Finding) {
        match to {
            Grade::Abnormal => self.report.false_isolations += 1,
            _ => self.report.false_suspicions += 1,
        }
        if self.report.examples.len() < 10 {
            self.report.examples.push(*because);
        }
    }

    fn truth(&self, device: DeviceKey) -> &'static [Feature] {
        self.attack_of.get(&device).map_or(&[], |attack| self.config.attacks[*attack].truth())
    }

    /// The course of a device that is taken over, once the attack has begun.
    fn insider(&mut self, device: DeviceKey) -> Option<&mut Course> {
        self.course(device, true)
    }

    /// The course of a device in whose name somebody without its key speaks.
    fn outsider(&mut self, device: DeviceKey) -> Option<&mut Course> {
        self.course(device, false)
    }

    fn course(&mut self, device: DeviceKey, authenticated: bool) -> Option<&mut Course> {
        let attack = *self.attack_of.get(&device)?;
        let fits = self.config.attacks[attack].is_authenticated() == authenticated;
        self.courses.get_mut(&(attack, device)).filter(|_| fits)
    }

    fn in_aftermath(&self, now: UnixMillis, device: DeviceKey) -> bool {
        let Some(attack) = self.attack_of.get(&device) else {
            return false;
        };
        let plan = &self.config.attacks[*attack];
        let lasts = (plan.lasts_h * 3_600_000.0) as u64 + AFTERMATH_MS;
        self.courses
            .get(&(*attack, device))
            .is_some_and(|course| plan.is_authenticated() && now.since(course.began) <= lasts)
    }

    fn finish(mut self) -> Report {
        for (number, attack) in self.config.attacks.iter().enumerate() {
            let courses: Vec<&Course> =
                self.courses.iter().filter(|((attack, _), _)| *attack == number).map(|(_, course)| course).collect();
            self.report.attacks.push(AttackScore::of(attack, &courses));
        }
        self.report
    }
}

fn named(subject: &Subject) -> Option<DeviceKey> {
    match subject {
        Subject::Device { key, .. } => Some(*key),
        Subject::Source { claimed, .. } => *claimed,
    }
}

/// Device-days in which nobody was attacked.
fn exposure(config: &WorldConfig) -> f64 {
    let attacked: f64 = config
        .attacks
        .iter()
        .filter(|attack| attack.is_authenticated())
        .map(|attack| attack.devices as f64 * (attack.lasts_h / 24.0 + AFTERMATH_MS as f64 / DAY_MS as f64))
        .sum();
    (config.devices() as f64 * config.days - attacked).max(0.0)
}

impl Course {
    fn find(&mut self, now: UnixMillis) {
        let moment = (now.since(self.began), self.events);
        self.found.get_or_insert(moment);
    }

    fn explain(&mut self, because: &Finding, right: bool) {
        if self.because.is_none() {
            self.because = Some(*because);
            self.explained = right;
        }
    }

    fn isolate(&mut self, now: UnixMillis, because: &Finding, right: bool) {
        self.find(now);
        self.explain(because, right);
        let moment = (now.since(self.began), self.events);
        self.isolated.get_or_insert(moment);
    }
}

impl AttackScore {
    fn of(attack: &Attack, courses: &[&Course]) -> Self {
        let found = || courses.iter().filter_map(|course| course.found);
        let isolated = || courses.iter().filter_map(|course| course.isolated);
        Self {
            name: attack.name,
            devices: attack.devices,
            found: found().count(),
            isolated: isolated().count(),
            found_after_ms: found().map(|(ms, _)| ms).max().unwrap_or(0),
            isolated_after_ms: isolated().map(|(ms, _)| ms).max().unwrap_or(0),
            found_after_events: found().map(|(_, events)| events).max().unwrap_or(0),
            isolated_after_events: isolated().map(|(_, events)| events).max().unwrap_or(0),
            explained: courses.iter().filter(|course| course.explained).count(),
            because: courses.iter().find_map(|course| course.because),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:24} {:>7} {:>6} {:>9} {:>9} {:>7} {:>10} {:>9}  because",
            "attack", "devices", "found", "after s", "isolated", "after s", "events", "explained"
        )?;
        for score in &self.attacks {
            write!(f, "{score}")?;
        }
        writeln!(
            f,
            "{} events, {:.0} benign device-days: {} false findings, {} suspicions, {} isolations ({:.2} in 100,000 device-days)",
            self.events,
            self.benign_device_days,
            self.false_findings,
            self.false_suspicions,
            self.false_isolations,
            self.false_isolations_per_100k_device_days(),
        )
    }
}

impl fmt::Display for AttackScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:24} {:>7} {:>6} {:>9.0} {:>9} {:>7.0} {:>10} {:>9}  ",
            self.name,
            self.devices,
            self.found,
            self.found_after_ms as f64 / 1000.0,
            self.isolated,
            self.isolated_after_ms as f64 / 1000.0,
            self.isolated_after_events,
            self.explained,
        )?;
        match &self.because {
            Some(finding) => writeln!(
                f,
                "{} {:.0} {} (expected {:.0} to {:.0})",
                finding.feature, finding.observed, finding.unit, finding.expected.low, finding.expected.high
            ),
            None => writeln!(f, "-"),
        }
    }
}
