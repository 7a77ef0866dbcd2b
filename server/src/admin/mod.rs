//! What operators ask: four-letter words, and the statistics behind them.
//!
//! [`respond`] answers a word from what [`AdminView`] tells of the running server. The runtime
//! owns the state, implements the view and counts into [`ServerStats`].

mod connection;
mod environment;
mod measure;
mod metrics;
mod stats;
mod tally;
mod view;
mod whitelist;
mod words;

pub use connection::{ConnectionNumbers, ConnectionStats};
pub use environment::{Environment, ZOOKEEPER_VERSION, full_version};
pub use measure::{Counter, Histogram, Sizes, Summary, SummaryNumbers};
pub use stats::ServerStats;
pub use tally::{Answer, Tally};
pub use view::{AdminView, FolderSizes, LeaderNumbers, Mode, OpenFiles, TreeNumbers, WatchNumbers};
pub use whitelist::Whitelist;
pub use words::{argument_bytes, respond};

#[cfg(test)]
mod tests;
