//! The dialects of JavaScript's `ClusterAdapter`, which the newer adapters have in common: sharded pub/sub, streams
//! and Postgres.
//!
//! The message is `{type, data, uid, nsp}` in all of them. They differ in where the bytes go:
//!
//! | | commands | requests | answers | in bytes |
//! |---|---|---|---|---|
//! | [`Sharded`] | channel of the namespace or of one room | the same | channel of the asker | JSON, MessagePack if there are bytes in it |
//! | [`Streams`] | entry of a stream | channel of the namespace | channel of the asker | JSON or base64 in entries, MessagePack on channels |
//! | [`Postgres`] | notification | notification | notification | JSON; MessagePack in a table if there are bytes in it, or too many |
//!
//! ```
//! use sansocket_protocol::cluster::{Envelope, Limits, Message, Sharded};
//! use sansocket_protocol::hub::Target;
//!
//! let message = Message::Join { target: Target::all().to("r1"), rooms: vec!["late".into()] };
//! let published =
//!     Sharded::default().encode(&Envelope::new("bc46d5035577ac9b", "/", message), &Limits::default())?;
//! assert_eq!(published[0].channel, "socket.io#/#");
//! assert_eq!(
//!     published[0].payload,
//!     r#"{"type":4,"data":{"opts":{"rooms":["r1"],"except":[],"flags":{}},"rooms":["late"]},"#.to_string()
//!         + r#""uid":"bc46d5035577ac9b","nsp":"/"}"#
//! );
//! # Ok::<(), sansocket_protocol::cluster::InexpressibleError>(())
//! ```

mod envelope;
mod postgres;
mod sharded;
mod streams;

pub use postgres::{Notification, Notified, Postgres};
pub use sharded::{Sharded, SubscriptionMode};
pub use streams::{Session, Streamed, Streams};
