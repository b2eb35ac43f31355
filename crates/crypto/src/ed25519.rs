//! What a strict verification of Ed25519 refuses, for implementations that do not by themselves.

/// The y of the points of order 1, 2, 4 and 8 on edwards25519, little-endian: 0, 1, two of order 8, p − 1, and p and
/// p + 1, which are 0 and 1 not reduced.
const WEAK_ED25519: [[u8; 32]; 7] = [
    [0; 32],
    ends([0; 32], 1, 0),
    [
        0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98, 0xF0, 0xD5, 0xDF,
        0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53, 0xFC, 0x05,
    ],
    [
        0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67, 0x0F, 0x2A, 0x20,
        0x53, 0xFA, 0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC, 0x03, 0x7A,
    ],
    ends([0xFF; 32], 0xEC, 0x7F),
    ends([0xFF; 32], 0xED, 0x7F),
    ends([0xFF; 32], 0xEE, 0x7F),
];

/// Whether these bytes are a point of small order: a public key that anybody can sign under, or an R that says nothing.
#[must_use]
pub fn is_weak_ed25519(point: &[u8; 32]) -> bool {
    let mut y = *point;
    let [.., last] = &mut y;
    *last &= 0x7F; // without the sign of x
    WEAK_ED25519.contains(&y)
}

const fn ends(mut bytes: [u8; 32], first: u8, last: u8) -> [u8; 32] {
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

#[cfg(all(test, feature = "aws-lc"))]
mod tests {
    use super::*;
    use crate::{AWS_LC, RUSTCRYPTO};

    /// A weak point as R, and S = 0, are a signature of every eighth message or more under a weak key, if nobody looks.
    #[test]
    fn nobody_signs_under_a_weak_key() {
        let signed = |y: [u8; 32]| {
            let mut other = y;
            other[31] |= 0x80;
            [y, other]
        };
        let points = || WEAK_ED25519.into_iter().flat_map(signed);
        for (weak, first) in points().flat_map(|weak| points().map(move |first| (weak, first))) {
            assert!(is_weak_ed25519(&weak));
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&first);
            for message in 0..32 {
                for provider in [&AWS_LC, &RUSTCRYPTO] {
                    assert!((provider.ed25519.verify)(&weak, &[message], &signature).is_err());
                }
            }
        }
        assert!(!is_weak_ed25519(&[9; 32]));
    }
}
