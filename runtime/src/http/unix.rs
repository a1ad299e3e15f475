//! The file of a Unix socket that a listener makes, and removes at its end.

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The attempts to lock the folder of a socket, and the time between two.
const LOCK_TRIES: u32 = 1000;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// The file of a Unix socket. Dropping it removes the file, unless another process has put its own there meanwhile.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    id: FileId,
}

/// The identity of a file: its device, its number there, and the time of its making, since the number of a file that was
/// removed may be the next one's.
type FileId = (u64, u64, i64, i64);

impl SocketFile {
    /// Binds a Unix socket. A file that a process which has died left behind is replaced; one at which a process answers
    /// is not. Of several processes that begin at the same moment, one gets the place.
    ///
    /// # Errors
    /// If another process listens there (`AddrInUse`), if the file is no socket, or if the system refuses the path.
    pub fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        // For all steps below: a socket that was bound and does not listen yet looks like one that was left behind, and the
        // file that a process removes could be that which another one has just made.
        let _lock = lock_folder(path);
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                identify(path)?;
                if is_answered(path)? {
                    return Err(error);
                }
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => UnixListener::bind(path)?,
                }
            }
            bound => bound?,
        };
        let file = Self { path: path.to_owned(), id: identify(path)? };
        Ok((listener, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _lock = lock_folder(&self.path);
        if identify(&self.path).ok() == Some(self.id) {
            // It fails if the folder has become read-only, say: then the next process replaces the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Locks the folder of a socket against others that bind or remove one there; the lock ends as the folder is closed. `None` if
/// that cannot be had: the folder may not be read, or somebody keeps it locked.
fn lock_folder(path: &Path) -> Option<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).ok()?;
    // Those who lock it for the same reason need it for some microseconds.
    for _ in 0..LOCK_TRIES {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(folder),
            Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_PAUSE),
            Err(_) => return None,
        }
    }
    None
}

/// Returns whether a process accepts connections at a socket's file.
fn is_answered(path: &Path) -> io::Result<bool> {
    let socket = net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    // A connection waits if the queue of those to be accepted is full, and the thread with it.
    ioctl_fionbio(&socket, true)?;
    Ok(net::connect(&socket, &SocketAddrUnix::new(path)?) != Err(Errno::CONNREFUSED))
}

/// The identity of a socket's file.
fn identify(path: &Path) -> io::Result<FileId> {
    let found = fs::symlink_metadata(path)?;
    if !found.file_type().is_socket() {
        let said = format!("{} is not a socket: remove it, or choose another path", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, said));
    }
    Ok((found.dev(), found.ino(), found.mtime(), found.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::sync::Barrier;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("sansocket-unix-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_file_goes_with_its_listener() {
        let folder = Folder::new("goes");
        let path = folder.0.join("socket");
        let bound = SocketFile::bind(&path).expect("a socket");
        assert!(path.exists());
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = Folder::new("left");
        let path = folder.0.join("socket");
        drop(UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists(), "it was left behind");
        let _bound = SocketFile::bind(&path).expect("it takes the place");
        let second = SocketFile::bind(&path).expect_err("somebody listens there");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        assert!(UnixStream::connect(&path).is_ok(), "the first one still does");
    }

    #[test]
    fn of_several_that_begin_at_once_one_gets_the_place() {
        let folder = Folder::new("several");
        let path = folder.0.join("socket");
        for round in 0..100 {
            if round % 2 == 0 {
                drop(UnixListener::bind(&path).expect("a socket that is left behind"));
            }
            let start = Barrier::new(4);
            let begin = || {
                start.wait();
                SocketFile::bind(&path).map_err(|error| error.kind())
            };
            let tries: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
                threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
            });
            let late: Vec<_> = tries.iter().filter_map(|bound| bound.as_ref().err()).collect();
            assert_eq!(late, [&io::ErrorKind::AddrInUse; 3], "in round {round}");
            assert!(UnixStream::connect(&path).is_ok(), "the one that has it listens there");
            drop(tries);
            assert!(!path.exists(), "and takes its file along");
        }
    }

    #[test]
    fn a_folder_that_somebody_keeps_locked_holds_nobody_up_for_long() {
        let folder = Folder::new("locked");
        let path = folder.0.join("socket");
        let _kept = lock_folder(&path).expect("a lock");
        assert!(lock_folder(&path).is_none());
        SocketFile::bind(&path).expect("a socket");
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let folder = Folder::new("other");
        let path = folder.0.join("notes.txt");
        fs::write(&path, "mine").expect("a file");
        let refused = SocketFile::bind(&path).expect_err("it is no socket");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "mine");
    }

    #[test]
    fn the_file_of_a_successor_stays() {
        let folder = Folder::new("successor");
        let path = folder.0.join("socket");
        let bound = SocketFile::bind(&path).expect("a socket");
        fs::remove_file(&path).expect("somebody removes it");
        let _successor = SocketFile::bind(&path).expect("a free place");
        drop(bound);
        assert!(path.exists());
    }
}
