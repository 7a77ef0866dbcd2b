//! Watches: who wants to know of which change.
