//! Grades: how they rise, what keeps them up, how they fall, and who may lift them.

use bartizan_pipe::{GradeConfig, Judge, JudgeConfig, ProfileConfig, Verdict};
use bartizan_wire::event::{Direction, Message};
use bartizan_wire::finding::Basis;
use bartizan_wire::{Access, DeviceKey, Event, EventKind, Feature, Finding, Grade, Subject, TypeId, UnixMillis};

const START: u64 = 1_767_225_600_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn device(id: u64) -> Subject {
    Subject::Device { key: DeviceKey::new(1, id), device_type: TypeId(1) }
}

fn key(id: u64) -> DeviceKey {
    DeviceKey::new(1, id)
}

fn message(id: u64, at: u64) -> Event {
    let message = Message { direction: Direction::Up, kind: 5, payload_bytes: 30, peer: 9 };
    Event { at: UnixMillis(at), subject: device(id), kind: EventKind::Message(message) }
}

/// Verdicts of a run, with ticks each minute between events.
struct Court {
    judge: Judge,
    now: u64,
    verdicts: Vec<Verdict>,
}

impl Court {
    fn new() -> Self {
        Self { judge: Judge::new(JudgeConfig::default()), now: START, verdicts: Vec::new() }
    }

    fn see(&mut self, event: Event) {
        self.now = self.now.max(event.at.0);
        self.judge.observe(&event, &mut |verdict| self.verdicts.push(verdict));
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        while self.now < until {
            self.now = (self.now + MINUTE).min(until);
            self.judge.tick(UnixMillis(self.now), &mut |verdict| self.verdicts.push(verdict));
        }
    }

    /// Forty meters, each on the hour with its own minute, for so many hours.
    fn teach(&mut self, hours: u64) {
        for _ in 0..hours {
            for id in 0..40 {
                self.see(message(id, self.now + id * MINUTE + id * 777 % 5000));
                self.now -= id * MINUTE + id * 777 % 5000;
            }
            self.pass(HOUR);
        }
    }

    fn graded(&self) -> Vec<(DeviceKey, Grade, Grade)> {
        let graded = |verdict: &Verdict| match verdict {
            Verdict::Graded { device, from, to, .. } => Some((*device, *from, *to)),
            _ => None,
        };
        self.verdicts.iter().filter_map(graded).collect()
    }

    fn findings(&self, feature: Feature) -> Vec<Finding> {
        let finding = |verdict: &Verdict| match verdict {
            Verdict::Finding(finding) if finding.feature == feature => Some(*finding),
            _ => None,
        };
        self.verdicts.iter().filter_map(finding).collect()
    }
}

fn flood(court: &mut Court, id: u64, messages: u64, gap: u64) {
    for _ in 0..messages {
        court.now += gap;
        court.see(message(id, court.now));
    }
}

#[test]
fn a_hasty_meter_is_told_by_its_interval() {
    let mut court = Court::new();
    court.teach(48);
    assert_eq!(court.verdicts, [], "habit is no finding");
    let mut reports = 0;
    while court.judge.grade(key(3)) != Grade::Abnormal {
        flood(&mut court, 3, 1, 72_000);
        reports += 1;
        assert!(reports <= 10, "found within ten of its reports");
    }
    let because = court.findings(Feature::ReportInterval)[0];
    assert_eq!((because.observed / 1000.0).round() as i64, 72);
    assert_eq!(because.expected.basis, Basis::Device);
    assert!((3_300_000.0..3_600_000.0).contains(&because.expected.low), "{because:?}");
    assert!((3_600_000.0..3_900_000.0).contains(&because.expected.high), "{because:?}");
    assert_eq!(because.technique.map(|t| t.to_string()).as_deref(), Some("T0856"));
    assert_eq!(
        court.graded(),
        [(key(3), Grade::Normal, Grade::Suspicious), (key(3), Grade::Suspicious, Grade::Abnormal)]
    );
}

#[test]
fn a_new_device_is_measured_by_its_type() {
    let mut court = Court::new();
    court.teach(24);
    court.see(message(900, court.now));
    flood(&mut court, 900, 20, 60_000);
    assert_eq!(court.judge.grade(key(900)), Grade::Abnormal);
    assert!(court.findings(Feature::ReportInterval).iter().all(|f| f.expected.basis == Basis::DeviceType));
}

