//! Who a connection is, and what an ACL lets it do.
