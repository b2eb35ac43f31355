//! The journal against torn writes, flipped bits, full disks and power cuts between any two steps.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bartizan_crypto::{Random, at_rest};

use super::disk::simulated::Memory;
use super::entry::Entries;
use super::*;

fn random(seed: u64) -> impl FnMut(&mut [u8]) + Send {
    let mut dice = Dice(seed);
    move |out: &mut [u8]| out.iter_mut().for_each(|byte| *byte = dice.below(256) as u8)
}

/// A small generator (xorshift64*): a failure is a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

fn key() -> at_rest::Key {
    at_rest::Key::from_bytes([7; 32])
}

fn writer(disk: &Memory) -> Writer<Memory> {
    Writer::new(disk.clone(), key(), Box::new(random(99)), Vec::new())
}

fn group(generation: u64, entries: &[Entry<'_>]) -> Group {
    let mut group = Group { generation, ..Group::default() };
    entries.iter().for_each(|entry| entry.encode(&mut group.entries));
    group
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn session(session: u64) -> Entry<'static> {
    Entry::Session {
        session,
        state: b"keys and so on",
        window: Window { top: 1, bits: 1 },
        lease: 64,
        address: address(1000),
    }
}

fn window(session: u64, top: u64) -> Entry<'static> {
    Entry::Window { session, window: Window { top, bits: 3 } }
}

fn sessions(disk: &Memory) -> Result<Vec<Recovered>, JournalError> {
    Replay::read(disk, &key()).map(Replay::into_sessions)
}

fn tops(disk: &Memory) -> Vec<(u64, u64)> {
    let known = sessions(disk).unwrap();
    known.iter().map(|s| (s.session, s.window.top)).collect()
}

/// A file of three groups, and where the last block begins.
fn three_groups() -> (Vec<u8>, usize) {
    let disk = Memory::default();
    let mut writer = writer(&disk);
    writer.commit(&group(1, &[session(5), session(6)])).unwrap();
    let before = writer.commit(&group(1, &[window(5, 20)])).unwrap();
    writer.commit(&group(1, &[window(6, 30)])).unwrap();
    (disk.bytes(&name_of(1)), before as usize)
}

fn disk_with(bytes: Vec<u8>) -> Memory {
    let disk = Memory::default();
    disk.put(&name_of(1), bytes);
    disk
}

#[test]
fn a_later_entry_wins_over_an_earlier_one() {
    let disk = Memory::default();
    let mut writer = writer(&disk);
    let entries = [
        session(5),
        window(5, 9),
        Entry::Lease { session: 5, upto: 128 },
        Entry::Address { session: 5, address: address(2000) },
        session(6),
        Entry::Closed { session: 6 },
        window(6, 99), // of a closed association: says nothing
    ];
    writer.commit(&group(1, &entries)).unwrap();
    let expected = Recovered {
        session: 5,
        state: b"keys and so on".to_vec(),
        window: Window { top: 9, bits: 3 },
        lease: 128,
        address: address(2000),
    };
    assert_eq!(sessions(&disk).unwrap(), [expected]);
}

#[test]
fn a_last_block_cut_at_any_byte_is_dropped_whole() {
    let (bytes, last) = three_groups();
    for cut in last..bytes.len() {
        let cut_off = disk_with(bytes[..cut].to_vec());
        assert_eq!(tops(&cut_off), [(5, 20), (6, 1)], "cut at {cut}");
        // The file's length may have reached the disk before its bytes did.
        let mut zeros = bytes[..cut].to_vec();
        zeros.resize(bytes.len(), 0);
        if zeros != bytes {
            assert_eq!(tops(&disk_with(zeros)), [(5, 20), (6, 1)], "zeros from {cut}");
        }
    }
    assert_eq!(tops(&disk_with(bytes)), [(5, 20), (6, 30)]);
}

#[test]
fn a_file_cut_in_its_header_holds_nothing() {
    let (bytes, _) = three_groups();
    let header = FileHeader::bytes(&bytes);
    for cut in 0..header {
        assert_eq!(tops(&disk_with(bytes[..cut].to_vec())), [], "cut at {cut}");
    }
}

struct FileHeader;

impl FileHeader {
    fn bytes(file: &[u8]) -> usize {
        36 + usize::from(u16::from_be_bytes([file[34], file[35]]))
    }
}

#[test]
fn a_flipped_bit_is_refused_or_drops_only_the_last_group() {
    let (bytes, last) = three_groups();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        match sessions(&disk_with(flipped)) {
            Err(_) => {}
            // A sealed length that points past the file's end reads as a file that was being made.
            Ok(known) if known.is_empty() => assert!((34..36).contains(&at), "byte {at}"),
            Ok(known) => {
                let tops: Vec<_> = known.iter().map(|s| s.window.top).collect();
                assert_eq!(tops, [20, 1], "byte {at}");
                assert!(at >= last + 8, "byte {at} is before the last block");
            }
        }
    }
}

