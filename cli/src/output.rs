//! The tool's output: lines for people, in colour on a terminal, or JSON lines for scripts.

use jiff::{Timestamp, ZonedDateTime};
use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind, IsTerminal, Write as _};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use unicode_width::UnicodeWidthStr as _;

/// The printer of all lines, shared by handlers and commands: each line is written whole.
pub(crate) struct Output {
    /// The name of the subcommand.
    name: &'static str,
    json: bool,
    colour: bool,
    edited: Mutex<Option<Edited>>,
}

/// A line that is being edited on the terminal: all else is printed above it.
///
/// rustyline's own printer for that loses what is typed faster than it reads, before its version 19, which needs a
/// newer Rust than ours.
struct Edited {
    prompt: String,
    line: String,
    /// The place of the cursor, in bytes of the line.
    at: usize,
    columns: usize,
}

impl Edited {
    /// The characters that print text above the line, and show the line again.
    fn above(&self, text: &str) -> String {
        let cursor = self.prompt.width() + self.line.get(..self.at).unwrap_or(&self.line).width();
        let end = self.prompt.width() + self.line.width();
        let mut out = String::new();
        let up = |out: &mut String, rows: usize| {
            if rows > 0 {
                *out += &format!("\x1b[{rows}A");
            }
        };
        up(&mut out, cursor / self.columns);
        // The terminal is raw: a new line does not begin at the left by itself.
        out += &format!("\r\x1b[J{}\r\n{}{}", text.replace('\n', "\r\n"), self.prompt, self.line);
        if cursor < end {
            up(&mut out, end / self.columns - cursor / self.columns);
            out.push('\r');
            if cursor % self.columns > 0 {
                out += &format!("\x1b[{}C", cursor % self.columns);
            }
        }
        out
    }
}

/// A colour or weight of text on a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    Dim,
    Bold,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Output {
    pub(crate) fn new(name: &'static str, json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { name, json, colour: wanted && able && !json, edited: Mutex::new(None) }
    }

    /// Returns whether lines are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Notes that a line is being edited from now on, on a terminal of that width.
    pub(crate) fn edit(&self, prompt: &str, columns: usize) {
        let prompt = prompt.to_owned();
        *self.lock() = Some(Edited { prompt, line: String::new(), at: 0, columns: columns.max(1) });
    }

    /// Notes the line that is being edited, and the place of the cursor.
    pub(crate) fn edit_on(&self, line: &str, at: usize) {
        if let Some(edited) = &mut *self.lock() {
            line.clone_into(&mut edited.line);
            edited.at = at;
        }
    }

    /// Notes that no line is being edited any more.
    pub(crate) fn edit_over(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Edited>> {
        self.edited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line of results.
    pub(crate) fn line(&self, mut line: String) {
        // Held until it is printed, so that lines do not overtake each other.
        let edited = self.lock();
        match &*edited {
            Some(edited) => line = edited.above(&line),
            None => line.push('\n'),
        }
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()) {
            // The reader wants no more, as `head` does after its lines. Any other error cannot be reported anywhere.
            process::exit(i32::from(error.kind() != ErrorKind::BrokenPipe));
        }
    }

    /// Prints a line for people, or the JSON line for scripts.
    pub(crate) fn either(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> Line) {
        self.line(if self.json { json().end() } else { text() });
    }

    /// Prints a remark that is no result: on stderr, so that scripts get results only.
    pub(crate) fn remark(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> Line) {
        let line = if self.json { json().end() } else { text() };
        let is_edited = self.lock().is_some();
        if is_edited {
            return self.line(line);
        }
        // There is no place to report that stderr is gone.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Prints an error, on stderr.
    pub(crate) fn complain(&self, message: &str) {
        let message = format!("sansocket {}: {}", self.name, crate::show::printable(message));
        let is_edited = self.lock().is_some();
        if is_edited {
            return self.line(self.paint(Colour::Red, message));
        }
        let _ = writeln!(io::stderr().lock(), "{message}");
    }

    /// Colours a piece of text, if this is a terminal that wants colours.
    pub(crate) fn paint(&self, colour: Colour, text: impl Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match colour {
            Colour::Dim => 2,
            Colour::Bold => 1,
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Cyan => 36,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The beginning of lines for people: the time of day and the namespace.
    pub(crate) fn head(&self, namespace: &str) -> String {
        let time = ZonedDateTime::now().strftime("%H:%M:%S%.3f").to_string();
        let namespace = self.paint(Colour::Cyan, crate::show::printable(namespace));
        format!("{} {namespace}", self.paint(Colour::Dim, time))
    }
}

/// A JSON line for scripts: an object with its members in the order in which they are added.
pub(crate) struct Line(String);

impl Line {
    /// Begins a line of that type, with the current time (UTC).
    pub(crate) fn new(kind: &str) -> Self {
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        Self("{".to_owned()).string("type", kind).string("time", &time)
    }

    /// Adds a string.
    pub(crate) fn string(self, key: &str, value: &str) -> Self {
        let json = serde_json::Value::from(value).to_string();
        // U+0085 and its like are legal in JSON, but some programs end a line there.
        self.raw(key, crate::show::compact(&json))
    }

    /// Adds a value that prints as JSON.
    pub(crate) fn raw(mut self, key: &str, json: impl Display) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(self.0, "\"{key}\":{json}");
        self
    }

    /// Ends the line.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_edited_stays_below_what_is_printed() {
        let edited =
            |line: &str, at| Edited { prompt: "/ > ".to_owned(), line: line.to_owned(), at, columns: 10 };
        assert_eq!(edited("", 0).above("x\ny"), "\r\x1b[Jx\r\ny\r\n/ > ");
        assert_eq!(edited("emit", 1).above("x"), "\r\x1b[Jx\r\n/ > emit\r\x1b[5C");
        // The line has three rows, and the cursor is in the second one.
        let line = "0123456789abcdefgh";
        assert_eq!(edited(line, 8).above("x"), format!("\x1b[1A\r\x1b[Jx\r\n/ > {line}\x1b[1A\r\x1b[2C"));
    }
}
