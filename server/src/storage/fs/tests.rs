//! The same cases on memory and on the real file system, then what only memory does: crash.

use std::sync::Arc;

use super::*;

fn check_both(case: impl Fn(Arc<dyn Fs>, &Path)) {
    let memory = Arc::new(MemoryFs::new());
    memory.create_dir(Path::new("/data")).unwrap();
    case(memory, Path::new("/data"));
    let dir = tempfile::tempdir().unwrap();
    case(Arc::new(RealFs), dir.path());
}

fn content(fs: &dyn Fs, path: &Path) -> Vec<u8> {
    read_file(fs, path).unwrap().expect("the file is there")
}

#[test]
fn names_come_and_go() {
    check_both(|fs, dir| {
        let (a, b) = (dir.join("a"), dir.join("b"));
        fs.create(&b).unwrap().write_at(0, b"old").unwrap();
        fs.create(&a).unwrap().write_at(0, b"new").unwrap();
        assert_eq!(fs.create(&a).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs.list(dir).unwrap(), ["a", "b"]);
        fs.rename(&a, &b).unwrap();
        assert_eq!(fs.list(dir).unwrap(), ["b"]);
        assert_eq!(content(&*fs, &b), b"new");
        fs.sync_dir(dir).unwrap();
        fs.remove(&b).unwrap();
        assert_eq!(fs.remove(&b).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs.open(&b).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs.list(&dir.join("none")).unwrap(), [""; 0]);
    });
}

#[test]
fn bytes_are_written_and_read_by_position() {
    check_both(|fs, dir| {
        let file = fs.create(&dir.join("f")).unwrap();
        file.write_at(3, b"def").unwrap();
        file.write_at(0, b"ab").unwrap();
        assert_eq!(content(&*fs, &dir.join("f")), b"ab\0def");
        file.set_size(4).unwrap();
        file.set_size(6).unwrap();
        assert_eq!(content(&*fs, &dir.join("f")), b"ab\0d\0\0");
        assert_eq!(file.size().unwrap(), 6);
        let past_the_end = file.read_at(4, &mut [0; 3]).unwrap_err();
        assert_eq!(past_the_end.kind(), io::ErrorKind::UnexpectedEof);
        file.sync_data().unwrap();
    });
}

#[test]
fn a_lock_is_exclusive_until_dropped() {
    check_both(|fs, dir| {
        let held = fs.lock(&dir.join("LOCK")).unwrap();
        assert!(held.is_some());
        assert!(fs.lock(&dir.join("LOCK")).unwrap().is_none());
        drop(held);
        assert!(fs.lock(&dir.join("LOCK")).unwrap().is_some());
    });
}

#[test]
fn folders_are_created_with_those_above() {
    check_both(|fs, dir| {
        let deep = dir.join("a").join("b");
        fs.create_dir(&deep).unwrap();
        fs.create_dir(&deep).unwrap();
        replace_file(&*fs, &deep.join("f"), b"1").unwrap();
        replace_file(&*fs, &deep.join("f"), b"22").unwrap();
        assert_eq!(content(&*fs, &deep.join("f")), b"22");
        assert_eq!(fs.list(&deep).unwrap(), ["f"]);
        assert_eq!(read_file(&*fs, &deep.join("g")).unwrap(), None);
    });
}

#[test]
fn a_folder_takes_its_files_along() {
    check_both(|fs, dir| {
        let (old, new) = (dir.join("old"), dir.join("new"));
        fs.create_dir(&old).unwrap();
        replace_file(&*fs, &old.join("f"), b"1").unwrap();
        fs.rename(&old, &new).unwrap();
        assert_eq!(fs.list(dir).unwrap(), ["new"]);
        assert_eq!(content(&*fs, &new.join("f")), b"1");
        fs.create_dir(&old).unwrap();
        assert_eq!(fs.list(&old).unwrap(), [""; 0]);
        let refused = fs.rename(&old, &new).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::DirectoryNotEmpty);
    });
}