#[test]
fn blocks_moved_repeated_left_out_or_taken_from_elsewhere_are_refused() {
    let disk = Memory::default();
    let mut ours = writer(&disk);
    let mut ends = Vec::new();
    for top in 2..6 {
        ends.push(ours.commit(&group(1, &[session(5), window(5, top)])).unwrap() as usize);
    }
    let bytes = disk.bytes(&name_of(1));
    let blocks = |order: &[usize]| {
        let mut file = bytes[..ends[0]].to_vec();
        for i in order {
            file.extend_from_slice(&bytes[ends[i - 1]..ends[*i]]);
        }
        sessions(&disk_with(file))
    };
    assert!(blocks(&[1, 2, 3]).is_ok());
    for order in [&[2, 1, 3][..], &[1, 1, 2], &[1, 3], &[1, 2, 3, 3]] {
        assert!(matches!(blocks(order), Err(JournalError::InFile { .. })), "{order:?}");
    }

    let other = Memory::default();
    let mut theirs = Writer::new(other.clone(), key(), Box::new(random(5)), Vec::new());
    for top in 2..6 {
        theirs.commit(&group(1, &[session(5), window(5, top)])).unwrap();
    }
    let mut spliced = bytes[..ends[1]].to_vec();
    spliced.extend_from_slice(&other.bytes(&name_of(1))[ends[1]..]);
    assert!(sessions(&disk_with(spliced)).is_err());
}

#[test]
fn what_is_not_ours_is_named() {
    let (bytes, _) = three_groups();
    let cause = |bytes: Vec<u8>, key: &at_rest::Key| match Replay::read(&disk_with(bytes), key) {
        Err(JournalError::InFile { cause, .. }) => *cause,
        other => panic!("{other:?}"),
    };
    let other_key = at_rest::Key::from_bytes([8; 32]);
    assert!(matches!(cause(bytes.clone(), &other_key), JournalError::WrongKey));
    let mut newer = bytes.clone();
    newer[9] = 2;
    assert!(matches!(cause(newer, &key()), JournalError::Version(2)));
    let text = b"not a journal at all, but long enough for one".to_vec();
    assert!(matches!(cause(text, &key()), JournalError::NotAJournal));

    let misnamed = Memory::default();
    misnamed.put(&name_of(2), bytes);
    assert!(sessions(&misnamed).is_err());
    let foreign = Memory::default();
    foreign.put("README", b"left alone".to_vec());
    assert_eq!(tops(&foreign), []);
}

#[test]
fn a_full_disk_delays_a_group_and_leaves_no_trace() {
    let disk = Memory::default();
    let mut writer = writer(&disk);
    writer.commit(&group(1, &[session(5)])).unwrap();
    for free in 0..60 {
        disk.set_free(Some(free));
        assert!(writer.commit(&group(1, &[window(5, 10), window(5, 11)])).is_err());
        assert_eq!(tops(&disk), [(5, 1)], "{free} bytes were free");
    }
    disk.set_free(None);
    writer.commit(&group(1, &[window(5, 10)])).unwrap();
    writer.commit(&group(1, &[window(5, 12)])).unwrap();
    assert_eq!(tops(&disk), [(5, 12)]);
}

#[test]
fn a_complete_file_replaces_the_older_ones() {
    let disk = Memory::default();
    let mut writer = writer(&disk);
    writer.commit(&group(1, &[session(5), session(6)])).unwrap();
    writer.commit(&group(2, &[window(6, 7)])).unwrap();
    assert_eq!(tops(&disk), [(5, 1), (6, 7)], "both files count");
    writer.commit(&group(2, &[session(6)])).unwrap();
    let mut complete = group(2, &[Entry::Complete]);
    complete.complete = true;
    writer.commit(&complete).unwrap();
    assert_eq!(disk.names().unwrap(), [name_of(2)]);
    assert_eq!(tops(&disk), [(6, 1)], "what was not written again is not kept");
}

#[test]
fn nothing_comes_back_from_a_copy_wherever_it_lies_among_the_files() {
    let files = |complete: bool, copies: &[u64]| {
        let disk = Memory::default();
        let mut writer = writer(&disk);
        writer.commit(&group(1, &[session(5), session(6)])).unwrap();
        let newer = [session(6), window(6, 7), Entry::Complete];
        writer.commit(&group(2, &newer[..if complete { 3 } else { 2 }])).unwrap();
        copies.iter().for_each(|generation| disk.copy(&name_of(*generation)));
        tops(&disk)
    };
    assert_eq!(files(false, &[]), [(5, 1), (6, 7)]);
    assert_eq!(files(true, &[]), [(6, 7)]);
    for copies in [&[1][..], &[2], &[1, 2]] {
        assert_eq!(files(false, copies), [], "{copies:?}");
    }
    // Whoever wrote the newer file had seen what is in the older one, or refused to.
    assert_eq!(files(true, &[1]), [(6, 7)]);
    assert_eq!(files(true, &[2]), []);
    assert_eq!(files(true, &[1, 2]), []);
}

