//! Where SQLite and PostgreSQL differ. Nothing outside this file asks which one it is.

use super::{Conn, OpenError};
use sqlx::{AssertSqlSafe, Executor, Row};

/// SQLite before this can corrupt its journal when it is reset.
const SQLITE_VERSION_MIN: &str = "3.51.3";
const POSTGRES_VERSION_MIN: i64 = 150_000;

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Inside this process, in one file.
    Sqlite,
    /// A server.
    Postgres,
}

impl Engine {
    /// By the address's scheme.
    pub fn of(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// What it is called in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// The address that connections are opened with: SQLite makes the file if it is missing.
    pub(super) fn connection_url(self, url: &str) -> String {
        match self {
            Self::Sqlite if !url.contains("mode=") => {
                let joint = if url.contains('?') { '&' } else { '?' };
                format!("{url}{joint}mode=rwc")
            }
            _ => url.to_owned(),
        }
    }

    /// As [`Engine::connection_url`], but a file that is missing stays missing.
    pub(super) fn existing_url(self, url: &str) -> String {
        match self {
            Self::Sqlite if !url.contains("mode=") => {
                let joint = if url.contains('?') { '&' } else { '?' };
                format!("{url}{joint}mode=rw")
            }
            _ => url.to_owned(),
        }
    }

    /// Sets up a fresh connection.
    pub(super) async fn prepare(self, conn: &mut Conn) -> Result<(), sqlx::Error> {
        let settings: &[&'static str] = match self {
            Self::Sqlite => &[
                "PRAGMA busy_timeout = 5000",
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA foreign_keys = ON",
                "PRAGMA cache_size = -16384",
                "PRAGMA temp_store = MEMORY",
            ],
            Self::Postgres => &[
                "SET default_transaction_isolation = 'read committed'",
                "SET statement_timeout = '15s'",
                "SET lock_timeout = '5s'",
                "SET idle_in_transaction_session_timeout = '30s'",
                "SET synchronous_commit = 'on'",
            ],
        };
        for setting in settings {
            conn.execute(*setting).await?;
        }
        Ok(())
    }

    /// Gives a connection the time that changing the schema takes: for building an index, or for
    /// waiting until another process has done the same.
    pub(super) async fn prepare_to_migrate(self, conn: &mut Conn) -> Result<(), sqlx::Error> {
        let settings: &[&'static str] = match self {
            Self::Sqlite => &[],
            Self::Postgres => &["SET statement_timeout = 0", "SET lock_timeout = '10min'"],
        };
        for setting in settings {
            conn.execute(*setting).await?;
        }
        Ok(())
    }

    /// Asserts the facts that durability and locking rest on.
    pub(super) async fn assert_suitable(self, conn: &mut Conn) -> Result<(), OpenError> {
        match self {
            Self::Sqlite => assert_sqlite(conn).await,
            Self::Postgres => assert_postgres(conn).await,
        }
    }

    /// What is this engine's own of two.
    pub(super) fn own<T>(self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }

    /// Begins a writing transaction.
    pub(super) fn begin(self) -> &'static str {
        match self {
            // A deferred transaction that turns to writing fails at once if another wrote.
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Lets a connection see this one moment from now on and write nothing, for as long as its
    /// reader takes.
    pub(super) fn begin_snapshot(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                "PRAGMA query_only = ON",
                "PRAGMA cache_size = -131072",
                "BEGIN",
                // The moment is that of the first read, not of the BEGIN.
                "SELECT COUNT(*) FROM sqlite_schema",
            ],
            Self::Postgres => &[
                "SET statement_timeout = 0",
                "SET idle_in_transaction_session_timeout = 0",
                "SET work_mem = '64MB'",
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                "SELECT 1",
            ],
        }
    }

