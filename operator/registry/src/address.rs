//! Which addresses may be dialled.
//!
//! Owns the rule, and applies it to what a name resolves to at the moment of dialling: a check of the name, or of an earlier answer, is no
//! check. A user who may name any registry could otherwise have the operator ask its node's metadata service or a pod's local port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// What is refused beside what always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AddressPolicy {
    /// Set for the operator: nothing that it may ask listens beside it. On a laptop a registry on localhost is usual.
    pub refuse_loopback: bool,
}

/// Who chose the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChosenBy {
    /// The reference or a mirror setting: it may be private.
    User,
    /// A redirect, a token realm or an upload location: it may not.
    Registry,
}

/// Why an address was not dialled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {why}, which must not be asked; name a registry with another address")]
pub(crate) struct AddressRefused {
    address: IpAddr,
    why: &'static str,
}

/// Metadata services that are not link-local: AWS over IPv6, Alibaba, Azure's wire server, Oracle.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

impl AddressPolicy {
    /// Whether `address` may be dialled for a host chosen so.
    pub(crate) fn check(self, address: IpAddr, chosen_by: ChosenBy) -> Result<(), AddressRefused> {
        let plain = embedded(address);
        let refuse = |why| Err(AddressRefused { address, why });
        if METADATA.contains(&plain) || is_link_local(plain) {
            return refuse("a link-local or metadata address");
        }
        if is_nobody(plain) {
            return refuse("not the address of a host");
        }
        match chosen_by {
            _ if self.refuse_loopback && plain.is_loopback() => refuse("a loopback address"),
            ChosenBy::Registry if plain.is_loopback() || is_private(plain) => {
                refuse("a private address that the registry, not the user, has named")
            }
            _ => Ok(()),
        }
    }

    /// Whether `url` may be asked as far as it is written: an address in it is never resolved, so no resolver would see it.
    pub(crate) fn check_url(self, url: &Url, chosen_by: ChosenBy) -> Result<(), AddressRefused> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(address.into(), chosen_by),
            Some(Host::Ipv6(address)) => self.check(address.into(), chosen_by),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }
}

/// The IPv4 address inside an IPv6 one that only wraps it: mapped, or by NAT64's well-known prefix.
fn embedded(address: IpAddr) -> IpAddr {
    if let IpAddr::V6(v6) = address
        && let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments()
    {
        return Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into();
    }
    address.to_canonical()
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Unspecified, multicast, broadcast, "this network" and reserved: some systems take the first for loopback.
fn is_nobody(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.octets()[0] >= 224,
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast(),
    }
}

/// RFC 1918, the shared space of carriers (RFC 6598), the one for benchmarks (RFC 2544), and unique local addresses.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => match v4.octets() {
            [100, second, ..] => second & 0xc0 == 64,
            [198, second, ..] => second & 0xfe == 18,
            _ => v4.is_private(),
        },
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// Resolves names for the HTTP client, which dials what this returns and nothing else.
pub(crate) struct GuardedResolver {
    pub(crate) policy: AddressPolicy,
    pub(crate) chosen_by: ChosenBy,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { policy, chosen_by } = *self;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut refused = None;
            let mut allowed = Vec::with_capacity(found.len());
            for address in found {
                match policy.check(address.ip(), chosen_by) {
                    Ok(()) => allowed.push(address),
                    Err(error) => refused = Some(error),
                }
            }
            match refused {
                Some(error) if allowed.is_empty() => Err(error.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(address: &str, refuse_loopback: bool, chosen_by: ChosenBy) -> bool {
        AddressPolicy { refuse_loopback }.check(address.parse().unwrap(), chosen_by).is_ok()
    }

    #[test]
    fn public_addresses_are_allowed_to_everyone() {
        for address in ["93.184.216.34", "2606:2800:220:1::1", "100.63.0.1", "100.128.0.1", "172.32.0.1"] {
            assert!(allowed(address, true, ChosenBy::Registry), "{address}");
        }
    }

    #[test]
    fn private_addresses_are_for_hosts_that_the_user_named() {
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.16.1",
            "fd12::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
        ] {
            assert!(allowed(address, true, ChosenBy::User), "{address}");
            assert!(!allowed(address, false, ChosenBy::Registry), "{address}");
        }
    }

    #[test]
    fn loopback_is_for_laptops_and_for_hosts_that_the_user_named() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(allowed(address, false, ChosenBy::User), "{address}");
            assert!(!allowed(address, true, ChosenBy::User), "{address}");
            assert!(!allowed(address, false, ChosenBy::Registry), "{address}");
        }
    }

    #[test]
    fn link_local_metadata_and_nobody_are_refused_to_everyone() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            assert!(!allowed(address, false, ChosenBy::User), "{address}");
        }
    }

    #[test]
    fn addresses_written_in_urls_are_seen_in_every_spelling() {
        let policy = AddressPolicy { refuse_loopback: true };
        for url in [
            "http://127.0.0.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
        ] {
            assert!(policy.check_url(&url.parse().unwrap(), ChosenBy::User).is_err(), "{url}");
        }
    }
}
