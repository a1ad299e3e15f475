//! The open packet: the first thing a server says (protocol v4, "Handshake").

use crate::engine::config::EngineServerConfig;
use alloc::string::String;
use bytes::Bytes;
use core::fmt::Write as _;

/// The open packet of a session, type digit included, in the reference's order of keys. `upgrades` lists
/// `websocket` for a polling session that may move there.
pub fn open_packet(config: &EngineServerConfig, id: &str, may_upgrade: bool) -> Bytes {
    let mut packet = String::with_capacity(128);
    // Ids may be the application's own, so they are escaped.
    let id = serde_json::to_string(id).unwrap_or_default();
    let upgrades = if may_upgrade { r#"["websocket"]"# } else { "[]" };
    let _ = write!(
        packet,
        r#"0{{"sid":{id},"upgrades":{upgrades},"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        config.ping_interval.as_millis(),
        config.ping_timeout.as_millis(),
        config.max_payload,
    );
    packet.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_packet_has_five_keys_in_the_reference_order() {
        assert_eq!(
            open_packet(&EngineServerConfig::default(), "ghJdw7vOgj1yEPKSAAAA", true),
            r#"0{"sid":"ghJdw7vOgj1yEPKSAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        assert!(open_packet(&EngineServerConfig::default(), "x", false).ends_with(b"1000000}"));
    }
}
