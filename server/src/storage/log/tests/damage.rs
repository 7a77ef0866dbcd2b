//! Bits flip, files go missing, and files hold anything at all.

use proptest::prelude::*;

use super::*;

/// A closed log of three segments, and what it holds.
fn sample() -> (MemoryFs, PathBuf, Vec<Entry>) {
    let (fs, dir) = memory();
    let mut log = create(&(Arc::new(fs.clone()) as _), &dir);
    let mut expected = Vec::new();
    for n in [1, 3, 5, 7, 9] {
        let batch = entries(n..n + 2, 800);
        append(&mut log, &batch);
        expected.extend(batch);
    }
    log.close().unwrap();
    assert_eq!(fs.list(&dir).unwrap().len(), 3);
    (fs, dir, expected)
}

fn read(fs: &MemoryFs, dir: &Path) -> Result<Vec<Entry>, LogError> {
    open(&(Arc::new(fs.clone()) as _), dir, Zxid::ZERO).map(|(entries, _)| entries)
}

#[test]
fn no_flipped_bit_loses_a_transaction_in_silence() {
    let (fs, dir, expected) = sample();
    for name in fs.list(&dir).unwrap() {
        let path = dir.join(&name);
        let mut harmless = 0;
        for byte in 0..4096 {
            let damaged = fs.crash(|n| n - 1);
            damaged.damage(&path, |bytes| bytes[byte] ^= 1 << (byte % 8));
            match read(&damaged, &dir) {
                Ok(found) => {
                    assert_eq!(found, expected, "{name} byte {byte}");
                    harmless += 1;
                }
                Err(LogError::Corruption(corruption)) => {
                    assert!(corruption.offset <= byte as u64, "{name} byte {byte}: {corruption}");
                }
                Err(error) => panic!("{name} byte {byte}: {error}"),
            }
        }
        assert!(harmless < 2500, "{name}: {harmless} bytes are not checked");
    }
}

#[test]
fn zeroed_and_cut_regions_are_damage() {
    let (fs, dir, expected) = sample();
    for name in fs.list(&dir).unwrap() {
        for offset in (512..2048).step_by(512) {
            let zeroed = fs.crash(|n| n - 1);
            zeroed.damage(&dir.join(&name), |bytes| bytes[offset..offset + 512].fill(0));
            assert!(matches!(read(&zeroed, &dir), Err(LogError::Corruption(_))), "{name} {offset}");
        }
        let cut = fs.crash(|n| n - 1);
        cut.damage(&dir.join(&name), |bytes| bytes.truncate(3000));
        match read(&cut, &dir) {
            Ok(found) => assert_eq!((&*name, found), ("0000000000000003.log", expected.clone())),
            Err(error) => assert!(matches!(error, LogError::Corruption(_)), "{name}: {error}"),
        }
    }
}

#[test]
fn a_missing_segment_is_noticed_wherever_it_was() {
    let (fs, dir, _) = sample();
    for name in fs.list(&dir).unwrap() {
        let missing = fs.crash(|n| n - 1);
        missing.remove(&dir.join(&name)).unwrap();
        assert!(matches!(read(&missing, &dir), Err(LogError::Corruption(_))), "{name}");
    }
}

#[test]
fn a_segment_of_another_log_is_noticed() {
    let (fs, dir, _) = sample();
    let (other, other_dir) = memory();
    let dyn_other: Arc<dyn Fs> = Arc::new(other.clone());
    let mut log = Log::create(dyn_other, &other_dir, SMALL, 1, 1, Zxid(4)).unwrap();
    append(&mut log, &entries(5..7, 800));
    let first = other_dir.join("0000000000000001.log");
    let bytes = crate::storage::fs::read_file(&other, &first).unwrap().unwrap();
    for name in fs.list(&dir).unwrap() {
        let mixed = fs.crash(|n| n - 1);
        mixed.damage(&dir.join(&name), |there| there.clone_from(&bytes));
        assert!(matches!(read(&mixed, &dir), Err(LogError::Corruption(_))), "{name}");
    }
}

#[test]
fn only_the_last_batch_of_a_log_that_was_not_closed_can_pass_for_a_torn_end() {
    let (fs, dir) = memory();
    let mut log = create(&(Arc::new(fs.clone()) as _), &dir);
    append(&mut log, &entries(1..=1, 100));
    append(&mut log, &entries(2..=2, 100));
    let damage = |offset: usize| {
        let damaged = fs.crash(|n| n - 1);
        damaged.damage(&dir.join("0000000000000001.log"), |bytes| bytes[offset] ^= 1);
        read(&damaged, &dir)
    };
    assert_eq!(damage(512 + 184 + 80).unwrap(), entries(1..=1, 100));
    assert!(matches!(damage(512 + 80), Err(LogError::Corruption(_))));
    log.mark().unwrap();
    let damaged = fs.crash(|n| n - 1);
    damaged.damage(&dir.join("0000000000000001.log"), |bytes| bytes[512 + 184 + 80] ^= 1);
    assert!(matches!(read(&damaged, &dir), Err(LogError::Corruption(_))));
}

/// The mark of an idle log is not synced; what a start has found is durable and says so itself.
#[test]
fn what_a_start_has_found_cannot_pass_for_a_torn_end_later() {
    let (fs, dir) = memory();
    let mut log = create(&(Arc::new(fs.clone()) as _), &dir);
    append(&mut log, &entries(1..=1, 800));
    log.mark().unwrap();
    // A first cut of the power takes the mark.
    let survivor = fs.crash(|_| 0);
    let (found, _) = open(&(Arc::new(survivor.clone()) as _), &dir, Zxid::ZERO).unwrap();
    assert_eq!(found, entries(1..=1, 800));
    let cut_again = survivor.crash(|_| 0);
    cut_again.damage(&dir.join("0000000000000001.log"), |bytes| bytes[1000] ^= 1);
    assert!(matches!(read(&cut_again, &dir), Err(LogError::Corruption(_))));
}

#[test]
fn the_report_names_file_place_and_transaction() {
    let (fs, dir, _) = sample();
    fs.damage(&dir.join("0000000000000002.log"), |bytes| bytes[700] ^= 1);
    let Err(LogError::Corruption(corruption)) = read(&fs, &dir) else { panic!("not noticed") };
    assert_eq!(corruption.file, dir.join("0000000000000002.log"));
    assert_eq!((corruption.offset, corruption.last), (568, Zxid(4)));
}

proptest! {
    #[test]
    fn any_bytes_can_be_opened(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let (fs, dir, _) = sample();
        for name in ["0000000000000001.log", "0000000000000002.log", "0000000000000003.log"] {
            let any = fs.crash(|n| n - 1);
            any.damage(&dir.join(name), |content| content.clone_from(&bytes));
            prop_assert!(read(&any, &dir).is_err());
        }
    }

    #[test]
    fn any_bytes_can_follow_a_header(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        length in any::<u32>(),
        at in 512_usize..2200,
    ) {
        let (fs, dir, expected) = sample();
        for name in ["0000000000000001.log", "0000000000000003.log"] {
            let any = fs.crash(|n| n - 1);
            any.damage(&dir.join(name), |content| {
                let end = content.len().min(at + bytes.len());
                content[at..end].copy_from_slice(&bytes[..end - at]);
                content[at / 8 * 8 + 8..][..4].copy_from_slice(&length.to_le_bytes());
            });
            // In the last segment the bytes may have replaced the evidence with the records.
            if let Ok(found) = read(&any, &dir) {
                prop_assert!(expected.starts_with(&found), "{}", name);
                prop_assert!(name != "0000000000000001.log" || found == expected);
            }
        }
    }
}
