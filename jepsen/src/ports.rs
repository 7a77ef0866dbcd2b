//! Free ports for servers.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

use crate::network::Ports;

/// Below the range the kernel takes source ports from, so that no outgoing connection can grab one
/// while a server is down.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// Three ports for a server that nothing listens on.
pub(crate) fn for_server() -> anyhow::Result<Ports> {
    Ok(Ports { client: free()?, quorum: free()?, election: free()? })
}

fn free() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run at the same time begin at different places.
    let begin = u16::try_from(std::process::id().wrapping_mul(89) % u32::from(COUNT))
        .expect("the remainder is below 20,000");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = (u32::from(begin) + u32::from(step)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("the remainder is below 20,000");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}
