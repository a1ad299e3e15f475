//! The master of a service, as Sentinels know it.

use crate::Settings;
use crate::connection::{LostError, config};
use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisError, Value, cmd, from_redis_value};

/// The Sentinels of a service. They are asked before each connection: the master may be another one by then.
pub(crate) struct Sentinels {
    clients: Vec<Client>,
    service: String,
}

impl Sentinels {
    /// Those at `host:port,host:port/service`.
    pub(crate) fn parse(text: &str) -> Result<Self, RedisError> {
        let (hosts, service) = text.split_once('/').unwrap_or((text, ""));
        let clients = hosts.split(',').map(|host| Client::open(format!("redis://{host}/")));
        Ok(Self { clients: clients.collect::<Result<_, _>>()?, service: service.to_owned() })
    }

    /// A client of the present master, with the user and everything else of `of`.
    pub(crate) async fn master(&self, of: &Client, settings: &Settings) -> Result<Client, LostError> {
        let mut last = LostError::NoMaster(self.service.clone());
        for sentinel in &self.clients {
            match self.ask(sentinel, settings).await {
                Ok(Some((host, port))) => {
                    let info = of.get_connection_info().clone().into_connection_info()?;
                    let master = at(info.addr(), host, port);
                    return Ok(Client::open(info.set_addr(master))?);
                }
                // It does not know the service.
                Ok(None) => {}
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    async fn ask(&self, sentinel: &Client, settings: &Settings) -> Result<Option<(String, u16)>, RedisError> {
        let mut connection = sentinel.get_multiplexed_async_connection_with_config(&config(settings)).await?;
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        let answer = connection.send_packed_command(&ask).await?.extract_error()?;
        Ok(from_redis_value(answer)?)
    }
}

/// The address with another host and port. One on TLS stays on it.
pub(crate) fn at(of: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match of {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }
}

/// Fails unless that is a master. One that was replaced a moment ago takes publications that reach nobody.
pub(crate) async fn check_role(connection: &mut redis::aio::MultiplexedConnection) -> Result<(), LostError> {
    let answer = connection.send_packed_command(&cmd("ROLE")).await?.extract_error()?;
    let Value::Array(parts) = answer else { return Err(LostError::Replica) };
    let role: Option<String> = parts.into_iter().next().and_then(|role| from_redis_value(role).ok());
    if role.as_deref() == Some("master") { Ok(()) } else { Err(LostError::Replica) }
}

#[cfg(test)]
mod tests {
    use super::at;
    use redis::ConnectionAddr;

    #[test]
    fn the_master_of_an_address_on_tls_is_on_tls() {
        for insecure in [false, true] {
            let of =
                ConnectionAddr::TcpTls { host: "main".to_owned(), port: 6379, insecure, tls_params: None };
            let master = at(&of, "10.0.0.7".to_owned(), 6380);
            let expected = ConnectionAddr::TcpTls {
                host: "10.0.0.7".to_owned(),
                port: 6380,
                insecure,
                tls_params: None,
            };
            assert!(master == expected, "{master}");
        }
        let plain = at(&ConnectionAddr::Tcp("main".to_owned(), 6379), "10.0.0.7".to_owned(), 6380);
        assert!(plain == ConnectionAddr::Tcp("10.0.0.7".to_owned(), 6380), "{plain}");
    }
}
