//! What operators ask: four-letter words, and the statistics behind them.
//!
//! [`respond`] answers a word from what [`AdminView`] tells of the running server. The runtime
//! owns the state, implements the view and counts into [`ServerStats`].

mod environment;
mod metrics;
mod stats;
mod view;
mod whitelist;
mod words;

pub use environment::{Environment, ZOOKEEPER_VERSION, full_version};
pub use stats::{
    Answer, ConnectionNumbers, ConnectionStats, Counter, Histogram, ServerStats, Summary,
    SummaryNumbers, Tally,
};
pub use view::{AdminView, FolderSizes, Mode, OpenFiles, TreeNumbers, WatchNumbers};
pub use whitelist::Whitelist;
pub use words::{argument_bytes, respond};

#[cfg(test)]
mod tests;
