//! TCG's DiceTcbInfo (DICE Attestation Architecture 1.1, section 6.1.1): what a layer is, in its certificate.

use super::der::{Der, OCTET_STRING, SEQUENCE};
use super::{Component, Inputs, Mode};

/// 2.16.840.1.101.3.4.2.3.
const SHA_512: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];

/// Context tags, all implicit.
const VENDOR: u8 = 0x80;
const MODEL: u8 = 0x81;
const VERSION: u8 = 0x82;
const SVN: u8 = 0x83;
const LAYER: u8 = 0x84;
const FWIDS: u8 = 0xA6;
const FLAGS: u8 = 0x87;
const VENDOR_INFO: u8 = 0x88;
const TYPE: u8 = 0x89;
const OBJECT: u8 = 0x06;

/// OperationalFlags: bits from the highest down, with the count of unused ones before them.
const fn flags(mode: Mode) -> [u8; 2] {
    match mode {
        Mode::Normal => [0, 0],
        Mode::NotConfigured => [7, 0x80],
        Mode::Recovery => [5, 0x20],
        Mode::Debug => [4, 0x10],
    }
}

/// Of the layer with this number, the first is 1. The vendor's information is the configuration's measurement.
pub(super) fn put(der: &mut Der<'_>, component: &Component<'_>, inputs: &Inputs<'_>, config: &[u8; 64], layer: u8) {
    der.element(SEQUENCE, |der| {
        put_text(der, TYPE, component.name);
        der.primitive(VENDOR_INFO, config);
        let flags = flags(inputs.mode);
        der.primitive(FLAGS, if inputs.mode == Mode::Normal { &[0] } else { &flags });
        der.element(FWIDS, |der| {
            der.element(SEQUENCE, |der| {
                der.primitive(OCTET_STRING, &inputs.code);
                der.primitive(OBJECT, &SHA_512);
            });
        });
        der.integer(LAYER, &[layer]);
        if let Some(version) = component.security_version {
            der.integer(SVN, &version.to_be_bytes());
        }
        put_text(der, VERSION, component.version);
        put_text(der, MODEL, component.model);
        put_text(der, VENDOR, component.vendor);
    });
}

fn put_text(der: &mut Der<'_>, tag: u8, text: &str) {
    if !text.is_empty() {
        der.primitive(tag, text.as_bytes());
    }
}
