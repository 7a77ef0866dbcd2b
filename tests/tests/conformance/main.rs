//! What clients see, tested at this project's server and at Apache ZooKeeper, the oracle.

mod bad_input;
mod clients;
mod differential;
mod four_letter;
