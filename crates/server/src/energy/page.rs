//! The page: `docs/energy.md`, written out of the numbers, so that no number in it can be stale.

use super::assessment::{ANSWER_BYTES, Assessment, Cost, FLOORS, INTERVALS, Origin, Pair, RADIOS, Row};
use super::measure::Flight;
use super::model::{BATTERY_SHARE, Constants, HEADER_BYTES, Life, MEASURED, NRF9160, NRF9160_LEAST_SQUARES, SOURCE};
use super::scheme::{self, CERTIFICATE_BYTES};

/// Interval, sleep floor and name of the cases that the page speaks of.
pub const SCENARIOS: [(u64, f64, &str); 3] = [
    (3_600, 14.0, "hourly, 14 µA asleep"),
    (3_600, 40.0, "hourly, 40 µA asleep"),
    (86_400, 14.0, "daily, 14 µA asleep"),
];

/// The smallest PSK handshake that was published: one identity byte, no cookie.
const BEST_PUBLISHED: &str = "psk13_published";

/// The whole page; the plot is expected beside it as `energy.svg`.
#[must_use]
pub fn page(assessment: &Assessment) -> String {
    let sections = [
        opening(assessment),
        on_the_air(assessment),
        energy(assessment),
        where_it_holds(assessment),
        how_sure(assessment),
        against_the_best(assessment),
        model(),
        left_out(),
    ];
    wrapped(&sections.concat())
}

fn opening(assessment: &Assessment) -> String {
    let life = assessment.question.life;
    let [hourly_14, hourly_40, daily_14] =
        SCENARIOS.map(|(interval_s, sleep_ua, _)| saving(assessment, &Life { interval_s, sleep_ua, ..life }));
    let life_40 = Life { interval_s: SCENARIOS[1].0, sleep_ua: SCENARIOS[1].1, ..life };
    let [cheap, dear] = RADIOS.map(|factor| saving_with(assessment, &NRF9160.times(factor), &life_40));
    format!(
        "# Energy: what a handshake costs a sleeping device\n\n\
         A battery-powered NB-IoT device wakes, sends a report, waits for the answer and sleeps. While it slept, its \
         network gave its address to somebody else. Without a Connection ID it has to shake hands again before every \
         report; with one (RFC 9146) the report is a single datagram, from whatever address.\n\n\
         - A Connection ID saves **{hourly_40:.1} %** of the energy of an hourly report if the device draws 40 µA \
         asleep, against a full PSK handshake with a cookie for every report. That is where the white paper's 40 % holds.\n\
         - It is not a constant: **{hourly_14:.1} %** hourly at 14 µA, but **{daily_14:.1} %** daily at 14 µA. The longer \
         and the worse a device sleeps, the less a handshake matters.\n\
         - Radios differ: with everything on the air a fifth or twice as dear, as other publications have it, the \
         {hourly_40:.1} % become {cheap:.1} % or {dear:.1} %.\n\
         - Bytes are counted on this project's own client and server. Energy is reckoned with measurements that others \
         published. Nothing here was measured on a radio by us.\n\n\
         ![Energy of a report by scheme; the saving of a Connection ID by interval](energy.svg)\n\n\
         This page and its plot are written by the program, and a test fails if they are not current:\n\n\
         ```\n\
         bartizan energy --markdown > docs/energy.md\n\
         bartizan energy --plot docs/energy.svg\n\
         bartizan energy --interval 1d --sleep-ua 14    # your own case\n\
         ```\n\n"
    )
}

