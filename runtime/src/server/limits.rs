//! The limits of a Socket.IO server, from and to its options.

use crate::http::builder::ServerBuilder;
use crate::http::limits::Limits;
use crate::http::options::HttpOptions;
use crate::server::options::ServerOptions;
use crate::server::server::Server;

impl Limits {
    /// Reads the options of a server.
    fn of(http: &HttpOptions, layer: &ServerOptions) -> Self {
        let ServerOptions { sockets, limits: hub, .. } = layer;
        Self {
            max_attachments: sockets.parser.max_attachments.get(),
            max_namespaces: sockets.max_namespaces,
            max_namespace_name: sockets.max_namespace_name,
            max_auth: sockets.max_auth,
            attachment_timeout: sockets.attachment_timeout,
            connect_rate: sockets.connect_rate,
            max_refused_connects: sockets.max_refused_connects,
            max_pending_acks: sockets.max_pending_acks,
            max_broadcast_answers: layer.max_answers,
            max_rooms: hub.rooms_per_socket,
            max_room_name: hub.room_name_bytes,
            max_dynamic_namespaces: layer.max_dynamic,
            max_dynamic_namespaces_per_session: layer.max_dynamic_per_session,
            event_rate: sockets.event_rate,
            max_concurrent: layer.max_concurrent,
            connect_timeout: sockets.connect_timeout,
            max_payload: http.engine.max_payload,
            max_sessions: http.engine.max_sessions,
            max_sessions_per_address: http.engine.max_sessions_per_address,
            handshake_rate: http.engine.handshake_rate,
            handshake_rate_per_address: http.engine.handshake_rate_per_address,
            message_rate: http.engine.message_rate,
            send_budget: http.engine.send_budget,
            receive_budget: http.engine.receive_budget,
            pause_timeout: http.engine.pause_timeout,
            ping_interval: http.engine.ping_interval,
            ping_timeout: http.engine.ping_timeout,
            upgrade_timeout: http.engine.upgrade_timeout,
            close_timeout: http.engine.close_timeout,
            max_connections: http.connections.in_all,
            max_connections_per_address: http.connections.per_address,
            max_head: http.max_head,
            first_head_timeout: http.deadlines.first_head,
            head_timeout: http.deadlines.head,
            keep_alive_timeout: http.deadlines.keep_alive,
            body_timeout: http.deadlines.body,
            write_timeout: http.deadlines.write,
            tls_timeout: http.deadlines.tls,
        }
    }

    /// Sets the options of a server.
    fn set(&self, http: &mut HttpOptions, layer: &mut ServerOptions) {
        self.set_http(http);
        let sockets = &mut layer.sockets;
        sockets.parser.max_attachments = self.max_attachments.into();
        sockets.max_namespaces = self.max_namespaces;
        sockets.max_namespace_name = self.max_namespace_name;
        sockets.max_auth = self.max_auth;
        sockets.attachment_timeout = self.attachment_timeout;
        sockets.connect_rate = self.connect_rate;
        sockets.max_refused_connects = self.max_refused_connects;
        sockets.max_pending_acks = self.max_pending_acks;
        sockets.event_rate = self.event_rate;
        sockets.connect_timeout = self.connect_timeout;
        layer.max_answers = self.max_broadcast_answers;
        layer.limits =
            layer.limits.with_rooms_per_socket(self.max_rooms).with_room_name_bytes(self.max_room_name);
        layer.max_dynamic = self.max_dynamic_namespaces;
        layer.max_dynamic_per_session = self.max_dynamic_namespaces_per_session;
        layer.max_concurrent = self.max_concurrent;
    }
}

/// The limits of a builder that nothing was set on.
impl Default for Limits {
    fn default() -> Self {
        Self::of(&HttpOptions::new("/"), &ServerOptions::default())
    }
}

impl<S: From<Server>> ServerBuilder<S, ServerOptions> {
    /// Sets all limits at once: [`Limits::internet`], [`Limits::trusted`], or some of your own. Limits that are set later
    /// go on top; a [`parser`](Self::parser) must be set before, because it has a limit of attachments of its own.
    pub fn limits(mut self, limits: &Limits) -> Self {
        limits.set(&mut self.http, &mut self.layer);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_slow_stranger_can_have_as_many_undecided_namespaces_as_a_quick_one() {
        let mut limits = Limits::default();
        let before = limits.bytes_per_stranger();
        limits.connect_rate = Some(sansocket_protocol::rate::Rate::per_second(1).burst(1));
        assert_eq!(limits.bytes_per_stranger(), before);
    }

    #[test]
    fn each_limit_is_set_and_read_back() {
        for limits in [Limits::default(), Limits::internet(), Limits::trusted()] {
            let (mut http, mut layer) = (HttpOptions::new("/"), ServerOptions::default());
            limits.set(&mut http, &mut layer);
            assert_eq!(Limits::of(&http, &layer), limits);
        }
        // One that is the same in all profiles would not show.
        let mut odd = Limits::trusted();
        odd.ping_interval += Duration::from_secs(1);
        odd.ping_timeout += Duration::from_secs(1);
        odd.upgrade_timeout += Duration::from_secs(1);
        odd.keep_alive_timeout += Duration::from_secs(1);
        odd.handshake_rate = Some(sansocket_protocol::rate::Rate::per_second(3));
        let (mut http, mut layer) = (HttpOptions::new("/"), ServerOptions::default());
        odd.set(&mut http, &mut layer);
        assert_eq!(Limits::of(&http, &layer), odd);
    }
}
