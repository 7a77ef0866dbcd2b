use std::path::Path;

use proptest::prelude::*;

use super::log::{End, LogReader, LogWriter};
use super::snapshot::{self, Snapshot};
use super::*;
use crate::storage::fs::MemoryFs;
use crate::tree::Tree;
use crate::txn::tests::real_log;

/// Of a ZooKeeper server 3.9.5 that was started and ended, with each kind of compression.
const SNAPSHOTS: [(&str, &[u8]); 3] = [
    ("snapshot.0", include_bytes!("testdata/snapshot.0")),
    ("snapshot.0.gz", include_bytes!("testdata/snapshot.0.gz")),
    ("snapshot.0.snappy", include_bytes!("testdata/snapshot.0.snappy")),
];

fn folder() -> MemoryFs {
    let fs = MemoryFs::new();
    fs.create_dir(Path::new("/z")).unwrap();
    fs
}

fn put(fs: &MemoryFs, name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new("/z").join(name);
    fs::remove_if_there(fs, &path).unwrap();
    fs.create(&path).unwrap().write_at(0, bytes).unwrap();
    path
}

fn read_snapshot(fs: &MemoryFs, name: &str, bytes: &[u8]) -> Result<Snapshot, FileError> {
    let path = put(fs, name, bytes);
    snapshot::read(fs, &Named::snapshot(&path).unwrap(), 0)
}

fn damage(error: FileError) -> String {
    match error {
        FileError::Damaged(damage) => damage.to_string(),
        FileError::Fs(error) => panic!("{error}"),
    }
}

#[test]
fn snapshots_of_zookeepers_are_read_with_each_compression() {
    let new = Tree::new(0);
    for (name, bytes) in SNAPSHOTS {
        let read = read_snapshot(&folder(), name, bytes).unwrap();
        assert_eq!((read.tree.digest(), read.tree.node_count()), (new.digest(), 5), "{name}");
        assert_eq!((read.bytes, read.exact_from, read.digest), (478, Zxid::ZERO, None), "{name}");
        read.tree.verify_digests().unwrap();
    }
}

#[test]
fn every_bit_of_a_snapshot_counts_and_so_does_its_length() {
    let fs = folder();
    let (name, whole) = SNAPSHOTS[0];
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x10;
        read_snapshot(&fs, name, &bytes).expect_err("a flipped bit");
        // What follows the tree need not be there.
        let is_whole = [whole.len() - 54, whole.len() - 21].contains(&at);
        assert_eq!(read_snapshot(&fs, name, &whole[..at]).is_ok(), is_whole, "cut at {at}");
    }
}