#[test]
fn errors_name_operation_and_path() {
    check_both(|fs, dir| {
        let path = dir.join("missing");
        let text = fs.open(&path).unwrap_err().to_string();
        assert!(text.starts_with(&format!("open {}: ", path.display())), "{text}");
    });
}

fn with_file(bytes: &[u8]) -> (MemoryFs, PathBuf) {
    let fs = MemoryFs::new();
    let path = PathBuf::from("/d/f");
    fs.create_dir(Path::new("/d")).unwrap();
    replace_file(&fs, &path, bytes).unwrap();
    (fs, path)
}

#[test]
fn a_crash_loses_what_was_not_synced_sector_by_sector() {
    let (fs, path) = with_file(&[1; 1024]);
    fs.open(&path).unwrap().write_at(0, &[2; 1024]).unwrap();
    assert_eq!(content(&fs.crash(|_| 0), &path), [1; 1024]);
    assert_eq!(content(&fs.crash(|n| n - 1), &path), [2; 1024]);
    let mut choices = [0, 1].into_iter();
    let torn = content(&fs.crash(|_| choices.next().unwrap()), &path);
    assert_eq!((torn[511], torn[512]), (1, 2), "a later sector may survive an earlier one");
    fs.open(&path).unwrap().sync_data().unwrap();
    assert_eq!(content(&fs.crash(|_| 0), &path), [2; 1024]);
}

#[test]
fn a_crash_forgets_sizes_and_names() {
    let (fs, path) = with_file(b"kept");
    let file = fs.open(&path).unwrap();
    file.write_at(4, b" and more").unwrap();
    fs.create(Path::new("/d/g")).unwrap().sync_data().unwrap();
    let lost = fs.crash(|_| 0);
    assert_eq!(content(&lost, &path), b"kept");
    assert_eq!(lost.list(Path::new("/d")).unwrap(), ["f"], "a synced file needs its name, too");
    assert_eq!(fs.crash(|n| n - 1).list(Path::new("/d")).unwrap(), ["f", "g"]);
}

#[test]
fn a_crash_forgets_the_name_of_a_folder() {
    let (fs, _) = with_file(b"kept");
    let names = |fs: &MemoryFs| fs.list(Path::new("/")).unwrap();
    fs.rename(Path::new("/d"), Path::new("/e")).unwrap();
    assert_eq!(
        (names(&fs.crash(|_| 0)), names(&fs.crash(|n| n - 1))),
        (vec!["d".into()], vec!["e".into()])
    );
    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(names(&fs.crash(|_| 0)), ["e"]);
}

#[test]
fn a_replaced_file_is_old_or_new_wherever_the_power_goes() {
    let count = {
        let (fs, path) = with_file(&[1; 2000]);
        let faulty = FaultyFs::new(Arc::new(fs), Fault::None);
        replace_file(&faulty, &path, &[2; 3000]).unwrap();
        faulty.changes()
    };
    for cut in 0..count {
        let (fs, path) = with_file(&[1; 2000]);
        let faulty = FaultyFs::new(Arc::new(fs.clone()), Fault::PowerCut(cut));
        replace_file(&faulty, &path, &[2; 3000]).unwrap_err();
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let after = content(&fs.crash(|n| rng.usize(..n)), &path);
            assert!(after == [1; 2000] || after == [2; 3000], "cut {cut}, seed {seed}");
        }
    }
}

#[test]
fn a_full_disk_still_overwrites() {
    let (fs, path) = with_file(&[1; 100]);
    let faulty = FaultyFs::new(Arc::new(fs), Fault::Full(0));
    let file = faulty.open(&path).unwrap();
    file.write_at(0, &[2; 100]).unwrap();
    assert!(file.write_at(90, &[3; 20]).unwrap_err().is_full());
    faulty.set(Fault::None);
    file.write_at(90, &[3; 20]).unwrap();
}
