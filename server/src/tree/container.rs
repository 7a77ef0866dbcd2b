//! Which containers and TTL nodes are due to be removed (`ContainerManager` in ZooKeeper).

use super::{Node, NodeKind, Tree};

/// How far one look for due nodes goes, and what counts as due.
#[derive(Debug, Clone, Copy)]
pub struct ReapLimits {
    /// Look at no more nodes than this.
    pub look_at: usize,
    /// Find no more nodes than this.
    pub find: usize,
    /// A container that never had a child is due after this many milliseconds; never if 0.
    pub never_used_ms: i64,
}

/// What one look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reapable {
    /// The paths of due nodes. Whether they still are must be checked when they are removed.
    pub paths: Vec<String>,
    /// Where to go on; none when all nodes were looked at.
    pub next: Option<u32>,
}

impl Tree {
    /// Looks for containers and TTL nodes that are due, from `from` on: 0, then what the last call
    /// said.
    pub fn expired_containers(&self, from: u32, now_ms: i64, limits: &ReapLimits) -> Reapable {
        let mut found = Reapable::default();
        for (looked_at, &slot) in self.reapable.range(from..).enumerate() {
            if looked_at == limits.look_at || found.paths.len() == limits.find {
                found.next = Some(slot);
                break;
            }
            let node = Node::new(self, slot);
            if is_due(&node, now_ms, limits) {
                found.paths.push(node.path());
            }
        }
        found
    }
}

fn is_due(node: &Node<'_>, now_ms: i64, limits: &ReapLimits) -> bool {
    let unwritten_ms = now_ms.saturating_sub(node.stat().mtime);
    node.child_count() == 0
        && match node.kind() {
            NodeKind::Container if node.create_count() > 0 => true,
            NodeKind::Container => limits.never_used_ms != 0 && unwritten_ms > limits.never_used_ms,
            NodeKind::Ttl(ttl_ms) => unwritten_ms > ttl_ms,
            NodeKind::Persistent | NodeKind::Ephemeral(_) => false,
        }
}
