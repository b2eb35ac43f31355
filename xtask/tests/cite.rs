//! Every citation of an RFC in the sources names an entry of docs/requirements, and every exception has a reason.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

#[test]
fn every_citation_names_an_entry_and_every_exception_has_a_reason() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["cite", "--open"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for rfc in ["rfc6347", "rfc9146", "rfc9147"] {
        assert!(said.contains(rfc), "{rfc} is not counted:\n{said}");
    }
}
