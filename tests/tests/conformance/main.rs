//! What clients see, tested at this project's server and at Apache ZooKeeper, the oracle.

mod differential;
