//! `sansocket connect`: a session, by hand or from a pipe.

mod command;
mod input;

use crate::failure::{Failure, block_on, interrupt, or_interrupt};
use crate::listen;
use crate::output::{Colour, Line, Output};
use crate::show;
use crate::target::{Target, leave};
use crate::values::Values;
use clap::Args;
use command::Command;
use input::{Input, Known, Typed};
use sansocket_tokio::{
    Ack, AckError, Args as Arguments, Client, ClientSocket, ConnectError, DisconnectReason, EventName,
};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The largest number of events whose acknowledgement can still be sent; older ones are forgotten.
const MAX_UNANSWERED: usize = 64;
/// The largest number of event names that are counted for `wait`.
const MAX_COUNTED: usize = 1000;

/// Opens a session: prints events and takes commands.
///
/// On a terminal, commands are edited with history and completion; `help` lists them. From a pipe they run one after
/// the other, each `call` until it is answered, up to the end of the pipe. The exit code is then 1 if any of them
/// failed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Send all arguments of events as strings
    #[arg(long)]
    raw: bool,
    /// History file [default: sansocket/history in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "FILE", conflicts_with = "no_history")]
    history: Option<PathBuf>,
    /// Keep no history. A line that begins with a blank is never kept
    #[arg(long)]
    no_history: bool,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let output = Arc::new(Output::new("connect", options.target.json));
    block_on(&output, false, connect(options, &output))
}

async fn connect(options: &Options, output: &Arc<Output>) -> Result<(), Failure> {
    let sockets = options.target.client(output)?;
    let Some(first) = sockets.all.first().cloned() else { return Ok(()) };
    let desk = Arc::new(Desk {
        output: output.clone(),
        known: Arc::default(),
        seen: Mutex::default(),
        news: Notify::new(),
    });
    for socket in &sockets.all {
        desk.watch(socket);
    }
    // Before the first await, and so before anything listens for Ctrl-C: the editor's signal handler replaces earlier
    // ones, while a later one is called in addition.
    let is_edited = io::stdin().is_terminal() && io::stdout().is_terminal();
    let input = if is_edited {
        let history = if options.no_history { None } else { options.history.clone().or_else(history) };
        Input::edited(output.clone(), desk.known.clone(), history).map_err(Failure::failed)?
    } else {
        Input::pipe()
    };
    // A refusal is reported through the error that this returns.
    or_interrupt(sockets.connect()).await?;
    desk.settle();

    let client = sockets.client.clone();
    let mut session =
        Session { options, client, joined: sockets.all, current: first, desk, is_edited, failed: 0 };
    let outcome = session.run(input).await;
    let left = leave(&session.client, options.target.timeout).await;
    outcome?;
    if is_edited {
        return Ok(());
    }
    match session.failed {
        0 => left,
        failed => Err(Failure::failed(format_args!("{failed} commands failed"))),
    }
}

