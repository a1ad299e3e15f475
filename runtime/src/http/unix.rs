//! The file of a Unix socket that a listener makes, and removes at its end.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The file of a Unix socket. Dropping it removes the file, unless another process has put its own there meanwhile.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Its device and its number there.
    id: (u64, u64),
}

impl SocketFile {
    /// Binds a Unix socket. A file that a process which has died left behind is replaced; one at which a process answers
    /// is not. `connect` tries to connect to the path, without blocking the thread.
    ///
    /// # Errors
    /// If another process listens there (`AddrInUse`), if the file is no socket, or if the system refuses the path.
    pub async fn bind<Connecting>(
        path: &Path,
        connect: impl FnOnce(PathBuf) -> Connecting,
    ) -> io::Result<(UnixListener, Self)>
    where
        Connecting: Future<Output = io::Result<()>>,
    {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let left = identify(path)?;
                match connect(path.to_owned()).await {
                    // Nobody listens: what is there was left behind.
                    Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {}
                    _ => return Err(error),
                }
                // Another process may have replaced it while this one asked.
                if identify(path)? != left {
                    return Err(error);
                }
                fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            bound => bound?,
        };
        let file = Self { path: path.to_owned(), id: identify(path)? };
        Ok((listener, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identify(&self.path).ok() == Some(self.id) {
            // It fails if the folder has become read-only, say: then the next process replaces the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The identity of a socket's file.
fn identify(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    if !found.file_type().is_socket() {
        let said = format!("{} is not a socket: remove it, or choose another path", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, said));
    }
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::ready;
    use std::os::unix::net::UnixStream;

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

    async fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
        SocketFile::bind(path, |path| ready(UnixStream::connect(path).map(drop))).await
    }

    #[tokio::test]
    async fn the_file_goes_with_its_listener() {
        let folder = Folder::new("goes");
        let path = folder.0.join("socket");
        let bound = bind(&path).await.expect("a socket");
        assert!(path.exists());
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = Folder::new("left");
        let path = folder.0.join("socket");
        drop(UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists(), "it was left behind");
        let _bound = bind(&path).await.expect("it takes the place");
        let second = bind(&path).await.expect_err("somebody listens there");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        assert!(UnixStream::connect(&path).is_ok(), "the first one still does");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_stays() {
        let folder = Folder::new("other");
        let path = folder.0.join("notes.txt");
        fs::write(&path, "mine").expect("a file");
        let refused = bind(&path).await.expect_err("it is no socket");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "mine");
    }

    #[tokio::test]
    async fn the_file_of_a_successor_stays() {
        let folder = Folder::new("successor");
        let path = folder.0.join("socket");
        let bound = bind(&path).await.expect("a socket");
        fs::remove_file(&path).expect("somebody removes it");
        let _successor = bind(&path).await.expect("a free place");
        drop(bound);
        assert!(path.exists());
    }
}
