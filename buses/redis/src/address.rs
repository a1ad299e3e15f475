//! The forms of an address.

use crate::cluster::Cluster;
use crate::{Kind, Way};
use redis::{ConnectionInfo, IntoConnectionInfo, RedisError};

/// The meaning of an address.
pub(crate) struct Address {
    pub(crate) kind: Kind,
    pub(crate) way: Way,
    pub(crate) info: ConnectionInfo,
}

impl Address {
    /// Reads an address: `redis` or `rediss`, with `+sharded`, `+streams` and `+cluster` behind it in any order.
    pub(crate) fn parse(address: &str) -> Result<Self, RedisError> {
        let (scheme, rest) = address.split_once("://").unwrap_or_default();
        let (mut kind, mut is_cluster, mut plain) = (Kind::PubSub, false, Vec::new());
        for part in scheme.split('+') {
            match part {
                "sharded" => kind = Kind::Sharded,
                "streams" => kind = Kind::Streams,
                "cluster" => is_cluster = true,
                other => plain.push(other),
            }
        }
        let plain = plain.join("+");
        if !is_cluster {
            let address = if scheme.is_empty() { address.to_owned() } else { format!("{plain}://{rest}") };
            return Ok(Self { kind, way: Way::Direct, info: address.into_connection_info()? });
        }
        // Behind the hosts may be a path and a query, and before them a user and a password.
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let at = if user.is_empty() { "" } else { "@" };
        let infos =
            hosts.split(',').map(|host| format!("{plain}://{user}{at}{host}{tail}").into_connection_info());
        let infos = infos.collect::<Result<Vec<_>, _>>()?;
        let seeds = infos.iter().map(|info| info.addr().clone()).collect();
        let cluster = Cluster::new(seeds)?;
        let first = infos.into_iter().next();
        let info = first.ok_or((redis::ErrorKind::InvalidClientConfig, "the address names no host"))?;
        Ok(Self { kind, way: Way::Cluster(cluster), info })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::ConnectionAddr;

    fn parsed(address: &str) -> (Kind, Option<Vec<(String, u16)>>, ConnectionAddr) {
        let Address { kind, way, info } = Address::parse(address).unwrap();
        let seeds = match way {
            Way::Cluster(cluster) => Some(cluster.seeds),
            _ => None,
        };
        (kind, seeds, info.addr().clone())
    }

    #[test]
    fn a_scheme_tells_the_commands_and_whether_it_is_a_cluster() {
        let of = |address| {
            let (kind, seeds, _) = parsed(address);
            (kind, seeds.is_some())
        };
        assert_eq!(of("redis://a/"), (Kind::PubSub, false));
        assert_eq!(of("redis+sharded://a/"), (Kind::Sharded, false));
        assert_eq!(of("redis+streams://a/"), (Kind::Streams, false));
        assert_eq!(of("redis+cluster://a/"), (Kind::PubSub, true));
        assert_eq!(of("redis+cluster+sharded://a/"), (Kind::Sharded, true));
        assert_eq!(of("redis+streams+cluster://a/"), (Kind::Streams, true));
        assert!(matches!(parsed("redis+unix:///run/redis").2, ConnectionAddr::Unix(_)));
        assert!(Address::parse("redis+custer://a/").is_err());
        assert!(Address::parse("a:6379").is_err());
    }

    #[test]
    fn an_address_of_a_cluster_names_several_hosts_with_one_user() {
        let address = "redis+cluster://chat:a%2Cb@one:7000,two,[::1]:7002/?protocol=resp3";
        let (_, seeds, _) = parsed(address);
        let expected = [("one", 7000), ("two", 6379), ("::1", 7002)];
        assert_eq!(seeds.unwrap(), expected.map(|(host, port)| (host.to_owned(), port)));
        let info = Address::parse(address).unwrap().info;
        assert_eq!(info.redis_settings().username(), Some("chat"));
        assert_eq!(info.redis_settings().password(), Some("a,b"));
        for wrong in ["redis+cluster://", "redis+cluster://one:port,two/", "redis+unix+cluster:///run/redis"]
        {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "redis+cluster://chat:secret@one:port/",
            "redis+cluster://chat:secret@/",
            "redis+x://chat:secret@one/",
        ] {
            let error = Address::parse(wrong).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
