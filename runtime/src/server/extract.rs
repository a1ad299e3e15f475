//! The extractors of a server's handlers.

use crate::base::error::HandlerError;
use crate::base::pattern::parts;
use crate::handler::extract::{Auth, Extension, FromContext, FromNameParts, NameParts, PeerAddr};
use crate::handler::{Context, Kind};
use crate::http::handshake::Handshake;
use crate::server::namespace::Namespace;
use crate::server::server::Server;
use crate::server::socket::Socket;
use serde::de::DeserializeOwned;
use std::any::type_name;
use std::sync::Arc;

impl<K: Kind<Peer = Socket>> FromContext<K> for Socket {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(context.peer.clone())
    }
}

impl<K: Kind<Peer = Socket>> FromContext<K> for Namespace {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(context.peer.namespace())
    }
}

impl<K: Kind<Peer = Socket>> FromContext<K> for Server {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        context.peer.server().ok_or(HandlerError::NoServer)
    }
}

impl<K: Kind<Peer = Socket>, T: FromNameParts> FromContext<K> for NameParts<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        let namespace = context.peer.namespace_inner();
        let pattern = namespace.handlers.pattern.as_deref();
        let found = pattern.and_then(|pattern| parts(pattern, &namespace.name));
        found
            .and_then(|parts| T::from_name_parts(&parts))
            .map(Self)
            .ok_or(HandlerError::NameParts(type_name::<T>()))
    }
}

impl<K: Kind<Peer = Socket>> FromContext<K> for Handshake {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(context.peer.handshake().clone())
    }
}

impl<K: Kind<Peer = Socket>, T: DeserializeOwned> FromContext<K> for Auth<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        let auth = context.peer.auth().map(Self);
        auth.map_err(|error| HandlerError::Auth { expected: type_name::<T>(), source: Arc::new(error) })
    }
}

impl<K: Kind<Peer = Socket>, T: Clone + Send + Sync + 'static> FromContext<K> for Extension<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        let extension = context.peer.handshake().extension::<T>().cloned();
        extension.map(Self).ok_or(HandlerError::NoExtension(type_name::<T>()))
    }
}

impl<K: Kind<Peer = Socket>> FromContext<K> for PeerAddr {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        context.peer.handshake().peer_addr().map(Self).ok_or(HandlerError::NoPeerAddr)
    }
}
