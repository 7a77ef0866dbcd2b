//! The client against servers that the test plays itself, over streams in memory and on virtual
//! time.

mod barriers;
mod connections;
mod folder;
mod hostile;
mod losses;
mod peer;
mod sasl;
mod spans;
#[cfg(feature = "srv")]
mod srv;
#[cfg(feature = "tls")]
mod tls;
mod watches;