#[test]
fn a_device_of_an_unknown_type_is_measured_by_the_rule() {
    let mut court = Court::new();
    flood(&mut court, 1, 60, 1_000);
    assert_ne!(court.judge.grade(key(1)), Grade::Abnormal, "one message a second may be its habit");
    flood(&mut court, 2, 200, 20);
    assert_eq!(court.judge.grade(key(2)), Grade::Abnormal);
    let because = court.findings(Feature::MessageRate).last().copied().unwrap();
    assert_eq!((because.expected.basis, because.expected.high.round()), (Basis::Rule, 25.0));
}

#[test]
fn a_steady_device_of_a_new_type_is_learnt_and_not_held() {
    let mut court = Court::new();
    flood(&mut court, 1, 3 * 3600, 1_000);
    court.pass(30_000);
    assert_eq!(court.judge.grade(key(1)), Grade::Normal);
    assert!(court.graded().iter().all(|(_, _, to)| *to != Grade::Abnormal), "{:?}", court.graded());
}

#[test]
fn a_grade_falls_by_dwell_through_probation_and_no_faster() {
    let mut court = Court::new();
    court.teach(24);
    flood(&mut court, 3, 40, 5_000);
    court.verdicts.clear();
    court.pass(29 * MINUTE);
    assert_eq!(court.graded(), [], "the dwell is not over");
    court.pass(2 * MINUTE);
    assert_eq!(court.graded(), [(key(3), Grade::Abnormal, Grade::Suspicious)]);
    court.pass(13 * MINUTE);
    assert_eq!(court.judge.grade(key(3)), Grade::Suspicious, "probation is not over");
    court.pass(3 * MINUTE);
    assert_eq!(court.judge.grade(key(3)), Grade::Normal);
    court.verdicts.clear();
    court.pass(HOUR);
    flood(&mut court, 3, 5, HOUR);
    assert_eq!(court.verdicts, [], "and its habit is what it was");
}

#[test]
fn evidence_renewed_keeps_a_device_where_it_is() {
    let mut court = Court::new();
    court.teach(24);
    flood(&mut court, 3, 40, 5_000);
    for _ in 0..200 {
        court.now += 72_000;
        let refused = EventKind::Refused { access: Access::Quarantined };
        court.see(Event { at: UnixMillis(court.now), subject: device(3), kind: refused });
        court.pass(0);
        court.judge.tick(UnixMillis(court.now), &mut |_| {});
        assert_eq!(court.judge.grade(key(3)), Grade::Abnormal, "it goes on, so nothing is forgiven");
    }
}

#[test]
fn a_quarantined_device_that_keeps_its_habit_is_released() {
    let mut court = Court::new();
    court.teach(48);
    flood(&mut court, 3, 40, 5_000);
    assert_eq!(court.judge.grade(key(3)), Grade::Abnormal);
    for _ in 0..4 {
        court.pass(HOUR);
        let refused = EventKind::Refused { access: Access::Quarantined };
        court.see(Event { at: UnixMillis(court.now), subject: device(3), kind: refused });
    }
    assert_eq!(court.judge.grade(key(3)), Grade::Normal);
}

#[test]
fn a_relapse_on_probation_needs_less() {
    let mut court = Court::new();
    court.teach(24);
    flood(&mut court, 3, 40, 5_000);
    court.pass(31 * MINUTE);
    assert_eq!(court.judge.grade(key(3)), Grade::Suspicious);
    court.verdicts.clear();
    let mut reports = 0;
    while court.judge.grade(key(3)) != Grade::Abnormal {
        flood(&mut court, 3, 1, 5_000);
        reports += 1;
    }
    let afresh = {
        let mut other = Court::new();
        other.teach(24);
        let mut reports = 0;
        while other.judge.grade(key(3)) != Grade::Abnormal {
            flood(&mut other, 3, 1, 5_000);
            reports += 1;
        }
        reports
    };
    assert!(reports < afresh, "{reports} on probation, {afresh} afresh");
}

