//! How queues name their elements and write their data.

use bytes::{Buf, BufMut, Bytes};

use crate::error::ErrorKind;

/// How a queue names its elements and writes their data: in the way of which other program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueFormat {
    /// `queue-<number>`, or `queue-<priority><number>`: Curator's `DistributedQueue` and `DistributedPriorityQueue`. An
    /// element holds one item or several.
    Curator,
    /// `qn-<number>`, with the item as data: Curator's `SimpleDistributedQueue`, and ZooKeeper's own recipe.
    CuratorSimple,
    /// `entry-<priority>-<number>`, with the item as data: kazoo's `Queue` and `LockingQueue`.
    Kazoo,
}

/// How many digits ZooKeeper gives a sequential node.
const DIGITS: usize = 10;

/// The first four bytes of Curator's elements: the version of the format.
const VERSION: u32 = 0x0001_0001;
/// What comes before an item, and behind the last.
const ITEM: u8 = 1;
const END: u8 = 2;

impl QueueFormat {
    fn begin(self) -> &'static str {
        match self {
            Self::Curator => "queue-",
            Self::CuratorSimple => "qn-",
            Self::Kazoo => "entry-",
        }
    }

    /// Whether a child of the queue's node is an element.
    pub(super) fn is_element(self, name: &str) -> bool {
        name.starts_with(self.begin())
    }

    /// The name of an element before its number.
    pub(super) fn prefix(self, priority: Option<i32>) -> Result<String, ErrorKind> {
        let begin = self.begin();
        match (self, priority) {
            (Self::Kazoo, priority) => match priority.unwrap_or(100) {
                priority @ 0..=999 => Ok(format!("{begin}{priority:03}-")),
                _ => Err(ErrorKind::BadArgument("priorities of kazoo's queues go from 0 to 999")),
            },
            (_, None) => Ok(begin.to_owned()),
            // Negative ones come first, as two's complement has them among each other.
            (Self::Curator, Some(priority)) => {
                Ok(format!("{begin}{}{priority:08X}", u8::from(priority >= 0)))
            }
            (Self::CuratorSimple, Some(_)) => {
                Err(ErrorKind::BadArgument("Curator's simple queues have no priorities"))
            }
        }
    }

    /// The prefix of an element that was put: for one of the same priority.
    pub(super) fn prefix_of(name: &str) -> &str {
        &name[..name.len().saturating_sub(DIGITS)]
    }

    /// The data of an element.
    pub(super) fn encode(self, items: &[&[u8]]) -> Bytes {
        if self != Self::Curator {
            return items.concat().into();
        }
        let length = items.iter().map(|item| 5 + item.len()).sum::<usize>();
        let mut out = Vec::with_capacity(5 + length);
        out.put_u32(VERSION);
        for item in items {
            out.put_u8(ITEM);
            // A request is far shorter than that.
            out.put_u32(u32::try_from(item.len()).unwrap_or(u32::MAX));
            out.put_slice(item);
        }
        out.put_u8(END);
        out.into()
    }

    /// The items of an element.
    pub(super) fn decode(self, data: &Bytes) -> Result<Vec<Bytes>, ErrorKind> {
        if self != Self::Curator {
            return Ok(vec![data.clone()]);
        }
        let mut rest = data.clone();
        if rest.try_get_u32() != Ok(VERSION) {
            return Err(ErrorKind::Unexpected("version of an element's format"));
        }
        let mut items = Vec::new();
        loop {
            match rest.try_get_u8() {
                Ok(END) => return Ok(items),
                Ok(ITEM) => {}
                Ok(_) => return Err(ErrorKind::Unexpected("byte between an element's items")),
                Err(_) => return Err(ErrorKind::Unexpected("end of an element")),
            }
            let length = rest.try_get_u32().ok().and_then(|length| usize::try_from(length).ok());
            match length {
                Some(length) if length <= rest.len() => items.push(rest.split_to(length)),
                _ => return Err(ErrorKind::Unexpected("length of an element's item")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{QueueFormat::*, *};

    #[test]
    fn names_sort_by_priority() {
        let name = |format: QueueFormat, priority| format.prefix(priority).unwrap();
        assert_eq!(name(Kazoo, None), "entry-100-");
        assert_eq!(name(Kazoo, Some(7)), "entry-007-");
        assert_eq!(name(Curator, None), "queue-");
        assert_eq!(name(Curator, Some(10)), "queue-10000000A");
        assert_eq!(name(Curator, Some(-1)), "queue-0FFFFFFFF");
        assert_eq!(name(CuratorSimple, None), "qn-");
        assert!(Kazoo.prefix(Some(1000)).is_err());
        assert!(CuratorSimple.prefix(Some(1)).is_err());
        let priorities = [i32::MIN, -5, -1, 0, 1, 999, i32::MAX];
        let names: Vec<_> = priorities.iter().map(|p| name(Curator, Some(*p))).collect();
        assert!(names.is_sorted());
        assert_eq!(QueueFormat::prefix_of("entry-007-0000000012"), "entry-007-");
        assert_eq!(QueueFormat::prefix_of("short"), "");
    }

    #[test]
    fn data_is_written_as_curator_does() {
        let two = Curator.encode(&[b"ab", b""]);
        let bytes = [0, 1, 0, 1, 1, 0, 0, 0, 2, b'a', b'b', 1, 0, 0, 0, 0, 2];
        assert_eq!(two[..], bytes);
        assert_eq!(Curator.decode(&two).unwrap(), ["ab", ""]);
        assert_eq!(Kazoo.decode(&Kazoo.encode(&[b"ab"])).unwrap(), ["ab"]);
        for cut in 0..bytes.len() {
            assert!(Curator.decode(&two.slice(..cut)).is_err(), "cut at {cut}");
        }
        let wrong = Bytes::from_static(&[0, 1, 0, 1, 3]);
        assert!(Curator.decode(&wrong).is_err());
    }
}
