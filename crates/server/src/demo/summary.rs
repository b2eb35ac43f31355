//! The truth and what was noticed, side by side, for people and for machines.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use bartizan_dtls::Version;
use bartizan_sim::{Attack, City, Tally};
use bartizan_wire::UnixMillis;
use serde::Serialize;

use super::plan::Plan;
use super::stage::log_files;
use super::watch::{Released, Watch, time_of};

/// What happened. Times are real seconds since the city's first breath.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub devices: u32,
    /// Of these, with DTLS 1.3; the others speak 1.2.
    pub devices_dtls_1_3: usize,
    pub seed: u64,
    pub time_scale: u32,
    pub seconds: u64,
    /// Messages that the upstream has.
    pub messages: u64,
    /// Innocent devices that machines isolated.
    pub false_isolations: u64,
    /// Findings about innocent devices that isolated nobody.
    pub false_alarms: u64,
    /// Messages of innocent devices that were not acknowledged, or were and are not in the upstream.
    pub lost_innocent_messages: u64,
    /// Devices that were let in again, by a person or by a machine.
    pub released: u64,
    pub released_by_machine: u64,
    /// Of these, those that came back with another key.
    pub rekeyed: u64,
    pub attacks: Vec<AttackSummary>,
}

/// One attack and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttackSummary {
    pub name: &'static str,
    pub started_s: f64,
    /// The server's first finding about it.
    pub detected_s: Option<f64>,
    /// When its last device was isolated; for an attack without a valid key, when its source was limited.
    pub isolated_s: Option<f64>,
    /// The device that it took over or names.
    pub subject: String,
    /// Whether it held the key of the device it spoke for.
    pub authenticated: bool,
    /// The server's words.
    pub finding: Option<String>,
    /// Devices that it took over or names.
    pub devices: usize,
    /// The city's minutes from its beginning to the first finding.
    pub delay_city_minutes: Option<f64>,
}

/// When the city began, and how fast it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) at: UnixMillis,
    pub(super) scale: u32,
}

impl Beginning {
    pub(super) fn real_s(self, at: UnixMillis) -> f64 {
        let city_ms = at.since(self.at) as f64;
        (city_ms / f64::from(self.scale)).round() / 1000.0
    }
}

impl AttackSummary {
    pub(super) fn of(attack: &Attack, watch: &Watch, beginning: Beginning) -> Self {
        let finding = watch.findings.iter().find(|finding| {
            let at = time_of(&finding.at);
            let about_device = finding.device.as_ref().is_some_and(|name| attack.devices.contains(name));
            let about_source = attack.source.is_some() && finding.source == attack.source.map(|ip| ip.to_string());
            at >= attack.started && if attack.source.is_some() { about_source } else { about_device }
        });
        let detected = finding.map(|finding| time_of(&finding.at));
        let isolated = match attack.source {
            Some(source) => watch.limited.get(&source.to_string()).map(|limited| time_of(&limited.since)),
            None => last_isolated(attack, watch),
        };
        Self {
            name: attack.kind.name(),
            started_s: beginning.real_s(attack.started),
            detected_s: detected.map(|at| beginning.real_s(at)),
            isolated_s: isolated.map(|at| beginning.real_s(at)),
            subject: attack.devices.first().cloned().unwrap_or_default(),
            authenticated: attack.kind.is_authenticated(),
            finding: finding.map(|finding| finding.text.clone()),
            devices: attack.devices.len(),
            delay_city_minutes: detected.map(|at| (at.since(attack.started) as f64 / 6_000.0).round() / 10.0),
        }
    }
}

/// `None` until all of its devices are.
fn last_isolated(attack: &Attack, watch: &Watch) -> Option<UnixMillis> {
    let times = attack.devices.iter().map(|name| watch.isolated.get(name).map(|isolation| isolation.since));
    times.collect::<Option<Vec<_>>>()?.into_iter().max()
}