#[test]
fn a_damaged_packed_snapshot_is_not_taken_for_another_one() {
    let fs = folder();
    for (name, whole) in &SNAPSHOTS[1..] {
        for at in 0..whole.len() {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 0x10;
            // Not all of gzip's header means anything.
            if let Ok(read) = read_snapshot(&fs, name, &bytes) {
                assert_eq!(read.tree.digest(), Tree::new(0).digest(), "{name} {at}");
            }
            let cut = read_snapshot(&fs, name, &whole[..at]);
            assert!(cut.is_err() || at + 8 >= whole.len(), "{name} cut at {at}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_snapshot_is_said() {
    let fs = folder();
    let (name, whole) = SNAPSHOTS[0];
    let said = |bytes: &[u8]| damage(read_snapshot(&fs, name, bytes).unwrap_err());
    assert_eq!(said(b""), "/z/snapshot.0 is damaged at offset 0: it is too short for a snapshot");
    assert_eq!(
        said(&whole[..200]),
        "/z/snapshot.0 is damaged at offset 135: it ends within the tree"
    );
    let mut other = whole.to_vec();
    other[..4].copy_from_slice(b"ZKLG");
    assert_eq!(
        said(&other),
        "/z/snapshot.0 is damaged at offset 0: it begins with \"ZKLG\" instead of \"ZKSN\""
    );
    let mut flipped = whole.to_vec();
    flipped[0x60] ^= 1;
    assert_eq!(
        said(&flipped),
        "/z/snapshot.0 is damaged at offset 411: the checksum of its body is wrong"
    );
    let unpacked = read_snapshot(&fs, "snapshot.0.gz", b"no gzip").unwrap_err();
    let said = damage(unpacked);
    assert!(said.starts_with("/z/snapshot.0.gz is damaged at offset 0: it cannot be unpacked: "));
}

#[test]
fn a_snapshot_that_is_written_is_read() {
    let fs = folder();
    let mut tree = Tree::new(0);
    for bytes in real_log() {
        let record = quorate_protocol::Decode::from_bytes(bytes).unwrap();
        tree.apply(&record, &mut |_| {});
    }
    let path = Path::new("/z").join(snapshot::name(tree.last_zxid()));
    let length = snapshot::write(&*fs.create(&path).unwrap(), &tree).unwrap();
    let read = snapshot::read(&fs, &Named::snapshot(&path).unwrap(), 1).unwrap();
    assert_eq!(read.bytes, length);
    assert_eq!(read.digest, Some((tree.last_zxid(), tree.digest())));
    assert_eq!(read.exact_from, tree.last_zxid());
    assert_eq!(read.tree.digest(), tree.digest());
    assert_eq!(read.tree.sessions(), tree.sessions());
    assert_eq!(read.tree.ephemeral_count(), tree.ephemeral_count());
}

/// A log of the real transactions, with zeros behind them; and where each record begins.
fn real_file(fs: &MemoryFs) -> (Vec<u8>, Vec<usize>) {
    let path = put(fs, "log.1", b"");
    let mut writer = LogWriter::new(fs.open(&path).unwrap());
    let mut starts = Vec::new();
    let mut at = HEADER;
    for bytes in real_log() {
        starts.push(at);
        at += 12 + bytes.len() + 1;
        writer.push(bytes).unwrap();
    }
    writer.finish().unwrap();
    let mut bytes = fs::read_file(fs, &path).unwrap().unwrap();
    starts.push(bytes.len());
    bytes.resize(bytes.len() + 3000, 0);
    (bytes, starts)
}

fn read_log(fs: &MemoryFs, bytes: &[u8]) -> (Vec<Vec<u8>>, Result<End, FileError>) {
    let path = put(fs, "log.1", bytes);
    let mut found = Vec::new();
    let end = LogReader::open(fs, &path).and_then(|mut reader| {
        while reader.read()?.is_some() {
            found.push(reader.bytes().to_vec());
        }
        Ok(reader.end().unwrap())
    });
    (found, end)
}

#[test]
fn a_log_that_is_written_is_read() {
    let fs = folder();
    let (bytes, _) = real_file(&fs);
    let (found, end) = read_log(&fs, &bytes);
    assert_eq!(end.unwrap(), End::Whole);
    assert_eq!(found, real_log().map(<[u8]>::to_vec).collect::<Vec<_>>());
}

#[test]
fn a_log_ends_with_its_last_whole_record() {
    let fs = folder();
    let (bytes, starts) = real_file(&fs);
    let last = *starts.last().unwrap();
    for cut in (0..HEADER).chain(starts[50]..last) {
        for padding in [0, 2000] {
            let mut torn = bytes[..cut].to_vec();
            torn.resize(cut + padding, 0);
            if cut < HEADER && padding > 0 {
                continue;
            }
            let whole = starts.iter().filter(|&&start| start <= cut).count().saturating_sub(1);
            let (found, end) = read_log(&fs, &torn);
            assert_eq!(found.len(), whole, "cut at {cut}");
            let start = if cut < HEADER { 0 } else { starts[whole] };
            // The first bytes of a record are zeros anyway.
            let is_whole = cut >= HEADER && cut <= start + 4;
            let expected = if is_whole { End::Whole } else { End::Torn(start as u64) };
            assert_eq!(end.unwrap(), expected, "cut at {cut}");
        }
    }
}

#[test]
fn no_bit_in_the_middle_of_a_log_flips_unseen() {
    let fs = folder();
    let (bytes, starts) = real_file(&fs);
    let (count, last) = (starts.len() - 1, starts[starts.len() - 2]);
    for at in 0..starts[count] {
        if (4..HEADER).contains(&at) {
            continue;
        }
        for bit in [0x01, 0x80] {
            let mut flipped = bytes.clone();
            flipped[at] ^= bit;
            let (found, end) = read_log(&fs, &flipped);
            assert!(end.is_err() || (at >= last && found.len() == count - 1), "{at}: {end:?}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_log_is_said() {
    let fs = folder();
    let (bytes, starts) = real_file(&fs);
    let said = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        damage(read_log(&fs, &bytes).1.unwrap_err())
    };
    let at = starts[2];
    let place = format!("/z/log.1 is damaged at offset {at}");
    let behind = "(the last transaction before is 0x2)";
    assert_eq!(
        said(&|bytes| bytes[at + 30] ^= 1),
        format!("{place}: a record with a wrong checksum {behind}")
    );
    assert_eq!(
        said(&|bytes| bytes[starts[3] - 1] = 0),
        format!("{place}: a record without its last byte in front of good ones {behind}")
    );
    assert_eq!(
        said(&|bytes| bytes[at..starts[3]].fill(0)),
        format!("{place}: a record without a transaction in front of good ones {behind}")
    );
    assert_eq!(said(&|bytes| bytes[at + 8] = 0xff), format!("{place}: a negative length {behind}"));
    assert_eq!(
        said(&|bytes| bytes[at + 8] = 0x7f),
        format!("{place}: a record that is longer than the file in front of good ones {behind}")
    );
    assert_eq!(
        said(&|bytes| bytes[3] = b'X'),
        "/z/log.1 is damaged at offset 0: it begins with \"ZKLX\" instead of \"ZKLG\""
    );
}

#[test]
fn epochs_are_numbers() {
    let fs = folder();
    let dir = Path::new("/z");
    assert_eq!(epochs::read(&fs, dir).unwrap(), epochs::Epochs::default());
    epochs::write(&fs, dir, 7, 6).unwrap();
    put(&fs, "currentEpoch.tmp", b"7");
    let (accepted, current, was_advancing) = (Some(7), Some(6), true);
    assert_eq!(
        epochs::read(&fs, dir).unwrap(),
        epochs::Epochs { accepted, current, was_advancing }
    );
    put(&fs, "acceptedEpoch", b"7x");
    let said = damage(epochs::read(&fs, dir).unwrap_err());
    assert_eq!(said, "/z/acceptedEpoch is damaged at offset 0: \"7x\" is no epoch");
}

#[test]
fn other_names_are_passed_over() {
    let fs = folder();
    for name in [
        "log.1f",
        "log.2.gz",
        "log.x",
        "log.",
        "snapshot.1f",
        "snapshot.2.gz",
        "snapshot.3.lz4",
        "log.+1",
        "snapshot.a.b.c",
    ] {
        put(&fs, name, b"");
    }
    let names = |files: Vec<Named>| files.into_iter().map(|file| file.path).collect::<Vec<_>>();
    assert_eq!(names(logs(&fs, Path::new("/z")).unwrap()), [Path::new("/z/log.1f")]);
    assert_eq!(
        names(snapshots(&fs, Path::new("/z")).unwrap()),
        [Path::new("/z/snapshot.2.gz"), Path::new("/z/snapshot.1f")]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_make_a_reader_panic(
        kind in 0_usize..3,
        has_header in any::<bool>(),
        noise in prop::collection::vec(any::<u8>(), 0..300),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let fs = folder();
        let (name, whole) = SNAPSHOTS[kind];
        let mut bytes = if has_header { whole.to_vec() } else { noise.clone() };
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let _ = read_snapshot(&fs, name, &bytes);
        let _ = read_snapshot(&fs, "snapshot.0", &[&header(*b"ZKSN", -1)[..], &noise].concat());
        let _ = read_log(&fs, &[&header(*b"ZKLG", 0)[..], &noise].concat());
        let _ = read_log(&fs, &bytes);
    }
}
