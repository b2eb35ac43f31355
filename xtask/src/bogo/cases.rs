//! Which cases there are, and which of them are left out.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::build::Runner;
use crate::run::{program, root};

/// Every case of DTLS, in the runner's patterns; [`list`] checks that it is so.
pub const SELECTION: &str = "*DTLS*;SendSplitAlert-*;StrayChangeCipherSpec";

/// A case of DTLS.
pub struct Case {
    pub name: String,
    /// Whether its credential is ours and not the runner's own choice.
    pub adapted: bool,
}

/// Asks the runner.
pub fn list(runner: &Runner, shim: &Path, credential: &str) -> Result<Vec<Case>> {
    let file = runner.folder.join("list.json");
    let _ = fs::remove_file(&file);
    let arguments = ["-test.run=^TestList$", "-test=none", &format!("-shim-path={}", shim.display())];
    let (text, _) = program(&runner.binary.to_string_lossy(), &arguments)
        .env("BOGO_LIST", &file.to_string_lossy())
        .env("BOGO_CREDENTIAL", credential)
        // The runner does not mind a shard without a case.
        .env("TEST_TOTAL_SHARDS", "1")
        .env("TEST_SHARD_INDEX", "0")
        .output()?;
    let listed = fs::read(&file).with_context(|| format!("the runner did not list its cases: {text}"))?;
    let listed: Vec<Value> = serde_json::from_slice(&listed)?;
    let case = |value: &Value| {
        let name = value["name"].as_str().context("a case without a name")?.to_owned();
        Ok(Case { name, adapted: value["adapted"] == true })
    };
    let cases: Vec<Case> = listed.iter().map(case).collect::<Result<_>>()?;
    let selected = |case: &&Case| !SELECTION.split(';').any(|pattern| matches(pattern, &case.name));
    if let Some(case) = cases.iter().find(selected) {
        bail!("{} is a case of DTLS, and no pattern selects it", case.name);
    }
    Ok(cases)
}

/// `peers/bogo/disabled.toml`.
pub struct Disabled {
    groups: Vec<Group>,
    /// BoringSSL's name of an error → what our side may say instead.
    errors: Value,
}

/// Cases that are left out for one reason.
struct Group {
    reason: String,
    patterns: Vec<String>,
    /// What the patterns do not mean.
    except: Vec<String>,
    /// In which run only; in all if there is none.
    credential: Option<String>,
}

impl Disabled {
    pub fn read() -> Result<Self> {
        let path = root().join("peers/bogo/disabled.toml");
        let text = fs::read_to_string(&path)?;
        let value: toml::Value = toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
        let groups = value.get("group").and_then(toml::Value::as_array).context("no group in disabled.toml")?;
        let groups = groups.iter().map(Group::read).collect::<Result<_>>()?;
        Ok(Self { groups, errors: serde_json::to_value(value.get("errors").context("no errors in disabled.toml")?)? })
    }

    /// A pattern that no case has is a mistake, or has outlived its case.
    pub fn check(&self, cases: &[Case]) -> Result<()> {
        for pattern in self.groups.iter().flat_map(|group| group.patterns.iter().chain(&group.except)) {
            if pattern.contains(['?', '[', '\\']) {
                bail!("{pattern}: only * stands for something in disabled.toml");
            }
            if !cases.iter().any(|case| matches(pattern, &case.name)) {
                bail!("{pattern}: no case of DTLS is called that");
            }
        }
        Ok(())
    }

    /// Why a case is left out; the first group that has it says so.
    pub fn reason(&self, credential: &str, case: &str) -> Option<&str> {
        let applies = |group: &Group| group.credential.as_deref().is_none_or(|only| only == credential);
        let group = self.groups.iter().find(|group| applies(group) && group.has(case))?;
        Some(&group.reason)
    }

    /// The same for the runner's `-shim-config`, case by case.
    pub fn config(&self, credential: &str, cases: &[Case]) -> Result<String> {
        let disabled = cases.iter().filter_map(|case| Some((&case.name, self.reason(credential, &case.name)?)));
        let tests: serde_json::Map<String, Value> =
            disabled.map(|(name, reason)| (name.clone(), json!(reason))).collect();
        Ok(serde_json::to_string_pretty(&json!({ "DisabledTests": tests, "ErrorMap": self.errors }))?)
    }
}

impl Group {
    fn read(value: &toml::Value) -> Result<Self> {
        let text = |key: &str| value.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        let texts = |key: &str| -> Option<Vec<String>> {
            let values = value.get(key)?.as_array()?;
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
        };
        Ok(Self {
            reason: text("reason").context("a group without a reason in disabled.toml")?,
            patterns: texts("patterns").context("a group without patterns in disabled.toml")?,
            except: texts("except").unwrap_or_default(),
            credential: text("credential"),
        })
    }

    fn has(&self, case: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, case));
        any(&self.patterns) && !any(&self.except)
    }
}

/// Whether `pattern` stands for `name`; `*` is any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|tail| {
            let mut ends = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
            ends.any(|at| tail.get(at..).is_some_and(|tail| matches(rest, tail)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name) in
            [("*", ""), ("a*", "a"), ("*-TLS1-*", "x-TLS1-y"), ("*-TLS1", "x-TLS1-TLS1"), ("a*b*c", "abc")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*", "ba"), ("*-TLS1", "x-TLS12"), ("a*b*c", "acb")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn the_file_is_readable_and_every_group_has_a_reason() {
        let disabled = Disabled::read().unwrap();
        assert!(disabled.groups.iter().all(|group| group.reason.len() > 10 && !group.patterns.is_empty()));
        let case = Case { name: "DTLS-Replay-TLS1".to_owned(), adapted: false };
        assert!(disabled.config("psk", &[case]).unwrap().contains("DTLS 1.0"));
        assert_eq!(disabled.reason("psk", "MinimumVersion-Client-TLS1-TLS12-DTLS"), None);
    }
}
