//! A file system over another that keeps every change to itself.
//!
//! With it the code that starts a server can be run over files that must stay as they are: what it
//! would change is changed in memory, in pages, and forgotten with the value. A sync does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{File, Fs, FsError, Lock, Result};

const PAGE: u64 = 4096;

/// Another file system, and what was changed. Clones share the changes.
#[derive(Debug, Clone)]
pub struct OverlayFs {
    base: Arc<dyn Fs>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The files that were opened, created or removed.
    files: BTreeMap<PathBuf, Option<Arc<Mutex<Content>>>>,
    folders: BTreeSet<PathBuf>,
}

#[derive(Debug)]
struct Content {
    /// The file below, and how much of it counts.
    base: Option<(Box<dyn File>, u64)>,
    size: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

#[derive(Debug)]
struct OverlayFile {
    content: Arc<Mutex<Content>>,
    path: PathBuf,
}

/// Nobody else can see the file that it would be of.
#[derive(Debug)]
struct OwnLock;

impl Lock for OwnLock {}

impl OverlayFs {
    /// Begins without changes.
    pub fn new(base: Arc<dyn Fs>) -> Self {
        Self { base, state: Arc::default() }
    }

    fn content(&self, operation: &'static str, path: &Path) -> Result<Arc<Mutex<Content>>> {
        let mut state = self.state.lock();
        match state.files.get(path) {
            Some(Some(content)) => return Ok(content.clone()),
            Some(None) => return Err(FsError::new(operation, path, not_found())),
            None => {}
        }
        let file = self.base.open_to_read(path)?;
        let size = file.size()?;
        let content = Content { base: Some((file, size)), size, pages: BTreeMap::new() };
        let content = Arc::new(Mutex::new(content));
        state.files.insert(path.to_owned(), Some(content.clone()));
        Ok(content)
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Fs for OverlayFs {
    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        match self.content("create", path) {
            Ok(_) => {
                return Err(FsError::new("create", path, io::ErrorKind::AlreadyExists.into()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let content = Content { base: None, size: 0, pages: BTreeMap::new() };
        let content = Arc::new(Mutex::new(content));
        self.state.lock().files.insert(path.to_owned(), Some(content.clone()));
        Ok(Box::new(OverlayFile { content, path: path.to_owned() }))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>> {
        let content = self.content("open", path)?;
        Ok(Box::new(OverlayFile { content, path: path.to_owned() }))
    }

    /// Files only.
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let content = self.content("rename", from)?;
        let mut state = self.state.lock();
        state.files.insert(from.to_owned(), None);
        state.files.insert(to.to_owned(), Some(content));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.content("remove", path)?;
        self.state.lock().files.insert(path.to_owned(), None);
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        self.state.lock().folders.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let mut names: BTreeSet<String> = self.base.list(dir)?.into_iter().collect();
        let state = self.state.lock();
        let name = |path: &PathBuf| {
            let is_in = path.parent() == Some(dir);
            path.file_name().filter(|_| is_in)?.to_str().map(str::to_owned)
        };
        names.extend(state.folders.iter().filter_map(name));
        for (path, content) in &state.files {
            match (name(path), content) {
                (Some(name), Some(_)) => _ = names.insert(name),
                (Some(name), None) => _ = names.remove(&name),
                (None, _) => {}
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The lock below, where its file is there and may be opened: who holds it is still at work.
    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Lock>>> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let dir = path.parent().unwrap_or(Path::new("/"));
        if !self.base.list(dir)?.iter().any(|there| there == name) {
            return Ok(Some(Box::new(OwnLock)));
        }
        match self.base.lock(path) {
            Err(error) if may_not_be_written(error.kind()) => Ok(Some(Box::new(OwnLock))),
            locked => locked,
        }
    }
}

fn may_not_be_written(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

impl Content {
    /// Reads within one page.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if let Some(page) = self.pages.get(&(offset / PAGE)) {
            let start = index(offset % PAGE);
            buffer.copy_from_slice(&page[start..start + buffer.len()]);
            return Ok(());
        }
        self.read_base(offset, buffer)
    }

    /// Reads what is below; behind its end there are zeros.
    fn read_base(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let size = self.base.as_ref().map_or(0, |(_, size)| *size);
        let there = index(size.saturating_sub(offset).min(buffer.len() as u64));
        let (below, behind) = buffer.split_at_mut(there);
        behind.fill(0);
        match &self.base {
            Some((file, _)) if !below.is_empty() => file.read_at(offset, below),
            _ => Ok(()),
        }
    }

    /// The page, to be written to.
    fn page(&mut self, number: u64) -> Result<&mut Vec<u8>> {
        if !self.pages.contains_key(&number) {
            let mut page = vec![0; index(PAGE)];
            self.read_base(number * PAGE, &mut page)?;
            self.pages.insert(number, page);
        }
        Ok(self.pages.get_mut(&number).expect("it is there now"))
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("what is kept in memory fits into it")
}

/// The parts of `offset..offset + length` that are in one page each: where each begins, and how
/// long it is.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize)> {
    let end = offset + length as u64;
    let part = move |at: u64| (at < end).then(|| (at, index((PAGE - at % PAGE).min(end - at))));
    std::iter::successors(part(offset), move |&(at, length)| part(at + length as u64))
}

impl File for OverlayFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let content = self.content.lock();
        if offset + buffer.len() as u64 > content.size {
            return Err(FsError::new("read", &self.path, io::ErrorKind::UnexpectedEof.into()));
        }
        if content.pages.is_empty() {
            return content.read_base(offset, buffer);
        }
        let mut rest = buffer;
        for (at, length) in parts(offset, rest.len()) {
            let (part, behind) = rest.split_at_mut(length);
            content.read(at, part)?;
            rest = behind;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut content = self.content.lock();
        let mut rest = data;
        for (at, length) in parts(offset, data.len()) {
            let (part, behind) = rest.split_at(length);
            let start = index(at % PAGE);
            content.page(at / PAGE)?[start..start + length].copy_from_slice(part);
            rest = behind;
        }
        content.size = content.size.max(offset + data.len() as u64);
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.content.lock().size)
    }

    fn set_size(&self, size: u64) -> Result<()> {
        let mut content = self.content.lock();
        if size < content.size {
            // What is cut off must not come back when the file grows again.
            if !size.is_multiple_of(PAGE) {
                content.page(size / PAGE)?[index(size % PAGE)..].fill(0);
            }
            content.pages.retain(|number, _| number * PAGE < size);
            if let Some((_, counts)) = &mut content.base {
                *counts = size.min(*counts);
            }
        }
        content.size = size;
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::MemoryFs;
    use super::*;

    fn content(file: &dyn File) -> Vec<u8> {
        let mut bytes = vec![0; index(file.size().unwrap())];
        file.read_at(0, &mut bytes).unwrap();
        bytes
    }

    fn file(fs: &dyn Fs, path: &str, bytes: &[u8]) -> Box<dyn File> {
        let file = fs.create(Path::new(path)).unwrap();
        file.write_at(0, bytes).unwrap();
        file
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        Resize(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let write = (0_u64..9000, prop::collection::vec(1_u8.., 0..6000));
        prop_oneof![
            write.prop_map(|(offset, bytes)| Step::Write(offset, bytes)),
            (0_u64..16000).prop_map(Step::Resize)
        ]
    }

    proptest! {
        #[test]
        fn it_reads_as_if_it_had_been_written(
            before in prop::collection::vec(1_u8.., 0..10_000),
            steps in prop::collection::vec(step(), 0..12),
        ) {
            let (plain, below) = (MemoryFs::new(), Arc::new(MemoryFs::new()));
            for fs in [&plain, &*below] {
                fs.create_dir(Path::new("/d")).unwrap();
                file(fs, "/d/a", &before);
            }
            let overlay = OverlayFs::new(below.clone());
            let files = [plain.open(Path::new("/d/a")).unwrap(), overlay.open(Path::new("/d/a")).unwrap()];
            for step in steps {
                for file in &files {
                    match &step {
                        Step::Write(offset, bytes) => file.write_at(*offset, bytes).unwrap(),
                        Step::Resize(size) => file.set_size(*size).unwrap(),
                    }
                }
                prop_assert_eq!(content(&*files[0]), content(&*files[1]));
            }
            prop_assert_eq!(content(&*below.open(Path::new("/d/a")).unwrap()), before);
        }
    }

    #[test]
    fn names_change_only_above() {
        let below = Arc::new(MemoryFs::new());
        let dir = Path::new("/d");
        below.create_dir(dir).unwrap();
        file(&*below, "/d/a", b"a");
        file(&*below, "/d/b", b"b");
        let fs = OverlayFs::new(below.clone());
        assert!(fs.create(Path::new("/d/a")).is_err());
        fs.remove(Path::new("/d/a")).unwrap();
        file(&fs, "/d/c", b"c");
        fs.rename(Path::new("/d/c"), Path::new("/d/b")).unwrap();
        fs.create_dir(Path::new("/d/e/f")).unwrap();
        assert_eq!(fs.list(dir).unwrap(), ["b", "e"]);
        assert_eq!(content(&*fs.open(Path::new("/d/b")).unwrap()), b"c");
        let gone = fs.open(Path::new("/d/a")).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        assert_eq!(below.list(dir).unwrap(), ["a", "b"]);
        assert_eq!(content(&*below.open(Path::new("/d/b")).unwrap()), b"b");
    }

    #[test]
    fn a_lock_that_is_held_below_is_seen() {
        let below = Arc::new(MemoryFs::new());
        below.create_dir(Path::new("/d")).unwrap();
        let fs = OverlayFs::new(below.clone());
        let path = Path::new("/d/LOCK");
        assert!(fs.lock(path).unwrap().is_some());
        assert!(below.list(Path::new("/d")).unwrap().is_empty());
        file(&*below, "/d/LOCK", b"");
        let held = below.lock(path).unwrap();
        assert!(fs.lock(path).unwrap().is_none());
        drop(held);
        assert!(fs.lock(path).unwrap().is_some());
    }
}