fn on_the_air(assessment: &Assessment) -> String {
    let mut rows = String::new();
    for row in assessment.schemes.iter().filter(|row| row.origin == Origin::Measured) {
        let Cost { flights, handshake, wake_up, airtime_peak_ms, airtime_edge_s, .. } = &row.cost;
        rows += &format!(
            "| {} | {} | {} | {} | {} | {} | {:.0} ms / {:.0} s |\n",
            row.name,
            arrows(flights),
            handshake.bytes(),
            wake_up.up.on_air(),
            wake_up.down.on_air(),
            wake_up.round_trips,
            airtime_peak_ms,
            airtime_edge_s,
        );
    }
    format!(
        "## What is on the air\n\n\
         One wake-up: everything until the report of {} bytes has its answer of {ANSWER_BYTES} bytes. Client and server \
         exchange datagrams in memory, nothing is lost, the seed is fixed. The PSK identity has seven bytes, and the client \
         offers one suite (AES-128-CCM-8) and X25519. Where certificates are shown, they are one of {CERTIFICATE_BYTES} bytes \
         on P-256 either way. The Connection ID is the server's, encrypted, of ten bytes, as its gateway makes them; the \
         device asks for none. Where every report has its handshake, nobody has one.\n\n\
         | scheme | datagrams (UDP payload: ↑ up, ↓ down) | handshake, bytes | up with IP and UDP | down with IP and UDP \
         | round trips | sending, best / edge |\n|---|---|---:|---:|---:|---:|---:|\n{rows}\n\
         *Sending* is the time on air of the bytes up alone: at the 250 kbit/s that an NB1 \
         modem reaches while it sends (1,000 bits in 4 ms, once, 3GPP TS 36.213), and at the 160 bit/s that has to be possible \
         at the edge of coverage (3GPP TR 45.820). Networks are between the two.\n\n\
         {}\n\n",
        assessment.question.payload_bytes,
        of_the_newer_version(assessment),
    )
}

/// What DTLS 1.3 gains a sleeping device, and what it does not.
fn of_the_newer_version(assessment: &Assessment) -> String {
    let cost = |id: &str| assessment.row(id).map(|row| &row.cost);
    let wake_ups = cost(scheme::CID).zip(cost(scheme::CID_13));
    let handshakes = cost(scheme::FULL_PSK).zip(cost(scheme::FULL_PSK_13));
    let (Some((older, newer)), Some((full, full_13))) = (wake_ups, handshakes) else { return String::new() };
    format!(
        "DTLS 1.3 has the smaller records: a wake-up with a Connection ID is {} bytes up and {} down where DTLS 1.2 has {} and \
         {}; shorter ones are padded, since 16 bytes of ciphertext hide the sequence number. Its handshakes are not smaller \
         here. The server asks every client for a cookie in either version, and the request with the hello that brings the \
         cookie are {} bytes in DTLS 1.3, {} in DTLS 1.2; and our client reports when its Finished has been acknowledged, \
         which is a round trip of its own in both. What DTLS 1.3 is worth to a device that sleeps is in other things: \
         sequence numbers and content types that nobody on the path can read, and keys that can be renewed in place.",
        newer.wake_up.up.bytes,
        newer.wake_up.down.bytes,
        older.wake_up.up.bytes,
        older.wake_up.down.bytes,
        cookie_round(&full_13.flights),
        cookie_round(&full.flights),
    )
}

fn energy(assessment: &Assessment) -> String {
    let life = assessment.question.life;
    let rows: String = assessment.costs().map(|(row, cost)| energy_row(row, cost)).collect();
    let mut sources: Vec<&str> = assessment.costs().filter_map(|(row, _)| row.note).collect();
    sources.dedup();
    format!(
        "## Energy of a report\n\n\
         One report {}, {} µA asleep at {} V: the sleep of an interval is {:.3} mWh. The battery is one of {} mAh, of \
         which {:.0} % reaches the device. Its self-discharge is not in the years; for a lithium polymer cell Kraus (below) \
         reckons with another 40 µA.\n\n\
         | scheme | bytes | a report, mWh | with its sleep, mWh | saves | battery, years |\n\
         |---|---|---:|---:|---:|---:|\n{rows}\n\
         *published*: {}. These have no cookie round; a server that asks for a cookie adds a round trip.\n\n",
        life.every(),
        life.sleep_ua,
        life.supply_v,
        life.sleep_mwh(),
        life.battery_mah,
        BATTERY_SHARE * 100.0,
        sources.join("; "),
    )
}

