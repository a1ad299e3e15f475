//! Handlers without the types of their parameters, as tables keep them.

use crate::base::error::HandlerError;
use crate::handler::extract::Requirements;
use crate::handler::kind::{Context, Kind};
use crate::handler::{Begun, Handler};
use std::marker::PhantomData;
use std::sync::Arc;

/// A handler of any parameters.
pub trait AnyHandler<K: Kind>: Send + Sync {
    /// Extracts the parameters and begins the handler.
    fn call(&self, context: &mut Context<K>) -> Result<Begun<K>, HandlerError>;

    /// Says what the server must have before it serves.
    fn requires(&self, requirements: &mut Requirements);
}

struct Erased<H, Params> {
    handler: H,
    params: PhantomData<fn() -> Params>,
}

impl<K: Kind, Params, H: Handler<K, Params>> AnyHandler<K> for Erased<H, Params> {
    fn call(&self, context: &mut Context<K>) -> Result<Begun<K>, HandlerError> {
        self.handler.call(context)
    }

    fn requires(&self, requirements: &mut Requirements) {
        self.handler.requires(requirements);
    }
}

/// A handler that several tables may hold.
pub(crate) type SharedHandler<K> = Arc<dyn AnyHandler<K>>;

pub(crate) fn erase<K: Kind, Params: 'static>(handler: impl Handler<K, Params>) -> SharedHandler<K> {
    Arc::new(Erased { handler, params: PhantomData })
}
