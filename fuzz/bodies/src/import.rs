//! Operators' spreadsheets.

use std::collections::HashSet;

use bartizan_platform::import::Rows;

/// Reads bytes as CSV: each line is a row or a named fault, no name or identity comes twice.
pub fn csv(bytes: &[u8]) {
    let Ok(rows) = Rows::open(bytes) else {
        return;
    };
    let (mut names, mut identities) = (HashSet::new(), HashSet::new());
    for row in rows {
        match row {
            Ok(row) => {
                assert!(!row.name.is_empty() && row.psk.len() >= 16);
                assert!(names.insert(row.name) && identities.insert(row.identity));
            }
            Err(bad) => assert!(bad.line > 0 && !bad.error.is_empty()),
        }
    }
}

#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let sheet = "name,type,identity,psk,endpoint\n\
        meter-1,water meter,meter-1,000102030405060708090a0b0c0d0e0f,ep-1\n\
        \"lock, 2\",lock,lock-2,AAECAwQFBgcICQoLDA0ODw==,\r\n\
        meter-1,water meter,other,000102030405060708090a0b0c0d0e0f,\n";
    vec![sheet.into(), b"psk;name\n".to_vec(), b"\xef\xbb\xbfname,type,identity,psk\n,,,\n".to_vec()]
}
