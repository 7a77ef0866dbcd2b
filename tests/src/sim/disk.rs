//! A server's disk, and what can become of it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use quorate_server::storage::{
    fs::{Fault, FaultyFs, Fs, MemoryFs},
    layout::Layout,
};

use super::random::Random;

/// A disk. Processes come and go, it stays.
#[derive(Debug)]
pub struct Disk {
    files: MemoryFs,
    faults: FaultyFs,
    layout: Layout,
    /// How it was at some time, for somebody to put back.
    copy: Option<MemoryFs>,
    /// At which change the power fails or an error comes.
    armed: Armed,
    was_damaged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Armed {
    Nothing,
    PowerCut(u64),
    Error(u64),
    Full,
}

/// How a mark is found in a segment of the log, see `docs/format.md`.
struct MarkFormat {
    align: usize,
    length: usize,
    /// Length and kind as they stand in its header.
    word: [u8; 8],
    word_at: usize,
    offset_at: usize,
    synced_at: usize,
}

const MARK: MarkFormat = MarkFormat {
    align: 8,
    length: 56,
    word: [32, 0, 0, 0, 2, 0, 0, 0],
    word_at: 8,
    offset_at: 32,
    synced_at: 40,
};

/// A file that was damaged, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Which bit of it was turned around.
    pub bit: usize,
}

impl Disk {
    /// An empty disk for a server with these folders.
    pub fn new(layout: Layout) -> Self {
        let (files, faults) = wrap(MemoryFs::new());
        let (copy, armed, was_damaged) = (None, Armed::Nothing, false);
        Self { files, faults, layout, copy, armed, was_damaged }
    }

    /// Where a server has its files.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What a process is given.
    pub fn fs(&self) -> Arc<dyn Fs> {
        Arc::new(self.faults.clone())
    }

    /// The power fails: what was not synced is lost, torn or there, as chance has it. A process
    /// that has it still open writes to nowhere.
    pub fn cut_power(&mut self, random: &mut Random) {
        // Mostly everything is lost, or nothing, or each thing is decided by itself.
        let kind = random.below(3);
        self.replace(self.files.crash(|outcomes| match kind {
            0 => 0,
            1 => outcomes - 1,
            _ => random.below(outcomes),
        }));
    }

    /// The process ends, and whatever it has written is there. One that still runs nevertheless
    /// would write to nowhere.
    pub fn let_go(&mut self) {
        self.replace(copy_of(&self.files));
    }

    /// Everything is gone.
    pub fn wipe(&mut self) {
        self.was_damaged = false;
        self.replace(MemoryFs::new());
    }

    /// Remembers how it is now.
    pub fn remember(&mut self) {
        self.copy = Some(copy_of(&self.files));
    }

    /// Makes it what it was when it was last remembered; false if it never was.
    pub fn roll_back(&mut self) -> bool {
        let Some(copy) = self.copy.take() else { return false };
        self.replace(copy);
        true
    }

    /// The power fails in the middle of the operation that comes after so many changes.
    pub fn arm_power_cut(&mut self, after: u64) {
        let at = self.faults.changes() + after;
        self.armed = Armed::PowerCut(at);
        self.faults.set(Fault::PowerCut(at));
    }

    /// Whether the power has failed.
    pub fn has_lost_power(&self) -> bool {
        matches!(self.armed, Armed::PowerCut(at) if self.faults.changes() > at)
    }

    /// The operation that comes after so many changes fails, once.
    pub fn arm_error(&mut self, after: u64) {
        let at = self.faults.changes() + after;
        self.armed = Armed::Error(at);
        self.faults.set(Fault::Change(at, io::ErrorKind::Other));
    }

    /// Whether an operation has failed.
    pub fn has_failed(&self) -> bool {
        matches!(self.armed, Armed::Error(at) if self.faults.changes() > at)
    }

    /// Whether bits of it were turned around since it was last replaced.
    pub fn was_damaged(&self) -> bool {
        self.was_damaged
    }

