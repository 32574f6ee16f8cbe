//! The database: one set of SQL for SQLite and PostgreSQL.
//!
//! Owns the connections, the migrations, the differences between the engines (`engine.rs`) and
//! [`Db::write`], the only way to begin a writing transaction. Has no SQL of any feature.

mod engine;
mod flag;
mod migrate;
mod schema;
mod server_lock;
mod statement;
mod writer;

use crate::telemetry::spans;
use futures::future::BoxFuture;
use sqlx::{AnyConnection, AnyPool, Connection, Executor, any::AnyPoolOptions, query_scalar};
use std::{
    io::ErrorKind,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout};
use tracing::Instrument;

pub use engine::{Engine, engine_of, is_disk_full, is_transient, is_unstorable, is_write_conflict};
pub use flag::Flag;
pub use migrate::migration_counts;
pub use schema::{Column, Kind, MOVE_PROGRESS, Table, has_table, tables};
pub use server_lock::ServerLock;
pub use statement::{RowValues, Statement};

/// A connection, usually inside a transaction.
pub type Conn = AnyConnection;

/// The size of the read pool. SQLite's readers share the cores of one machine; PostgreSQL's pool is used
/// for writing too.
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 22;
/// Additional connections for health checks and metrics, which must not wait behind visitors.
const MONITORING_CONNECTIONS: u32 = 2;
/// How long a request waits for a connection before it is answered with 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the ping of a connection that is returned to the pool may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a claim waits for other clients to disconnect, and how often it checks.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DISCONNECT_POLL: Duration = Duration::from_millis(50);

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("DATABASE_URL must begin with sqlite:// or postgres://")]
    UnknownEngine,
    /// The version or a setting that durability or locking depends on.
    #[error("the database does not meet Stagedoor's requirements: {0}")]
    Unsuitable(String),
    /// Another client uses the database to be claimed.
    #[error("it is in use ({0}): stop what uses it first")]
    InUse(String),
    /// The target of an interrupted `stagedoor move`.
    #[error("a move into this database is not finished: run the same `stagedoor move` again")]
    UnfinishedMove,
    /// There is no such SQLite file.
    #[error("there is no shop: {0} does not exist")]
    Missing(PathBuf),
    /// The database has no tables of a shop.
    #[error("there is no shop in this database: it has never been migrated")]
    Empty,
    #[error(
        "the database has an older version: it is at migration {applied}, and this binary is at {known}; run `stagedoor migrate` first"
    )]
    Older {
        /// The newest migration of the database.
        applied: i64,
        /// The newest migration of this binary.
        known: i64,
    },
    #[error(
        "the database has a newer version: it is at migration {applied}, and this binary is at {known}; run the newer binary, or restore a backup from before the upgrade"
    )]
    Newer {
        /// The newest migration of the database.
        applied: i64,
        /// The newest migration of this binary.
        known: i64,
    },
    #[error("the database could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A server runs on the SQLite file.
    #[error(
        "another server runs on this file: stop it first, or use PostgreSQL for more than one process"
    )]
    AlreadyServed,
    /// The lock file beside the SQLite file cannot be created or locked.
    #[error("the lock file beside the database cannot be locked: {0}")]
    Lock(#[source] std::io::Error),
    #[error("the database did not answer")]
    Database(#[from] sqlx::Error),
}

impl OpenError {
    /// Whether a retry may succeed: the database is unreachable or starting.
    pub fn is_transient(&self) -> bool {
        match self {
            // TLS reports an untrusted certificate as InvalidData.
            Self::Database(sqlx::Error::Io(error)) => error.kind() != ErrorKind::InvalidData,
            Self::Database(error) => is_transient(error),
            _ => false,
        }
    }
}

/// A handle to the database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
    pool: AnyPool,
    monitoring: AnyPool,
    writer: Option<writer::Writer>,
    written: Arc<Notify>,
}

