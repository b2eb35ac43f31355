//! The column with who devices are when they attest.
#![allow(clippy::unwrap_used)]

use bartizan_platform::import::{BadLine, Row, Rows};
use bartizan_trust::Identity;

fn read(lines: &[String]) -> Vec<Result<Row, BadLine>> {
    let csv = format!("name,type,identity,psk,attestation_identity\n{}\n", lines.join("\n"));
    Rows::open(csv.as_bytes()).unwrap().collect()
}

fn line(name: &str, attester: &str) -> String {
    format!("{name},meter,{name},000102030405060708090a0b0c0d0e0f,{attester}")
}

#[test]
fn an_identity_is_read_and_an_empty_cell_is_none() {
    let rows = read(&[line("a", &"ab".repeat(32)), line("b", "")]);
    assert_eq!(rows[0].as_ref().unwrap().attestation_identity, Some(Identity([0xAB; 32])));
    assert_eq!(rows[1].as_ref().unwrap().attestation_identity, None);
}

#[test]
fn what_is_no_identity_and_one_that_stands_twice_are_named() {
    let rows = read(&[line("a", "abcd"), line("b", &"00".repeat(32)), line("c", &"00".repeat(32))]);
    let errors: Vec<_> = rows.into_iter().filter_map(|row| row.err().map(|bad| (bad.line, bad.error))).collect();
    assert_eq!(errors[0], (2, "the attestation identity does not have 64 hexadecimal digits".into()));
    assert_eq!(errors[1], (4, "the attestation identity stands on line 3 already".into()));
}
