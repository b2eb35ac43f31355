//! From a file and the environment to a checked [`Config`], or to every fault that was found.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::keys::{self, Config, KEYS, Key, Reload};
use super::setting::{Raw, Setting};

/// A checked configuration that knows where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub values: Vec<Shown>,
}

/// One effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub key: &'static str,
    /// As it would be written in the file.
    pub value: String,
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: String, line: usize },
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Faults(pub Vec<String>);

/// Reads `file` (a missing file is an empty one if `optional`) and the variables `BARTIZAN_SECTION__KEY`.
///
/// # Errors
/// Every fault, each with its place and what would be right.
pub fn load(
    file: &Path,
    optional: bool,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, Faults> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Faults(vec![format!("cannot read {}: {error}", file.display())]));
        }
    };
    parse(&text, &file.display().to_string(), variables)
}

/// Reads configuration text; `path` is only named.
///
/// # Errors
/// Every fault, each with its place and what would be right.
pub fn parse(text: &str, path: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Faults> {
    let mut reader = Reader::default();
    reader.collect_file(text, path);
    reader.collect_variables(variables);
    let config = Config::read(&mut reader);
    if !reader.faults.is_empty() {
        return Err(Faults(reader.faults));
    }
    Ok(Loaded { config, values: reader.shown })
}

impl Loaded {
    /// What differs from `old`: the keys that change now, and those that wait for a restart.
    #[must_use]
    pub fn changes_from(&self, old: &Self) -> (Vec<&'static str>, Vec<&'static str>) {
        let changed = self
            .values
            .iter()
            .zip(&old.values)
            .filter(|(new, old)| new.value != old.value)
            .filter_map(|(new, _)| keys::key(new.key));
        let (live, later): (Vec<&Key>, Vec<&Key>) = changed.partition(|key| key.reload == Reload::Live);
        let names = |keys: Vec<&Key>| keys.into_iter().map(|key| key.name).collect();
        (names(live), names(later))
    }
}

/// What was written, by key, until [`Config::read`] takes it.
#[derive(Default)]
pub(super) struct Reader {
    written: BTreeMap<&'static str, (Raw, Origin)>,
    shown: Vec<Shown>,
    faults: Vec<String>,
}

impl Reader {
    fn collect_file(&mut self, text: &str, path: &str) {
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let line = error.span().map_or(1, |span| line_at(text, span.start));
                let message = error.message().trim().replace('\n', ", ");
                self.faults.push(format!("{path}:{line}: {message}"));
                return;
            }
        };
        for (section, value) in table {
            let place = |offset: usize| Origin::File { path: path.into(), line: line_at(text, offset) };
            let DeValue::Table(keys) = value.get_ref() else {
                self.refuse(section.get_ref(), &place(section.span().start));
                continue;
            };
            if keys.is_empty() && !is_section(section.get_ref()) {
                self.refuse(section.get_ref(), &place(section.span().start));
            }
            let mut keys: Vec<_> = keys.iter().collect();
            keys.sort_by_key(|(leaf, _)| leaf.span().start);
            for (leaf, value) in keys {
                let name = format!("{}.{}", section.get_ref(), leaf.get_ref());
                self.note(&name, raw_of(value.get_ref()), place(leaf.span().start));
            }
        }
    }

    fn collect_variables(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in variables {
            let Some((section, leaf)) = name.strip_prefix("BARTIZAN_").and_then(|rest| rest.split_once("__")) else {
                continue;
            };
            let key = format!("{}.{}", section.to_lowercase(), leaf.to_lowercase());
            self.note(&key, Raw::Variable(value), Origin::Variable(name));
        }
    }

    fn note(&mut self, name: &str, raw: Raw, origin: Origin) {
        match keys::key(name) {
            Some(key) => {
                self.written.insert(key.name, (raw, origin));
            }
            None => self.refuse(name, &origin),
        }
    }

    fn refuse(&mut self, name: &str, origin: &Origin) {
        let hint = nearest(name).map_or_else(
            || "`bartizan config show` lists every key".into(),
            |key| match origin {
                Origin::Variable(_) => format!("did you mean {}?", key.variable()),
                _ => format!("did you mean \"{}\"?", key.name),
            },
        );
        self.faults.push(format!("{origin}: unknown key \"{name}\"; {hint}"));
    }

    /// The checked value of the key called `name`; a fault is noted and answered with the default.
    pub(super) fn take<T: Setting>(&mut self, name: &'static str) -> T {
        let key = keys::key(name).expect("invariant: only declared keys are taken");
        let (raw, origin) = self.written.remove(name).unwrap_or_else(|| (keys::default_of(key), Origin::Default));
        let value = match T::parse(&raw) {
            Ok(value) => value,
            Err(detail) => {
                let detail = detail.map(|text| format!("{text}; ")).unwrap_or_default();
                self.faults.push(format!("{origin}: {name}: {detail}expected {}", T::shape()));
                T::parse(&keys::default_of(key)).expect("invariant: every default is valid")
            }
        };
        self.shown.push(Shown { key: name, value: value.to_toml(), origin });
        value
    }
}

