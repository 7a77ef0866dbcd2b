//! Records of one size, addressed by number: the nodes' slots and their extras.

/// No record.
pub(super) const NIL: u32 = u32::MAX;

/// Records to a chunk. Growing adds a chunk and moves nothing, so it takes the same short time
/// however many there are.
const CHUNK: usize = 4096;

/// A record that can lie in a list of vacant ones.
pub(super) trait Record: Copy {
    /// A record not in use, with the number of the next such.
    fn vacant(next: u32) -> Self;
    /// The next vacant record, if this one is not in use.
    fn next_vacant(&self) -> Option<u32>;
}

/// Records of one kind.
#[derive(Debug, Clone)]
pub(super) struct Slab<T> {
    chunks: Vec<Box<[T]>>,
    /// How many numbers were ever in use.
    end: u32,
    /// First of the list of vacant records below `end`.
    vacant: u32,
}

impl<T: Record> Slab<T> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), end: 0, vacant: NIL }
    }

    /// All numbers in use are below this.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Stores a record and returns its number.
    pub(super) fn insert(&mut self, record: T) -> u32 {
        let number = self.vacant;
        if number == NIL {
            self.push(record);
            return self.end - 1;
        }
        let place = &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK];
        self.vacant = place.next_vacant().expect("the list holds vacant records");
        *place = record;
        number
    }

    /// Stores a record behind all others.
    pub(super) fn push(&mut self, record: T) {
        let number = self.end as usize;
        if number == self.chunks.len() * CHUNK {
            self.chunks.push(vec![T::vacant(NIL); CHUNK].into_boxed_slice());
        }
        assert!(self.end < NIL - 1, "{number} records are as many as numbers can tell apart");
        self.chunks[number / CHUNK][number % CHUNK] = record;
        self.end += 1;
    }

    /// Leaves all numbers from `end` to this one vacant.
    pub(super) fn skip_to(&mut self, number: u32) {
        while self.end < number {
            let skipped = self.end;
            self.push(T::vacant(self.vacant));
            self.vacant = skipped;
        }
    }

    /// Makes the number free for another record.
    pub(super) fn remove(&mut self, number: u32) {
        let vacant = T::vacant(self.vacant);
        *self.get_mut(number) = vacant;
        self.vacant = number;
    }

    pub(super) fn get(&self, number: u32) -> &T {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }

    /// Whether the number stands for a record.
    pub(super) fn is_used(&self, number: u32) -> bool {
        number < self.end && self.get(number).next_vacant().is_none()
    }
}
