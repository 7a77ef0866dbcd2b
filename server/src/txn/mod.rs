//! Transactions: what a write changes, as logged and replicated.
