//! Memory for what nodes are made of: blocks of bytes in sizes a few percent apart, cut out of
//! pages.
//!
//! A tree holds millions of small, long-lived byte strings. Given to the process's allocator, each
//! would cost a wide pointer and whatever that allocator rounds up to; here each costs a 4-byte
//! handle and at most 7 bytes of rounding (12 % above 512 bytes), and data of about the same length
//! is overwritten where it stands. What is longer than an eighth of a page is left to the
//! allocator.
//!
//! The price: a free block serves only its own size, and its page serves another only when all of
//! its blocks are free. Nodes keep their size as a rule, so that this is seldom seen.
//!
//! Invariants: a page holds blocks of one class; it is in its class's list of partial pages if and
//! only if it has a block in use and one that is not.

/// Bytes of a page.
const PAGE: usize = 64 << 10;
/// Blocks begin at multiples of this.
const UNIT: usize = 8;
/// Bits of a handle that say where in its page a block begins.
const OFFSET_BITS: u32 = (PAGE / UNIT).trailing_zeros();
/// The bit of a handle that marks a large block.
const LARGE: u32 = 1 << 31;
/// Handles reach this many pages, 16 GiB; what is more goes to the allocator.
const MAX_PAGES: usize = (LARGE >> OFFSET_BITS) as usize;
/// Pages without content that keep their memory for the next who needs one.
const SPARE_PAGES: usize = 64;

const SMALLEST: usize = 16;
/// Up to here classes are a unit apart, above it eight to a doubling.
const FINE: usize = 512;
const LARGEST: usize = 8192;
const FINE_CLASSES: usize = (FINE - SMALLEST) / UNIT + 1;
const CLASSES: usize = FINE_CLASSES + 8 * (LARGEST / FINE).trailing_zeros() as usize;

/// No page, in lists of pages.
const NO_PAGE: u32 = u32::MAX;
/// No block, in a page's list of free blocks.
const NO_UNIT: u16 = u16::MAX;

/// Where a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockId(u32);

impl BlockId {
    /// No block.
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// The blocks of a tree.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    /// The memory of each page; empty where it was given back.
    pages: Vec<Box<[u8]>>,
    states: Vec<PageState>,
    /// For each class the first page of its list of partial pages.
    partial: [u32; CLASSES],
    /// Pages without content.
    spare: Vec<u32>,
    large: Vec<Box<[u8]>>,
    large_free: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct PageState {
    class: u8,
    /// Blocks in use.
    live: u16,
    /// Blocks that were ever in use since the page got its class; those behind are untouched.
    touched: u16,
    /// First of the free blocks among the touched, each of which names the next in its first bytes.
    free: u16,
    previous: u32,
    next: u32,
}

/// The class of blocks for `length` bytes; `None` if it is too long for a page.
fn class_of(length: usize) -> Option<usize> {
    if length <= FINE {
        return Some((length.max(SMALLEST) - SMALLEST).div_ceil(UNIT));
    }
    if length > LARGEST {
        return None;
    }
    let doubling = (length - 1).ilog2();
    let eighth = ((length - 1) >> (doubling - 3)) & 7;
    Some(FINE_CLASSES + (doubling - FINE.ilog2()) as usize * 8 + eighth)
}

/// Bytes of a block of `class`.
fn size_of_class(class: usize) -> usize {
    match class.checked_sub(FINE_CLASSES) {
        None => SMALLEST + class * UNIT,
        Some(coarse) => (FINE << (coarse / 8)) / 8 * (8 + coarse % 8 + 1),
    }
}

fn page_of(id: BlockId) -> usize {
    (id.0 >> OFFSET_BITS) as usize
}

fn offset_of(id: BlockId) -> usize {
    (id.0 & ((1 << OFFSET_BITS) - 1)) as usize * UNIT
}

fn large_of(id: BlockId) -> Option<usize> {
    (id.0 & LARGE != 0).then_some((id.0 & !LARGE) as usize)
}

/// A count or position that a handle or page state has room for by construction.
fn narrow<T: TryFrom<usize, Error: std::fmt::Debug>>(value: usize) -> T {
    T::try_from(value).expect("bounded by the size of a page and the number of pages")
}

impl Blocks {
    pub(super) fn new() -> Self {
        Self {
            pages: Vec::new(),
            states: Vec::new(),
            partial: [NO_PAGE; CLASSES],
            spare: Vec::new(),
            large: Vec::new(),
            large_free: Vec::new(),
        }
    }

    /// A block of at least `length` bytes; what is in it is unspecified.
    pub(super) fn allocate(&mut self, length: usize) -> BlockId {
        class_of(length)
            .and_then(|class| self.allocate_small(class))
            .unwrap_or_else(|| self.allocate_large(length))
    }

    /// Gives a block back.
    pub(super) fn free(&mut self, id: BlockId) {
        if let Some(index) = large_of(id) {
            self.large[index] = Box::default();
            self.large_free.push(narrow(index));
            return;
        }
        let page = page_of(id);
        let class = self.states[page].class.into();
        let at = offset_of(id);
        self.pages[page][at..at + 2].copy_from_slice(&self.states[page].free.to_le_bytes());
        let state = &mut self.states[page];
        let was_full = usize::from(state.live) == PAGE / size_of_class(class);
        state.free = narrow(at / UNIT);
        state.live -= 1;
        let empty = state.live == 0;
        match (was_full, empty) {
            (true, false) => self.link(page, class),
            (false, true) => self.unlink(page, class),
            _ => {}
        }
        if empty {
            self.retire(page);
        }
    }

