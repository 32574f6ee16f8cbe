//! Allows one server per SQLite file, by an advisory lock on a file beside it. The kernel releases the
//! lock however the process ends. Commands that inspect or copy the shop do not take it.
//!
//! The lock is not on the database file: a process loses SQLite's own locks on a file when it closes
//! any other handle to it.

use super::{Engine, OpenError};
use crate::private;
use sqlx::sqlite::SqliteConnectOptions;
use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, Instant},
};

/// Appended to the database file's name.
const LOCK_SUFFIX: &str = "-serve.lock";

/// How long to wait for a server that has just been killed, and how often to retry.
const WAIT_MAX: Duration = Duration::from_secs(2);
const RETRY_PERIOD: Duration = Duration::from_millis(50);

/// Held by a serving process. Dropping it releases the lock.
#[derive(Debug)]
pub struct ServerLock {
    _lock: Option<File>,
}

impl ServerLock {
    /// Claims the database at `url` for this server. Waits up to two seconds for a server that is being
    /// killed. On PostgreSQL there is no lock: any number of servers may share it. Errors:
    /// [`OpenError::AlreadyServed`] or [`OpenError::Lock`].
    pub async fn claim(url: &str) -> Result<Self, OpenError> {
        let Some(path) = sqlite_file(url) else {
            return Ok(Self { _lock: None });
        };
        let lock = lock_of(&path).map_err(OpenError::Lock)?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { _lock: Some(lock) }),
                Err(TryLockError::WouldBlock) if began.elapsed() < WAIT_MAX => {
                    tokio::time::sleep(RETRY_PERIOD).await;
                }
                Err(TryLockError::WouldBlock) => return Err(OpenError::AlreadyServed),
                Err(TryLockError::Error(error)) => return Err(OpenError::Lock(error)),
            }
        }
    }
}

/// Opens the lock file of a database. Symbolic links are resolved first, so that all paths to one
/// database share its lock.
fn lock_of(path: &Path) -> io::Result<File> {
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
            folder.join(path.file_name().unwrap_or_default())
        }
        Err(error) => return Err(error),
    };
    let mut name = real.into_os_string();
    name.push(LOCK_SUFFIX);
    private::open_or_create(Path::new(&name))
}

/// The file of a SQLite database; `None` for a database in memory or on a server.
pub(super) fn sqlite_file(url: &str) -> Option<PathBuf> {
    if Engine::of(url) != Some(Engine::Sqlite) || url.contains(":memory:") {
        return None;
    }
    let options = SqliteConnectOptions::from_str(url).ok()?;
    Some(options.get_filename().to_owned())
}

/// Creates the file of a SQLite database if it is missing, and removes other users' access to it and to
/// the files that SQLite writes beside it, which inherit its permissions. Failures are only logged:
/// opening the database reports them.
pub(super) fn keep_private(url: &str) {
    let Some(path) = sqlite_file(url) else {
        return;
    };
    let must_create = url.contains("mode=rwc") && !path.exists();
    if must_create && let Err(error) = private::create_new(&path) {
        tracing::debug!(%error, "{} was not created", path.display());
    }
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        if let Err(error) = private::tighten(Path::new(&name)) {
            let file = name.display();
            tracing::warn!(%error, "other users of this machine may be able to read {file}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_server_on_one_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
        let first = ServerLock::claim(&url("a.db")).await.unwrap();
        let detour = format!("sqlite://{}/./a.db?mode=rwc", folder.path().display());
        for again in [url("a.db"), detour] {
            assert!(
                matches!(
                    ServerLock::claim(&again).await,
                    Err(OpenError::AlreadyServed)
                ),
                "{again}"
            );
        }
        let _other = ServerLock::claim(&url("b.db")).await.unwrap();
        drop(first);
        ServerLock::claim(&url("a.db")).await.unwrap();
    }

    #[tokio::test]
    async fn a_symbolic_link_leads_to_the_same_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.db"), folder.path().join("link.db"));
        std::fs::write(&file, "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let url = |path: &Path| format!("sqlite://{}", path.display());
        let _first = ServerLock::claim(&url(&file)).await.unwrap();
        assert!(matches!(
            ServerLock::claim(&url(&link)).await,
            Err(OpenError::AlreadyServed)
        ));
    }

    #[tokio::test]
    async fn servers_may_share_postgres() {
        let url = "postgres://db.example/shop";
        let _first = ServerLock::claim(url).await.unwrap();
        ServerLock::claim(url).await.unwrap();
    }
}
