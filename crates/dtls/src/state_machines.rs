//! The transition tables as graphs, in docs/state-machines.md: a changed edge is a changed line there.
//! `BARTIZAN_BLESS=1` writes the file anew.

#![allow(clippy::disallowed_methods, reason = "a test that reads and writes its snapshot")]

extern crate std;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::fmt::Debug;
use std::{env, fs};

use crate::client::phase as client;
use crate::client::v13::handshake as client_13;
use crate::handshake::message::Kind;
use crate::rrc;
use crate::server::phase as server;
use crate::server::v13::handshake as server_13;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/state-machines.md");
const HEAD: &str = "# State machines

The transition tables of `crates/dtls` as graphs in dot. What has no edge has no place: it is dropped, or ends the
handshake. A test writes this file from the tables (`BARTIZAN_BLESS=1 cargo nextest run -p bartizan-dtls
state_machines`) and fails if they differ.
";

/// Edges between the same phases by the same step share a line, with the conditions under which they are there.
#[derive(Default)]
struct Graph(BTreeMap<(usize, String, String), (String, String)>);

impl Graph {
    fn edge(&mut self, at: usize, from: &dyn Debug, step: &dyn Debug, to: &dyn Debug, when: &str) {
        let key = (at, format!("{step:?}"), format!("{to:?}"));
        let (_, conditions) = self.0.entry(key).or_insert_with(|| (format!("{from:?}"), String::new()));
        if !when.is_empty() {
            conditions.push_str(if conditions.is_empty() { "" } else { ", " });
            conditions.push_str(when);
        }
    }

    fn print(&self, title: &str) -> String {
        let mut out = format!("\n## {title}\n\n```dot\ndigraph {{\n");
        for ((_, step, to), (from, conditions)) in &self.0 {
            let when = if conditions.is_empty() { String::new() } else { format!(" ({conditions})") };
            out.push_str(&format!("  \"{from}\" -> \"{to}\" [label=\"{step}{when}\"]\n"));
        }
        out.push_str("}\n```\n");
        out
    }
}

fn client_1_2() -> Graph {
    let mut graph = Graph::default();
    for (at, phase) in client::Phase::ALL.into_iter().enumerate() {
        for kind in (0..=u8::MAX).filter_map(Kind::from_code) {
            for path in client::Path::ALL {
                for ticket in [false, true] {
                    if let Some(next) = phase.after(kind, path, ticket) {
                        let when = format!("{path:?}{}", if ticket { "+ticket" } else { "" });
                        graph.edge(at, &phase, &kind, &next, &when);
                    }
                }
            }
        }
    }
    graph
}

fn server_1_2() -> Graph {
    let mut graph = Graph::default();
    for (at, phase) in server::Phase::ALL.into_iter().enumerate() {
        for step in server::Step::ALL {
            for path in server::Path::ALL {
                if let Some(next) = phase.after(step, path) {
                    graph.edge(at, &phase, &step, &next, &format!("{path:?}"));
                }
            }
        }
    }
    graph
}

fn client_1_3() -> Graph {
    let mut graph = Graph::default();
    for (at, phase) in client_13::Phase::ALL.into_iter().enumerate() {
        for step in client_13::Step::ALL {
            for (psk, when) in [(true, "pre-shared key"), (false, "certificate")] {
                if let Some(next) = phase.after(step, psk) {
                    graph.edge(at, &phase, &step, &next, when);
                }
            }
        }
    }
    graph
}

fn server_1_3() -> Graph {
    let mut graph = Graph::default();
    for (at, phase) in server_13::Phase::ALL.into_iter().enumerate() {
        for step in server_13::Step::ALL {
            if let Some(next) = phase.after(step) {
                graph.edge(at, &phase, &step, &next, "");
            }
        }
    }
    graph
}

fn path_check() -> Graph {
    use rrc::{Stage, Step};
    let mut graph = Graph::default();
    for (at, stage) in [Stage::Old, Stage::New(1), Stage::New(2), Stage::Silent].into_iter().enumerate() {
        for step in [Step::Response, Step::Drop, Step::TimedOut] {
            match stage.after(step, 2) {
                rrc::Next::Nothing => {}
                rrc::Next::Ask(next) => graph.edge(at, &stage, &step, &next, ""),
                rrc::Next::End(outcome) => graph.edge(at, &stage, &step, &outcome, ""),
            }
        }
    }
    graph
}

#[test]
fn state_machines_are_as_documented() {
    let graphs = [
        ("Client, DTLS 1.2, resumption among its paths", client_1_2()),
        ("Server, DTLS 1.2, resumption among its phases", server_1_2()),
        ("Client, DTLS 1.3", client_1_3()),
        ("Server, DTLS 1.3", server_1_3()),
        ("Return routability check, with two challenges", path_check()),
    ];
    let now: String = [String::from(HEAD)].into_iter().chain(graphs.map(|(title, graph)| graph.print(title))).collect();
    if env::var_os("BARTIZAN_BLESS").is_some() {
        fs::write(FILE, &now).unwrap();
    }
    let documented = fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(now, documented, "a table has changed: look at it, and write it with BARTIZAN_BLESS=1");
}