impl Db {
    /// Connects, checks the engine's version and settings, and migrates.
    ///
    /// Errors: see [`OpenError`]. A database that is unsuitable, or the target of an unfinished move, is
    /// not changed.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let db = Self::connect(url).await?;
        db.assert_no_unfinished_move().await?;
        let mut conn = db.reads().acquire().await?;
        if let (Some(applied), known) = migrate::newest(&mut conn).await?
            && applied > known
        {
            return Err(OpenError::Newer { applied, known });
        }
        drop(conn);
        db.migrate().await?;
        Ok(db)
    }

    /// Connects to an existing shop of exactly this version. Creates and changes nothing. Errors: see
    /// [`OpenError`].
    pub async fn open_existing(url: &str) -> Result<Self, OpenError> {
        assert_file(url)?;
        let db = Self::connect_existing(url).await?;
        db.assert_no_unfinished_move().await?;
        let mut conn = db.reads().acquire().await?;
        match migrate::newest(&mut conn).await? {
            (None, _) => Err(OpenError::Empty),
            (Some(applied), known) if applied > known => Err(OpenError::Newer { applied, known }),
            (Some(applied), known) if applied < known => Err(OpenError::Older { applied, known }),
            _ => {
                drop(conn);
                Ok(db)
            }
        }
    }

    /// Errors: [`OpenError::UnfinishedMove`], if a `stagedoor move` into this database is not finished.
    async fn assert_no_unfinished_move(&self) -> Result<(), OpenError> {
        let mut conn = self.reads().acquire().await?;
        if has_table(&mut conn, MOVE_PROGRESS).await? {
            return Err(OpenError::UnfinishedMove);
        }
        Ok(())
    }

    /// Connects without migrating.
    pub async fn connect(url: &str) -> Result<Self, OpenError> {
        let engine = Engine::of(url).ok_or(OpenError::UnknownEngine)?;
        Self::connect_by(engine, &engine.connection_url(url)).await
    }

    /// Connects to an existing database without migrating. Creates no file.
    pub async fn connect_existing(url: &str) -> Result<Self, OpenError> {
        let engine = Engine::of(url).ok_or(OpenError::UnknownEngine)?;
        Self::connect_by(engine, &engine.existing_url(url)).await
    }

    /// A connection with a snapshot of an existing database that no one else uses. On SQLite it locks out
    /// others until it is closed. Errors: [`OpenError::InUse`], among others.
    pub async fn claim(url: &str) -> Result<Conn, OpenError> {
        let engine = Engine::of(url).ok_or(OpenError::UnknownEngine)?;
        assert_file(url)?;
        claim(engine, &engine.existing_url(url)).await
    }

    /// Errors: [`OpenError::InUse`]. The database need not exist yet.
    pub async fn assert_unused(url: &str) -> Result<(), OpenError> {
        let engine = Engine::of(url).ok_or(OpenError::UnknownEngine)?;
        let conn = claim(engine, &engine.connection_url(url)).await?;
        Ok(conn.close().await?)
    }

    async fn connect_by(engine: Engine, url: &str) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let connections = match engine {
            Engine::Sqlite => SQLITE_READERS,
            Engine::Postgres => POSTGRES_CONNECTIONS,
        };
        server_lock::keep_private(url);
        // A pool reports only a timeout; a single connection reports the cause.
        if engine == Engine::Postgres {
            let first = timeout(ACQUIRE_TIMEOUT, Conn::connect(url)).await;
            let first = first.map_err(|_| sqlx::Error::PoolTimedOut)?;
            first?.close().await?;
        }
        // The first writing connection sets SQLite's journal mode, so it is opened before the pool.
        let writer = match engine {
            Engine::Sqlite => Some(writer::spawn(engine, url).await?),
            Engine::Postgres => None,
        };
        let pool = pool_of(engine, connections).connect(url).await?;
        engine.assert_suitable(&mut *pool.acquire().await?).await?;
        let monitoring = pool_of(engine, MONITORING_CONNECTIONS).connect_lazy(url)?;
        Ok(Self {
            engine,
            pool,
            monitoring,
            writer,
            written: Arc::default(),
        })
    }

    /// Applies all migrations.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        self.migrate_to(i64::MAX).await
    }

    /// Applies the migrations up to `last`, so that tests can run later ones on a populated database.
    pub async fn migrate_to(&self, last: i64) -> Result<(), OpenError> {
        let mut conn = self.pool.acquire().await?.detach();
        self.engine.prepare_to_migrate(&mut conn).await?;
        migrate::run(&mut conn, last).await?;
        conn.close().await?;
        Ok(())
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The pool for reading. Nothing may be written through it.
    pub fn reads(&self) -> &AnyPool {
        &self.pool
    }

    /// The pool for health checks and metrics. Nothing that a visitor waits for may use it.
    pub fn monitoring(&self) -> &AnyPool {
        &self.monitoring
    }

    /// A connection of the caller's own with a read-only snapshot and no statement timeout. While it is
    /// open, SQLite cannot reset its write-ahead log, so use it only in commands that end.
    pub async fn snapshot(&self) -> Result<Conn, sqlx::Error> {
        let mut conn = self.pool.acquire().await?.detach();
        for statement in self.engine.begin_snapshot() {
            conn.execute(*statement).await?;
        }
        Ok(conn)
    }

    /// Runs `work` in one writing transaction. If it succeeds, the transaction is committed and durable
    /// when this returns; if it fails, the transaction is rolled back.
    ///
    /// The work continues if the caller is cancelled, for example because a client disconnects. It must
    /// not wait for anything but the database.
    ///
    /// `work` is never run twice. If a concurrent transaction conflicts, this fails with an error that
    /// [`is_transient`]: callers that can repeat their work do so, others answer with 503.
    ///
    /// On SQLite a single writer runs the queued transactions one after another, each in its own
    /// savepoint, and commits them together. On PostgreSQL transactions run concurrently.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    {
        let span = spans::write(self.engine.name(), std::any::type_name::<F>());
        let writing = async {
            match &self.writer {
                Some(writer) => writer::run_queued(writer, work).await,
                None => writer::run_alone(self.pool.clone(), work).await,
            }
        };
        let made = writing.instrument(span).await;
        if made.is_ok() {
            self.written.notify_one();
        }
        made
    }

    /// Returns once this process has written something since the last call. Supports one waiter, which must
    /// also poll: a write whose caller was cancelled does not notify.
    pub(crate) async fn wait_for_write(&self) {
        self.written.notified().await;
    }

    /// Closes the connections once the queued transactions are done.
    pub async fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
        self.monitoring.close().await;
        self.pool.close().await;
    }
}

