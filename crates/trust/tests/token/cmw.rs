//! The samples of RATS CMW.

use bartizan_trust::cbor::Strict;
use bartizan_trust::cmw::{Cmw, Collection, Kind, Label, Messages, Record};

use crate::vectors;

fn collection<'a>(files: &'a [(String, Vec<u8>)], name: &str) -> Collection<'a> {
    let (_, bytes) = files.iter().find(|(file, _)| file == name).unwrap();
    match Cmw::read(Strict::new(bytes).unwrap()).unwrap() {
        Cmw::Collection(collection) => collection,
        Cmw::Record(_) => panic!("{name} is a record"),
    }
}

#[test]
fn samples_say_what_their_notation_says() {
    let files = vectors("cmw", ".cbor");
    if files.is_empty() {
        return;
    }
    let full = collection(&files, "collection-cbor-ok.cbor");
    assert_eq!((full.kind, full.entries().count()), (None, 3));
    let signed = Record {
        kind: Kind::MediaType("application/signed-corim+cbor"),
        value: &[0xD2, 0x84, 0x43, 0xA1, 1, 0x26, 0xA1],
        messages: Some(Messages::REFERENCE_VALUES.and(Messages::ENDORSEMENTS)),
    };
    let value = [0x23, 0x47, 0xDA, 0x55];
    assert_eq!(full.under(Label::Int(1)), Some(Cmw::Record(signed)));
    // 1668576818 is the tag of 29884: RFC 9277 leaves out every 256th tag.
    assert_eq!(full.under(Label::Int(2)), Some(Cmw::Record(Record::new(29_884, &value))));
    assert_eq!(full.under(Label::Text("s")), Some(Cmw::Record(Record::new(30_001, &value))));

    let small = collection(&files, "collection-cbor-ok-2.cbor");
    let kind = Kind::MediaType("application/vnd.1");
    let expected = Record { kind, value: &[0xDE, 0xAD, 0xBE, 0xEF], messages: None };
    assert_eq!(small.under(Label::Int(1)), Some(Cmw::Record(expected)));
}

/// Labels of both kinds are good in CBOR (RFC 9999 has int and text there), and can never be said in JSON.
#[test]
fn mixed_labels_are_not_for_json() {
    let files = vectors("cmw", ".cbor");
    if files.is_empty() {
        return;
    }
    let mixed = collection(&files, "collection-cbor-mixed-keys.cbor");
    assert_eq!(mixed.under(Label::Text("string")), Some(Cmw::Record(Record::new(0, &[0xFF]))));
    assert_eq!(mixed.under(Label::Int(1024)), Some(Cmw::Record(Record::new(0, &[0xAA]))));
    assert!(!mixed.fits_json());
}
