//! The numbers that the project speaks of, and the page that is checked in.

use super::model::{Life, Load, NRF9160, Traffic};
use super::*;

fn assessment() -> Assessment {
    assess(Question::DEFAULT).unwrap()
}

fn cost(assessment: &Assessment, id: &str) -> Cost {
    assessment.row(id).map(|row| row.cost.clone()).unwrap()
}

fn near(value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{value} is not {expected} ± {tolerance}");
}

#[test]
fn a_full_psk_handshake_is_counted_datagram_by_datagram() {
    let full = cost(&assessment(), scheme::FULL_PSK);
    let up = Load { datagrams: 3, bytes: 75 + 91 + 101 };
    let down = Load { datagrams: 3, bytes: 44 + 99 + 67 };
    assert_eq!(full.handshake, Traffic { up, down, round_trips: 3 });
    // 645 with IP and UDP.
    assert_eq!(full.handshake.up.on_air() + full.handshake.down.on_air(), 477 + 6 * 28);
    assert_eq!(full.wake_up.round_trips, 4);
    assert_eq!(full.wake_up.up.bytes, up.bytes + 29 + 5);
}

#[test]
fn a_wake_up_with_a_connection_id_is_one_datagram_each_way() {
    let cid = cost(&assessment(), scheme::CID);
    assert_eq!(cid.handshake, Traffic::default());
    // Up: 13 header, 10 Connection ID, 8 nonce, 1 content type, 8 tag. Down, to a device without one: 13, 8, 8. Five
    // bytes of payload each; a Connection ID of six bytes would make 41 of the 45.
    let up = Load { datagrams: 1, bytes: 40 + 5 };
    let down = Load { datagrams: 1, bytes: 29 + 5 };
    assert_eq!(cid.wake_up, Traffic { up, down, round_trips: 1 });
}

#[test]
fn a_wake_up_of_dtls_1_3_is_smaller_still() {
    let cid = cost(&assessment(), scheme::CID_13);
    // Up: 1 header, 10 Connection ID, 2 sequence number (it leaps where an association goes on); down: 1 and 1. Then 5
    // bytes of payload, 1 content type and 8 tag, padded to the 16 that the sequence number is hidden with.
    let up = Load { datagrams: 1, bytes: 13 + 16 };
    let down = Load { datagrams: 1, bytes: 2 + 16 };
    assert_eq!(cid.wake_up, Traffic { up, down, round_trips: 1 });
}

#[test]
fn a_handshake_of_dtls_1_3_is_near_the_published_minimum_but_for_cookie_and_acknowledgement() {
    let assessment = assessment();
    let sizes: Vec<_> = assessment.like_the_best.iter().map(|flight| flight.datagrams.clone()).collect();
    let [hello, _request, _second, server, finished, _acknowledged] = &sizes[..] else {
        panic!("{sizes:?}");
    };
    let ours: u32 = [hello, server, finished].into_iter().flatten().sum();
    let minimum = cost(&assessment, "psk13_published").handshake.bytes();
    assert!((minimum..=minimum + minimum / 10).contains(&ours), "{ours} against {minimum}");
}

#[test]
fn certificates_and_resumption_are_run_too() {
    let assessment = assessment();
    let bytes = |id: &str| cost(&assessment, id).handshake.bytes();
    let certificates = bytes("ecdsa12_full") - bytes("rpk12_full");
    let sizes = 2 * scheme::CERTIFICATE_BYTES as u32;
    assert!((sizes / 2..sizes).contains(&certificates), "either way a certificate takes a key's place: {certificates}");
    let resumed = cost(&assessment, "psk12_resumed");
    assert_eq!(resumed.wake_up.round_trips, 3, "one less than a full handshake");
}

#[test]
fn a_run_is_the_same_every_time() {
    let flights = || assessment().costs().map(|(_, cost)| cost.flights.clone()).collect::<Vec<_>>();
    assert_eq!(flights(), flights());
}