fn energy_row(row: &Row, cost: &Cost) -> String {
    let origin = whose(row);
    let saves = if row.id == scheme::FULL_PSK { "–".to_owned() } else { percent(cost.saving_percent) };
    format!(
        "| {} | {origin} | {:.4} | {:.4} | {saves} | {:.1} |\n",
        row.name, cost.report_mwh, cost.interval_mwh, cost.battery_years
    )
}

const fn whose(row: &Row) -> &'static str {
    match row.origin {
        Origin::Measured => "ours",
        Origin::Published => "published",
    }
}

/// With a minus that is one.
fn percent(value: f64) -> String {
    format!("{value:.1} %").replace('-', "−")
}

fn where_it_holds(assessment: &Assessment) -> String {
    let Some((full, cid)) = compared(assessment) else { return String::new() };
    let heads: String = INTERVALS.iter().map(|(_, name)| format!(" {name} |")).collect();
    let rules: String = INTERVALS.iter().map(|_| "---:|").collect();
    let mut rows = String::new();
    for ((floor, what), savings) in FLOORS.iter().zip(&assessment.grid) {
        let life = Life { sleep_ua: *floor, ..assessment.question.life };
        let cells: String = savings.iter().map(|saving| format!(" {} |", cell(*saving))).collect();
        let limit = life.hours_at_saving(cid, full, 40.0).map_or_else(|| "never".to_owned(), span);
        rows += &format!("| {floor} µA: {what} |{cells} {limit} |\n");
    }
    format!(
        "## Where 40 % holds, and where it does not\n\n\
         What a Connection ID saves, by current asleep and time between reports; 40 % and more in bold.\n\n\
         | asleep |{heads} 40 % up to |\n|---|{rules}---:|\n{rows}\n\
         Against this baseline no device saves more than {:.1} %, however often it reports and however well it sleeps: the \
         report itself, with its wake-up and its round trip, remains.\n\n",
        100.0 * (1.0 - cid / full)
    )
}

fn cell(saving: f64) -> String {
    if saving >= 40.0 { format!("**{}**", percent(saving)) } else { percent(saving) }
}

fn span(hours: f64) -> String {
    if hours < 2.0 { format!("{:.0} min", hours * 60.0) } else { format!("{hours:.1} h") }
}

fn how_sure(assessment: &Assessment) -> String {
    let rows: String = assessment
        .swings
        .iter()
        .map(|swing| format!("| {} | {} |\n", swing.assumption, percent(swing.saving_percent)))
        .collect();
    format!(
        "## How sure it is\n\n\
         The same case with one assumption changed:\n\n| assumption | saves |\n|---|---:|\n{rows}\n\
         How dear the radio is differs more from network to network than anything else here. S. Røstad's thesis (below) \
         has 28.8 mC at 3.7 V, 0.030 mWh, for a CoAP report of 536 bytes over DTLS with release assistance: about a fifth \
         of what the model says. Nordic's product specification has 550 mJ, 0.153 mWh, for a location update at full \
         power: about twice the 0.070 mWh of the measurement below. A dearer radio makes the saving larger.\n\n\
         What decides is the round trip: a handshake has three more of them, and on NB-IoT each is a wait with the \
         receiver on. Where bytes are dear because the network repeats every transmission, the saving is larger; others \
         measured up to 40 % less energy from shorter headers alone in bad radio conditions (\"Enabling Extremely \
         Energy-Efficient End-to-End Secure Communications …\", Applied Sciences 13(21), 2023, 11921).\n\n"
    )
}

