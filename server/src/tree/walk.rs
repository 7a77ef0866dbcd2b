//! A way through all nodes that can be interrupted.

use super::{Node, ROOT, Tree, node, packed, slab::NIL};

/// A place on the way through all nodes of a tree, every one behind its parent and with its path.
///
/// The tree is not held on to, and must not have changed when the way goes on.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    last: Option<u32>,
    path: String,
    at_end: bool,
}

impl Walk {
    /// The next node and its path; the root's is empty.
    pub fn next<'w, 't>(&'w mut self, tree: &'t Tree) -> Option<(&'w str, Node<'t>)> {
        let next = match self.last {
            None => Some(ROOT),
            Some(_) if self.at_end => None,
            Some(last) => self.step(tree, last),
        };
        self.at_end = next.is_none();
        let slot = next?;
        self.last = Some(slot);
        Some((&self.path, Node::new(tree, slot)))
    }

    fn step(&mut self, tree: &Tree, last: u32) -> Option<u32> {
        let first_child = tree.store.own_extra(last).map_or(NIL, |extra| extra.first_child);
        if first_child != NIL {
            return Some(self.enter(tree, first_child));
        }
        let mut slot = last;
        while slot != ROOT {
            let place = tree.store.slots.get(slot);
            self.path.truncate(self.path.rfind('/').expect("below the root"));
            if place.next != NIL {
                return Some(self.enter(tree, place.next));
            }
            slot = place.parent;
        }
        None
    }

    fn enter(&mut self, tree: &Tree, slot: u32) -> u32 {
        self.path.push('/');
        self.path.push_str(node::text(packed::name(tree.store.bytes(slot))));
        slot
    }
}