#[test]
fn the_white_papers_saving_is_one_case_of_several() {
    let pair = Pair::measure(Question::DEFAULT.payload_bytes).unwrap();
    let saving = |interval_s, sleep_ua| pair.saving(&NRF9160, &Life { interval_s, sleep_ua, ..Life::HOURLY });
    near(saving(3_600, 40.0), 39.8, 0.2);
    near(saving(3_600, 14.0), 52.0, 0.2);
    near(saving(86_400, 14.0), 10.8, 0.1);
}

#[test]
fn published_flights_add_up_to_what_was_published() {
    let assessment = assessment();
    for (id, total) in [("psk13_published", 345), ("psk_ecdhe13_published", 501), ("rpk13_published", 894)] {
        assert_eq!(cost(&assessment, id).handshake.bytes(), total, "{id}");
    }
}

#[test]
fn no_scheme_without_a_run_or_a_source_has_bytes() {
    for row in assessment().schemes {
        let honest = match row.origin {
            Origin::Measured => !row.cost.flights.is_empty(),
            Origin::Published => row.note.is_some(),
        };
        assert!(honest, "{}", row.id);
    }
}

#[test]
fn a_longer_report_saves_less() {
    let saving = |payload| Pair::measure(payload).unwrap().saving(&NRF9160, &Life::HOURLY);
    assert!(saving(0) > saving(100) && saving(100) > saving(crate::limits::ENERGY_PAYLOAD_BYTES_MAX));
}

/// Left, right, baseline and words of every label; a character is taken to be 8 wide, which is more than it is.
fn labels(svg: &str) -> Vec<(f64, f64, f64, String)> {
    let attribute = |tag: &str, name: &str| {
        let rest = tag.split_once(&format!(" {name}=\"")).map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split_once('"')).map(|(value, _)| value.to_owned())
    };
    let label = |line: &str| {
        let (tag, rest) = line.strip_prefix("<text")?.split_once('>')?;
        let words = rest.strip_suffix("</text>")?.to_owned();
        let number = |name| attribute(tag, name).and_then(|value| value.parse::<f64>().ok());
        let size = number("font-size").unwrap_or(13.0);
        let width = words.chars().count() as f64 * 8.0 * size / 13.0;
        let left = match attribute(tag, "text-anchor").as_deref() {
            Some("end") => number("x")? - width,
            Some("middle") => number("x")? - width / 2.0,
            _ => number("x")?,
        };
        Some((left, left + width, number("y")?, words))
    };
    svg.lines().filter_map(label).collect()
}

#[test]
fn the_plots_labels_stay_inside_it_and_apart() {
    for (interval_s, sleep_ua) in [(3_600, 40.0), (86_400, 14.0), (60, 1_000.0)] {
        let life = Life { interval_s, sleep_ua, ..Life::HOURLY };
        let svg = plot(&assess(Question { life, ..Question::DEFAULT }).unwrap());
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "a number went wrong");
        let labels = labels(&svg);
        assert_eq!(labels.len(), svg.matches("<text").count());
        for (place, (left, right, y, words)) in labels.iter().enumerate() {
            assert!(*left >= 0.0 && *right <= 872.0, "{words} leaves the picture");
            for (other_left, other_right, other_y, other) in labels.iter().skip(place + 1) {
                let apart = (y - other_y).abs() >= 13.0 || right <= other_left || other_right <= left;
                assert!(apart, "\"{words}\" and \"{other}\" overlap");
            }
        }
    }
}

#[test]
fn the_checked_in_page_and_plot_are_current() {
    let assessment = assessment();
    for (name, made) in [("energy.md", page(&assessment)), ("energy.svg", plot(&assessment))] {
        let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("BARTIZAN_BLESS").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == made,
            "docs/{name} is not current: BARTIZAN_BLESS=1 cargo test -p bartizan-server --lib energy"
        );
    }
}