fn history() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("sansocket").join("history"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state that event handlers share with commands.
struct Desk {
    output: Arc<Output>,
    known: Arc<Known>,
    seen: Mutex<Seen>,
    /// Notified when something is added to `seen`.
    news: Notify,
}

/// The events that have come.
#[derive(Default)]
struct Seen {
    /// For each name, the number of events that no `wait` has taken.
    events: BTreeMap<String, u64>,
    /// The events that ask for an acknowledgement, by number.
    unanswered: VecDeque<(u64, Ack)>,
    last_number: u64,
    /// Whether failures to connect are printed: while a command connects, it reports its own.
    settled: bool,
}

impl Desk {
    /// Prints the events and the changes of a namespace.
    fn watch(self: &Arc<Self>, socket: &ClientSocket) {
        Known::learn(&self.known.namespaces, socket.name());
        let desk = self.clone();
        socket.on_fallback(
            move |socket: ClientSocket, EventName(event): EventName, args: Arguments, ack: Ack| {
                desk.received(&socket, &event, &args, ack);
                std::future::ready(())
            },
        );
        let desk = self.clone();
        socket.on_connect(move |socket: ClientSocket| {
            let id = socket.id().unwrap_or_default();
            desk.happened(&socket, "connected", Colour::Green, "id", &id);
            std::future::ready(())
        });
        let desk = self.clone();
        socket.on_disconnect(move |socket: ClientSocket, reason: DisconnectReason| {
            desk.happened(&socket, "disconnected", Colour::Yellow, "reason", &reason.to_string());
            std::future::ready(())
        });
        let desk = self.clone();
        socket.on_connect_error(move |socket: ClientSocket, error: ConnectError| {
            if lock(&desk.seen).settled {
                desk.happened(&socket, "connect_error", Colour::Red, "reason", &error.to_string());
            }
            std::future::ready(())
        });
    }

    fn settle(&self) {
        lock(&self.seen).settled = true;
    }

    fn received(&self, socket: &ClientSocket, event: &str, args: &Arguments, ack: Ack) {
        Known::learn(&self.known.events, event);
        let number = {
            let mut seen = lock(&self.seen);
            if seen.events.len() < MAX_COUNTED || seen.events.contains_key(event) {
                *seen.events.entry(event.to_owned()).or_default() += 1;
            }
            ack.is_wanted().then(|| {
                seen.last_number += 1;
                let number = seen.last_number;
                if seen.unanswered.len() == MAX_UNANSWERED {
                    seen.unanswered.pop_front();
                }
                seen.unanswered.push_back((number, ack));
                number
            })
        };
        listen::print(&self.output, socket, event, args, number);
        self.news.notify_one();
    }

    fn happened(&self, socket: &ClientSocket, what: &str, colour: Colour, key: &str, value: &str) {
        let value = show::printable(value);
        let words = what.replace('_', " ");
        self.output.either(
            || {
                format!(
                    "{} {}, {key} {value}",
                    self.output.head(socket.name()),
                    self.output.paint(colour, &words)
                )
            },
            || Line::new(what).string("namespace", socket.name()).string(key, &value),
        );
    }

    /// Waits for an event of that name, and takes it.
    async fn wait(&self, event: &str) {
        loop {
            if let Some(count) = lock(&self.seen).events.get_mut(event).filter(|count| **count > 0) {
                *count -= 1;
                return;
            }
            self.news.notified().await;
        }
    }

    fn answered(&self, socket: &ClientSocket, event: &str, answer: &Arguments, took: Duration) {
        let millis = took.as_secs_f64() * 1e3;
        self.output.either(
            || {
                let name = self.output.paint(Colour::Green, show::event(event));
                let took = self.output.paint(Colour::Dim, format_args!("({millis:.1} ms)"));
                let head = self.output.head(socket.name());
                match show::text(answer).as_str() {
                    "" => format!("{head} {name} acknowledged {took}"),
                    text => format!("{head} {name} acknowledged: {text} {took}"),
                }
            },
            || {
                let line = Line::new("ack").string("namespace", socket.name()).string("event", event);
                line.raw("args", show::json(answer)).raw("ms", format_args!("{millis:.3}"))
            },
        );
    }
}

/// The session, which runs the commands one after the other.
struct Session<'a> {
    options: &'a Options,
    client: Client,
    joined: Vec<ClientSocket>,
    current: ClientSocket,
    desk: Arc<Desk>,
    is_edited: bool,
    failed: u64,
}