#[test]
fn repeated_findings_are_said_once() {
    let mut court = Court::new();
    court.teach(24);
    flood(&mut court, 3, 2_000, 100);
    let said = court.findings(Feature::MessageRate).len() + court.findings(Feature::ReportInterval).len();
    assert!((1..=8).contains(&said), "2,000 messages in three minutes make {said} findings");
}

#[test]
fn a_person_may_pardon() {
    let mut court = Court::new();
    court.teach(24);
    flood(&mut court, 3, 40, 5_000);
    court.verdicts.clear();
    let now = UnixMillis(court.now);
    court.judge.pardon(key(3), now, &mut |verdict| court.verdicts.push(verdict));
    assert_eq!(court.graded(), [(key(3), Grade::Abnormal, Grade::Normal)]);
    court.now += 20_000;
    court.see(message(3, court.now));
    assert_eq!(court.judge.grade(key(3)), Grade::Normal, "the next message is judged afresh");
}

#[test]
fn a_grade_outlives_the_judge() {
    let mut court = Court::new();
    court.teach(24);
    flood(&mut court, 3, 40, 5_000);
    let saved = court.judge.save();
    let mut judge = Judge::load(JudgeConfig::default(), &saved).unwrap();
    assert_eq!(judge.grade(key(3)), Grade::Abnormal);
    let recent = |judge: &Judge| judge.profile(key(5)).unwrap().features[0].recent.clone();
    assert_eq!(recent(&judge), recent(&court.judge));

    let because = court.findings(Feature::ReportInterval)[0];
    let mut empty = Judge::new(JudgeConfig::default());
    empty.reinstate(key(3), Grade::Abnormal, because, UnixMillis(court.now));
    for judge in [&mut judge, &mut empty] {
        let mut fell = Vec::new();
        for minute in 0..60 {
            judge.tick(UnixMillis(court.now + minute * MINUTE), &mut |verdict| fell.push(verdict));
        }
        assert_eq!(fell.len(), 2, "abnormal, probation, normal: {fell:?}");
        assert_eq!(judge.grade(key(3)), Grade::Normal);
    }
}

#[test]
fn what_is_forgotten_is_gone() {
    let mut court = Court::new();
    court.teach(3);
    flood(&mut court, 3, 100, 100);
    court.judge.forget(key(3));
    assert_eq!(court.judge.grade(key(3)), Grade::Normal);
    assert_eq!(court.judge.profile(key(3)), None);
}

#[test]
fn the_innocent_bursts_are_innocent() {
    let mut court = Court::new();
    court.teach(72);
    // A day without radio, then everything that was missed within two minutes.
    court.pass(24 * HOUR);
    flood(&mut court, 3, 24, 5_000);
    // Three copies of one report.
    court.pass(HOUR);
    flood(&mut court, 4, 3, 2_000);
    // Twenty orders, each answered.
    for _ in 0..20 {
        court.now += 4_000;
        let order = Message { direction: Direction::Down, kind: 8, payload_bytes: 2, peer: 9 };
        court.see(Event { at: UnixMillis(court.now), subject: device(5), kind: EventKind::Message(order) });
        court.see(message(5, court.now + 900));
    }
    assert_eq!(court.graded(), []);
}

#[test]
fn retries_while_the_upstream_is_down_are_innocent_and_a_flood_is_not() {
    let fail = |court: &mut Court, id: u64, tries: u64, gap: u64| {
        for _ in 0..tries {
            flood(court, id, 1, gap);
            let event = Event { at: UnixMillis(court.now), subject: device(id), kind: EventKind::UpstreamFailed };
            court.see(event);
        }
    };
    let mut court = Court::new();
    court.teach(48);
    for id in 0..40 {
        fail(&mut court, id, 8, 4_000);
    }
    assert_eq!(court.graded(), []);
    fail(&mut court, 3, 100, 1_000);
    assert_eq!(court.judge.grade(key(3)), Grade::Abnormal);
}

