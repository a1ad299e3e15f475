//! The commands of a session, as they are typed.

use crate::target::seconds;
use crate::values::{self, Value, Values};
use serde_json::value::RawValue;
use std::time::Duration;

/// The text of `help`.
pub(super) const HELP: &str = "\
emit EVENT [ARG]...       emit an event
call EVENT [ARG]...       emit an event, and show its acknowledgement
ack NUMBER [ARG]...       acknowledge an event that asks for it
join NAMESPACE [AUTH]     join another namespace, and use it; AUTH is a JSON object, or @FILE
use NAMESPACE             emit in that namespace from now on
leave [NAMESPACE]         leave that namespace, or the one in use
status                    show the namespaces, and whether they are connected
wait EVENT                wait for that event, or take one that came before
sleep SECS                wait
quit                      leave all namespaces, and exit; Ctrl-D does the same
An ARG is JSON, or else a word that is sent as a string: 1  {\"a\": [true]}  \"two words\"  hello
@FILE is a file as binary, @@text the string @text. Lines that begin with # are skipped.";

/// The names of the commands.
pub(super) const NAMES: [&str; 12] =
    ["ack", "call", "emit", "exit", "help", "join", "leave", "quit", "sleep", "status", "use", "wait"];

#[derive(Debug)]
pub(super) enum Command {
    Emit { event: String, args: Values },
    Call { event: String, args: Values },
    Ack { number: u64, args: Values },
    Join { namespace: String, auth: Option<Box<RawValue>> },
    Use(String),
    Leave(Option<String>),
    Status,
    Wait(String),
    Sleep(Duration),
    Help,
    Quit,
}

impl Command {
    /// Reads a line. `None` if there is no command in it. With `raw`, all arguments are strings.
    pub(super) fn parse(line: &str, raw: bool) -> Result<Option<Self>, String> {
        let mut words = Words(line.trim());
        if words.0.is_empty() || words.0.starts_with('#') {
            return Ok(None);
        }
        let name = words.word().unwrap_or_default();
        let command = match name {
            "emit" => Self::Emit { event: words.name("an event")?, args: words.args(raw)? },
            "call" => Self::Call { event: words.name("an event")?, args: words.args(raw)? },
            "ack" => {
                let number = words.word().unwrap_or_default().parse();
                let number = number.map_err(|_| "ack needs the number of an event".to_owned())?;
                Self::Ack { number, args: words.args(raw)? }
            }
            "join" => {
                let namespace = words.name("a namespace")?;
                let auth = std::mem::take(&mut words.0);
                let auth = (!auth.is_empty()).then(|| values::auth(auth)).transpose()?;
                Self::Join { namespace, auth }
            }
            "use" => Self::Use(words.name("a namespace")?),
            "leave" => Self::Leave(words.word().map(str::to_owned)),
            "status" => Self::Status,
            "wait" => Self::Wait(words.name("an event")?),
            "sleep" => Self::Sleep(seconds(words.word().unwrap_or_default())?),
            "help" => Self::Help,
            "quit" | "exit" => Self::Quit,
            _ => return Err(format!("there is no command `{name}`: see `help`")),
        };
        match words.0 {
            "" => Ok(Some(command)),
            rest => Err(format!("`{name}` does not take `{rest}`")),
        }
    }
}

/// The rest of a line.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(bytes);
        self.0 = rest.trim_start();
        taken
    }

    fn word(&mut self) -> Option<&'a str> {
        let end = self.0.find(char::is_whitespace).unwrap_or(self.0.len());
        (end > 0).then(|| self.take(end))
    }

    /// JSON, which may have blanks in it.
    fn json(&mut self) -> Result<&'a str, String> {
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter::<&'a RawValue>();
        match values.next() {
            Some(Ok(_)) => {
                let end = values.byte_offset();
                if self.0[end..].starts_with(|next: char| !next.is_whitespace()) {
                    return Err(format!("a blank is missing before `{}`", &self.0[end..]));
                }
                Ok(self.take(end))
            }
            Some(Err(error)) => Err(format!("`{}` is no JSON: {error}", self.0)),
            None => Err("an argument is missing".to_owned()),
        }
    }

    /// A name: a word, or a JSON string.
    fn name(&mut self, what: &str) -> Result<String, String> {
        if self.0.starts_with('"') {
            let json = self.json()?;
            return serde_json::from_str(json).map_err(|error| error.to_string());
        }
        self.word().map(str::to_owned).ok_or_else(|| format!("{what} is missing: see `help`"))
    }

    fn args(&mut self, raw: bool) -> Result<Values, String> {
        let mut args = Vec::new();
        while !self.0.is_empty() {
            let is_json = !raw && self.0.starts_with(['{', '[', '"']);
            let typed = if is_json { self.json()? } else { self.word().unwrap_or_default() };
            args.push(Value::parse(typed, raw)?);
        }
        Ok(Values(args))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> String {
        match Command::parse(line, false) {
            Ok(Some(command)) => format!("{command:?}"),
            Ok(None) => "nothing".to_owned(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn arguments_are_json_with_blanks_or_words() {
        let line = r#"  emit say {"a": [1, 2]} "two words" 5 hello @@x"#;
        let Ok(Some(Command::Emit { event, args })) = Command::parse(line, false) else { panic!() };
        assert_eq!(event, "say");
        let kinds: Vec<_> = args
            .0
            .iter()
            .map(|value| match value {
                Value::Json(json) => format!("json {json}"),
                Value::Text(text) => format!("text {text}"),
                Value::Binary(_) => "binary".to_owned(),
            })
            .collect();
        assert_eq!(
            kinds,
            [r#"json {"a": [1, 2]}"#, r#"json "two words""#, "json 5", "text hello", "text @x"]
        );
    }

    #[test]
    fn names_may_be_quoted() {
        assert!(parse(r#"call "two words""#).contains(r#"event: "two words""#));
        assert_eq!(parse("use /chat"), r#"Use("/chat")"#);
        assert_eq!(parse("leave"), "Leave(None)");
        assert!(parse(r#"join /chat {"token": 1}"#).contains("Some"));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        assert_eq!(parse(""), "nothing");
        assert_eq!(parse(" # a remark"), "nothing");
        assert_eq!(parse("emti x"), "error: there is no command `emti`: see `help`");
        assert_eq!(parse("emit"), "error: an event is missing: see `help`");
        assert_eq!(parse("ack x"), "error: ack needs the number of an event");
        assert_eq!(parse("status now"), "error: `status` does not take `now`");
        assert!(parse("emit x {").starts_with("error: `{` is no JSON"));
        assert!(parse("emit x [1]2").starts_with("error: a blank is missing"));
        assert!(parse("sleep -1").starts_with("error: must be"));
        assert!(parse("join /x [1]").starts_with("error: auth must be"));
    }
}
