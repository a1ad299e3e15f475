//! The source of a session's commands: a line that is edited on the terminal, or a pipe.

use super::command;
use crate::output::Output;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, Context, Editor, Helper};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use tokio::sync::mpsc;

/// The largest number of names that are kept for completion: a server that makes up ever new ones does not fill the memory.
const MAX_NAMES: usize = 1000;

/// An action of the user.
#[derive(Debug)]
pub(super) enum Typed {
    Line(String),
    /// Ctrl-D, or the end of the pipe.
    End,
    /// Ctrl-C.
    Interrupt,
    Failed(String),
}

/// The names for completion, and the prompt: the session sets them, the editor uses them.
#[derive(Default)]
pub(super) struct Known {
    pub(super) events: Mutex<BTreeSet<String>>,
    pub(super) namespaces: Mutex<BTreeSet<String>>,
    pub(super) prompt: Mutex<String>,
}

impl Known {
    pub(super) fn learn(names: &Mutex<BTreeSet<String>>, name: &str) {
        let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MAX_NAMES && !names.contains(name) {
            names.insert(name.to_owned());
        }
    }

    fn names(names: &Mutex<BTreeSet<String>>) -> Vec<String> {
        names.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// The lines of a session, one at a time: the next is read once [`Input::next`] is called again.
pub(super) struct Input {
    typed: mpsc::Receiver<Typed>,
    ask: blocking::Sender<()>,
    asked: bool,
}

impl Input {
    /// Lines from stdin as it is.
    pub(super) fn pipe() -> Self {
        Self::spawn(|typed, asked| {
            let mut stdin = io::stdin().lock();
            while asked.recv().is_ok() {
                let mut line = String::new();
                let item = match stdin.read_line(&mut line) {
                    Ok(0) => Typed::End,
                    Ok(_) => Typed::Line(line),
                    Err(error) => Typed::Failed(format!("stdin: {error}")),
                };
                if typed.blocking_send(item).is_err() {
                    break;
                }
            }
        })
    }

    /// Lines that are edited on the terminal. Whatever is printed meanwhile goes above them.
    pub(super) fn edited(
        output: Arc<Output>,
        known: Arc<Known>,
        history: Option<PathBuf>,
    ) -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .history_ignore_space(true)
            .history_ignore_dups(true)?
            .color_mode(ColorMode::Forced)
            .build();
        let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config)?;
        editor.set_helper(Some(Assistant {
            known: known.clone(),
            output: output.clone(),
            files: FilenameCompleter::new(),
        }));
        if let Some(history) = &history {
            // The first time there is no such file.
            let _ = editor.load_history(history);
        }
        Ok(Self::spawn(move |typed, asked| {
            while asked.recv().is_ok() {
                let prompt = known.prompt.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let columns = editor.dimensions().map_or(80, |(columns, _)| usize::from(columns));
                output.edit(&prompt, columns);
                let line = editor.readline(&prompt);
                output.edit_over();
                let item = match line {
                    Ok(line) => {
                        let added = editor.add_history_entry(line.as_str());
                        if let (Ok(true), Some(history)) = (added, &history) {
                            keep(&mut editor, history);
                        }
                        Typed::Line(line)
                    }
                    Err(ReadlineError::Eof) => Typed::End,
                    Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Typed::Interrupt,
                    Err(error) => Typed::Failed(error.to_string()),
                };
                if typed.blocking_send(item).is_err() {
                    break;
                }
            }
        }))
    }

    fn spawn(read: impl FnOnce(mpsc::Sender<Typed>, blocking::Receiver<()>) + Send + 'static) -> Self {
        let (sender, typed) = mpsc::channel(1);
        let (ask, asked) = blocking::channel();
        // Not a task of the runtime, which would wait for it at the end.
        std::thread::spawn(move || read(sender, asked));
        Self { typed, ask, asked: false }
    }

    /// Reads the next line. Between two lines the terminal is as it was. The future may be dropped, and this be called
    /// again.
    pub(super) async fn next(&mut self) -> Typed {
        if !self.asked {
            // If the thread is gone, so is the other channel.
            let _ = self.ask.send(());
            self.asked = true;
        }
        let typed = self.typed.recv().await.unwrap_or(Typed::End);
        self.asked = false;
        typed
    }
}

/// Saves the history. A failure to do so is no reason to stop.
fn keep(editor: &mut Editor<Assistant, FileHistory>, history: &Path) {
    if let Some(folder) = history.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    let _ = editor.append_history(history);
}

/// The completion of names and files.
struct Assistant {
    known: Arc<Known>,
    output: Arc<Output>,
    files: FilenameCompleter,
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..at];
        let start = typed.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
        let word = &typed[start..];
        if word.starts_with('@') && !word.starts_with("@@") {
            let (_, files) = self.files.complete(&word[1..], word.len() - 1, context)?;
            let with_at = |pair: Pair| Pair { replacement: format!("@{}", pair.replacement), ..pair };
            let files = files.into_iter().map(with_at).collect();
            return Ok((start, files));
        }
        let before: Vec<_> = typed[..start].split_whitespace().collect();
        let names = match before[..] {
            [] => command::NAMES.map(str::to_owned).to_vec(),
            ["emit" | "call" | "wait"] => Known::names(&self.known.events),
            ["use" | "join" | "leave"] => Known::names(&self.known.namespaces),
            _ => Vec::new(),
        };
        let fits = names.into_iter().filter(|name| name.starts_with(word));
        let pairs = fits.map(|name| Pair { replacement: format!("{name} "), display: name });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {
    /// Colours nothing, but passes on the edited line.
    fn highlight<'l>(&self, line: &'l str, at: usize) -> Cow<'l, str> {
        self.output.edit_on(line, at);
        Cow::Borrowed(line)
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        true
    }
}
impl Validator for Assistant {}
impl Helper for Assistant {}
