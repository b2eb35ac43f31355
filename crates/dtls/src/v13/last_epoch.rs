//! What happens where epochs end.

use super::established::{Epochs, Established, Secrets13};
use super::messages::{Fragment, Side, kind};
use super::post::Post;
use crate::hash::Digest;
use crate::{AlertDescription, Error};

const FIRST: Epochs = Epochs { read: 3, write: 3 };

fn established() -> Established {
    let secrets = Secrets13 { read: Digest::of(&[1; 32]), write: Digest::of(&[2; 32]) };
    Established::new(secrets, Post::new(0, 0))
}

fn key_update(request: u8) -> [u8; 13] {
    let mut content = alloc::vec::Vec::new();
    Fragment::put_header(&mut content, kind::KEY_UPDATE, 1, 0, 0, 1);
    content.push(request);
    content.try_into().unwrap()
}

//= test rfc9147#4.2.1-3
//= test rfc9147#8-4
//= test rfc9147#8-6
//= test rfc9147#8-s2
#[test]
fn in_the_last_epoch_no_update_is_sent_though_the_peer_asks_for_it() {
    let mut last = established();
    let at_the_end = Epochs { read: 3, write: u16::MAX };
    assert!(matches!(last.update_keys(at_the_end.write, false), Err(Error::Unavailable(_))));
    assert!(last.on_handshake(Side::Server, at_the_end, &key_update(1)).is_ok());
    assert!(!last.is_updating());
    let mut other = established();
    assert!(other.on_handshake(Side::Server, FIRST, &key_update(1)).is_ok());
    assert!(other.is_updating());
}

//= test rfc9147#4.2.1-4
//= test rfc9147#6.1-1
#[test]
fn an_association_whose_peer_goes_beyond_the_last_epoch_ends() {
    let mut last = established();
    let at_the_end = Epochs { read: u16::MAX, write: 3 };
    let fault = last.on_handshake(Side::Server, at_the_end, &key_update(0)).unwrap_err();
    assert_eq!(fault.alert, AlertDescription::INTERNAL_ERROR);
    assert!(established().on_handshake(Side::Server, FIRST, &key_update(0)).is_ok());
}
