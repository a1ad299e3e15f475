//! The settings of a session, by the names of their fields.

use super::MAGIC;
use super::mask::Mask;
use super::wire::{Reader, RecordingError, Writer};
use crate::engine::{EngineServerConfig, Overflow, Revision};
use crate::rate::{EventExcess, Rate};
use crate::socket::{Limit, Parser, SocketServerConfig};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

const MASKED: u64 = 1;
const SOCKETS: u64 = 2;
const REVISION_3: u64 = 4;

/// The settings of a session.
pub(crate) struct Settings<'a> {
    pub(crate) revision: Revision,
    pub(crate) id: &'a str,
    pub(crate) engine: &'a EngineServerConfig,
    /// `None` for plain Engine.IO.
    pub(crate) sockets: Option<&'a SocketServerConfig>,
}

/// The settings that a recording begins with, as they were read.
#[derive(Debug)]
pub(crate) struct ReadSettings {
    pub(crate) revision: Revision,
    pub(crate) id: Arc<str>,
    pub(crate) engine: EngineServerConfig,
    pub(crate) sockets: Option<SocketServerConfig>,
    pub(crate) is_masked: bool,
}

/// A value that is a number in a recording.
trait Setting {
    fn number(&self) -> u64;
    fn set(&mut self, number: u64);
}

impl Setting for usize {
    fn number(&self) -> u64 {
        *self as u64
    }

    fn set(&mut self, number: u64) {
        *self = Self::try_from(number).unwrap_or(Self::MAX);
    }
}

impl Setting for bool {
    fn number(&self) -> u64 {
        u64::from(*self)
    }

    fn set(&mut self, number: u64) {
        *self = number != 0;
    }
}

impl Setting for Duration {
    fn number(&self) -> u64 {
        u64::try_from(self.as_micros()).unwrap_or(u64::MAX)
    }

    fn set(&mut self, number: u64) {
        *self = Self::from_micros(number);
    }
}

impl Setting for Limit {
    fn number(&self) -> u64 {
        self.get() as u64
    }

    fn set(&mut self, number: u64) {
        *self = Self::new(usize::try_from(number).unwrap_or(usize::MAX));
    }
}

impl Setting for Overflow {
    fn number(&self) -> u64 {
        match self {
            Self::Close => 0,
            Self::Fail => 1,
            Self::Drop => 2,
        }
    }

    fn set(&mut self, number: u64) {
        *self = match number {
            1 => Self::Fail,
            2 => Self::Drop,
            _ => Self::Close,
        };
    }
}

impl Setting for EventExcess {
    fn number(&self) -> u64 {
        u64::from(*self == Self::Close)
    }

    fn set(&mut self, number: u64) {
        *self = if number == 1 { Self::Close } else { Self::Pace };
    }
}

/// The average in the upper half, and the burst in the lower one; 0 for no limit.
impl Setting for Option<Rate> {
    fn number(&self) -> u64 {
        self.map_or(0, |rate| u64::from(rate.tokens_per_second()) << 32 | u64::from(rate.tokens_at_once()))
    }

    fn set(&mut self, number: u64) {
        let (per_second, burst) = ((number >> 32) as u32, number as u32);
        *self = (number != 0).then(|| Rate::per_second(per_second).burst(burst));
    }
}

macro_rules! fields {
    ($table:ident, $($field:ident $(. $inner:ident)?),*) => {
        vec![$((stringify!($field $(. $inner)?), &mut $table.$field $(. $inner)? as &mut dyn Setting)),*]
    };
}

fn engine_fields(engine: &mut EngineServerConfig) -> Vec<(&'static str, &mut dyn Setting)> {
    fields!(
        engine,
        ping_interval,
        ping_timeout,
        upgrade_timeout,
        max_payload,
        max_poll_packets,
        transports.polling,
        transports.websocket,
        allow_upgrades,
        allow_eio3,
        send_budget,
        overflow,
        receive_budget,
        pause_timeout,
        close_timeout,
        message_rate,
        message_excess
    )
}

fn socket_fields(sockets: &mut SocketServerConfig) -> Vec<(&'static str, &mut dyn Setting)> {
    fields!(
        sockets,
        connect_timeout,
        parser.max_attachments,
        parser.max_sent_attachments,
        parser.max_depth,
        parser.max_number,
        parser.max_arguments,
        max_namespaces,
        max_namespace_name,
        connect_rate,
        max_refused_connects,
        max_auth,
        attachment_timeout,
        max_pending_acks,
        event_rate,
        event_excess
    )
}

/// The name of the setting that tells the parser: 0 for JSON, 1 for MessagePack.
const PARSER: &str = "parser";

impl Settings<'_> {
    /// Writes them. `None` if the parser has no form here.
    pub(super) fn write(&self, writer: &mut Writer, mask: Mask) -> Option<()> {
        let parser = match self.sockets.map(|sockets| sockets.parser) {
            Some(parser) if parser.is_json() => 0,
            Some(parser) if parser.is_msgpack() && !mask.is_on() => 1,
            Some(_) => return None,
            None => 0,
        };
        writer.raw(MAGIC);
        let mut flags = if mask.is_on() { MASKED } else { 0 };
        if self.sockets.is_some() {
            flags |= SOCKETS;
        }
        if self.revision == Revision::V3 {
            flags |= REVISION_3;
        }
        writer.number(flags);
        writer.text(&mask.id(self.id));
        let initial = self.engine.initial_packet.as_deref();
        writer.optional(initial.map(|text| mask.id(text)).as_deref().map(str::as_bytes));
        let mut engine = self.engine.clone();
        let mut sockets = self.sockets.cloned();
        let mut fields = engine_fields(&mut engine);
        if let Some(sockets) = &mut sockets {
            fields.extend(socket_fields(sockets));
        }
        writer.size(fields.len().saturating_add(1));
        writer.text(PARSER);
        writer.number(parser);
        for (name, setting) in fields {
            writer.text(name);
            writer.number(setting.number());
        }
        Some(())
    }
}

impl ReadSettings {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, RecordingError> {
        if reader.raw(MAGIC.len()) != Ok(MAGIC) {
            return Err(RecordingError::NoRecording);
        }
        let flags = reader.number()?;
        let id = reader.text()?.into();
        let mut engine = EngineServerConfig { initial_packet: reader.optional_text()?, ..Default::default() };
        let mut sockets = (flags & SOCKETS != 0).then(SocketServerConfig::default);
        let count = reader.size()?;
        for _ in 0..count {
            let (name, number) = (reader.text()?, reader.number()?);
            if let (PARSER, 1, Some(sockets)) = (name, number, &mut sockets) {
                sockets.parser = Parser::msgpack();
            }
            let mut fields = engine_fields(&mut engine);
            if let Some(sockets) = &mut sockets {
                fields.extend(socket_fields(sockets));
            }
            if let Some((_, setting)) = fields.into_iter().find(|(known, _)| *known == name) {
                setting.set(number);
            }
        }
        let revision = if flags & REVISION_3 == 0 { Revision::V4 } else { Revision::V3 };
        Ok(Self { revision, id, engine, sockets, is_masked: flags & MASKED != 0 })
    }
}