#[tokio::test]
async fn what_a_copy_held_is_gone_for_good_once_the_new_file_is_complete() {
    let disk = Memory::default();
    writer(&disk).commit(&group(1, &[session(5)])).unwrap();
    disk.copy(&name_of(1));
    for _crash_before_it_is_complete in 0..2 {
        assert_eq!(Journal::open(disk.clone(), key(), boxed(1), 0).unwrap().1, []);
    }
    let (mut journal, _) = Journal::open(disk.clone(), key(), boxed(2), 0).unwrap();
    journal.complete();
    assert!(journal.flush());
    assert!(matches!(journal.notice().await, Notice::Durable { .. }));
    journal.record(&session(9));
    assert!(journal.flush());
    assert!(matches!(journal.notice().await, Notice::Durable { .. }));
    drop(journal);
    assert_eq!(disk.names().unwrap(), [ended_name_of(2)]);
    assert_eq!(tops(&disk), [(9, 1)]);
}

/// The folder of a server that ended in order, under what was copied out of it while it ran.
#[tokio::test]
async fn a_copy_that_is_laid_over_an_ended_file_lies_beside_it_and_spoils_both() {
    let disk = Memory::default();
    let (mut journal, _) = Journal::open(disk.clone(), key(), boxed(1), 0).unwrap();
    journal.record(&session(5));
    journal.complete();
    assert!(journal.flush());
    assert!(matches!(journal.notice().await, Notice::Durable { .. }));
    let older = disk.bytes(&name_of(1));
    drop(journal);
    assert_eq!(tops(&disk), [(5, 1)], "an ended file is read");
    disk.put(&name_of(1), older);
    disk.copy(&name_of(1));
    assert_eq!(tops(&disk), []);
}

#[test]
fn a_moved_file_is_itself_and_a_copied_one_is_not_though_it_takes_the_originals_place() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut file = folder.create("a").unwrap();
    let original = folder.identity("a").unwrap();
    folder.append(&mut file, b"more").unwrap();
    std::fs::rename(path("a"), path("b")).unwrap();
    assert_eq!(folder.identity("b").unwrap(), original);

    std::fs::copy(path("b"), path("kept")).unwrap();
    assert_ne!(folder.identity("kept").unwrap(), original);
    drop(file);
    for _ in 0..20 {
        // The file system may well give the same inode out again.
        std::fs::remove_file(path("b")).unwrap();
        std::fs::copy(path("kept"), path("b")).unwrap();
        assert_ne!(folder.identity("b").unwrap(), original);
    }
}

#[test]
fn a_removed_file_holds_nothing_under_its_other_names_either() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let mut file = folder.create("a").unwrap();
    folder.append(&mut file, b"keys").unwrap();
    std::fs::hard_link(dir.path().join("a"), dir.path().join("linked")).unwrap();
    folder.remove("a").unwrap();
    assert_eq!(folder.names().unwrap(), ["linked"]);
    assert_eq!(std::fs::read(dir.path().join("linked")).unwrap(), b"");
    assert_eq!(folder.remove("a").unwrap_err().kind(), io::ErrorKind::NotFound);
}

/// What the groups say, without any file.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Model(BTreeMap<u64, u64>);

/// A random run: associations come, advance and go; the file is begun anew now and then.
struct Run {
    groups: Vec<Group>,
    /// The state after each number of groups.
    states: Vec<Model>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut run = Self { groups: Vec::new(), states: vec![Model::default()] };
        let mut generation = 1;
        while run.groups.len() < 24 {
            if dice.below(5) == 0 {
                generation += 1;
                run.rewrite(generation, &mut dice);
            } else {
                run.advance(generation, &mut dice);
            }
        }
        run
    }

    fn push(&mut self, group: Group, state: Model) {
        self.groups.push(group);
        self.states.push(state);
    }

    fn last(&self) -> Model {
        self.states.last().unwrap().clone()
    }

    fn advance(&mut self, generation: u64, dice: &mut Dice) {
        let mut state = self.last();
        let mut entries = Vec::new();
        for _ in 0..=dice.below(4) {
            let id = dice.below(6);
            match state.0.get(&id).copied() {
                Some(_) if dice.below(6) == 0 => {
                    state.0.remove(&id);
                    entries.push(Entry::Closed { session: id });
                }
                Some(top) => {
                    state.0.insert(id, top + 1);
                    entries.push(window(id, top + 1));
                }
                None => {
                    state.0.insert(id, 1);
                    entries.push(session(id));
                }
            }
        }
        self.push(group(generation, &entries), state);
    }

    /// Begins a file: every association again, one group each, with other changes in between.
    fn rewrite(&mut self, generation: u64, dice: &mut Dice) {
        let living: Vec<u64> = self.last().0.into_keys().collect();
        for id in living {
            let state = self.last();
            if let Some(top) = state.0.get(&id) {
                let entries = [session(id), window(id, *top)];
                self.push(group(generation, &entries), state);
            }
            if dice.below(3) == 0 {
                self.advance(generation, dice);
            }
        }
        let mut last = group(generation, &[Entry::Complete]);
        last.complete = true;
        let state = self.last();
        self.push(last, state);
    }
}

