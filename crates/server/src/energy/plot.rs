//! The plot: what a report costs under each scheme, and how the saving falls with longer sleep. SVG, by hand.

use std::fmt::Write;

use super::assessment::{Assessment, Cost, FLOORS, Origin, Row};
use super::model::Life;
use super::page::{SCENARIOS, compared};

const WIDTH: f64 = 860.0;
/// Where the bars begin, and how wide the widest may be.
const BARS: (f64, f64) = (330.0, 430.0);
const BAR_STEP: f64 = 30.0;
const BARS_TOP: f64 = 110.0;
const CURVES_HEIGHT: f64 = 300.0;
/// The curves' frame: left and right edge.
const FRAME: (f64, f64) = (70.0, 830.0);
/// Hours at the frame's edges.
const HOURS: (f64, f64) = (1.0 / 6.0, 168.0);
/// Percent at the frame's top.
const PERCENT_MAX: f64 = 70.0;
const TICKS: [(f64, &str); 7] = [
    (1.0 / 6.0, "10 min"),
    (0.5, "30 min"),
    (1.0, "1 h"),
    (4.0, "4 h"),
    (12.0, "12 h"),
    (24.0, "1 day"),
    (168.0, "1 week"),
];
/// Colours that colour-blind people tell apart (Okabe and Ito).
const PARTS: [(&str, &str); 4] =
    [("wake-up", "#0072b2"), ("round trips", "#56b4e9"), ("bytes up", "#e69f00"), ("sleep", "#bdbdbd")];
const CURVES: [&str; 4] = ["#009e73", "#0072b2", "#d55e00", "#7f7f7f"];

/// An SVG document.
#[must_use]
pub fn plot(assessment: &Assessment) -> String {
    let costs: Vec<(&Row, &Cost)> = assessment.costs().collect();
    let curves_top = BARS_TOP + BAR_STEP * costs.len() as f64 + 100.0;
    let height = curves_top + CURVES_HEIGHT + 60.0;
    let mut svg = String::new();
    line(
        &mut svg,
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"13\" role=\"img\" \
             aria-label=\"Energy of a report by scheme, and the saving of a Connection ID by interval\">"
        ),
    );
    line(&mut svg, format!("<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>"));
    bars(&mut svg, assessment, &costs);
    curves(&mut svg, assessment, curves_top);
    svg.push_str("</svg>\n");
    svg
}

fn bars(svg: &mut String, assessment: &Assessment, costs: &[(&Row, &Cost)]) {
    let life = &assessment.question.life;
    heading(svg, 28.0, &format!("Energy of one report {}, {} µA asleep, in mWh", life.every(), life.sleep_ua));
    text(svg, 24.0, 50.0, "start", "#333333", "a handshake before every report, except with a Connection ID");
    let mut x = 24.0;
    for (name, colour) in PARTS {
        line(svg, format!("<rect x=\"{x:.1}\" y=\"70\" width=\"14\" height=\"14\" fill=\"{colour}\"/>"));
        text(svg, x + 20.0, 82.0, "start", "#333333", name);
        x += 130.0;
    }
    text(svg, x, 82.0, "start", "#333333", "pale: bytes as published, not ours");
    let widest = costs.iter().map(|(_, cost)| cost.interval_mwh).fold(f64::MIN_POSITIVE, f64::max);
    for (place, (row, cost)) in costs.iter().enumerate() {
        bar(svg, BARS_TOP + BAR_STEP * place as f64, row, cost, BARS.1 / widest);
    }
}

fn bar(svg: &mut String, y: f64, row: &Row, cost: &Cost, scale: f64) {
    text(svg, BARS.0 - 10.0, y + 14.0, "end", "#111111", &short(row));
    let opacity = if row.origin == Origin::Published { "0.45" } else { "1" };
    let energy = cost.energy;
    let parts = [energy.wake_mwh, energy.round_trips_mwh, energy.bytes_mwh, cost.interval_mwh - cost.report_mwh];
    let mut x = BARS.0;
    for ((_, colour), mwh) in PARTS.iter().zip(parts) {
        let width = mwh * scale;
        let shape = format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"20\"");
        line(svg, format!("<rect {shape} fill=\"{colour}\" fill-opacity=\"{opacity}\"/>"));
        x += width;
    }
    text(svg, x + 8.0, y + 14.0, "start", "#111111", &format!("{:.3}", cost.interval_mwh));
}

fn short(row: &Row) -> String {
    row.name.replace(", full handshake", "")
}