fn against_the_best(assessment: &Assessment) -> String {
    let cost = |id: &str| assessment.row(id).map(|row| &row.cost);
    let (Some(ours), Some(best)) = (cost(scheme::FULL_PSK), cost(BEST_PUBLISHED)) else {
        return String::new();
    };
    let mut handshakes: Vec<(&Row, u32)> =
        assessment.costs().map(|(row, cost)| (row, cost.handshake.bytes())).filter(|(_, bytes)| *bytes > 0).collect();
    handshakes.sort_by_key(|(_, bytes)| *bytes);
    let minimum = best.handshake.bytes();
    let times = |bytes: u32| f64::from(bytes) / f64::from(minimum);
    let line =
        |(row, bytes): (&Row, u32)| format!("| {} | {} | {bytes} | {:.2} |\n", row.name, whose(row), times(bytes));
    let rows: String = handshakes.into_iter().map(line).collect();
    let cookie = cookie_round(&ours.flights);
    let like = &assessment.like_the_best;
    let (all, cookie_13, acknowledged) = (all_bytes(like), cookie_round(like), like.last().map_or(0, size));
    let comparable = all.saturating_sub(cookie_13).saturating_sub(acknowledged);
    format!(
        "## Against the best published handshake\n\n\
         The smallest PSK handshake that was published is one of DTLS 1.3, counted by hand from the formats: {minimum} \
         bytes of UDP payload (136 up, 153 down, 56 up), with an identity of one byte, with a Connection ID and without a \
         cookie. Stacks in the field need more: A. Kraus (below) names 1,800 bytes from a study, and 1,400 for a client \
         that offers few suites.\n\n\
         | handshake | bytes | UDP payload | times the minimum |\n|---|---|---:|---:|\n{rows}\n\
         With what that minimum has, an identity of one byte and a Connection ID of the server's, our handshake in DTLS 1.3 is \
         {all} bytes: {}. Of these, {cookie_13} are the cookie round and {acknowledged} the acknowledgement of the client's \
         Finished, neither of which is in the published sum; without them it is {comparable} bytes, {:.2} times the minimum.\n\n\
         Of our {} bytes for a PSK handshake in DTLS 1.2, {cookie} are the cookie round; without it {} would remain. With \
         IP and UDP headers it is {} bytes.\n\n",
        arrows(like),
        times(comparable),
        ours.handshake.bytes(),
        ours.handshake.bytes().saturating_sub(cookie),
        ours.handshake.up.on_air() + ours.handshake.down.on_air(),
    )
}

/// The request for the cookie, and the hello that brings it: without them the first hello would be answered.
fn cookie_round(flights: &[Flight]) -> u32 {
    match flights {
        [_, request, second, ..] => size(request) + size(second),
        _ => 0,
    }
}

fn size(flight: &Flight) -> u32 {
    flight.datagrams.iter().sum()
}

fn all_bytes(flights: &[Flight]) -> u32 {
    flights.iter().map(size).sum()
}

fn model() -> String {
    let Constants { wake_mwh, byte_up_mwh, round_trip_mwh } = NRF9160;
    let points: String = MEASURED
        .iter()
        .map(|point| {
            let ours = NRF9160.predicted(point);
            let off = percent(100.0 * (ours / point.mwh - 1.0));
            format!("| {} | {:.3} | {ours:.3} | {off} |\n", point.what, point.mwh)
        })
        .collect();
    format!(
        "## The model\n\n\
         ```\n\
         report   = {wake_mwh:.3} mWh + {byte_up_mwh} mWh × bytes up + {round_trip_mwh:.3} mWh × round trips\n\
         bytes up = UDP payload + {HEADER_BYTES} × datagrams\n\
         sleep    = current × supply voltage × interval\n\
         ```\n\n\
         The three constants are the line through three measurements of one nRF9160 on one network ({SOURCE}):\n\n\
         | measured | mWh | the model | off |\n|---|---:|---:|---:|\n{points}\n\
         Three constants meet three points by construction: that says nothing about other networks, for which the table \
         above has a fifth and twice of everything. The bare wake-up is a location update; it needs more signalling than the start of the line \
         and is not met. The least-squares line through all four ({:.4} mWh, {} mWh a byte, {:.4} mWh a round trip) is in \
         the table above. Bytes down have no price of their own: the measurements do not tell them from the wait.\n\n\
         | figure | where from |\n|---|---|\n\
         | 14 µA, 40 µA asleep | nRF9160 feather v5, Thingy:91 with its UART and 3.3 V rail off (same source) |\n\
         | 2.7 µA asleep | PSM floor current of the modem, nRF9160 Product Specification, \"Modem current consumption\" |\n\
         | 3.7 V | the voltage at which Nordic's Online Power Profiler and S. Røstad (IoT Protocol Stack Current \
         Optimizations for the nRF9160 SiP, NTNU 2020) measure |\n\
         | 80 % of the battery | the efficiency with which the same source reckons |\n\
         | 1,350 mAh | the battery of a Thingy:91 (same source) |\n\n",
        NRF9160_LEAST_SQUARES.wake_mwh, NRF9160_LEAST_SQUARES.byte_up_mwh, NRF9160_LEAST_SQUARES.round_trip_mwh,
    )
}

