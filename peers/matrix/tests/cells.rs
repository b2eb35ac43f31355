//! The whole matrix, and its rules.

use std::fmt::Write;

use bartizan_peer_common::Role;
use bartizan_peer_matrix::{Cell, Outside, cells, rules, run, run_outside_alone};

/// Every cell that no rule takes out passes. `cargo run -p bartizan-peer-matrix -- WORD…` runs some of them.
//= test rfc6347#4.2.6-1
//= test rfc6347#4.2.6-2
//= test rfc9146#3-7
//= test rfc9146#3-8
//= test rfc9146#5-1
#[test]
fn every_cell_passes_or_is_skipped_for_a_written_reason() {
    let summary = run(&cells()).unwrap();
    println!("{summary}");
    assert_eq!(summary.failed(), 0, "\n{summary}");
    assert!(summary.passed() > 0, "\n{summary}");
}

/// What a cell asks of an outside program, it can do with itself: if a cell fails, it is for what both sides make of it.
#[test]
fn every_outside_program_can_do_with_itself_what_the_table_says_of_it() {
    // GnuTLS's server listens on every interface: see skips.toml.
    let is_one = |cell: &Cell| cell.loss == 0 && cell.ours == Role::Server && cell.outside != Outside::Gnutls;
    let alone: Vec<Cell> = cells().into_iter().filter(is_one).collect();
    let summary = run_outside_alone(&alone).unwrap();
    println!("outside programs with themselves: {summary}");
    assert_eq!(summary.failed(), 0, "\n{summary}");
}

#[test]
fn every_rule_takes_out_cells_that_no_rule_before_it_does() {
    let mut left: Vec<Cell> = cells();
    for rule in rules().unwrap() {
        assert!(!rule.reason.trim().is_empty(), "a rule without a reason: {rule:?}");
        let before = left.len();
        left.retain(|cell| !rule.takes_out(cell));
        assert!(left.len() < before, "takes out nothing: {rule:?}");
    }
    assert!(!left.is_empty(), "nothing is left to run");
}

#[test]
fn the_page_has_the_counts() {
    let rules = rules().unwrap();
    let mut skipped = vec![0; rules.len()];
    for cell in cells() {
        if let Some(at) = rules.iter().position(|rule| rule.takes_out(&cell)) {
            skipped[at] += 1;
        }
    }
    let (all, out) = (cells().len(), skipped.iter().sum::<usize>());
    let mut counts =
        format!("{all} cells: {} run and must pass, {out} do not run:\n\n| cells | why not |\n|---|---|\n", all - out);
    for (rule, count) in rules.iter().zip(skipped) {
        writeln!(counts, "| {count} | {} |", rule.reason).unwrap();
    }
    assert!(include_str!("../../../docs/interop.md").contains(&counts), "docs/interop.md should say:\n\n{counts}");
}

#[test]
fn no_cell_is_there_twice() {
    let mut names: Vec<String> = cells().iter().map(ToString::to_string).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}
