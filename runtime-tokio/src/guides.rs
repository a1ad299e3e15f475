//! The code of the guides in `docs/` compiles. `.ci/book` holds that no page is left out.

#[doc = include_str!("../../docs/guide/authentication.md")]
struct Authentication;

#[doc = include_str!("../../docs/guide/backpressure.md")]
struct Backpressure;

#[doc = include_str!("../../docs/guide/deployment.md")]
struct Deployment;

#[doc = include_str!("../../docs/guide/errors.md")]
struct Errors;

#[doc = include_str!("../../docs/guide/handlers.md")]
struct Handlers;

#[doc = include_str!("../../docs/guide/hosts.md")]
struct Hosts;

#[doc = include_str!("../../docs/guide/observability.md")]
struct Observability;

#[doc = include_str!("../../docs/guide/rooms.md")]
struct Rooms;

#[doc = include_str!("../../docs/guide/security.md")]
struct Security;

#[doc = include_str!("../../docs/guide/testing.md")]
struct Testing;

#[doc = include_str!("../../docs/moving/from-javascript.md")]
struct FromJavascript;

#[doc = include_str!("../../docs/moving/from-python.md")]
struct FromPython;

#[doc = include_str!("../../docs/moving/from-rust-socketio.md")]
struct FromRustSocketio;

#[doc = include_str!("../../docs/moving/from-socketioxide.md")]
struct FromSocketioxide;
