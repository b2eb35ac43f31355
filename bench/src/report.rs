//! Figures, and the ways they are shown.

use std::fmt;
use std::process::Command;

use serde_json::{Map, Value};

/// Where in the page the words of people begin.
const BY_HAND: &str = "<!-- Below here nothing is generated. -->";

/// One measured number. Its name ends in its unit.
pub struct Figure {
    /// `<area>.<noun>_<unit>`
    pub name: &'static str,
    pub value: f64,
    /// What exactly was measured.
    pub what: String,
}

impl Figure {
    pub fn new(name: &'static str, value: f64, what: impl Into<String>) -> Self {
        Self { name, value, what: what.into() }
    }
}

/// The figures of one run, with where and on what it ran.
pub struct Report {
    commit: String,
    machine: String,
    date: String,
    figures: Vec<Figure>,
}

impl Report {
    pub fn begin() -> Self {
        Self {
            commit: output("git", &["describe", "--always", "--dirty"]),
            machine: machine(),
            date: output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            figures: Vec::new(),
        }
    }

    pub fn extend(&mut self, figures: Vec<Figure>) {
        self.figures.extend(figures);
    }

    /// Flat: names and numbers.
    pub fn json(&self) -> String {
        let figures: Map<String, Value> =
            self.figures.iter().map(|figure| (figure.name.to_owned(), rounded(figure.value).into())).collect();
        format!("{:#}\n", Value::Object(figures))
    }

    /// The page over an older one, of which what people wrote below [`BY_HAND`] stays.
    pub fn markdown_over(&self, before: &str) -> String {
        let kept = before.find(BY_HAND).and_then(|at| before.get(at..)).map(|text| format!("\n{text}"));
        self.markdown() + &kept.unwrap_or_default()
    }

    /// The page `docs/BENCHMARKS.md`.
    pub fn markdown(&self) -> String {
        let mut page = String::from(
            "# Benchmarks\n\nThe last run. Rates are per second of CPU time of one core; ratios compare two rates of one run.\n\n",
        );
        page += &format!("- commit: `{}`\n- date: {}\n- machine: {}\n\n", self.commit, self.date, self.machine);
        page += "| figure | value | what was measured |\n|---|---:|---|\n";
        for Figure { name, value, what } in &self.figures {
            page += &format!("| `{name}` | {} | {what} |\n", shown(*value));
        }
        page += "\nTo repeat it:\n\n```\ncargo xtask bench --json bench.json --markdown docs/BENCHMARKS.md\n```\n";
        page
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {}, {}", self.commit, self.machine, self.date)?;
        for Figure { name, value, what } in &self.figures {
            writeln!(f, "{name:44} {:>14}  {what}", shown(*value))?;
        }
        Ok(())
    }
}

/// Three digits are more than any run repeats.
fn rounded(value: f64) -> f64 {
    if value.abs() >= 100.0 { value.round() } else { (value * 1000.0).round() / 1000.0 }
}

fn shown(value: f64) -> String {
    let value = rounded(value);
    if value.fract() != 0.0 {
        return value.to_string();
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    format!("{}, {cpus} cores, {}", model.trim_start_matches(['\t', ':', ' ']), output("uname", &["-sr"]))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .ok()
        .filter(|output| output.status.success())
        .map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        assert_eq!(shown(1_234_567.4), "1,234,567");
        assert_eq!(shown(100.2), "100");
        assert_eq!(shown(0.123_45), "0.123");
        assert_eq!(shown(7.0), "7");
    }

    #[test]
    fn the_json_is_flat() {
        let mut report = Report::begin();
        report.extend(vec![Figure::new("dtls.x_per_s", 1234.56, "x")]);
        let value: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(value, serde_json::json!({"dtls.x_per_s": 1235.0}));
        assert!(report.markdown().contains("| `dtls.x_per_s` | 1,235 | x |"));
        let page = format!("old\n{BY_HAND}\n\nwords\n");
        assert_eq!(report.markdown_over(&page), report.markdown() + &page["old".len()..]);
        assert_eq!(report.markdown_over("old"), report.markdown());
    }
}
