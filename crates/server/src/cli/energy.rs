//! `bartizan energy`.

use std::path::Path;

use super::args::{Energy, Output};
use super::error::Failure;
use super::table::{facts, table};
use crate::energy::model::Life;
use crate::energy::{Assessment, Cost, Origin, Question, Row, assess, page, plot};

/// Reckons, and prints a table, JSON or the page; with `--plot` writes the plot as well.
///
/// # Errors
/// The plot cannot be written.
pub fn energy(args: &Energy, output: Output) -> Result<String, Failure> {
    let Energy { interval, sleep_ua, supply_v, battery_mah, payload, .. } = *args;
    let life = Life { interval_s: interval, sleep_ua, supply_v, battery_mah };
    let assessment = assess(Question { life, payload_bytes: payload })
        .map_err(|error| Failure::new(format!("the measurement failed: {error}")))?;
    if let Some(file) = &args.plot {
        draw(&assessment, file)?;
    }
    Ok(match output {
        _ if args.markdown => page(&assessment),
        Output::Json => {
            let text = serde_json::to_string_pretty(&assessment).expect("invariant: numbers print");
            format!("{text}\n")
        }
        Output::Table => people(&assessment),
    })
}

fn draw(assessment: &Assessment, file: &Path) -> Result<(), Failure> {
    std::fs::write(file, plot(assessment))
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))
}

fn people(assessment: &Assessment) -> String {
    let heads = ["scheme", "bytes from", "handshake", "up", "down", "trips", "report", "with sleep", "saves", "years"];
    let rows: Vec<Vec<String>> = assessment.schemes.iter().map(line).collect();
    let Question { life, payload_bytes } = assessment.question;
    let saving = format!("{:.1} % against a full PSK handshake for every report", assessment.cid_saving_percent);
    let case = format!(
        "{payload_bytes} bytes {}, {} µA asleep at {} V ({:.3} mWh), battery of {} mAh",
        life.every(),
        life.sleep_ua,
        life.supply_v,
        life.sleep_mwh(),
        life.battery_mah
    );
    let bytes = "handshake: UDP payload both ways; up, down: the whole wake-up with IP and UDP headers";
    let pairs = [("Case", case), ("Connection ID saves", saving), ("Bytes", bytes.to_owned())];
    format!("{}\n{}", table(&heads, &rows), facts(&pairs, 100))
}

fn line(row: &Row) -> Vec<String> {
    let origin = match row.origin {
        Origin::Measured => "our stack",
        Origin::Published => "published",
    };
    let mut cells = vec![row.name.to_owned(), origin.to_owned()];
    cells.extend(numbers(&row.cost));
    cells
}

/// Bytes up and down with IP and UDP headers.
fn numbers(cost: &Cost) -> [String; 8] {
    [
        cost.handshake.bytes().to_string(),
        cost.wake_up.up.on_air().to_string(),
        cost.wake_up.down.on_air().to_string(),
        cost.wake_up.round_trips.to_string(),
        format!("{:.4} mWh", cost.report_mwh),
        format!("{:.4} mWh", cost.interval_mwh),
        format!("{:.1} %", cost.saving_percent),
        format!("{:.1}", cost.battery_years),
    ]
}