    /// What was damaged is in use no more.
    pub fn set_aside(&mut self) {
        self.was_damaged = false;
    }

    /// From now on there is no room, or there is room again.
    pub fn set_full(&mut self, full: bool) {
        self.disarm();
        if full {
            self.armed = Armed::Full;
            self.faults.set(Fault::Full(self.faults.changes()));
        }
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        self.armed == Armed::Full
    }

    /// Nothing is going to fail.
    pub fn disarm(&mut self) {
        self.armed = Armed::Nothing;
        self.faults.set(Fault::None);
    }

    /// Turns a bit around in a part of the log that was marked as durable, or in the checkpoint.
    /// None if there is no such part.
    pub fn damage(&mut self, random: &mut Random) -> Option<Damage> {
        let in_folder = |folder: PathBuf| {
            let names = self.files.list(&folder).unwrap_or_default();
            names.into_iter().map(move |name| folder.join(name)).collect::<Vec<_>>()
        };
        let logs = in_folder(self.layout.log());
        let data = in_folder(self.layout.data());
        let is_checkpoint = |path: &Path| path.extension().is_some_and(|name| name == "redb");
        let checkpoints: Vec<_> = data.into_iter().filter(|path| is_checkpoint(path)).collect();
        let files = if random.chance(0.8) { logs } else { checkpoints };
        if files.is_empty() {
            return None;
        }
        let path = random.pick(&files).clone();
        let sure = if is_checkpoint(&path) { usize::MAX } else { self.marked(&path) };
        let mut bit = None;
        self.files.damage(&path, |bytes| {
            let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            let sure = sure.min(used);
            if sure > 0 {
                let turned = random.below(sure * 8);
                bytes[turned / 8] ^= 1 << (turned % 8);
                bit = Some(turned);
            }
        });
        self.was_damaged |= bit.is_some();
        bit.map(|bit| Damage { path, bit })
    }

    /// Up to where the marks in a segment of the log say that it is durable, as far as a power cut
    /// leaves them. Damage behind that looks like the torn end of a write.
    fn marked(&self, segment: &Path) -> usize {
        let durable = self.files.crash(|_| 0);
        let mut marked = 0;
        let Ok(file) = durable.open(segment) else { return marked };
        let mut bytes =
            vec![0; usize::try_from(file.size().unwrap_or(0)).expect("it is in memory")];
        if file.read_at(0, &mut bytes).is_err() {
            return marked;
        }
        for (index, record) in bytes.windows(MARK.length).enumerate().step_by(MARK.align) {
            let number = |at: usize| {
                let bytes = record[at..at + 8].try_into().expect("they are eight");
                usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(0)
            };
            if record[MARK.word_at..].starts_with(&MARK.word) && number(MARK.offset_at) == index {
                marked = marked.max(number(MARK.synced_at));
            }
        }
        marked
    }

    fn replace(&mut self, files: MemoryFs) {
        (self.files, self.faults) = wrap(files);
        self.armed = Armed::Nothing;
    }
}

fn wrap(files: MemoryFs) -> (MemoryFs, FaultyFs) {
    let faults = FaultyFs::new(Arc::new(files.clone()), Fault::None);
    (files, faults)
}

