//! Explanations as text for people, and as JSON for scripts.

use super::explain::{Explanation, Malformed};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::{self, Write};

/// The number of characters that are shown before and after the place where a packet breaks.
const CONTEXT: usize = 60;
/// The number of bytes of a binary message that are shown.
const PREVIEW: usize = 24;

/// Writes a few lines for each packet, for people.
pub(crate) fn text(output: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    let margin = format!("{:>4}  ", explanation.number);
    let indent = " ".repeat(margin.len());
    let mut words = Vec::new();
    if let Some(engine) = explanation.engine {
        words.push(format!("Engine.IO {engine}"));
    }
    if let Some(socket) = &explanation.socket {
        words.push(format!("Socket.IO {}", socket.kind));
        words.push(format!("namespace {}", printable(&socket.namespace)));
        if let Some(id) = socket.id {
            words.push(format!("id {id}"));
        }
    }
    if let Some(data) = &explanation.binary {
        words.push(format!("{} bytes", data.len()));
    }
    if let Some(attachment) = explanation.attachment {
        let (index, announced) = (attachment.index, attachment.announced);
        words.push(format!("attachment {index} of {announced} of packet {}", attachment.of));
    }
    if explanation.error.is_some() {
        words.push("MALFORMED".to_owned());
    }
    writeln!(output, "{margin}{}", words.join(", "))?;

    let mut row = |name: &str, value: &str| writeln!(output, "{indent}{name:<12}{}", printable(value));
    if let Some(data) = &explanation.data {
        row("data", data)?;
    }
    if let Some(socket) = &explanation.socket {
        if let Some(event) = &socket.event {
            row("event", event)?;
        }
        for (i, arg) in socket.args.iter().enumerate() {
            row(&format!("args[{i}]"), arg)?;
        }
        if let Some(data) = &socket.data {
            row("payload", data)?;
        }
        if socket.attachments > 0 {
            row("attachments", &format!("{} follow, each a binary message", socket.attachments))?;
        }
    }
    if let Some(data) = &explanation.binary {
        let shown = hex(&data[..data.len().min(PREVIEW)]);
        row("bytes", &if data.len() > PREVIEW { format!("{shown} ..") } else { shown })?;
    }
    if let Some(note) = &explanation.note {
        row("meaning", note)?;
    }
    match &explanation.error {
        Some(error) => broken(output, &indent, explanation, error),
        None => Ok(()),
    }
}

/// Writes the packet, and a caret under the place where it breaks.
fn broken(
    output: &mut impl Write,
    indent: &str,
    explanation: &Explanation,
    error: &Malformed,
) -> io::Result<()> {
    writeln!(output, "{indent}{}", printable(&error.message))?;
    let Some(place) = &error.at else { return Ok(()) };
    let (before, behind) = explanation.packet.split_at(place.offset.min(explanation.packet.len()));
    let before: Vec<char> = printable(&String::from_utf8_lossy(before)).chars().collect();
    let behind: Vec<char> = printable(&String::from_utf8_lossy(behind)).chars().collect();
    let skipped = before.len().saturating_sub(CONTEXT);
    let mut line = String::new();
    line.extend((skipped > 0).then_some('…'));
    line.extend(&before[skipped..]);
    let caret = line.chars().count();
    line.extend(behind.iter().take(CONTEXT));
    line.extend((behind.len() > CONTEXT).then_some('…'));
    writeln!(output, "{indent}| {line}")?;
    writeln!(
        output,
        "{indent}| {}^ byte {}: expected {}",
        " ".repeat(caret),
        place.offset,
        printable(&place.expected)
    )
}

/// Writes one JSON object on a line, for scripts. Members without a value are left out.
pub(crate) fn json(output: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    // Arguments are written as they came: not every JSON text survives being read into a number and back.
    let mut members: Vec<(&str, String)> = Vec::new();
    let mut add = |name, value: Value| members.push((name, value.to_string()));
    add("packet", json!(explanation.number));
    add("ok", json!(explanation.error.is_none()));
    if let Some(engine) = explanation.engine {
        add("engine", json!(engine));
    }
    if let Some(data) = &explanation.data {
        add("data", json!(data));
    }
    if let Some(socket) = &explanation.socket {
        add("socket", json!(socket.kind.to_string()));
        add("namespace", json!(socket.namespace));
        if let Some(id) = socket.id {
            add("id", json!(id));
        }
        if let Some(event) = &socket.event {
            add("event", json!(event));
        }
        if socket.attachments > 0 {
            add("attachments", json!(socket.attachments));
        }
    }
    if let Some(data) = &explanation.binary {
        add("bytes", json!(data.len()));
        add("hex", json!(hex(data)));
    }
    if let Some(attachment) = explanation.attachment {
        let (of, index, announced) = (attachment.of, attachment.index, attachment.announced);
        add("attachment", json!({ "of": of, "index": index, "announced": announced }));
    }
    if let Some(note) = &explanation.note {
        add("note", json!(note));
    }
    if let Some(error) = &explanation.error {
        add("error", json!(error.message));
        if let Some(place) = &error.at {
            add("at", json!(place.offset));
            add("expected", json!(place.expected));
        }
    }
    if let Some(socket) = &explanation.socket {
        let raw = |json: &String| RawValue::from_string(json.clone()).is_ok();
        if !socket.args.is_empty() && socket.args.iter().all(raw) {
            members.push(("args", format!("[{}]", socket.args.join(","))));
        }
        if let Some(data) = socket.data.as_ref().filter(|data| raw(data)) {
            members.push(("payload", data.clone()));
        }
    }
    let members: Vec<_> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    // JSON may have line feeds between its parts, never within a string.
    writeln!(output, "{{{}}}", members.join(",").replace(['\n', '\r'], " "))
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces control characters: no packet may give orders to a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(char)).unwrap_or('\u{fffd}'),
            '\u{7f}' => '\u{2421}',
            '\u{80}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            char => char,
        })
        .collect()
}
