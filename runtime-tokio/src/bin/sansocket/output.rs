//! What the tool prints: lines for people, in colour on a terminal, or JSON lines for scripts.

use jiff::{Timestamp, ZonedDateTime};
use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind, IsTerminal, Write as _};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Prints above the line that is being edited.
pub(crate) type Above = Box<dyn rustyline::ExternalPrinter + Send>;

/// Where lines go. Shared by handlers and commands: each line is written whole.
pub(crate) struct Output {
    /// How the subcommand is called.
    name: &'static str,
    json: bool,
    colour: bool,
    above: Mutex<Option<Above>>,
}

/// How something is coloured on a terminal.
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
        Self { name, json, colour: wanted && able && !json, above: Mutex::new(None) }
    }

    /// Whether lines are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// From now on a line is edited on the terminal, and all else is printed above it.
    pub(crate) fn print_above(&self, above: Above) {
        *self.lock() = Some(above);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Above>> {
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line that was asked for.
    pub(crate) fn line(&self, mut line: String) {
        line.push('\n');
        let mut above = self.lock();
        if let Some(above) = &mut *above {
            if above.print(line.clone()).is_ok() {
                return;
            }
        }
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()) {
            // Who reads has seen enough, as `head` has; and where nothing can be written nothing can be said.
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
        // Nobody can be told that stderr is gone.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Prints what went wrong, on stderr.
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

    /// The time of day and the namespace, with which lines for people begin.
    pub(crate) fn head(&self, namespace: &str) -> String {
        let time = ZonedDateTime::now().strftime("%H:%M:%S%.3f").to_string();
        let namespace = self.paint(Colour::Cyan, crate::show::printable(namespace));
        format!("{} {namespace}", self.paint(Colour::Dim, time))
    }
}

/// A JSON line for scripts: an object with its members in the order in which they are added.
pub(crate) struct Line(String);

impl Line {
    /// A line of that type, with the time of now (UTC).
    pub(crate) fn new(kind: &str) -> Self {
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        Self("{".to_owned()).string("type", kind).string("time", &time)
    }

    /// Adds a string.
    pub(crate) fn string(self, key: &str, value: &str) -> Self {
        let json = serde_json::Value::from(value).to_string();
        // U+0085 and its like are legal in JSON, and end a line for some.
        self.raw(key, &crate::show::compact(&json))
    }

    /// Adds anything whose JSON is how it prints.
    pub(crate) fn raw(mut self, key: &str, json: impl Display) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(self.0, "\"{key}\":{json}");
        self
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