/// A pool that configures new connections, and drops a returned connection that does not answer a ping:
/// a lost server may never report an error.
fn pool_of(engine: Engine, connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |conn, _| Box::pin(async move { engine.prepare(conn).await }))
        .after_release(|conn, _| {
            Box::pin(async move {
                match timeout(PING_TIMEOUT, conn.ping()).await {
                    Ok(answer) => answer.map(|()| true),
                    Err(_) => Err(sqlx::Error::PoolTimedOut),
                }
            })
        })
}

/// Errors: [`OpenError::Missing`], if the file of a SQLite database does not exist.
fn assert_file(url: &str) -> Result<(), OpenError> {
    match server_lock::sqlite_file(url) {
        Some(path) if !path.exists() => Err(OpenError::Missing(path)),
        _ => Ok(()),
    }
}

async fn claim(engine: Engine, url: &str) -> Result<Conn, OpenError> {
    sqlx::any::install_default_drivers();
    let mut conn = Conn::connect(url).await?;
    for statement in engine.claim() {
        match conn.execute(*statement).await {
            Err(error) if is_transient(&error) => {
                return Err(OpenError::InUse("it is locked".to_owned()));
            }
            done => done?,
        };
    }
    // A client that has just disconnected may still be listed for a moment.
    let began = Instant::now();
    loop {
        for statement in engine.refresh_others() {
            conn.execute(*statement).await?;
        }
        let others = query_scalar::<_, Option<String>>(engine.others());
        match others.fetch_one(&mut conn).await? {
            None => return Ok(conn),
            Some(names) if began.elapsed() > DISCONNECT_TIMEOUT => {
                return Err(OpenError::InUse(names));
            }
            Some(_) => tokio::time::sleep(DISCONNECT_POLL).await,
        }
    }
}
