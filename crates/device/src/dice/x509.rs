//! X.509 certificates of layers: the Open Profile's form and TCG's.

use bartizan_crypto::{Provider, Random};
use bartizan_trust::{PublicKey, cose};

use super::der::{Der, OCTET_STRING, SEQUENCE, UTF8_STRING};
use super::key::NO_LAYER_KEY;
use super::{Algorithm, CertificateId, Component, Config, Error, Inputs, KeyPair, NO_ROOM, move_down, tcb};

/// What a certificate says about its subject beside the key.
pub enum Content<'a> {
    /// The device's identity itself, self-signed: it names a device and vouches for nothing.
    Root,
    /// A layer of the Open Profile.
    Open { inputs: &'a Inputs<'a>, profile_name: Option<&'a str> },
    /// A layer of TCG's profile.
    Tcg {
        inputs: &'a Inputs<'a>,
        component: &'a Component<'a>,
        /// Of the device; also in the evidence.
        ueid: Option<&'a [u8]>,
        /// Its number; the first is 1.
        layer: u8,
        /// Whether the key signs evidence only, and no certificate.
        leaf: bool,
    },
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;
const ENUMERATED: u8 = 0x0A;
const SET: u8 = 0x31;
/// A context tag that holds an element of its own.
const EXPLICIT: u8 = 0xA0;

/// 1.3.6.1.4.1.11129.2.1.24, diceAttestationData.
const OPEN_DICE: [u8; 10] = [0x2B, 0x06, 0x01, 0x04, 0x01, 0xD6, 0x79, 0x02, 0x01, 0x18];
/// 2.23.133.5.4.1, .4, and the key purposes .100.9 (attests locally) and .100.12 (an embedded CA).
const TCB_INFO: [u8; 6] = [0x67, 0x81, 0x05, 0x05, 0x04, 0x01];
const UEID: [u8; 6] = [0x67, 0x81, 0x05, 0x05, 0x04, 0x04];
const ATTESTS: [u8; 7] = [0x67, 0x81, 0x05, 0x05, 0x04, 0x64, 0x09];
const EMBEDDED_CA: [u8; 7] = [0x67, 0x81, 0x05, 0x05, 0x04, 0x64, 0x0C];
const SUBJECT_KEY_ID: [u8; 3] = [0x55, 0x1D, 0x0E];
const KEY_USAGE: [u8; 3] = [0x55, 0x1D, 0x0F];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1D, 0x13];
const AUTHORITY_KEY_ID: [u8; 3] = [0x55, 0x1D, 0x23];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1D, 0x25];
const SERIAL_NUMBER: [u8; 3] = [0x55, 0x04, 0x05];
const EC_PUBLIC_KEY: [u8; 7] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
const PRIME256V1: [u8; 8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const ECDSA_WITH_SHA256: [u8; 8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
const ED25519: [u8; 3] = [0x2B, 0x65, 0x70];

/// A device without a clock: from the day of TCG's DICE specification, for ever (RFC 5280 section 4.1.2.5).
const VALIDITY: &[u8] = b"\x17\x0D180322235959Z\x18\x0F99991231235959Z";

/// What may follow what is signed: an algorithm and an ECDSA signature in DER.
const SIGNATURE_PART_MAX: usize = 12 + 3 + 72;

/// Certifies `subject` with the key of the layer before it. Returns the certificate's length in `out`.
///
/// # Errors
/// `Unavailable` if `out` is too small, `Misuse` if the provider lacks the algorithm.
pub fn certificate(
    provider: &Provider,
    random: &mut dyn Random,
    authority: &KeyPair,
    subject: &PublicKey,
    content: &Content<'_>,
    out: &mut [u8],
) -> Result<usize, Error> {
    if matches!(subject, PublicKey::P384(_)) {
        return Err(NO_LAYER_KEY);
    }
    // What is signed ends where the rest begins; its header, which needs the whole length, goes before it.
    let end = out.len().checked_sub(SIGNATURE_PART_MAX).ok_or(NO_ROOM)?;
    let mut der = Der::new(out.get_mut(..end).ok_or(NO_ROOM)?);
    put_signed(&mut der, provider, authority, subject, content);
    let start = der.finish()?;
    let signature = authority.sign(provider, random, out.get(start..end).ok_or(NO_ROOM)?)?;

    let mut part = [0; SIGNATURE_PART_MAX];
    let mut der = Der::new(&mut part);
    put_signature(&mut der, authority.algorithm(), &signature);
    let at = der.finish()?;
    let part = part.get(at..).ok_or(NO_ROOM)?;
    let whole = end.checked_add(part.len()).ok_or(NO_ROOM)?;
    out.get_mut(end..whole).ok_or(NO_ROOM)?.copy_from_slice(part);

    let mut header = [0; 4];
    let header = header_of(whole - start, &mut header)?;
    let before = start.checked_sub(header.len()).ok_or(NO_ROOM)?;
    out.get_mut(before..start).ok_or(NO_ROOM)?.copy_from_slice(header);
    move_down(out, before, whole - before, 0)?;
    Ok(whole - before)
}

fn header_of(length: usize, header: &mut [u8; 4]) -> Result<&[u8], Error> {
    let [high, low] = u16::try_from(length).map_err(|_| NO_ROOM)?.to_be_bytes();
    *header = [SEQUENCE, 0x82, high, low];
    // With key, names and signature no certificate is shorter than 256 bytes.
    if high == 0 { Err(NO_ROOM) } else { Ok(header) }
}

fn put_signed(der: &mut Der<'_>, provider: &Provider, authority: &KeyPair, subject: &PublicKey, content: &Content<'_>) {
    let (authority_id, subject_id) = (authority.id(provider), CertificateId::of(provider, subject));
    der.element(SEQUENCE, |der| {
        der.element(EXPLICIT | 3, |der| {
            der.element(SEQUENCE, |der| {
                put_content(der, provider, content);
                put_standard_extensions(der, &authority_id, &subject_id, content);
            });
        });
        put_key(der, subject);
        put_name(der, &subject_id);
        der.primitive(SEQUENCE, VALIDITY);
        put_name(der, &authority_id);
        put_signature_algorithm(der, authority.algorithm());
        match content {
            Content::Root => der.integer(INTEGER, &[1]),
            _ => der.integer(INTEGER, &subject_id.0),
        }
        der.element(EXPLICIT, |der| der.integer(INTEGER, &[2]));
    });
}

pub(super) fn put_name(der: &mut Der<'_>, id: &CertificateId) {
    const PRINTABLE_STRING: u8 = 0x13;
    der.element(SEQUENCE, |der| {
        der.element(SET, |der| {
            der.element(SEQUENCE, |der| {
                der.primitive(PRINTABLE_STRING, &id.hex());
                der.primitive(OBJECT, &SERIAL_NUMBER);
            });
        });
    });
}

/// RFC 5480 and RFC 8410.
pub(super) fn put_key(der: &mut Der<'_>, key: &PublicKey) {
    let bytes: &[u8] = match key {
        PublicKey::P256(bytes) => bytes,
        PublicKey::P384(bytes) => bytes,
        PublicKey::Ed25519(bytes) => bytes,
    };
    der.element(SEQUENCE, |der| {
        der.element(BIT_STRING, |der| {
            der.put(bytes);
            der.put(&[0]);
        });
        der.element(SEQUENCE, |der| match key {
            PublicKey::P256(_) => {
                der.primitive(OBJECT, &PRIME256V1);
                der.primitive(OBJECT, &EC_PUBLIC_KEY);
            }
            PublicKey::Ed25519(_) => der.primitive(OBJECT, &ED25519),
            PublicKey::P384(_) => {}
        });
    });
}

fn put_signature_algorithm(der: &mut Der<'_>, algorithm: Algorithm) {
    der.element(SEQUENCE, |der| match algorithm {
        Algorithm::P256 => der.primitive(OBJECT, &ECDSA_WITH_SHA256),
        Algorithm::Ed25519 => der.primitive(OBJECT, &ED25519),
    });
}

pub(super) fn put_signature(der: &mut Der<'_>, algorithm: Algorithm, signature: &[u8; 64]) {
    der.element(BIT_STRING, |der| {
        match algorithm {
            Algorithm::P256 => {
                let signature = cose::to_der(signature);
                der.put(signature.as_ref().map_or(&[], |signature| signature.as_slice()));
            }
            Algorithm::Ed25519 => der.put(signature),
        }
        der.put(&[0]);
    });
    put_signature_algorithm(der, algorithm);
}

fn put_extension(der: &mut Der<'_>, name: &[u8], critical: bool, contents: impl FnOnce(&mut Der<'_>)) {
    der.element(SEQUENCE, |der| {
        der.element(OCTET_STRING, contents);
        if critical {
            der.primitive(BOOLEAN, &[0xFF]);
        }
        der.primitive(OBJECT, name);
    });
}

/// RFC 5280 section 4.2.1, as the Open Profile asks for them.
fn put_standard_extensions(
    der: &mut Der<'_>,
    authority: &CertificateId,
    subject: &CertificateId,
    content: &Content<'_>,
) {
    /// Named bits with the count of unused ones before them: keyCertSign, digitalSignature.
    const CERTIFIES: [u8; 2] = [2, 0x04];
    const SIGNS: [u8; 2] = [7, 0x80];
    let leaf = matches!(content, Content::Tcg { leaf: true, .. });
    put_extension(der, &BASIC_CONSTRAINTS, true, |der| {
        der.element(SEQUENCE, |der| {
            if !leaf {
                der.primitive(BOOLEAN, &[0xFF]);
            }
        });
    });
    put_extension(der, &KEY_USAGE, true, |der| {
        der.primitive(BIT_STRING, if leaf { &SIGNS } else { &CERTIFIES });
    });
    put_extension(der, &SUBJECT_KEY_ID, false, |der| der.primitive(OCTET_STRING, &subject.0));
    put_extension(der, &AUTHORITY_KEY_ID, false, |der| {
        der.element(SEQUENCE, |der| der.primitive(0x80, &authority.0));
    });
}

fn put_content(der: &mut Der<'_>, provider: &Provider, content: &Content<'_>) {
    match content {
        Content::Root => {}
        Content::Open { inputs, profile_name } => put_extension(der, &OPEN_DICE, true, |der| {
            put_open(der, inputs, &inputs.config.measured(provider), *profile_name);
        }),
        Content::Tcg { inputs, component, ueid, layer, leaf } => {
            put_extension(der, &TCB_INFO, true, |der| {
                tcb::put(der, component, inputs, &inputs.config.measured(provider), *layer);
            });
            if let Some(ueid) = ueid {
                put_extension(der, &UEID, false, |der| {
                    der.element(SEQUENCE, |der| der.primitive(OCTET_STRING, ueid));
                });
            }
            put_extension(der, &EXTENDED_KEY_USAGE, false, |der| {
                der.element(SEQUENCE, |der| der.primitive(OBJECT, if *leaf { &ATTESTS } else { &EMBEDDED_CA }));
            });
        }
    }
}

/// OpenDiceInput (Open Profile for DICE, "Custom Extension Format"). The mode is ENUMERATED, as the profile's reference
/// writes it.
fn put_open(der: &mut Der<'_>, inputs: &Inputs<'_>, measured: &[u8; 64], profile_name: Option<&str>) {
    let field = |der: &mut Der<'_>, number: u8, tag: u8, bytes: &[u8]| {
        der.element(EXPLICIT | number, |der| der.primitive(tag, bytes));
    };
    let octets = |der: &mut Der<'_>, number: u8, bytes: &[u8]| field(der, number, OCTET_STRING, bytes);
    der.element(SEQUENCE, |der| {
        if let Some(name) = profile_name {
            field(der, 7, UTF8_STRING, name.as_bytes());
        }
        field(der, 6, ENUMERATED, &[inputs.mode as u8]);
        if !inputs.authority_descriptor.is_empty() {
            octets(der, 5, inputs.authority_descriptor);
        }
        octets(der, 4, &inputs.authority);
        match inputs.config {
            Config::Inline(bytes) => octets(der, 3, &bytes),
            Config::Descriptor(bytes) => {
                octets(der, 3, bytes);
                octets(der, 2, measured);
            }
        }
        if !inputs.code_descriptor.is_empty() {
            octets(der, 1, inputs.code_descriptor);
        }
        octets(der, 0, &inputs.code);
    });
}
