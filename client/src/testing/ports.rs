//! Ports that are free.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below what kernels take source ports from: no outgoing connection takes one of these between now and the server's start.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A loopback port that nothing listens on and that this process has not given out recently.
pub(super) fn free() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that test at the same time begin at different places.
    let spread = process::id().wrapping_mul(7919) % u32::from(COUNT);
    let begin = u16::try_from(spread).unwrap_or(0);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + begin.wrapping_add(step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no port is free between 10000 and 29999"))
}
