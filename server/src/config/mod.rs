//! Settings: as written in `zoo.cfg`, then as meant.
