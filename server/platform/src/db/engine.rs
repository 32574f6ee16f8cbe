//! The differences between SQLite and PostgreSQL. No other file depends on which engine is in use.

use super::{Conn, OpenError};
use sqlx::{AssertSqlSafe, Executor};

/// Older versions can corrupt the write-ahead log when they reset it.
const SQLITE_VERSION_MIN: &str = "3.51.3";
const POSTGRES_VERSION_MIN: i64 = 150_000;

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// One file, opened by this process.
    Sqlite,
    Postgres,
}

impl Engine {
    /// The engine that the URL's scheme names.
    pub fn of(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// The URL to open connections with. SQLite creates a missing file.
    pub(super) fn connection_url(self, url: &str) -> String {
        match self {
            Self::Sqlite if !url.contains("mode=") => {
                let joint = if url.contains('?') { '&' } else { '?' };
                format!("{url}{joint}mode=rwc")
            }
            _ => url.to_owned(),
        }
    }

    /// Like [`Engine::connection_url`], but SQLite does not create a missing file.
    pub(super) fn existing_url(self, url: &str) -> String {
        match self {
            Self::Sqlite if !url.contains("mode=") => {
                let joint = if url.contains('?') { '&' } else { '?' };
                format!("{url}{joint}mode=rw")
            }
            _ => url.to_owned(),
        }
    }

    /// Configures a new connection.
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

    /// Raises a connection's time limits for migrations: building an index may take long, and so may
    /// waiting for another process that is migrating.
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

    /// Checks the version and the settings that durability and locking depend on.
    pub(super) async fn assert_suitable(self, conn: &mut Conn) -> Result<(), OpenError> {
        match self {
            Self::Sqlite => assert_sqlite(conn).await,
            Self::Postgres => assert_postgres(conn).await,
        }
    }

    /// Returns the argument for this engine.
    pub(super) fn pick<T>(self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }

    /// The statement that begins a writing transaction.
    pub(super) fn begin(self) -> &'static str {
        match self {
            // A deferred transaction fails at its first write if another transaction has written since.
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// The statements that give a connection a read-only snapshot without time limits.
    pub(super) fn begin_snapshot(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                "PRAGMA query_only = ON",
                "PRAGMA cache_size = -131072",
                "BEGIN",
                // The snapshot is taken at the first read, not at BEGIN.
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

    /// The statements that give a connection a snapshot of a database that no one else uses. On SQLite
    /// they fail while any other connection is open, even an idle one. PostgreSQL cannot lock out other
    /// clients; [`Engine::others`] lists them.
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

    /// The statements to run before [`Engine::others`] for a current result: within a transaction,
    /// PostgreSQL repeats the result of the first query.
    pub(super) fn refresh_others(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[],
            Self::Postgres => &["SELECT pg_stat_clear_snapshot()"],
        }
    }

    /// Selects the other programs that are connected to the database: `names`, null if there are none.
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

    /// Counts the tables with the name in the placeholder `$1`: 1 or 0. Far cheaper than [`Engine::columns`].
    pub(super) fn has_table(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = $1",
            Self::Postgres => {
                "SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() \
                 AND tablename = $1"
            }
        }
    }

    /// Selects every column of every table, in order: `table_name`, `column_name`, `kind` (the engine's
    /// type name), and `key_place`: the position in the primary key from 1, or 0. Excludes what the engine
    /// fills itself: tables of a full-text index, generated columns.
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

    /// Selects the foreign keys: `table_name`, `refers_to`.
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

    /// SQL for a field, as text, of the JSON in a text column.
    pub fn json_text(self, column: &str, field: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} ->> '{field}'"),
            Self::Postgres => format!("CAST({column} AS json) ->> '{field}'"),
        }
    }

    /// FROM clause and condition for the rows of `table` that match the full-text query in the placeholder
    /// `bound`, which [`Engine::full_text_query`] makes.
    pub fn full_text_match(self, table: &str, bound: &str) -> (String, String) {
        match self {
            // CROSS JOIN fixes the join order: the full-text index comes first.
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

    /// The full-text query for rows that have a word beginning with each of `words`. These must consist of
    /// letters and digits, so that none of them is an operator.
    pub fn full_text_query(self, words: &[String]) -> String {
        let (each, and): (fn(&String) -> String, &str) = match self {
            Self::Sqlite => (|word| format!("\"{word}\"*"), " AND "),
            Self::Postgres => (|word| format!("'{word}':*"), " & "),
        };
        words.iter().map(each).collect::<Vec<_>>().join(and)
    }

    /// Appended to a SELECT: locks its rows until the transaction ends. Callers must select in the order of
    /// ids, so that transactions cannot deadlock. SQLite has a single writer and needs no locks.
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Like [`Engine::for_update`], skipping rows that another transaction has locked.
    pub fn for_update_skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }
}

/// Whether an error is transient, so that a retry may succeed: the database is busy, unreachable or
/// starting, or a concurrent transaction conflicted.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_transient_code(&code)),
        _ => false,
    }
}

/// Whether PostgreSQL's disk is full. Such an error also [`is_transient`], but the write probe reports it
/// at once.
pub fn is_disk_full(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("53100"))
}

/// Whether a concurrent transaction caused the error (unique violation, serialization failure or
/// deadlock), so that the work must be repeated from its first read.
pub fn is_write_conflict(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.is_unique_violation() || matches!(error.code().as_deref(), Some("40001" | "40P01"))
    })
}

/// Whether a text contains NUL, which PostgreSQL accepts in no text.
pub fn is_unstorable(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("22021"))
}

/// PostgreSQL's codes have five characters. SQLite's are numbers of at most four digits, whose lowest
/// byte is the primary result code.
fn is_transient_code(code: &str) -> bool {
    const SQLITE_BUSY_OR_LOCKED: [i32; 2] = [5, 6];
    // Serialization failure, deadlock, lock timeout, statement timeout or cancellation, shutdown (three
    // codes), idle transaction timeout.
    const CODES: [&str; 8] = [
        "40001", "40P01", "55P03", "57014", "57P01", "57P02", "57P03", "25P03",
    ];
    // Connection errors; insufficient memory, disk or connections.
    const CLASSES: [&str; 2] = ["08", "53"];
    if code.len() < 5 {
        return code
            .parse::<i32>()
            .is_ok_and(|code| SQLITE_BUSY_OR_LOCKED.contains(&(code & 0xff)));
    }
    CODES.contains(&code) || CLASSES.iter().any(|class| code.starts_with(class))
}

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
            "SQLite is {version}, but at least {SQLITE_VERSION_MIN} is required"
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
            "PostgreSQL 15 or newer is required".to_owned(),
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
    fn the_url_scheme_determines_the_engine() {
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
    fn an_existing_url_creates_no_file() {
        let url = "sqlite://data/stagedoor.db";
        assert!(Engine::Sqlite.connection_url(url).ends_with("?mode=rwc"));
        assert!(Engine::Sqlite.existing_url(url).ends_with("?mode=rw"));
    }

    #[test]
    fn transient_codes_are_recognised() {
        for transient in [
            "5", "517", "6", "40P01", "40001", "55P03", "57014", "53300", "08006",
        ] {
            assert!(is_transient_code(transient), "{transient}");
        }
        for permanent in ["1", "19", "2067", "23505", "42P01", "22001", "57000"] {
            assert!(!is_transient_code(permanent), "{permanent}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(version_parts("3.9.0") < version_parts("3.51.3"));
        assert!(version_parts("3.52.0") > version_parts("3.51.3"));
    }
}
