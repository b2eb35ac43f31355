//! Certificates in a bag: "certs-only" PKCS#7, a SignedData with neither content nor signers (RFC 5652 section 5.1, RFC
//! 8551 section 3.2.2), as EST answers with.

use bartizan_trust::der::write::{element, unsigned};
use bartizan_trust::der::{OBJECT, SEQUENCE, SET};

use super::write::parts;

/// id-signedData and id-data.
const SIGNED_DATA: &[u8] = b"\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02";
const DATA: &[u8] = b"\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01";

/// DER of certificates, each in DER.
#[must_use]
pub fn certs_only(certificates: &[Vec<u8>]) -> Vec<u8> {
    // DER sorts the members of a SET; a bag of certificates is one.
    let mut sorted = parts(certificates);
    sorted.sort_unstable();
    let content = element(SEQUENCE, &[&element(OBJECT, &[DATA])]);
    let empty = element(SET, &[]);
    let signed = element(SEQUENCE, &[&unsigned(&[1]), &empty, &content, &element(0xA0, &sorted), &empty]);
    element(SEQUENCE, &[&element(OBJECT, &[SIGNED_DATA]), &element(0xA0, &[&signed])])
}
