//! Who is there: nodes that are kept, groups, and sets divided among their members.

mod group;
mod partitioner;
mod persistent_node;

pub use self::{
    group::GroupMember,
    partitioner::{SetPartitioner, Share},
    persistent_node::{PersistentNode, PersistentNodeBuilder, Presence},
};