fn copy_of(files: &MemoryFs) -> MemoryFs {
    files.crash(|outcomes| outcomes - 1)
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use quorate_protocol::Zxid;
    use quorate_server::storage::log::{Batch, Log, Options};

    use super::*;

    const FILE: &str = "/log/quorate/log/1.log";

    fn disk() -> Disk {
        let layout = Layout::new(Path::new("/data"), Path::new("/log"));
        let disk = Disk::new(layout.clone());
        disk.fs().create_dir(&layout.log()).unwrap();
        disk
    }

    fn write(disk: &Disk, byte: u8, sync: bool) {
        let path = Path::new(FILE);
        let file = disk.fs().open(path).or_else(|_| disk.fs().create(path)).unwrap();
        file.write_at(0, &[byte; 100]).unwrap();
        if sync {
            file.sync_data().unwrap();
            disk.fs().sync_dir(path.parent().unwrap()).unwrap();
        }
    }

    fn read(disk: &Disk) -> Option<u8> {
        let mut byte = [0];
        disk.fs().open(Path::new(FILE)).ok()?.read_at(0, &mut byte).ok()?;
        Some(byte[0])
    }

    #[test]
    fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let mut disk = disk();
            write(&disk, 1, true);
            write(&disk, 2, false);
            disk.cut_power(&mut Random::new(seed));
            seen.insert(read(&disk));
        }
        assert_eq!(seen, [Some(1), Some(2)].into());
    }

    #[test]
    fn the_end_of_a_process_loses_nothing_and_leaves_it_behind() {
        let mut disk = disk();
        write(&disk, 1, false);
        let left = disk.fs();
        disk.let_go();
        assert_eq!(read(&disk), Some(1));
        left.open(Path::new(FILE)).unwrap().write_at(0, &[9]).unwrap();
        assert_eq!(read(&disk), Some(1));
    }

    #[test]
    fn a_disk_is_rolled_back_to_what_it_was() {
        let mut disk = disk();
        assert!(!disk.roll_back());
        write(&disk, 1, true);
        disk.remember();
        write(&disk, 2, true);
        assert!(disk.roll_back());
        assert_eq!(read(&disk), Some(1));
        disk.wipe();
        assert_eq!(read(&disk), None);
    }

    /// A log of one synced batch of 56 bytes of mark and 128 of a transaction.
    fn log(disk: &Disk) -> (Log, PathBuf) {
        let layout = Layout::new(Path::new("/data"), Path::new("/log"));
        let options = Options { segment_bytes: 4096 };
        let mut log = Log::create(disk.fs(), &layout.log(), options, 7, 1, Zxid::ZERO).unwrap();
        let mut batch = Batch::new();
        batch.push(Zxid(1), |out| out.put_slice(&[1; 100]));
        log.append(&mut batch).unwrap();
        log.sync().unwrap();
        let segment = disk.files.list(&layout.log()).unwrap().remove(0);
        (log, layout.log().join(segment))
    }

    #[test]
    fn damage_is_in_what_a_durable_mark_covers() {
        let mut disk = disk();
        let (mut log, path) = log(&disk);
        let before = disk.marked(&path);
        log.mark().unwrap();
        assert_eq!(disk.marked(&path), before, "the mark is not durable");
        log.sync().unwrap();
        let marked = disk.marked(&path);
        assert_eq!(marked, before + 56 + 128);
        let bytes = (0..400).filter_map(|seed| {
            let damage = disk.damage(&mut Random::new(seed))?;
            assert_eq!(damage.path, path);
            disk.files.damage(&path, |bytes| bytes[damage.bit / 8] ^= 1 << (damage.bit % 8));
            Some(damage.bit / 8)
        });
        let last = bytes.max().unwrap();
        assert!(last < marked && last > before, "{before} < {last} < {marked}");
    }

    #[test]
    fn nothing_is_damaged_where_nothing_is_marked() {
        for seed in 0..40 {
            let mut disk = disk();
            write(&disk, 1, true);
            assert_eq!(disk.damage(&mut Random::new(seed)), None);
        }
    }

    #[test]
    fn faults_are_armed_for_later() {
        let mut disk = disk();
        write(&disk, 1, true);
        let file = disk.fs().open(Path::new(FILE)).unwrap();
        disk.arm_error(1);
        file.write_at(0, &[3]).unwrap();
        assert!(!disk.has_failed());
        file.sync_data().unwrap_err();
        assert!(disk.has_failed());
        file.sync_data().unwrap();
        disk.set_full(true);
        assert!(file.set_size(1000).unwrap_err().is_full());
        disk.disarm();
        file.set_size(1000).unwrap();
    }
}