    /// The bytes from the beginning of the block on. They reach past its end, so content must say
    /// itself where it ends.
    pub(super) fn get(&self, id: BlockId) -> &[u8] {
        match large_of(id) {
            Some(index) => &self.large[index],
            None => &self.pages[page_of(id)][offset_of(id)..],
        }
    }

    /// As [`Self::get`], to write at most as many bytes as were asked for.
    pub(super) fn get_mut(&mut self, id: BlockId) -> &mut [u8] {
        match large_of(id) {
            Some(index) => &mut self.large[index],
            None => &mut self.pages[page_of(id)][offset_of(id)..],
        }
    }

    /// Whether `length` bytes would get a block of just this one's size.
    pub(super) fn fits(&self, id: BlockId, length: usize) -> bool {
        match large_of(id) {
            Some(index) => self.large[index].len() == length,
            None => class_of(length) == Some(self.states[page_of(id)].class.into()),
        }
    }

    fn allocate_small(&mut self, class: usize) -> Option<BlockId> {
        let page = match self.partial[class] {
            NO_PAGE => self.open_page(class)?,
            page => page as usize,
        };
        let size = size_of_class(class);
        let state = &mut self.states[page];
        let unit = if state.free == NO_UNIT {
            state.touched += 1;
            usize::from(state.touched - 1) * size / UNIT
        } else {
            let unit = usize::from(state.free);
            let next = &self.pages[page][unit * UNIT..][..2];
            state.free = u16::from_le_bytes([next[0], next[1]]);
            unit
        };
        state.live += 1;
        if usize::from(state.live) == PAGE / size {
            self.unlink(page, class);
        }
        Some(BlockId(narrow((page << OFFSET_BITS) | unit)))
    }

    fn allocate_large(&mut self, length: usize) -> BlockId {
        let memory = vec![0; length].into_boxed_slice();
        let index = if let Some(index) = self.large_free.pop() {
            self.large[index as usize] = memory;
            index
        } else {
            self.large.push(memory);
            narrow(self.large.len() - 1)
        };
        assert!(index < LARGE - 1, "{index} large blocks are as many as handles can tell apart");
        BlockId(index | LARGE)
    }

    fn open_page(&mut self, class: usize) -> Option<usize> {
        let page = match self.spare.pop() {
            Some(page) => page as usize,
            None if self.pages.len() == MAX_PAGES => return None,
            None => {
                self.pages.push(Box::default());
                self.states.push(PageState {
                    class: 0,
                    live: 0,
                    touched: 0,
                    free: NO_UNIT,
                    previous: NO_PAGE,
                    next: NO_PAGE,
                });
                self.pages.len() - 1
            }
        };
        if self.pages[page].is_empty() {
            self.pages[page] = vec![0; PAGE].into_boxed_slice();
        }
        let state = &mut self.states[page];
        (state.class, state.touched, state.free) = (narrow(class), 0, NO_UNIT);
        self.link(page, class);
        Some(page)
    }

    /// A page has lost its last block.
    fn retire(&mut self, page: usize) {
        if self.spare.len() >= SPARE_PAGES {
            self.pages[page] = Box::default();
        }
        self.spare.push(narrow(page));
    }

    fn link(&mut self, page: usize, class: usize) {
        let next = self.partial[class];
        self.states[page].previous = NO_PAGE;
        self.states[page].next = next;
        if next != NO_PAGE {
            self.states[next as usize].previous = narrow(page);
        }
        self.partial[class] = narrow(page);
    }

    fn unlink(&mut self, page: usize, class: usize) {
        let PageState { previous, next, .. } = self.states[page];
        match previous {
            NO_PAGE => self.partial[class] = next,
            previous => self.states[previous as usize].next = next,
        }
        if next != NO_PAGE {
            self.states[next as usize].previous = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn classes_cover_every_length_closely() {
        let mut last = 0;
        for length in 0..=LARGEST {
            let class = class_of(length).unwrap();
            let size = size_of_class(class);
            assert!(class == last || class == last + 1, "length {length}");
            assert!(size >= length, "length {length} in a block of {size}");
            assert!(size <= SMALLEST || size < length + UNIT || size * 8 < length * 9 + 72);
            assert_eq!(size % UNIT, 0);
            last = class;
        }
        assert_eq!((last, class_of(LARGEST + 1)), (CLASSES - 1, None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Random allocations and frees: no two blocks overlap, contents stay.
        #[test]
        fn contents_stay(ops in prop::collection::vec((any::<bool>(), 1_usize..20_000, any::<u8>()), 1..600)) {
            let mut blocks = Blocks::new();
            let mut model: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
            for (free, length, fill) in ops {
                // Mostly one class, so that pages fill up and are used again.
                let length = if length % 3 == 0 { length } else { 4000 + length % 64 };
                if free && !model.is_empty() {
                    let (&id, _) = model.iter().nth(length % model.len()).unwrap();
                    model.remove(&id);
                    blocks.free(BlockId(id));
                } else {
                    let id = blocks.allocate(length);
                    blocks.get_mut(id)[..length].fill(fill);
                    assert!(blocks.fits(id, length));
                    assert!(model.insert(id.0, vec![fill; length]).is_none());
                }
                for (&id, content) in &model {
                    assert_eq!(&blocks.get(BlockId(id))[..content.len()], content);
                }
            }
            for (id, _) in std::mem::take(&mut model) {
                blocks.free(BlockId(id));
            }
            prop_assert_eq!(blocks.spare.len(), blocks.pages.len());
            prop_assert!(blocks.partial.iter().all(|&page| page == NO_PAGE));
        }
    }
}