fn raw_of(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Raw::Other("number"), Raw::Integer)
        }
        other => Raw::Other(other.type_str()),
    }
}

fn is_section(name: &str) -> bool {
    keys::SECTIONS.iter().any(|section| section.name == name)
}

/// The declared key that `name` most likely meant. The leaf alone counts too: most slips are a key in the
/// wrong section.
fn nearest(name: &str) -> Option<&'static Key> {
    let leaf = name.rsplit_once('.').map_or(name, |(_, leaf)| leaf);
    let likeness = |key: &Key| {
        let whole = strsim::normalized_damerau_levenshtein(name, key.name);
        let part = strsim::normalized_damerau_levenshtein(leaf, key.leaf());
        whole.max(part * 0.99)
    };
    let best = KEYS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.5).then_some(best)
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        parse(text, "config.toml", []).unwrap_err().0
    }

    fn variable(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn nothing_written_gives_the_defaults() {
        let loaded = parse("", "config.toml", []).unwrap();
        assert_eq!(loaded.values.len(), KEYS.len());
        for (shown, key) in loaded.values.iter().zip(KEYS) {
            assert_eq!(
                (shown.key, shown.value.as_str()),
                (key.name, key.default),
                "a default is written as it is shown"
            );
            assert_eq!(shown.origin, Origin::Default);
        }
        assert!(loaded.config.api.listen.ip().is_loopback());
        assert!(loaded.config.gateway.listen.ip().is_loopback());
    }

    #[test]
    fn the_environment_wins_over_the_file_and_each_value_knows_its_origin() {
        let text = "[api]\nrequest_timeout_s = 5\nbody_kib_max = 64\n";
        let loaded = parse(text, "config.toml", [variable("BARTIZAN_API__REQUEST_TIMEOUT_S", "7")]).unwrap();
        assert_eq!(loaded.config.api.request_timeout_s.value(), 7);
        let origin = |name: &str| loaded.values.iter().find(|shown| shown.key == name).unwrap().origin.to_string();
        assert_eq!(origin("api.request_timeout_s"), "BARTIZAN_API__REQUEST_TIMEOUT_S");
        assert_eq!(origin("api.body_kib_max"), "config.toml:3");
        assert_eq!(origin("api.listen"), "default");
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_one() {
        assert_eq!(
            faults("[api]\n\nlisten_adress = \"x\"\nlisen = 1\n"),
            [
                "config.toml:3: unknown key \"api.listen_adress\"; did you mean \"api.listen\"?",
                "config.toml:4: unknown key \"api.lisen\"; did you mean \"api.listen\"?"
            ]
        );
        assert_eq!(faults("drain_s = 3"), ["config.toml:1: unknown key \"drain_s\"; did you mean \"server.drain_s\"?"]);
        assert_eq!(
            faults("[zzqqk]\n"),
            ["config.toml:1: unknown key \"zzqqk\"; `bartizan config show` lists every key"]
        );
    }

    #[test]
    fn an_unknown_variable_is_an_error_too_but_others_are_not_ours() {
        let fault = parse("", "c", [variable("BARTIZAN_API__LISEN", "x")]).unwrap_err();
        assert_eq!(fault.0, ["BARTIZAN_API__LISEN: unknown key \"api.lisen\"; did you mean BARTIZAN_API__LISTEN?"]);
        let others = [variable("BARTIZAN_TENANT", "x"), variable("CARGO__HOME", "x")];
        assert!(parse("", "c", others).is_ok());
    }

    #[test]
    fn a_bad_value_says_what_would_be_right() {
        assert_eq!(
            faults("[api]\nrequest_timeout_s = 0\nlisten = \"localhost:1\"\n[log]\nlevel = 3\n"),
            [
                "config.toml:3: api.listen: \"localhost\" is a name, not an address; expected an IP address and port such as \"127.0.0.1:8443\" or \"[::1]:8443\"",
                "config.toml:2: api.request_timeout_s: expected a whole number from 1 to 600",
                "config.toml:5: log.level: expected \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
            ]
        );
    }

    #[test]
    fn broken_toml_is_one_line_with_its_place() {
        let faults = faults("[api]\nlisten = \n");
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("config.toml:2: "), "{}", faults[0]);
        assert!(!faults[0].contains('\n'));
    }

    #[test]
    fn a_reload_tells_live_keys_from_those_that_wait() {
        let old = parse("", "c", []).unwrap();
        let new = parse("[log]\nlevel = \"debug\"\n[api]\nbody_kib_max = 64", "c", []).unwrap();
        assert_eq!(new.changes_from(&old), (vec!["log.level"], vec!["api.body_kib_max"]));
        assert_eq!(old.changes_from(&old), (vec![], vec![]));
    }
}
