//! What every sansocket adapter shares.

pub mod websocket;
