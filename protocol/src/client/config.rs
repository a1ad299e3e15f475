//! The settings of reconnection, with the reference's defaults.

use core::time::Duration;

/// The settings of reconnection: whether and when a client dials again after a failure or a loss.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReconnectConfig {
    /// Whether the client dials again after a failure or a loss. Default true.
    pub reconnection: bool,
    /// The most tries in a row after the first; `None` for any number. Default `None`.
    pub reconnection_attempts: Option<u32>,
    /// The delay before the first of these tries. It doubles with each. Default 1 s.
    pub reconnection_delay: Duration,
    /// The longest delay. Default 5 s.
    pub reconnection_delay_max: Duration,
    /// The part (0 to 1) by which a delay is moved up or down at random, so that the clients of a server that was
    /// away do not all come back at once. Default 0.5.
    pub randomization_factor: f64,
    /// Whether the owner is asked before each try ([`Manager::dial`](super::Manager::dial)), for a fresh address.
    /// Default false.
    pub ask_before_dial: bool,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            reconnection: true,
            reconnection_attempts: None,
            reconnection_delay: Duration::from_secs(1),
            reconnection_delay_max: Duration::from_secs(5),
            randomization_factor: 0.5,
            ask_before_dial: false,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $kind:ty),* $(,)?) => {
        $(
            #[doc = concat!("Sets [`ReconnectConfig::", stringify!($name), "`].")]
            #[must_use]
            pub fn $name(mut self, $name: $kind) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl ReconnectConfig {
    setters! {
        reconnection: bool,
        reconnection_attempts: Option<u32>,
        reconnection_delay: Duration,
        reconnection_delay_max: Duration,
        randomization_factor: f64,
        ask_before_dial: bool,
    }
}
