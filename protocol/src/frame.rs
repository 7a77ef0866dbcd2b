//! How a stream of bytes is cut into frames.
