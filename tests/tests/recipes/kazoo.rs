//! Together with kazoo.