fn curves(svg: &mut String, assessment: &Assessment, top: f64) {
    heading(svg, top - 40.0, "What a Connection ID saves against a full PSK handshake for every report");
    text(svg, 24.0, top - 18.0, "start", "#333333", "by the time between reports, for four currents asleep; DTLS 1.2");
    let frame = Frame { top };
    frame.axes(svg);
    for ((floor, _), colour) in FLOORS.into_iter().zip(CURVES) {
        frame.curve(svg, assessment, floor, colour);
    }
    frame.scenarios(svg, assessment);
}

/// Places hours and percent.
struct Frame {
    top: f64,
}

impl Frame {
    fn x(&self, hours: f64) -> f64 {
        let share = (hours / HOURS.0).ln() / (HOURS.1 / HOURS.0).ln();
        FRAME.0 + share * (FRAME.1 - FRAME.0)
    }

    fn y(&self, percent: f64) -> f64 {
        self.top + CURVES_HEIGHT * (1.0 - percent / PERCENT_MAX)
    }

    fn axes(&self, svg: &mut String) {
        let (left, right) = FRAME;
        let bottom = self.y(0.0);
        for percent in (0..=60).step_by(20) {
            let y = self.y(f64::from(percent));
            let (colour, dashes) =
                if percent == 40 { ("#333333", " stroke-dasharray=\"6 4\"") } else { ("#dddddd", "") };
            line(
                svg,
                format!("<path d=\"M{left:.1} {y:.1}H{right:.1}\" stroke=\"{colour}\" stroke-width=\"1\"{dashes}/>"),
            );
            text(svg, left - 8.0, y + 4.5, "end", "#333333", &format!("{percent} %"));
        }
        text(svg, right, self.y(40.0) - 6.0, "end", "#333333", "the white paper's 40 %");
        for (hours, label) in TICKS {
            let x = self.x(hours);
            line(svg, format!("<path d=\"M{x:.1} {bottom:.1}v6\" stroke=\"#333333\"/>"));
            text(svg, x, bottom + 22.0, "middle", "#333333", label);
        }
    }

    fn curve(&self, svg: &mut String, assessment: &Assessment, floor: f64, colour: &str) {
        let Some((full, cid)) = compared(assessment) else { return };
        let life = Life { sleep_ua: floor, ..assessment.question.life };
        let saving = |hours: f64| 100.0 * (full - cid) / (full + life.sleep_ua * 1e-3 * life.supply_v * hours);
        let mut path = String::new();
        for step in 0..=120 {
            let hours = HOURS.0 * (HOURS.1 / HOURS.0).powf(f64::from(step) / 120.0);
            let letter = if step == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", self.x(hours), self.y(saving(hours)));
        }
        line(svg, format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.2\"/>"));
        // Beside its curve, where the curves are farthest apart.
        if let Some(hours) =
            life.hours_at_saving(cid, full, 30.0).filter(|hours| (HOURS.0..HOURS.1 / 2.0).contains(hours))
        {
            text(svg, self.x(hours) + 9.0, self.y(30.0), "start", colour, &format!("{floor} µA"));
        }
    }

    /// The three that the page speaks of.
    fn scenarios(&self, svg: &mut String, assessment: &Assessment) {
        let Some((full, cid)) = compared(assessment) else { return };
        for (place, ((interval_s, sleep_ua, label), letter)) in SCENARIOS.into_iter().zip(["A", "B", "C"]).enumerate() {
            let life = Life { interval_s, sleep_ua, ..assessment.question.life };
            let saving = life.saving_percent(cid, full);
            let (x, y) = (self.x(life.hours()), self.y(saving));
            line(svg, format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"#111111\"/>"));
            text(svg, x + 9.0, y - 7.0, "start", "#111111", letter);
            let row = self.y(60.0) + 18.0 * (place as f64 + 1.0);
            let words = format!("{letter}: {label}, {saving:.1} %");
            text(svg, FRAME.1, row, "end", "#111111", &words);
        }
    }
}

fn heading(svg: &mut String, y: f64, words: &str) {
    line(
        svg,
        format!("<text x=\"24\" y=\"{y:.1}\" font-size=\"16\" font-weight=\"bold\" fill=\"#111111\">{words}</text>"),
    );
}

/// `words` hold nothing that SVG reads as markup: they are ours.
fn text(svg: &mut String, x: f64, y: f64, anchor: &str, colour: &str, words: &str) {
    line(svg, format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{words}</text>"));
}

fn line(svg: &mut String, element: String) {
    svg.push_str(&element);
    svg.push('\n');
}
