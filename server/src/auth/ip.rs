//! The `ip` scheme: a client's address, and ranges of addresses in ACLs.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv6Addr},
};

/// The id of a connection from `remote`.
///
/// Compat: IPv6 addresses are written in full, as by Java's `getHostAddress`, and an IPv4 address
/// mapped into IPv6 counts as IPv4.
pub(super) fn id_of(remote: IpAddr) -> String {
    match remote.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let mut id = String::with_capacity(39);
            for (i, segment) in address.segments().iter().enumerate() {
                let colon = if i == 0 { "" } else { ":" };
                write!(id, "{colon}{segment:x}").expect("a String takes all");
            }
            id
        }
    }
}

/// An address and how many of its leading bits count.
struct Range {
    address: u128,
    bits: u32,
    /// Bits of an address of its family: 32 or 128. Families never match one another.
    width: u32,
}

impl Range {
    /// Reads `address` or `address/bits`.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let (address, width) = parse_address(address)?;
        let bits = match bits {
            None => width,
            Some(bits) => bits.parse().ok().filter(|&bits| bits <= width)?,
        };
        Some(Self { address, bits, width })
    }
}

/// An address as a number, and how many bits its family has.
fn parse_address(text: &str) -> Option<(u128, u32)> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(|address| (address.to_bits(), 128));
    }
    // Compat: unlike `Ipv4Addr`, Java takes leading zeros, and takes them for decimal.
    let mut parts = text.split('.');
    let mut address = 0;
    for _ in 0..4 {
        address = address << 8 | u128::from(parts.next()?.parse::<u8>().ok()?);
    }
    parts.next().is_none().then_some((address, 32))
}

/// Whether an ACL may name this id.
pub(super) fn is_valid(id: &str) -> bool {
    Range::parse(id).is_some()
}

/// Whether the connection's id is in the ACL's range.
pub(super) fn matches(id: &str, range: &str) -> bool {
    let (Some(range), Some((address, width))) = (Range::parse(range), parse_address(id)) else {
        return false;
    };
    let ignored = range.width - range.bits;
    width == range.width && (address ^ range.address).checked_shr(ignored).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_connections() {
        for (remote, id) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("2001:db8::ff00:42:8329", "2001:db8:0:0:0:ff00:42:8329"),
        ] {
            let id_of_it = id_of(remote.parse().unwrap());
            assert_eq!(id_of_it, id);
            assert!(matches(&id_of_it, id));
        }
    }

    #[test]
    fn ranges() {
        for (id, range, inside) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.1/32", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "10.1.3.0/23", true),
            ("10.1.4.3", "10.1.3.0/23", false),
            ("1.2.3.4", "9.9.9.9/0", true),
            ("10.1.2.3", "010.001.002.003", true),
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("0:0:0:0:0:0:0:1", "::/0", true),
            ("0:0:0:0:0:0:0:1", "0.0.0.0/0", false),
            ("1.2.3.4", "::/0", false),
            ("2001:db8:0:0:0:0:0:1", "2001:db8::/32", true),
            ("2001:db9:0:0:0:0:0:1", "2001:db8::/32", false),
        ] {
            assert_eq!(matches(id, range), inside, "{id} in {range}");
        }
    }

    #[test]
    fn what_is_no_range() {
        for id in [
            "",
            "localhost",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.-1",
            "1.2.3.4/",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/8/8",
            "1.2.3.",
            "::1/129",
            ":::",
            "1:2",
            "12345::",
        ] {
            assert!(!is_valid(id), "{id}");
        }
        assert!(is_valid("1.2.3.4/0") && is_valid("::1/128") && is_valid("fe80::1"));
    }
}
