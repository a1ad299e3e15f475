//! The spans of `tracing` around handlers: their names, their fields, and what runs within them.
#![cfg(feature = "tracing")]

use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{Data, Socket};
use std::fmt::{Debug, Write};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;

/// Keeps what is said, with the spans that it is said in.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    level: Option<Level>,
    spans: Vec<(String, &'static Metadata<'static>)>,
    entered: Vec<u64>,
    lines: Vec<String>,
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.lock().unwrap().level.is_none_or(|level| *metadata.level() <= level)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(span.metadata().name().to_owned());
        span.record(&mut line);
        let mut kept = self.0.lock().unwrap();
        kept.spans.push((line.0, span.metadata()));
        Id::from_u64(kept.spans.len() as u64)
    }

    fn event(&self, event: &Event<'_>) {
        let is_warning = *event.metadata().level() == Level::WARN;
        if event.metadata().target() == "spans" || is_warning {
            let mut line = Line::default();
            event.record(&mut line);
            let mut kept = self.0.lock().unwrap();
            let spans: Vec<_> = kept.entered.iter().map(|id| &*kept.spans[*id as usize - 1].0).collect();
            let line = format!("{} in {}", line.0.trim(), spans.join(" / "));
            kept.lines.push(line);
        }
    }

    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        let mut kept = self.0.lock().unwrap();
        assert_eq!(kept.entered.pop(), Some(id.into_u64()));
    }

    fn current_span(&self) -> Current {
        let kept = self.0.lock().unwrap();
        match kept.entered.last() {
            Some(id) => Current::new(Id::from_u64(*id), kept.spans[*id as usize - 1].1),
            None => Current::none(),
        }
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
}

/// Has a subscriber told of all that its thread logs. While `tracing` knows of one dispatcher only, it asks that of the
/// thread that comes first to a place in the code: a test beside this one, which has none, would silence it for all.
fn listen<T>(subscriber: impl Subscriber + Send + Sync, run: impl FnOnce() -> T) -> T {
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
    LazyLock::force(&ANOTHER);
    tracing::subscriber::with_default(subscriber, run)
}

/// The log lines of the handlers while they run, with the spans around them. `SOCKET` stands for the socket's id.
fn told(level: Option<Level>) -> (Vec<String>, usize) {
    let lines = Lines::default();
    lines.0.lock().unwrap().level = level;
    listen(lines.clone(), || {
        let test = TestServer::default();
        let chat = test.server().namespace("/chat");
        chat.on_connect(async || tracing::info!("asked"))
            .on("say", async |Data(text): Data<String>| tracing::info!("said {text}"))
            .on("wait", async |socket: Socket| {
                tracing::info!("before");
                let _ = socket.emit_with_ack("nothing", &(), Duration::from_secs(1)).await;
                tracing::info!("after");
            })
            .on_concurrent("apart", async |socket: Socket| {
                tracing::info!("began apart");
                let _ = socket.emit_with_ack("nothing", &(), Duration::from_secs(1)).await;
                tracing::info!("went on apart");
            })
            .on("twice", async || tracing::info!("one"))
            .on("twice", async || tracing::info!("two"))
            .on_disconnect(async || tracing::info!("gone"));
        let client = test.client("/chat");
        let id = client.id();
        client.emit("say", &"hello");
        client.emit("wait", &());
        test.advance(Duration::from_secs(2));
        client.emit("apart", &());
        test.advance(Duration::from_secs(2));
        client.emit("twice", &());
        client.disconnect();
        let kept = lines.0.lock().unwrap();
        assert!(kept.entered.is_empty(), "every span was left: {:?}", kept.entered);
        (kept.lines.iter().map(|line| line.replace(&*id, "SOCKET")).collect(), kept.spans.len())
    })
}

#[test]
fn handlers_run_in_a_span_with_namespace_socket_and_event() {
    let (lines, _) = told(None);
    let event = |words: &str, event: &str| {
        format!("message={words} in event namespace=/chat socket=SOCKET event={event}")
    };
    assert_eq!(
        lines,
        [
            "message=asked in step namespace=/chat socket=SOCKET step=connect".to_owned(),
            event("said hello", "say"),
            event("before", "wait"),
            event("after", "wait"),
            event("began apart", "apart"),
            event("went on apart", "apart"),
            event("one", "twice"),
            event("two", "twice"),
            "message=gone in step namespace=/chat socket=SOCKET step=disconnect".to_owned(),
        ]
    );
}

#[test]
fn without_an_ear_at_debug_level_there_are_no_spans() {
    let (lines, spans) = told(Some(Level::INFO));
    assert_eq!(lines.first().map(String::as_str), Some("message=asked in "));
    assert_eq!(spans, 0);
}

#[test]
fn a_socket_that_gets_more_and_more_handlers_is_a_warning_once() {
    let lines = Lines::default();
    lines.0.lock().unwrap().level = Some(Level::WARN);
    listen(lines.clone(), || {
        let test = TestServer::default();
        test.server().on("again", async |socket: Socket| {
            socket.on("more", async || ()).on_any(async || ());
        });
        let client = test.client("/");
        for _ in 0..99 {
            client.emit("again", &());
        }
        assert!(lines.0.lock().unwrap().lines.is_empty());
        for _ in 0..50 {
            client.emit("again", &());
        }
    });
    let lines = std::mem::take(&mut lines.0.lock().unwrap().lines);
    let handlers = "100 handlers of its own for one event";
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains(handlers)), "{lines:?}");
}
