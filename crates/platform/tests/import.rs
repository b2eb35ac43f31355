//! Spreadsheets as operators have them, good and bad.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use bartizan_platform::import::{BadLine, Row, Rows, decode_identity, show_identity};
use proptest::prelude::*;

const KEY: &str = "00112233445566778899aabbccddeeff";

fn read(text: &[u8]) -> (Vec<Row>, Vec<BadLine>) {
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    match Rows::open(text) {
        Err(line) => bad.push(line),
        Ok(lines) => lines.for_each(|line| match line {
            Ok(row) => rows.push(row),
            Err(line) => bad.push(line),
        }),
    }
    (rows, bad)
}

fn errors(text: &str) -> Vec<(u64, String)> {
    read(text.as_bytes()).1.into_iter().map(|bad| (bad.line, bad.error)).collect()
}

#[test]
fn a_plain_file() {
    let (rows, bad) = read(
        format!("name,type,identity,psk\nm-1,water meter,id-1,{KEY}\nm-2,water meter,id-2,ABEiM0RVZneImaq7zN3u/w==\n")
            .as_bytes(),
    );
    assert!(bad.is_empty());
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].line, rows[0].name.as_str(), rows[0].device_type.as_str()), (2, "m-1", "water meter"));
    assert_eq!((rows[0].identity.as_slice(), rows[0].endpoint.as_deref()), (&b"id-1"[..], None));
    assert_eq!(rows[0].psk, rows[1].psk, "hex and base64 of the same key");
}

#[test]
fn what_a_spreadsheet_program_makes_of_it() {
    let text = format!(
        "\u{feff}PSK , Identity,\"Type\",Name,ENDPOINT\r\n{KEY},id-1,\"meter, water\",m-1,urn:dev:1\r\n{KEY},id-2,x,m-2,\r\n\r\n\r\nzz,id-3,x,m-3,"
    );
    let (rows, bad) = read(text.as_bytes());
    assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [6], "blank lines count");
    assert_eq!((rows[0].device_type.as_str(), rows[0].endpoint.as_deref()), ("meter, water", Some("urn:dev:1")));
    assert_eq!((rows[1].line, rows[1].endpoint.as_deref()), (3, None));
}

#[test]
fn every_bad_line_is_named_with_its_reason() {
    let text = format!(
        "name,type,identity,psk\nm-1,t,id-1,{KEY}\nm-2,t,id-2,00ff\n,t,id-3,{KEY}\nm-4,t,id-4\nm-5,t,id-1,{KEY}\nm-1,t,id-6,{KEY}\nm-7,t,,{KEY}\n"
    );
    let found = errors(&text);
    let lines: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8]);
    for ((_, error), part) in found.iter().zip([
        "at least 16",
        "name is empty",
        "has 3 columns",
        "id-1 stands on line 2",
        "\"m-1\" stands on line 2",
        "identity is empty",
    ]) {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn two_devices_cannot_share_an_endpoint_even_by_default() {
    let found = errors(&format!("name,type,identity,psk,endpoint\nm-1,t,a,{KEY},\nm-2,t,b,{KEY},m-1\n"));
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("belongs to line 2"), "{}", found[0].1);
}

#[test]
fn headers_that_do_not_fit() {
    for (text, part) in [
        ("", "empty"),
        ("name,type,identity\n", "\"psk\" is missing"),
        ("name,type,identity,psk,end point\n", "unknown column \"end point\""),
        ("name,type,identity,psk,PSK\n", "stands twice"),
        ("m-1,t,id-1,00112233\n", "unknown column"),
    ] {
        let found = errors(text);
        assert_eq!(found.len(), 1, "{text}");
        assert!(found[0].0 == 1 && found[0].1.contains(part), "{found:?}");
    }
}

#[test]
fn quoted_line_breaks_do_not_shift_the_line_numbers() {
    let found = errors(&format!("name,type,identity,psk\n\"m-1\nx\",t,a,{KEY}\nm-2,t,b,zz\n"));
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn the_bound_on_lines_holds_on_both_sides() {
    let file = |rows: usize| {
        (0..rows).fold("name,type,identity,psk\n".to_owned(), |text, row| text + &format!("m-{row},t,id-{row},{KEY}\n"))
    };
    assert!(Rows::open_with(file(3).as_bytes(), 3).unwrap().all(|row| row.is_ok()));
    let over: Vec<_> = Rows::open_with(file(6).as_bytes(), 3).unwrap().collect();
    assert_eq!(over.len(), 4, "it stops there");
    assert!(over[3].as_ref().unwrap_err().error.contains("more than 3"));
}

#[test]
fn identities_that_are_not_text() {
    assert_eq!(decode_identity(b"hex:00ff").unwrap(), [0, 255]);
    assert_eq!(show_identity(&[0, 255]), "hex:00ff");
    assert!(decode_identity(b"hex:0").is_err());
    assert!(decode_identity(&[b'a'; 128]).is_ok() && decode_identity(&[b'a'; 129]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_end_in_rows_or_named_lines(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut file = b"name,type,identity,psk\n".to_vec();
        file.extend(bytes);
        read(&file);
    }

    #[test]
    fn identities_go_there_and_back(identity in prop::collection::vec(any::<u8>(), 1..=128)) {
        prop_assert_eq!(decode_identity(show_identity(&identity).as_bytes()), Ok(identity));
    }
}
