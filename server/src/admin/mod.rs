//! What operators ask: four-letter words, and the statistics behind them.

mod environment;
mod stats;
mod view;
mod whitelist;

pub use environment::{Environment, ZOOKEEPER_VERSION, full_version};
pub use stats::{
    Answer, ConnectionNumbers, ConnectionStats, Counter, Histogram, ServerStats, Summary,
    SummaryNumbers, Tally,
};
pub use view::{AdminView, FolderSizes, Mode, OpenFiles, TreeNumbers, WatchNumbers};
pub use whitelist::Whitelist;