#[test]
fn a_clock_put_back_or_forward_accuses_nobody() {
    let mut court = Court::new();
    court.teach(48);
    for shift in [-HOUR.cast_signed(), 30 * 24 * HOUR.cast_signed(), -365 * 24 * HOUR.cast_signed()] {
        court.now = court.now.saturating_add_signed(shift);
        court.teach(6);
    }
    assert_eq!(court.graded(), []);
    flood(&mut court, 3, 100, 1_000);
    assert_eq!(court.judge.grade(key(3)), Grade::Abnormal, "and it still judges");
    court.now -= 24 * HOUR;
    court.pass(2 * HOUR);
    assert_eq!(court.judge.grade(key(3)), Grade::Normal, "and still forgives");
}

#[test]
fn devices_are_bounded_and_a_held_one_stays() {
    let profile = ProfileConfig { devices_max: 64, ..ProfileConfig::default() };
    let mut judge = Judge::new(JudgeConfig { profile, ..JudgeConfig::default() });
    for n in 0..200 {
        judge.observe(&message(1, START + n), &mut |_| {});
    }
    for id in 2..2_000 {
        judge.observe(&message(id, START + 1_000 + id), &mut |_| {});
    }
    assert_eq!(judge.shed().profiles, 2_000 - 1 - 64);
    assert_eq!(judge.grade(key(1)), Grade::Abnormal);
    assert!(judge.profile(key(1)).is_some());
}

#[test]
fn foreign_endpoint_names_are_counted_by_name() {
    let mut judge = Judge::new(JudgeConfig::default());
    let mut grades = Vec::new();
    let mut register = |endpoint: u32, at: u64| {
        let event =
            Event { at: UnixMillis(START + at), subject: device(1), kind: EventKind::EndpointMismatch { endpoint } };
        judge.observe(&event, &mut |_| {});
        grades.push(judge.grade(key(1)));
    };
    (0..10).for_each(|n| register(77, n));
    register(78, 10);
    register(1_000_003, 11);
    assert!(grades[..10].iter().all(|grade| *grade == Grade::Suspicious), "one wrong name may be a slip: {grades:?}");
    assert_eq!(grades[11], Grade::Abnormal);
}

#[test]
fn a_profile_shows_band_and_recent_reports() {
    let mut court = Court::new();
    court.teach(40);
    let view = court.judge.profile(key(3)).unwrap();
    let interval = &view.features[0];
    assert!(interval.learnt && interval.feature == Feature::ReportInterval);
    assert_eq!(interval.recent.len(), bartizan_pipe::limits::RECENT_MAX);
    assert!(interval.recent.is_sorted_by_key(|observation| observation.at));
    for observation in &interval.recent {
        assert!((observation.value / 3_600_000.0 - 1.0).abs() < 0.01);
    }
    assert_eq!(court.judge.profile(key(999)), None);
}

#[test]
fn levels_enter_above_where_they_leave() {
    let config = GradeConfig::default();
    assert!(config.suspicious_leave < config.suspicious_enter);
    assert!(config.abnormal_leave < config.abnormal_enter);
    assert!(config.suspicious_enter < config.abnormal_enter);
}

/// Windows stand at fixed times of day: a fleet that is connected an hour before one of six hours ends has filled a
/// fraction of it, and must not learn that fraction as its habit.
#[test]
fn a_fleet_that_begins_late_in_a_window_is_not_called_hasty_afterwards() {
    const MINUTE_MS: u64 = 60_000;
    let mut judge = Judge::new(JudgeConfig::default());
    let five_in_the_morning = 20_000 * 24 * 60 * MINUTE_MS + 5 * 60 * MINUTE_MS;
    let mut found = Vec::new();
    for quarter in 0..4 * 24 {
        for lamp in 0..600 {
            let wobble = (lamp * 7919 + quarter * 104_729) % 20_000;
            let at = five_in_the_morning + quarter * 15 * MINUTE_MS + lamp * 1_400 + wobble;
            let report = Message { direction: Direction::Up, kind: 1, payload_bytes: 30, peer: 1 };
            let event = Event {
                at: UnixMillis(at),
                subject: Subject::Device { key: DeviceKey::new(1, lamp + 1), device_type: TypeId(1) },
                kind: EventKind::Message(report),
            };
            judge.observe(&event, &mut |verdict| found.push(verdict));
        }
    }
    assert!(found.is_empty(), "{} verdicts, the first {:?}", found.len(), found[0]);
}
