//! One session at work: its task, the handle by which everything else reaches it, and what it counts.

pub(crate) mod handle;
mod outgoing;
#[cfg(any(test, fuzzing))]
pub(crate) mod simulation;
pub(crate) mod stats;
pub(crate) mod task;
#[cfg(test)]
mod tests;
mod websocket;
