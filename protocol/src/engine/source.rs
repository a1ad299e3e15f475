//! The addresses of clients, as limits count them.

use core::net::{IpAddr, Ipv6Addr};

/// The unit that counts as one address: an IPv4 address, or the /64 network of an IPv6 address, of which one customer
/// usually has all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An IPv4 address, also one that an IPv6 socket shows as mapped.
    V4([u8; 4]),
    /// The network of an IPv6 address.
    V6([u16; 4]),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        let v6 = |address: Ipv6Addr| {
            let [a, b, c, d, ..] = address.segments();
            Self::V6([a, b, c, d])
        };
        match address {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => address.to_ipv4_mapped().map_or(v6(address), |v4| Self::V4(v4.octets())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ipv4_address_or_a_network_of_ipv6() {
        let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(source("1.2.3.4"), source("::ffff:1.2.3.4"));
        assert_ne!(source("1.2.3.4"), source("1.2.3.5"));
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::2"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
    }
}
