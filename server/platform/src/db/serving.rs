//! One server a SQLite file: an advisory lock beside the file, which the kernel takes back when its
//! process ends in whatever way. Commands that look at the shop, or copy it, take no such lock.
//!
//! The lock is not on the database itself: SQLite's own locks on a file end as soon as the process
//! closes any other handle on it.

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

/// What is behind the database's own name.
const LOCK_SUFFIX: &str = "-serve.lock";

/// How long a process that was killed takes to be gone, and how often that is looked for.
const GONE_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Held by a process that serves. Dropping it lets another one serve.
#[derive(Debug)]
pub struct Serving {
    _lock: Option<File>,
}

impl Serving {
    /// Claims the database at `url` for this server, once one that is just being killed is gone. Any
    /// number of servers may share one of PostgreSQL. Errors: another server runs on the file, or the
    /// lock cannot be written.
    pub async fn claim(url: &str) -> Result<Self, OpenError> {
        let Some(path) = sqlite_file(url) else {
            return Ok(Self { _lock: None });
        };
        let lock = lock_of(&path).map_err(OpenError::Lock)?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { _lock: Some(lock) }),
                Err(TryLockError::WouldBlock) if began.elapsed() < GONE_WITHIN => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(TryLockError::WouldBlock) => return Err(OpenError::Served),
                Err(TryLockError::Error(error)) => return Err(OpenError::Lock(error)),
            }
        }
    }
}

/// The lock of a database: of the file itself, by whatever links it is reached.
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

/// The file of a SQLite database. None: it is in memory, or on a server.
pub(super) fn sqlite_file(url: &str) -> Option<PathBuf> {
    if Engine::of(url) != Some(Engine::Sqlite) || url.contains(":memory:") {
        return None;
    }
    let options = SqliteConnectOptions::from_str(url).ok()?;
    Some(options.get_filename().to_owned())
}

/// Makes the file of a SQLite database if it is missing, and takes it and what SQLite writes beside
/// it away from other users: SQLite gives the files beside it the permissions of the first. What
/// cannot be done is logged; whether the database can be opened is seen next.
pub(super) fn keep_private(url: &str) {
    let Some(path) = sqlite_file(url) else {
        return;
    };
    let is_made = url.contains("mode=rwc") && !path.exists();
    if is_made && let Err(error) = private::create_new(&path) {
        tracing::debug!(%error, "{} was not made", path.display());
    }
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        if let Err(error) = private::tighten(Path::new(&name)) {
            let file = name.display();
            tracing::warn!(%error, "other users of this machine may read {file}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_two_servers_on_one_file_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
        let first = Serving::claim(&url("a.db")).await.unwrap();
        let detour = format!("sqlite://{}/./a.db?mode=rwc", folder.path().display());
        for again in [url("a.db"), detour] {
            assert!(
                matches!(Serving::claim(&again).await, Err(OpenError::Served)),
                "{again}"
            );
        }
        let _other = Serving::claim(&url("b.db")).await.unwrap();
        drop(first);
        Serving::claim(&url("a.db")).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_by_a_link_is_one_on_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.db"), folder.path().join("link.db"));
        std::fs::write(&file, "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let url = |path: &Path| format!("sqlite://{}", path.display());
        let _first = Serving::claim(&url(&file)).await.unwrap();
        assert!(matches!(
            Serving::claim(&url(&link)).await,
            Err(OpenError::Served)
        ));
    }

    #[tokio::test]
    async fn servers_may_share_postgres() {
        let url = "postgres://db.example/shop";
        let _first = Serving::claim(url).await.unwrap();
        Serving::claim(url).await.unwrap();
    }
}
