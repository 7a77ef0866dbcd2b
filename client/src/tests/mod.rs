//! The client against servers that the test plays itself, over streams in memory and on virtual
//! time.

mod connections;
mod peer;
mod watches;
