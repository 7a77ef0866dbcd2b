//! Recipes with a fault at each of their requests.
//!
//! Whatever happens, nothing is left in the tree that should not be there, nothing is lost or delivered twice beyond what
//! the recipe promises, and nobody else is held up. Locks meet lost connections and sessions in `tests/client/locks` too.

mod barriers;
mod exclusive;
mod harness;
mod members;
mod queues;
mod values;

use quorate_client::Client;

use self::harness::{CRASHES, Fault, Garbage, KINDS, Kind, at_each_request};

async fn nothing(_: &Client) {}
