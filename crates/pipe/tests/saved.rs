//! Saved state that was damaged is refused with a reason, never a panic, never half read.

use bartizan_pipe::harness::{Seeded, World, WorldConfig};
use bartizan_pipe::{Error, Judge, JudgeConfig};

fn saved() -> Vec<u8> {
    let mut judge = Judge::new(JudgeConfig::default());
    for labelled in World::new(&WorldConfig { sensors: 10, ..WorldConfig::city(1, 30, 2.0) }) {
        judge.observe(&labelled.event, &mut |_| {});
    }
    judge.save()
}

/// The checksum as the format has it (64-bit FNV-1a over all before it).
fn seal(mut body: Vec<u8>) -> Vec<u8> {
    let sum = body
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    body.extend(sum.to_le_bytes());
    body
}

#[test]
fn every_cut_is_refused() {
    let bytes = saved();
    for length in (0..bytes.len()).step_by(97).chain(0..20) {
        let error = Judge::load(JudgeConfig::default(), &bytes[..length]).err().unwrap();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = saved();
    let mut random = Seeded::new(2);
    for _ in 0..300 {
        let mut damaged = bytes.clone();
        damaged[random.below(bytes.len() as u64) as usize] ^= 1 << random.below(8);
        assert!(Judge::load(JudgeConfig::default(), &damaged).is_err());
    }
}

#[test]
fn damage_under_a_good_checksum_is_harmless() {
    let bytes = saved();
    let body = &bytes[..bytes.len() - 8];
    let events: Vec<_> = World::new(&WorldConfig::city(3, 30, 0.2)).map(|labelled| labelled.event).collect();
    let mut random = Seeded::new(5);
    let (mut refused, mut read) = (0, 0);
    for _ in 0..200 {
        let mut damaged = body.to_vec();
        for _ in 0..=random.below(4) {
            damaged[6 + random.below(body.len() as u64 - 6) as usize] = random.next_u64() as u8;
        }
        match Judge::load(JudgeConfig::default(), &seal(damaged)) {
            Err(Error::Malformed { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
            Ok(mut judge) => {
                read += 1;
                events.iter().for_each(|event| judge.observe(event, &mut |_| {}));
            }
        }
    }
    assert!(refused > 0 && read > 0, "both ways were taken: {refused} refused, {read} read");
}

#[test]
fn another_version_is_named() {
    let mut body = saved();
    body.truncate(body.len() - 8);
    body[4] = 9;
    let error = Judge::load(JudgeConfig::default(), &seal(body)).err().unwrap();
    assert_eq!(error, Error::Unsupported { found: 9, known: 1 });
    assert_eq!(error.to_string(), "saved profiles have format 9, this version reads 1");
}

#[test]
fn noise_is_refused() {
    let mut random = Seeded::new(11);
    for length in 0..200 {
        let noise: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        assert!(Judge::load(JudgeConfig::default(), &noise).is_err());
    }
}