fn left_out() -> String {
    "## What it leaves out\n\n\
     Lost datagrams and bad coverage make a handshake dearer than here, since it is longer on the air, and the saving \
     larger. What costs the same with and without a handshake makes the saving smaller: the network's inactivity timer \
     where there is no release assistance, attaching, changes of cell. The processor's energy for cryptography and the \
     battery's self-discharge are not in it either. A model that has the radio's states in it, validated by its authors \
     to within 5 %, is Sørensen and others, arXiv 2106.13286.\n"
        .to_owned()
}

fn saving(assessment: &Assessment, life: &Life) -> f64 {
    saving_with(assessment, &NRF9160, life)
}

fn saving_with(assessment: &Assessment, constants: &Constants, life: &Life) -> f64 {
    let traffic = |id| Some(assessment.row(id)?.cost.wake_up);
    let pair = traffic(scheme::FULL_PSK).zip(traffic(scheme::CID)).map(|(full, cid)| Pair { full, cid });
    pair.map_or(0.0, |pair| pair.saving(constants, life))
}

/// Energy of a report under the two schemes that are compared: full PSK handshake, Connection ID.
pub fn compared(assessment: &Assessment) -> Option<(f64, f64)> {
    let of = |id| Some(assessment.row(id)?.cost.report_mwh);
    Some((of(scheme::FULL_PSK)?, of(scheme::CID)?))
}

/// "75 ↑ · 44 ↓": the datagrams of each flight.
pub fn arrows(flights: &[Flight]) -> String {
    let flight = |flight: &Flight| {
        let sizes: Vec<String> = flight.datagrams.iter().map(u32::to_string).collect();
        format!("{}\u{a0}{}", sizes.join("+"), if flight.up { '↑' } else { '↓' })
    };
    flights.iter().map(flight).collect::<Vec<_>>().join(" · ")
}

const COLUMNS: usize = 120;

/// Breaks paragraphs and list items at [`COLUMNS`]; tables, code and headings stay as they are.
fn wrapped(page: &str) -> String {
    let mut code = false;
    let mut lines = String::new();
    for line in page.lines() {
        code ^= line.starts_with("```");
        if code || line.starts_with(['|', '#', '!', '`']) {
            lines += line;
        } else {
            wrap_into(&mut lines, line);
        }
        lines.push('\n');
    }
    lines
}

fn wrap_into(lines: &mut String, paragraph: &str) {
    let indent = if paragraph.starts_with("- ") { "  " } else { "" };
    let mut width = 0;
    for (place, word) in paragraph.split(' ').enumerate() {
        let word_width = word.chars().count();
        if place > 0 && width + 1 + word_width > COLUMNS {
            lines.push('\n');
            lines.push_str(indent);
            width = indent.len();
        } else if place > 0 {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(word);
        width += word_width;
    }
}
