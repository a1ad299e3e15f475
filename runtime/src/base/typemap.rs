//! A map of values by type.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

type Value = Arc<dyn Any + Send + Sync>;

/// A map of values by type, one of each. Values are shared, not lent, so that no lock is held while the application
/// looks at one.
#[derive(Clone, Default)]
pub(crate) struct TypeMap(Vec<(TypeId, Value)>);

impl TypeMap {
    /// Puts a value in, and returns the one of its type that was there.
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: Arc<T>) -> Option<Arc<T>> {
        let before = self.remove::<T>();
        self.0.push((TypeId::of::<T>(), value));
        before
    }

    /// The value of that type.
    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let (_, value) = self.0.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.clone().downcast().ok()
    }

    /// Returns whether there is a value of that type.
    pub(crate) fn has(&self, id: TypeId) -> bool {
        self.0.iter().any(|(known, _)| *known == id)
    }

    /// Takes the value of that type out.
    pub(crate) fn remove<T: Send + Sync + 'static>(&mut self) -> Option<Arc<T>> {
        let at = self.0.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        self.0.swap_remove(at).1.downcast().ok()
    }
}

impl fmt::Debug for TypeMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypeMap({} values)", self.0.len())
    }
}
