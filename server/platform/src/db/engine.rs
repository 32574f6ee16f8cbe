//! Where SQLite and PostgreSQL differ. Nothing outside this file asks which one it is.

use super::{Conn, OpenError};
use sqlx::{AssertSqlSafe, Executor};

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
                "SET application_name = 'stagedoor'",
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

    /// Keeps everybody else out of the database, as far as that can be, and shows its connection
    /// one moment. On SQLite the first of these fails while any other connection is open, an idle
    /// one too; on PostgreSQL [`Engine::others`] says who is there.
    pub(super) fn claim(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                "PRAGMA busy_timeout = 2000",
                "PRAGMA locking_mode = EXCLUSIVE",
                "BEGIN EXCLUSIVE",
                "SELECT COUNT(*) FROM sqlite_schema",
            ],
            Self::Postgres => &[
                "SET statement_timeout = 0",
                "SET idle_in_transaction_session_timeout = 0",
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                "SELECT 1",
            ],
        }
    }

    /// Has the next [`Engine::others`] say who is there now: within a transaction PostgreSQL goes on
    /// showing who was there when it was first asked.
    pub(super) fn look_anew(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[],
            Self::Postgres => &["SELECT pg_stat_clear_snapshot()"],
        }
    }

    /// Programs that are connected to the database beside this connection: `names`, null if there
    /// are none.
    pub(super) fn others(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT NULL AS names",
            Self::Postgres => {
                "SELECT string_agg(DISTINCT CASE application_name WHEN '' THEN 'unnamed' \
                 ELSE application_name END, ', ') AS names FROM pg_stat_activity \
                 WHERE datname = current_database() AND backend_type = 'client backend' \
                 AND pid <> pg_backend_pid()"
            }
        }
    }

    /// Every column of every table, in order: `table_name`, `column_name`, `kind` in the engine's
    /// words, and `key_place`, from 1 on within the primary key and else 0. Left out is what the
    /// engine fills by itself: tables behind an index of words, generated columns.
    pub(super) fn columns(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "SELECT t.name AS table_name, c.name AS column_name, lower(c.type) AS kind, \
                 c.pk AS key_place FROM pragma_table_list t JOIN pragma_table_info(t.name) c \
                 WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite%' \
                 AND NOT EXISTS (SELECT 1 FROM pragma_table_list w WHERE w.type = 'virtual' \
                 AND replace(w.name, '_words', '_numbers') = t.name) ORDER BY t.name, c.cid"
            }
            Self::Postgres => {
                "SELECT CAST(c.table_name AS TEXT) AS table_name, \
                 CAST(c.column_name AS TEXT) AS column_name, CAST(c.data_type AS TEXT) AS kind, \
                 CAST(COALESCE(k.place, 0) AS BIGINT) AS key_place FROM information_schema.columns c \
                 JOIN information_schema.tables t USING (table_schema, table_name) \
                 LEFT JOIN (SELECT u.table_schema, u.table_name, u.column_name, \
                 u.ordinal_position AS place FROM information_schema.table_constraints p \
                 JOIN information_schema.key_column_usage u USING (constraint_schema, \
                 constraint_name) WHERE p.constraint_type = 'PRIMARY KEY' \
                 AND p.table_name = u.table_name) k USING (table_schema, table_name, column_name) \
                 WHERE table_schema = current_schema() AND t.table_type = 'BASE TABLE' \
                 AND c.is_generated = 'NEVER' ORDER BY table_name, c.ordinal_position"
            }
        }
    }

    /// Which table refers to which: `table_name`, `refers_to`.
    pub(super) fn references(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "SELECT t.name AS table_name, f.\"table\" AS refers_to FROM pragma_table_list t \
                 JOIN pragma_foreign_key_list(t.name) f \
                 WHERE t.schema = 'main' AND t.type = 'table'"
            }
            Self::Postgres => {
                "SELECT CAST(child.relname AS TEXT) AS table_name, \
                 CAST(parent.relname AS TEXT) AS refers_to FROM pg_constraint f \
                 JOIN pg_class child ON child.oid = f.conrelid \
                 JOIN pg_class parent ON parent.oid = f.confrelid \
                 JOIN pg_namespace n ON n.oid = child.relnamespace \
                 WHERE f.contype = 'f' AND n.nspname = current_schema()"
            }
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

/// Whether an error is one of the moment: the database is busy, away or coming back, or another
/// transaction stood in the way. The same may well succeed a little later.
pub fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_passing_code(&code)),
        _ => false,
    }
}

/// Whether there is no room on PostgreSQL's disk. [`is_passing`] holds as well; but whoever asks
/// whether the database takes writes is to know at once.
pub fn is_disk_full(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("53100"))
}

/// Whether another transaction was quicker, or in the way in a circle, so that this one has to look
/// again: a unique index, a serialization failure, a deadlock.
pub fn is_overtaken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.is_unique_violation() || matches!(error.code().as_deref(), Some("40001" | "40P01"))
    })
}

/// Whether a text has a NUL in it, which PostgreSQL keeps in no text and compares with none.
pub fn is_unstorable(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("22021"))
}

/// PostgreSQL's codes have five characters; SQLite's are numbers of four digits at most, and of
/// those the last byte says what it is.
fn is_passing_code(code: &str) -> bool {
    const SQLITE_BUSY_OR_LOCKED: [i32; 2] = [5, 6];
    // Serialization failure, deadlock, a lock or a statement that took too long, shut down or
    // starting, a transaction that was idle for too long.
    const CODES: [&str; 8] = [
        "40001", "40P01", "55P03", "57014", "57P01", "57P02", "57P03", "25P03",
    ];
    // No connection; no memory, disk or place for another connection.
    const CLASSES: [&str; 2] = ["08", "53"];
    if code.len() < 5 {
        return code
            .parse::<i32>()
            .is_ok_and(|code| SQLITE_BUSY_OR_LOCKED.contains(&(code & 0xff)));
    }
    CODES.contains(&code) || CLASSES.iter().any(|class| code.starts_with(class))
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
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await
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
    fn what_passes_is_told_from_what_does_not() {
        for passes in [
            "5", "517", "6", "40P01", "40001", "55P03", "57014", "53300", "08006",
        ] {
            assert!(is_passing_code(passes), "{passes}");
        }
        for stays in ["1", "19", "2067", "23505", "42P01", "22001", "57000"] {
            assert!(!is_passing_code(stays), "{stays}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(version_parts("3.9.0") < version_parts("3.51.3"));
        assert!(version_parts("3.52.0") > version_parts("3.51.3"));
    }
}