fn model(disk: &Memory) -> Model {
    Model(tops(disk).into_iter().collect())
}

#[test]
fn snapshot_and_log_replay_to_the_state_that_was_written() {
    for seed in 1..=200 {
        let run = Run::new(seed);
        let disk = Memory::default();
        let mut writer = writer(&disk);
        for (i, group) in run.groups.iter().enumerate() {
            writer.commit(group).unwrap();
            assert_eq!(model(&disk), run.states[i + 1], "seed {seed}, group {i}");
        }
    }
}

#[test]
fn a_power_cut_between_any_two_steps_loses_nothing_that_was_confirmed() {
    for seed in 1..=12 {
        let run = Run::new(seed);
        for steps in 0.. {
            let disk = Memory::default();
            disk.fail_after(steps);
            let mut writer = writer(&disk);
            let confirmed = run.groups.iter().take_while(|group| writer.commit(group).is_ok()).count();
            for luck in [0, 350, 999, 1000] {
                let found = model(&disk.crash(luck));
                // The group on its way may have arrived whole; nothing before it may be missing.
                let next = run.states.get(confirmed + 1);
                assert!(
                    found == run.states[confirmed] || Some(&found) == next,
                    "seed {seed}, {steps} steps, luck {luck}, {confirmed} confirmed: {found:?}"
                );
            }
            if confirmed == run.groups.len() {
                break;
            }
        }
    }
}

fn boxed(seed: u64) -> Box<dyn Random + Send> {
    Box::new(random(seed))
}

#[tokio::test]
async fn a_folder_keeps_what_was_noticed_durable() {
    let dir = tempfile::tempdir().unwrap();
    let folder = || Folder::open(&dir.path().join("sessions")).unwrap();
    let (mut journal, found) = Journal::open(folder(), key(), boxed(1), 0).unwrap();
    assert_eq!(found, []);
    journal.record(&session(5));
    assert!(journal.flush());
    assert!(!journal.flush(), "nothing gathers");
    journal.record(&window(5, 44));
    assert!(!journal.flush(), "one group at a time");
    assert!(matches!(journal.notice().await, Notice::Durable { .. }));
    assert!(journal.flush());
    assert!(matches!(journal.notice().await, Notice::Durable { .. }));
    journal.record(&window(5, 45));
    drop(journal); // what still gathered was never promised
    assert_eq!(folder().names().unwrap(), [ended_name_of(1)]);

    let (mut journal, found) = Journal::open(folder(), key(), boxed(2), 0).unwrap();
    assert_eq!((found.len(), found[0].window.top), (1, 44));
    journal.record(&session(9));
    journal.complete();
    assert!(journal.flush());
    assert!(matches!(journal.notice().await, Notice::Durable { .. }));
    drop(journal);
    let (journal, found) = Journal::open(folder(), key(), boxed(3), 0).unwrap();
    assert_eq!((found.len(), found[0].session), (1, 9));
    drop(journal);
}

#[tokio::test]
async fn a_stalled_group_is_told_once_and_goes_through_in_the_end() {
    let disk = Memory::default();
    let (mut journal, _) = Journal::open(disk.clone(), key(), boxed(1), 0).unwrap();
    disk.set_free(Some(100));
    journal.record(&session(5));
    assert!(journal.flush());
    assert!(matches!(journal.notice().await, Notice::Stalled(_)));
    assert!(journal.is_busy());
    disk.set_free(None);
    assert!(matches!(journal.notice().await, Notice::Durable { .. }));
    assert_eq!(tops(&disk), [(5, 1)]);
    drop(journal);
}

#[test]
fn no_bytes_make_the_decoders_panic() {
    let (bytes, _) = three_groups();
    let mut dice = Dice(2026);
    for _ in 0..3_000 {
        let mut noise = bytes.clone();
        for _ in 0..=dice.below(6) {
            let at = dice.below(noise.len() as u64) as usize;
            noise[at] = dice.below(256) as u8;
        }
        noise.truncate(dice.below(noise.len() as u64 + 1) as usize);
        let _ = Entries::new(&noise).count();
        let _ = sessions(&disk_with(noise));
    }
}
