//! Every citation of an RFC in the sources names an entry of docs/requirements, every exception has a reason, and no MUST
//! is open.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

#[test]
fn every_must_is_cited_as_met_or_excepted_with_a_reason() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["cite", "--deny-open"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for rfc in ["rfc6347", "rfc8449", "rfc9146", "rfc9147", "rfc9853"] {
        assert!(said.contains(rfc), "{rfc} is not counted:\n{said}");
    }
}