impl Session<'_> {
    async fn run(&mut self, mut input: Input) -> Result<(), Failure> {
        loop {
            *lock(&self.desk.known.prompt) = format!("{} > ", show::printable(self.current.name()));
            let line = tokio::select! {
                typed = input.next() => match typed {
                    Typed::Line(line) => line,
                    Typed::End => return Ok(()),
                    Typed::Interrupt => return Err(Failure::Interrupted),
                    Typed::Failed(message) => return Err(Failure::failed(message)),
                },
                // On a terminal the editor reports it, once it has restored the terminal.
                failure = interrupt(), if !self.is_edited => return Err(failure),
            };
            let command = match Command::parse(&line, self.options.raw) {
                Ok(None) => continue,
                Ok(Some(Command::Quit)) => return Ok(()),
                Ok(Some(command)) => command,
                Err(message) => {
                    self.fail(&Failure::Usage(message));
                    continue;
                }
            };
            match or_interrupt(self.obey(command)).await {
                Ok(()) => {}
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(failure) => self.fail(&failure),
            }
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.failed += 1;
        failure.tell(&self.desk.output);
    }

    async fn obey(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Emit { event, args } => {
                Known::learn(&self.desk.known.events, &event);
                Ok(self.current.emit(&event, &args)?)
            }
            Command::Call { event, args } => {
                Known::learn(&self.desk.known.events, &event);
                self.call(event, &args).await
            }
            Command::Ack { number, args } => {
                let ack = {
                    let unanswered = &mut lock(&self.desk.seen).unanswered;
                    let at = unanswered.iter().position(|(known, _)| *known == number);
                    at.and_then(|at| unanswered.remove(at))
                };
                let none = || Failure::failed(format_args!("no event {number} waits for an acknowledgement"));
                let (_, ack) = ack.ok_or_else(none)?;
                Ok(ack.send(&args)?)
            }
            Command::Join { namespace, auth } => self.join(&namespace, auth.as_deref()).await,
            Command::Use(namespace) => {
                self.current = self.find(&namespace)?;
                Ok(())
            }
            Command::Leave(namespace) => {
                let socket = match namespace {
                    Some(namespace) => self.find(&namespace)?,
                    None => self.current.clone(),
                };
                socket.disconnect();
                Ok(())
            }
            Command::Status => {
                self.joined.iter().for_each(|socket| self.status(socket));
                Ok(())
            }
            Command::Wait(event) => {
                let limit = self.options.target.timeout;
                let came = tokio::time::timeout(limit, self.desk.wait(&event)).await;
                came.map_err(|_| Failure::failed(format_args!("no event `{}` in time", show::event(&event))))
            }
            Command::Sleep(duration) => {
                tokio::time::sleep(duration).await;
                Ok(())
            }
            Command::Help => {
                self.desk.output.line(command::HELP.to_owned());
                Ok(())
            }
            // `run` handles it.
            Command::Quit => Ok(()),
        }
    }

    /// On a terminal the next command can be typed at once; a script waits for the answer.
    async fn call(&self, event: String, args: &Values) -> Result<(), Failure> {
        let begun = Instant::now();
        let answer = self.current.emit_with_ack(&event, args, self.options.target.timeout);
        let answered = answered(self.desk.clone(), self.current.clone(), event, begun, answer);
        if !self.is_edited {
            return answered.await;
        }
        let desk = self.desk.clone();
        tokio::spawn(async move {
            if let Err(failure) = answered.await {
                failure.tell(&desk.output);
            }
        });
        Ok(())
    }

    async fn join(&mut self, name: &str, auth: Option<&RawValue>) -> Result<(), Failure> {
        let socket = match self.find(name) {
            Ok(socket) => socket,
            Err(_) => {
                let socket = self.client.namespace(name);
                if let Some(auth) = &self.options.target.auth {
                    socket.auth(auth).map_err(Failure::failed)?;
                }
                self.desk.watch(&socket);
                self.joined.push(socket.clone());
                socket
            }
        };
        if let Some(auth) = auth {
            socket.auth(auth).map_err(Failure::failed)?;
        }
        // A refusal is reported once, through the error that this returns.
        lock(&self.desk.seen).settled = false;
        let joined = socket.connect().await;
        self.desk.settle();
        joined.map_err(|error| Failure::connect(socket.name(), &error))?;
        self.current = socket;
        Ok(())
    }

    fn find(&self, name: &str) -> Result<ClientSocket, Failure> {
        let bare = |name: &str| name.trim_start_matches('/').to_owned();
        let found = self.joined.iter().find(|socket| bare(socket.name()) == bare(name));
        found
            .cloned()
            .ok_or_else(|| Failure::failed(format_args!("not in the namespace `{name}`: see `join`")))
    }

    fn status(&self, socket: &ClientSocket) {
        let id = socket.id();
        let transport = self.client.transport().map_or("none", |transport| transport.as_str());
        let output = &self.desk.output;
        output.either(
            || match &id {
                Some(id) => format!(
                    "{} connected by {transport}, id {}",
                    output.head(socket.name()),
                    show::printable(id)
                ),
                None => format!("{} not connected", output.head(socket.name())),
            },
            || {
                let line = Line::new("status").string("namespace", socket.name());
                let line = line.raw("connected", id.is_some()).string("transport", transport);
                match &id {
                    Some(id) => line.string("id", id),
                    None => line,
                }
            },
        );
    }
}

async fn answered(
    desk: Arc<Desk>,
    socket: ClientSocket,
    event: String,
    begun: Instant,
    answer: impl Future<Output = Result<Arguments, AckError>>,
) -> Result<(), Failure> {
    let answer = answer.await?;
    desk.answered(&socket, &event, &answer, begun.elapsed());
    Ok(())
}
