//! Files in memory that a crash treats as hardly as a disk may.
//!
//! [`MemoryFs::crash`] gives what is left after a power cut: of every sector of 512 bytes any
//! version since the last sync, whatever became of its neighbours; of every size any since then;
//! and of the names created, renamed and removed since the folder's last sync any selection. Who
//! calls it makes the choices, so the same choices leave the same files. Folders themselves are
//! durable at once, as [`Fs::create_dir`] promises.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{File, Fs, FsError, Lock, Result};

const SECTOR: usize = 512;

/// Files in memory. Clones are the same file system.
#[derive(Debug, Clone, Default)]
pub struct MemoryFs {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    folders: BTreeMap<PathBuf, Folder>,
    locks: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone, Default)]
struct Folder {
    /// Names as of the last sync.
    durable: BTreeMap<String, Arc<Mutex<Content>>>,
    /// Names as programs see them.
    current: BTreeMap<String, Arc<Mutex<Content>>>,
    /// What leads from `durable` to `current`.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Link(String, Arc<Mutex<Content>>),
    Unlink(String),
    Rename(String, String, Arc<Mutex<Content>>),
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// Earlier versions of the sectors written since the last sync, oldest first.
    unsynced: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// Earlier sizes since the last sync, oldest first.
    sizes: Vec<usize>,
}

#[derive(Debug)]
struct MemoryFile {
    content: Arc<Mutex<Content>>,
    path: PathBuf,
}

#[derive(Debug)]
struct MemoryLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.state.lock().locks.remove(&self.path);
    }
}

impl MemoryFs {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// The file system after a power cut now. `choose(n)` names one of `n` outcomes of a thing
    /// that was not synced: 0 is that nothing of it survived, `n - 1` that all did. This one lives
    /// on beside it, so that whoever still has it open does no harm to the survivor.
    #[must_use]
    pub fn crash(&self, mut choose: impl FnMut(usize) -> usize) -> Self {
        let state = self.state.lock();
        let folders = state
            .folders
            .iter()
            .map(|(path, folder)| (path.clone(), folder.crash(&mut choose)))
            .collect();
        Self { state: Arc::new(Mutex::new(State { folders, locks: BTreeSet::new() })) }
    }

    /// Runs `change` on the bytes of a file, durably, past all programs: for tests that damage it.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let content = self.content("damage", path).expect("a file to damage is there");
        let mut content = content.lock();
        change(&mut content.bytes);
        content.settle();
    }

    fn content(&self, operation: &'static str, path: &Path) -> Result<Arc<Mutex<Content>>> {
        self.with_folder(operation, path, |folder, name| {
            folder.current.get(name).cloned().ok_or(io::ErrorKind::NotFound)
        })
    }

    fn with_folder<T>(
        &self,
        operation: &'static str,
        path: &Path,
        run: impl FnOnce(&mut Folder, &str) -> std::result::Result<T, io::ErrorKind>,
    ) -> Result<T> {
        let (dir, name) = split(path);
        let mut state = self.state.lock();
        let done = match state.folders.get_mut(dir) {
            None => Err(io::ErrorKind::NotFound),
            Some(folder) => run(folder, name),
        };
        done.map_err(|kind| FsError::new(operation, path, kind.into()))
    }
}

fn split(path: &Path) -> (&Path, &str) {
    let dir = path.parent().expect("a file has a folder");
    let name = path.file_name().and_then(|name| name.to_str());
    (dir, name.expect("names of files are text"))
}

impl Folder {
    fn apply(names: &mut BTreeMap<String, Arc<Mutex<Content>>>, change: &Change) {
        match change {
            Change::Link(name, content) => {
                names.insert(name.clone(), content.clone());
            }
            Change::Unlink(name) => {
                names.remove(name);
            }
            Change::Rename(from, to, content) => {
                if names.get(from).is_some_and(|there| Arc::ptr_eq(there, content)) {
                    names.remove(from);
                }
                names.insert(to.clone(), content.clone());
            }
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.current, &change);
        self.pending.push(change);
    }

    fn crash(&self, choose: &mut impl FnMut(usize) -> usize) -> Self {
        let mut names = self.durable.clone();
        for change in &self.pending {
            if choose(2) == 1 {
                Self::apply(&mut names, change);
            }
        }
        for content in names.values_mut() {
            let survived = content.lock().crash(choose);
            *content = Arc::new(Mutex::new(survived));
        }
        Self { durable: names.clone(), current: names, pending: Vec::new() }
    }
}

