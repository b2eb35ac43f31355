//! Roots, and authorities below them.
//!
//! A root signs issuing authorities and nothing else, so its key can lie in a safe. An issuing authority belongs to one
//! tenant, has path length 0, and is named after its tenant. No name constraint can say so beside that: devices are named
//! by URNs, and a constraint on URIs is one on hosts (RFC 5280 section 4.2.1.10), of which a URN has none. That an
//! authority speaks for its own tenant alone is checked by whoever believes it: a certificate that names another
//! tenant's device is refused.

use bartizan_crypto::AWS_LC;
use bartizan_trust::der::write::element;
use bartizan_trust::der::{INTEGER, SEQUENCE};
use bartizan_trust::x509::{self, device};
use bartizan_wire::TenantId;

use super::write::{self, Content, ORGANISATION};
use super::{Authority, Error, Key, Serial, Validity};

/// A self-signed root. Its path length of 2 lets it have issuing authorities, and certify another root with its own.
///
/// # Errors
/// `Key` if the key does not sign.
pub fn root(name: &str, key: &Key, serial: &Serial, validity: Validity) -> Result<Vec<u8>, Error> {
    let name = write::name(&[(ORGANISATION, "Bartizan"), (write::COMMON_NAME, name)]);
    authority(&name, &name, key.info(), &write::key_id(key.info()), serial, validity, 2, key)
}

/// What an issuing authority is called: one name for each of a tenant's generations.
#[must_use]
pub fn issuing_name(tenant: TenantId, tenant_name: &str, generation: u64) -> Vec<u8> {
    let tenant_name: String = tenant_name.chars().take(40).collect();
    let unit = format!("Bartizan tenant {}", tenant.0);
    write::name(&[(ORGANISATION, &unit), (write::COMMON_NAME, &format!("{tenant_name} issuing CA {generation}"))])
}

/// The request (PKCS#10) of an issuing authority, to be carried to the root.
///
/// # Errors
/// `Key` if the key does not sign.
pub fn request(name: &[u8], key: &Key) -> Result<Vec<u8>, Error> {
    write::signed(&element(SEQUENCE, &[&[INTEGER, 1, 0], name, key.info(), &[0xA0, 0]]), key)
}

/// Signs the request of an issuing authority, which gets the name that it asks for and path length 0.
///
/// # Errors
/// `Refused` if the request is broken, asks for no name or for the root's; `NotValid` if the root is not valid then.
pub fn sign(root: &Authority, request: &[u8], serial: &Serial, validity: Validity) -> Result<Vec<u8>, Error> {
    let request = x509::Request::open(&AWS_LC, request)?;
    if request.subject == element(SEQUENCE, &[]) || request.subject == root.name {
        return Err(bartizan_trust::Error::Misbehaved("an authority that asks for no name of its own").into());
    }
    if root.path_length() == Some(0) {
        return Err(bartizan_trust::Error::Misuse("this authority may only issue devices' certificates").into());
    }
    below(root, request.subject, request.key_info, &write::key_id(request.key_info), serial, validity, 0)
}

/// Certifies another root under this one: with it, whoever trusts this root alone also believes what that one signs
/// (RFC 4210 section 4.4: old with new, or new with old).
///
/// # Errors
/// `Refused` if it is no self-signed root, `NotValid` if this one is not valid then.
pub fn cross_sign(root: &Authority, other: &[u8], serial: &Serial) -> Result<Vec<u8>, Error> {
    let read = device::Authority::read(other)?;
    read.issued_by(&AWS_LC, &read)?;
    let other = Validity::of(&read.certificate);
    // One root above another: the path is longer by it.
    below(root, read.certificate.subject, read.certificate.key_info, read.key_id, serial, other, 1)
}

fn below(
    root: &Authority,
    subject: &[u8],
    key_info: &[u8],
    key_id: &[u8],
    serial: &Serial,
    validity: Validity,
    path_length: u8,
) -> Result<Vec<u8>, Error> {
    let own = root.validity();
    let not_before = validity.not_before.max(own.not_before);
    let not_after = validity.not_after.min(own.not_after);
    if not_before > not_after {
        return Err(Error::NotValid);
    }
    let mut extensions = extensions(key_id, path_length);
    extensions.push(write::authority_key(&root.key_id));
    let validity = Validity { not_before, not_after };
    write::certificate(&Content { serial, issuer: &root.name, subject, validity, key_info, extensions }, &root.key)
}

#[allow(clippy::too_many_arguments, reason = "the fields of a certificate")]
fn authority(
    issuer: &[u8],
    subject: &[u8],
    key_info: &[u8],
    key_id: &[u8],
    serial: &Serial,
    validity: Validity,
    path_length: u8,
    key: &Key,
) -> Result<Vec<u8>, Error> {
    let extensions = extensions(key_id, path_length);
    write::certificate(&Content { serial, issuer, subject, validity, key_info, extensions }, key)
}

fn extensions(key_id: &[u8], path_length: u8) -> Vec<Vec<u8>> {
    vec![
        write::authority_constraints(Some(path_length)),
        write::key_usage(if path_length == 0 { write::ISSUES } else { write::SIGNS_CERTIFICATES }),
        write::subject_key(key_id),
    ]
}
