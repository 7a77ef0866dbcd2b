//! The first bytes on an election connection, which carry the sender's own address.
//!
//! A server that is called by one with a smaller id hangs up and calls back at the address in the
//! handshake. That is the caller's real port, so the proxy puts its own address in its place.

use std::net::SocketAddr;

use tokio::io::{self, AsyncRead, AsyncReadExt};

/// Handshakes with an address: one of `host:port`, and a list of them between bars.
const WITH_ADDRESS: [i64; 2] = [-65536, -65535];

/// Longer addresses are refused by servers.
const ADDRESS_LIMIT: usize = 2048;

/// Reads a handshake and answers the bytes to send on in its place, with `addr` as its address.
/// Bytes of another protocol come out as they are, as far as they were read.
pub(super) async fn readdressed(
    input: &mut (impl AsyncRead + Unpin),
    addr: SocketAddr,
) -> io::Result<Vec<u8>> {
    let version = input.read_i64().await?;
    let mut out = version.to_be_bytes().to_vec();
    if !WITH_ADDRESS.contains(&version) {
        return Ok(out);
    }
    out.extend(input.read_i64().await?.to_be_bytes());
    let length = input.read_i32().await?;
    let Some(n) = usize::try_from(length).ok().filter(|&n| n <= ADDRESS_LIMIT) else {
        out.extend(length.to_be_bytes());
        return Ok(out);
    };
    io::copy(&mut input.take(n as u64), &mut io::sink()).await?;
    let text = addr.to_string();
    out.extend(u32::try_from(text.len()).expect("an address is short").to_be_bytes());
    out.extend(text.as_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(version: i64, address: &[u8]) -> Vec<u8> {
        let length = u32::try_from(address.len()).unwrap();
        [&version.to_be_bytes()[..], &3_i64.to_be_bytes(), &length.to_be_bytes(), address].concat()
    }

    #[tokio::test]
    async fn the_address_becomes_the_proxy_s() {
        let proxy: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        for version in WITH_ADDRESS {
            let mut input = &[&handshake(version, b"127.0.0.1:3888")[..], b"votes"].concat()[..];
            let out = readdressed(&mut input, proxy).await.unwrap();
            assert_eq!(out, handshake(version, b"127.0.0.1:40000"));
            assert_eq!(input, b"votes");
        }
    }

    #[tokio::test]
    async fn what_has_no_address_passes_as_it_is() {
        let proxy: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        let absurd = &handshake(-65536, b"")[..16];
        for bytes in [&2_i64.to_be_bytes()[..], &[absurd, &[0xff; 4]].concat()] {
            let mut input = &[bytes, b"rest"].concat()[..];
            let out = readdressed(&mut input, proxy).await.unwrap();
            assert_eq!([&out, input].concat(), [bytes, b"rest"].concat());
        }
    }
}