impl Content {
    fn sector(&self, index: usize) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        let start = (index * SECTOR).min(self.bytes.len());
        let end = (start + SECTOR).min(self.bytes.len());
        sector[..end - start].copy_from_slice(&self.bytes[start..end]);
        sector
    }

    fn resize(&mut self, size: usize) {
        if size == self.bytes.len() {
            return;
        }
        // What is cut off must not come back as content when the file grows again.
        if size < self.bytes.len() {
            let end = self.bytes.len();
            self.overwrite(size, &vec![0; end - size]);
        }
        self.sizes.push(self.bytes.len());
        self.bytes.resize(size, 0);
    }

    fn overwrite(&mut self, offset: usize, data: &[u8]) {
        for index in offset / SECTOR..(offset + data.len()).div_ceil(SECTOR) {
            let before = self.sector(index);
            self.unsynced.entry(index).or_default().push(before);
        }
        self.bytes[offset..offset + data.len()].copy_from_slice(data);
    }

    fn settle(&mut self) {
        self.unsynced.clear();
        self.sizes.clear();
    }

    fn crash(&self, choose: &mut impl FnMut(usize) -> usize) -> Self {
        let mut bytes = self.bytes.clone();
        let longest = self.sizes.iter().copied().fold(bytes.len(), usize::max);
        bytes.resize(longest.next_multiple_of(SECTOR), 0);
        for (&index, versions) in &self.unsynced {
            if let Some(version) = versions.get(choose(versions.len() + 1)) {
                bytes[index * SECTOR..][..SECTOR].copy_from_slice(version);
            }
        }
        let size = match self.sizes.len() {
            0 => self.bytes.len(),
            n => *self.sizes.get(choose(n + 1)).unwrap_or(&self.bytes.len()),
        };
        bytes.truncate(size);
        Self { bytes, ..Self::default() }
    }
}

impl Fs for MemoryFs {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        let content = self.with_folder("create", path, |folder, name| {
            if folder.current.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists);
            }
            let content = Arc::new(Mutex::new(Content::default()));
            folder.change(Change::Link(name.to_owned(), content.clone()));
            Ok(content)
        })?;
        Ok(Box::new(MemoryFile { content, path: path.to_owned() }))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        let content = self.content("open", path)?;
        Ok(Box::new(MemoryFile { content, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        debug_assert_eq!(from.parent(), to.parent(), "one sync_dir covers both names");
        let (_, new_name) = split(to);
        self.with_folder("rename", from, |folder, name| {
            let content = folder.current.get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
            folder.change(Change::Rename(name.to_owned(), new_name.to_owned(), content));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.with_folder("remove", path, |folder, name| {
            if !folder.current.contains_key(name) {
                return Err(io::ErrorKind::NotFound);
            }
            folder.change(Change::Unlink(name.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let mut state = self.state.lock();
        let Some(folder) = state.folders.get_mut(dir) else {
            return Err(FsError::new("sync folder", dir, io::ErrorKind::NotFound.into()));
        };
        folder.durable.clone_from(&folder.current);
        folder.pending.clear();
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        let folders = &mut self.state.lock().folders;
        for dir in dir.ancestors() {
            folders.entry(dir.to_owned()).or_default();
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let state = self.state.lock();
        let folder = state.folders.get(dir);
        Ok(folder.map_or_else(Vec::new, |folder| folder.current.keys().cloned().collect()))
    }

    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Lock>>> {
        let is_free = self.state.lock().locks.insert(path.to_owned());
        Ok(is_free.then(|| -> Box<dyn Lock> {
            Box::new(MemoryLock { state: self.state.clone(), path: path.to_owned() })
        }))
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("a file in memory has an offset that fits into it")
}

impl File for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let content = self.content.lock();
        let end = index(offset).saturating_add(buffer.len());
        let Some(bytes) = content.bytes.get(index(offset)..end) else {
            return Err(FsError::new("read", &self.path, io::ErrorKind::UnexpectedEof.into()));
        };
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut content = self.content.lock();
        let end = index(offset) + data.len();
        if end > content.bytes.len() {
            content.resize(end);
        }
        content.overwrite(index(offset), data);
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.content.lock().bytes.len() as u64)
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.content.lock().resize(index(size));
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.content.lock().settle();
        Ok(())
    }
}
