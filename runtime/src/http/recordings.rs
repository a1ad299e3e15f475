//! Recordings of sessions: which are made, which are kept, and where they go.

use crate::base::trace::warning;
use crate::http::handshake::Handshake;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::record::RecordOptions;
use sansocket_protocol::server::Connection;
use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

/// The recordings that wait to be written; more are dropped.
const MAX_WAITING: usize = 64;

/// The way of recordings, with their paths, to the thread that writes them.
type Writer = SyncSender<(PathBuf, Vec<u8>)>;
type Choose = Box<dyn Fn(&Handshake) -> bool + Send + Sync>;

/// The flight recorder of a server: what the machines of its sessions are given is written to files, which
/// `sansocket replay` runs once more. See [`record`](sansocket_protocol::record) for the format, and for what is masked.
///
/// By default every session is recorded, in memory, and the recording is written only if the session ended because its
/// client broke a rule, or because a handler panicked.
///
/// ```
/// use sansocket_runtime::{Handshake, Recordings, ServerBuilder, adapter};
/// # type Server = sansocket_runtime::Server;
/// # fn set(builder: ServerBuilder<Server, adapter::ServerOptions>) -> ServerBuilder<Server, adapter::ServerOptions> {
///
/// builder.record(
///     Recordings::new("/var/tmp/sessions")
///         .one_in(100)
///         .only(|handshake: &Handshake| handshake.query_value("debug").is_some())
///         .max_files(1000),
/// )
/// # }
/// ```
pub struct Recordings {
    directory: PathBuf,
    options: RecordOptions,
    one_in: u64,
    choose: Option<Choose>,
    keeps_all: bool,
    max_files: u64,
}

impl Recordings {
    /// Recordings in that directory, which is made if it does not exist. Their names are `MILLISECONDS-NUMBER.ssrec`, with
    /// the time at the session's end. On Unix only their owner may read the files, and the directory if it is made here.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            options: RecordOptions::default(),
            one_in: 1,
            choose: None,
            keeps_all: false,
            max_files: 1000,
        }
    }

    /// Records one session in so many. Default 1: all.
    pub fn one_in(mut self, sessions: u64) -> Self {
        self.one_in = sessions.max(1);
        self
    }

    /// Records only sessions for whose handshake this says yes. Default: all.
    pub fn only(mut self, choose: impl Fn(&Handshake) -> bool + Send + Sync + 'static) -> Self {
        self.choose = Some(Box::new(choose));
        self
    }

    /// Sets whether every recording is written, and not only those of sessions that ended because of a broken rule or a
    /// panic. Default no.
    pub fn keep_all(mut self, keep: bool) -> Self {
        self.keeps_all = keep;
        self
    }

    /// Sets how many bytes the recording of a session may have; it ends there. So much memory is held for each session that
    /// is recorded. Default 1 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.options = self.options.max_bytes(bytes);
        self
    }

    /// Sets how many files this server keeps: a further recording replaces the oldest one. Default 1000.
    pub fn max_files(mut self, files: u64) -> Self {
        self.max_files = files;
        self
    }

    /// Sets whether secrets are kept: what clients and server say to each other, ids, and `auth`. Default no.
    pub fn with_secrets(mut self, keep: bool) -> Self {
        self.options = self.options.with_secrets(keep);
        self
    }
}

impl fmt::Debug for Recordings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recordings")
            .field("directory", &self.directory)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The flight recorder at work.
pub(crate) struct FlightRecorder {
    settings: Recordings,
    sessions: AtomicU64,
    files: Mutex<Files>,
}

/// The files of a recorder.
#[derive(Default)]
struct Files {
    /// The number of the next one.
    number: u64,
    /// The thread that writes, once there is something to write.
    writer: Option<Writer>,
}

impl FlightRecorder {
    /// # Errors
    /// If the directory cannot be made.
    pub(crate) fn new(settings: Recordings) -> io::Result<Self> {
        make_directory(&settings.directory)?;
        Ok(Self { settings, sessions: AtomicU64::new(0), files: Mutex::default() })
    }

    /// Returns whether a session is to be recorded.
    pub(crate) fn chooses(&self, handshake: &Handshake) -> bool {
        let is_chosen = self.settings.choose.as_ref().is_none_or(|choose| choose(handshake));
        is_chosen && self.sessions.fetch_add(1, Ordering::Relaxed) % self.settings.one_in == 0
    }

    pub(crate) fn begin(&self, machine: &mut Connection) {
        machine.record(self.settings.options);
    }

    /// A session has ended: its recording is written, if it is one to keep.
    pub(crate) fn end(&self, recording: Option<Vec<u8>>, reason: Option<CloseReason>, broke_a_rule: bool) {
        let Some(recording) = recording else { return };
        let failed = broke_a_rule || reason == Some(CloseReason::HandlerPanic);
        if (!failed && !self.settings.keeps_all) || self.settings.max_files == 0 {
            return;
        }
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.settings.directory.join(format!("{time}-{}.ssrec", files.number));
        if files.writer.is_none() {
            files.writer = spawn_writer(self.settings.max_files);
        }
        let taken = files.writer.as_ref().is_some_and(|writer| writer.try_send((path, recording)).is_ok());
        if taken {
            files.number = files.number.wrapping_add(1);
        } else {
            warning!("a recording of a session was dropped: the disk is too slow");
        }
    }
}

/// A thread that writes recordings until the recorder is gone: a disk may take its time.
fn spawn_writer(max_files: u64) -> Option<Writer> {
    let (sender, receiver) = sync_channel::<(PathBuf, Vec<u8>)>(MAX_WAITING);
    let spawned = thread::Builder::new().name("sansocket-recordings".into()).spawn(move || {
        let mut written = VecDeque::<PathBuf>::new();
        for (path, recording) in receiver {
            // One client that breaks rules again and again must not keep out the recordings of all others.
            while written.len() as u64 >= max_files {
                if let Some(oldest) = written.pop_front() {
                    remove(&oldest);
                }
            }
            match write(&path, &recording) {
                Ok(()) => written.push_back(path),
                Err(error) => {
                    warning!(path = %path.display(), %error, "a recording of a session could not be written");
                }
            }
        }
    });
    spawned.ok().map(|_| sender)
}

/// Removes the oldest file, which somebody may have taken away before.
fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warning!(path = %path.display(), %error, "the oldest recording of a session could not be removed");
        }
        _ => {}
    }
}

/// Makes the directory, for its owner only.
fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Writes it under another name first, so that nobody reads half of one.
fn write(path: &Path, recording: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("part");
    let mut options = fs::OpenOptions::new();
    // A link that somebody has put there is not followed.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    let written = file.write_all(recording);
    drop(file);
    let finished = written.and_then(|()| fs::rename(&unfinished, path));
    if finished.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    finished
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn files_are_for_their_owner_and_follow_no_link() {
        let directory = std::env::temp_dir().join(format!("sansocket-{}-owner", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        make_directory(&directory).expect("a directory");
        let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        let path = directory.join("1-0.ssrec");
        write(&path, b"recording").expect("a file");
        assert_eq!((mode(&path), fs::read(&path).expect("a file")), (0o600, b"recording".to_vec()));
        let target = directory.join("target");
        symlink(&target, directory.join("1-1.part")).expect("a link");
        let error = write(&directory.join("1-1.ssrec"), b"recording").expect_err("a link is there");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(!target.exists());
        fs::remove_dir_all(&directory).expect("it can be removed");
    }
}