    /// A field of the JSON in a text column, as text.
    pub fn json_text(self, column: &str, field: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} ->> '{field}'"),
            Self::Postgres => format!("CAST({column} AS json) ->> '{field}'"),
        }
    }

    /// FROM and condition for the rows of `table` in whose words all those of `bound` are found,
    /// by the index that the migrations made of them. `bound` is the placeholder of what
    /// [`Engine::words_sought`] gives.
    pub fn with_words(self, table: &str, bound: &str) -> (String, String) {
        match self {
            // CROSS JOIN keeps the order: first the index of words.
            Self::Sqlite => (
                format!(
                    "{table}_words CROSS JOIN {table}_numbers ON number = {table}_words.rowid \
                     CROSS JOIN {table} ON {table}.id = row_id"
                ),
                format!("{table}_words MATCH {bound}"),
            ),
            Self::Postgres => (
                table.to_owned(),
                format!("words @@ CAST({bound} AS tsquery)"),
            ),
        }
    }

    /// Every one of `words` as the beginning of a word. They are letters and digits only, so that
    /// nothing in them is taken for an operator.
    pub fn words_sought(self, words: &[String]) -> String {
        let (each, and): (fn(&String) -> String, &str) = match self {
            Self::Sqlite => (|word| format!("\"{word}\"*"), " AND "),
            Self::Postgres => (|word| format!("'{word}':*"), " & "),
        };
        words.iter().map(each).collect::<Vec<_>>().join(and)
    }

    /// Appended to a SELECT: locks its rows until the transaction ends. Callers select in the
    /// order of ids, so that two transactions never wait for each other. On SQLite there is only
    /// one writer, and nothing to lock.
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// As [`Engine::for_update`], passing over rows that another transaction has locked.
    pub fn for_update_skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }
}

/// Which engine a connection is of.
pub fn engine_of(conn: &Conn) -> Engine {
    if conn.backend_name() == "SQLite" {
        Engine::Sqlite
    } else {
        Engine::Postgres
    }
}

async fn text(conn: &mut Conn, sql: String) -> Result<String, sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql))
        .fetch_one(conn)
        .await?
        .try_get(0)
}

async fn assert_sqlite(conn: &mut Conn) -> Result<(), OpenError> {
    let version = text(conn, "SELECT sqlite_version()".to_owned()).await?;
    if version_parts(&version) < version_parts(SQLITE_VERSION_MIN) {
        return Err(OpenError::Unsuitable(format!(
            "SQLite is {version}, and {SQLITE_VERSION_MIN} is the first that is safe"
        )));
    }
    for (pragma, wanted) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
    ] {
        let found = text(
            conn,
            format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"),
        )
        .await?;
        if found != wanted {
            return Err(OpenError::Unsuitable(format!(
                "{pragma} is {found}, not {wanted}"
            )));
        }
    }
    Ok(())
}

async fn assert_postgres(conn: &mut Conn) -> Result<(), OpenError> {
    let number = text(
        conn,
        "SELECT current_setting('server_version_num')".to_owned(),
    )
    .await?;
    if number.parse::<i64>().unwrap_or(0) < POSTGRES_VERSION_MIN {
        return Err(OpenError::Unsuitable(
            "PostgreSQL 15 or newer is needed".to_owned(),
        ));
    }
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let found = text(conn, format!("SELECT current_setting('{setting}')")).await?;
        if found != "on" {
            return Err(OpenError::Unsuitable(format!(
                "{setting} is {found}, not on"
            )));
        }
    }
    Ok(())
}

fn version_parts(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_told_by_the_address() {
        assert_eq!(
            Engine::of("sqlite://data/stagedoor.db"),
            Some(Engine::Sqlite)
        );
        assert_eq!(Engine::of("postgres://u@h/d"), Some(Engine::Postgres));
        assert_eq!(Engine::of("postgresql://u@h/d"), Some(Engine::Postgres));
        assert_eq!(Engine::of("mysql://u@h/d"), None);
        assert_eq!(Engine::of("stagedoor.db"), None);
    }

    #[test]
    fn looking_makes_no_file() {
        let url = "sqlite://data/stagedoor.db";
        assert!(Engine::Sqlite.connection_url(url).ends_with("?mode=rwc"));
        assert!(Engine::Sqlite.existing_url(url).ends_with("?mode=rw"));
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(version_parts("3.9.0") < version_parts("3.51.3"));
        assert!(version_parts("3.52.0") > version_parts("3.51.3"));
    }
}
