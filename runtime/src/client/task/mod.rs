//! A client at work: its task, the handle by which everything else reaches it, and what both share.

mod dispatch;
pub(crate) mod driver;
pub(crate) mod handle;
pub(crate) mod shared;
#[cfg(test)]
mod tests;
