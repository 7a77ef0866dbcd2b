//! Clients: sessions that move between servers, expire and begin again, and speak in frames.

mod session;
mod work;

pub use session::{Act, Client, Manners, Scene};
pub use work::{Habits, Work};