impl Summary {
    /// Joins what the devices know, what the server noticed, and what the upstream holds.
    pub(super) fn of(
        plan: &Plan,
        beginning: Beginning,
        attacks: &[Attack],
        watch: &Watch,
        tallies: &HashMap<String, Tally>,
        log: &Path,
    ) -> Self {
        let innocent = |name: &str| tallies.get(name).is_some_and(|tally| !tally.compromised);
        let upstream = messages_in(log);
        let isolated: BTreeSet<_> = watch
            .isolated
            .iter()
            .filter(|(name, how)| how.by_machine && innocent(name))
            .collect::<BTreeMap<_, _>>()
            .into_keys()
            .collect();
        let alarms = watch.findings.iter().filter_map(|finding| finding.device.as_deref());
        let alarms = alarms.filter(|name| innocent(name) && !isolated.contains(&(*name).to_owned()));
        Self {
            devices: plan.devices,
            devices_dtls_1_3: City::plan(plan.seed, plan.devices as usize).speaking(Version::Dtls13),
            seed: plan.seed,
            time_scale: plan.scale,
            seconds: plan.seconds,
            messages: upstream.values().map(|numbers| numbers.len() as u64).sum(),
            false_isolations: isolated.len() as u64,
            false_alarms: alarms.count() as u64,
            lost_innocent_messages: lost(tallies, &upstream),
            released: watch.released.len() as u64,
            released_by_machine: watch.released.values().filter(|how| **how == Released::ByMachine).count() as u64,
            rekeyed: watch.rekeyed.len() as u64,
            attacks: attacks.iter().map(|attack| AttackSummary::of(attack, watch, beginning)).collect(),
        }
    }
}

/// A message is safe when its device heard 2.xx and the upstream has it.
fn lost(tallies: &HashMap<String, Tally>, upstream: &HashMap<String, HashSet<u64>>) -> u64 {
    let nothing = HashSet::new();
    let innocents = tallies.iter().filter(|(_, tally)| !tally.compromised);
    let safe = |name: &String, tally: &Tally| {
        let arrived = upstream.get(name).unwrap_or(&nothing);
        tally.acknowledged.iter().filter(|number| arrived.contains(number)).count() as u64
    };
    innocents.map(|(name, tally)| tally.sent - safe(name, tally)).sum()
}

/// The numbers of each device's messages in the log.
fn messages_in(log: &Path) -> HashMap<String, HashSet<u64>> {
    let mut messages: HashMap<String, HashSet<u64>> = HashMap::new();
    for file in log_files(log) {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        for line in text.lines() {
            if let Some((device, number)) = message_of(line) {
                messages.entry(device).or_default().insert(number);
            }
        }
    }
    messages
}

fn message_of(line: &str) -> Option<(String, u64)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let payload: serde_json::Value = serde_json::from_str(line["payload"].as_str()?).ok()?;
    Some((line["device"].as_str()?.to_owned(), payload["number"].as_u64()?))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nSummary: {} devices, {} of them with DTLS 1.3, {} messages upstream, time scale {}",
            self.devices, self.devices_dtls_1_3, self.messages, self.time_scale
        )?;
        for attack in &self.attacks {
            write!(f, "{attack}")?;
        }
        writeln!(f, "  innocent devices isolated   {}", self.false_isolations)?;
        writeln!(f, "  findings about innocents    {}", self.false_alarms)?;
        writeln!(f, "  innocent messages lost      {}", self.lost_innocent_messages)?;
        write!(
            f,
            "  devices released            {} ({} by a machine, {} with a new key)",
            self.released, self.released_by_machine, self.rekeyed
        )
    }
}

impl fmt::Display for AttackSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |at: Option<f64>| match at {
            Some(at) => format!("after {:.1} s", at - self.started_s),
            None => "not".to_owned(),
        };
        let end = if self.authenticated { "isolated" } else { "source limited" };
        let detected = after(self.detected_s);
        let minutes =
            self.delay_city_minutes.map_or(String::new(), |minutes| format!(" ({minutes} of the city's minutes)"));
        writeln!(f, "  {:<16} detected {detected}{minutes}, {end} {}", self.name, after(self.isolated_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sent: u64, acknowledged: &[u64], compromised: bool) -> Tally {
        Tally { compromised, sent, acknowledged: acknowledged.to_vec(), refused: 0 }
    }

    #[test]
    fn a_message_is_lost_unless_acknowledged_and_upstream() {
        let tallies = HashMap::from([
            ("a".to_owned(), tally(3, &[1, 2, 3], false)),
            ("b".to_owned(), tally(2, &[1], false)),
            ("c".to_owned(), tally(9, &[], true)),
        ]);
        let upstream =
            HashMap::from([("a".to_owned(), HashSet::from([1, 2])), ("b".to_owned(), HashSet::from([1, 2]))]);
        assert_eq!(lost(&tallies, &upstream), 2);
    }

    #[test]
    fn the_upstreams_lines_are_read() {
        let line = r#"{"device":"meter-1","payload":"{\"number\":7,\"litres\":1}"}"#;
        assert_eq!(message_of(line), Some(("meter-1".into(), 7)));
        assert_eq!(message_of("{}"), None);
        assert_eq!(message_of("torn"), None);
    }

    #[test]
    fn the_citys_hours_become_real_seconds() {
        let beginning = Beginning { at: UnixMillis(1_000), scale: 360 };
        assert!((beginning.real_s(UnixMillis(1_000 + 3_600_000)) - 10.0).abs() < 1e-9);
    }
}
