//! The database: one set of SQL for SQLite and PostgreSQL.
//!
//! Owns the connections, the migrations, the few things in which the engines differ
//! (`engine.rs`, the only file that asks which one it is) and [`Db::write`], which alone begins
//! a writing transaction. Holds no SQL of any feature.

mod engine;
mod flag;
mod migrate;
mod schema;
mod serving;
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

pub use engine::{Engine, engine_of, is_disk_full, is_overtaken, is_passing, is_unstorable};
pub use flag::Flag;
pub use migrate::{applied_and_known, versions};
pub use schema::{Column, Kind, MOVE_PROGRESS, Table, tables};
pub use serving::Serving;
pub use statement::{RowValues, Statement};

/// What a transaction may run statements on.
pub type Conn = AnyConnection;

/// How many read connections are kept. SQLite's readers share one machine's cores; PostgreSQL's
/// pool also carries the writers.
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 22;
/// And how many besides for those who ask how the process is: in a rush they wait behind nobody.
const LOOKOUTS: u32 = 2;
/// How long a request waits for a connection before it is told that the server is busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a database may take to say that a connection still stands.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// How long whoever claims a database waits for others to leave it, and how often it looks.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
const LEAVE_LOOK: Duration = Duration::from_millis(50);

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is of no engine that we know.
    #[error("DATABASE_URL must begin with sqlite:// or postgres://")]
    UnknownEngine,
    /// A fact that our guarantees rest on does not hold.
    #[error("the database is not set up as Stagedoor needs it: {0}")]
    Unsuitable(String),
    /// Somebody else uses what was to be claimed.
    #[error("it is in use ({0}): stop what runs on it first")]
    InUse(String),
    /// `stagedoor move` has not come to its end.
    #[error("a move into it was begun and is not finished: run the same `stagedoor move` again")]
    HalfMoved,
    /// There is no such file.
    #[error("there is no shop: {0} does not exist")]
    Missing(PathBuf),
    /// There is a database, and no shop in it.
    #[error("there is no shop in this database: it has never been migrated")]
    Empty,
    /// An older Stagedoor made it.
    #[error(
        "the database is of an older version, at migration {applied}, and this binary is at {known}: run `stagedoor migrate` first"
    )]
    Older {
        /// The newest of the database.
        applied: i64,
        /// The newest of this binary.
        known: i64,
    },
    /// A newer Stagedoor has migrated it.
    #[error(
        "the database is of a newer version, at migration {applied}, and this binary knows only those up to {known}: run the newer binary, or restore a copy from before the upgrade"
    )]
    Newer {
        /// The newest of the database.
        applied: i64,
        /// The newest of this binary.
        known: i64,
    },
    /// Migrating it failed.
    #[error("the database could not be brought to this version")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A server runs on the SQLite file.
    #[error(
        "another server runs on this file: stop it first, or use PostgreSQL for more than one process"
    )]
    Served,
    /// The lock of the one server cannot be written.
    #[error("the lock beside the database cannot be held: {0}")]
    Lock(#[source] std::io::Error),
    /// It did not answer.
    #[error("the database did not answer")]
    Database(#[from] sqlx::Error),
}

impl OpenError {
    /// Whether the same may well succeed a little later: the database is away, or starting.
    pub fn is_passing(&self) -> bool {
        match self {
            // TLS says so of a certificate that does not count.
            Self::Database(sqlx::Error::Io(error)) => error.kind() != ErrorKind::InvalidData,
            Self::Database(error) => is_passing(error),
            _ => false,
        }
    }
}

/// A handle on the database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
    pool: AnyPool,
    lookouts: AnyPool,
    writer: Option<writer::Writer>,
    written: Arc<Notify>,
}

impl Db {
    /// Connects, asserts what our guarantees rest on, and migrates.
    ///
    /// Errors: see [`OpenError`]; nothing is changed in a database that is not suitable, or that
    /// has only a part of a shop.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let db = Self::connect(url).await?;
        db.assert_whole().await?;
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

    /// Connects to a shop that is there already and of this very version. Errors: see [`OpenError`];
    /// nothing is made, and nothing changed.
    pub async fn open_existing(url: &str) -> Result<Self, OpenError> {
        assert_file(url)?;
        let db = Self::connect_existing(url).await?;
        db.assert_whole().await?;
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

    /// Asserts that no `stagedoor move` into this database was begun and not finished.
    ///
    /// Errors: [`OpenError::HalfMoved`], or the database fails.
    async fn assert_whole(&self) -> Result<(), OpenError> {
        let tables = tables(&mut *self.reads().acquire().await?).await?;
        if tables.iter().any(|table| table.name == MOVE_PROGRESS) {
            return Err(OpenError::HalfMoved);
        }
        Ok(())
    }

    /// Connects without migrating.
    pub async fn connect(url: &str) -> Result<Self, OpenError> {
        let engine = Engine::of(url).ok_or(OpenError::UnknownEngine)?;
        Self::connect_by(engine, &engine.connection_url(url)).await
    }

    /// Connects to a database that somebody else has made, without migrating. Errors: there is
    /// none; nothing is made in its place.
    pub async fn connect_existing(url: &str) -> Result<Self, OpenError> {
        let engine = Engine::of(url).ok_or(OpenError::UnknownEngine)?;
        Self::connect_by(engine, &engine.existing_url(url)).await
    }

    /// A connection that sees one moment of a database that is there already and that nobody else
    /// uses. On SQLite nobody can, until it is closed. Errors: somebody does.
    pub async fn claim(url: &str) -> Result<Conn, OpenError> {
        let engine = Engine::of(url).ok_or(OpenError::UnknownEngine)?;
        assert_file(url)?;
        claim(engine, &engine.existing_url(url)).await
    }

    /// Asserts that nobody uses a database, which need not be there yet. Errors: somebody does.
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
        serving::keep_private(url);
        // A pool says only that it waited in vain; one connection says why.
        if engine == Engine::Postgres {
            let first = timeout(ACQUIRE_TIMEOUT, Conn::connect(url)).await;
            let first = first.map_err(|_| sqlx::Error::PoolTimedOut)?;
            first?.close().await?;
        }
        // SQLite's journal mode is set by the first writing connection.
        let writer = match engine {
            Engine::Sqlite => Some(writer::spawn(engine, url).await?),
            Engine::Postgres => None,
        };
        let pool = pool_of(engine, connections).connect(url).await?;
        engine.assert_suitable(&mut *pool.acquire().await?).await?;
        let lookouts = pool_of(engine, LOOKOUTS).connect_lazy(url)?;
        Ok(Self {
            engine,
            pool,
            lookouts,
            writer,
            written: Arc::default(),
        })
    }

    /// Brings the schema to this version.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        self.migrate_to(i64::MAX).await
    }

    /// Brings the schema to what it was after the migration `last`, for tests of the later ones on a
    /// populated database.
    pub async fn migrate_to(&self, last: i64) -> Result<(), OpenError> {
        let mut conn = self.pool.acquire().await?.detach();
        self.engine.prepare_to_migrate(&mut conn).await?;
        migrate::run(&mut conn, last).await?;
        conn.close().await?;
        Ok(())
    }

    /// Which engine it is.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Connections for reading. Nothing is written through these.
    pub fn reads(&self) -> &AnyPool {
        &self.pool
    }

    /// Connections for whoever asks how the process is, and for nothing that a visitor waits for.
    pub fn lookouts(&self) -> &AnyPool {
        &self.lookouts
    }

    /// A connection of the caller's own that sees this one moment, whatever is written meanwhile,
    /// and can write nothing; no statement on it is cut short. On SQLite the journal is not
    /// emptied until it is closed, so it is for programs that look at everything and end.
    pub async fn snapshot(&self) -> Result<Conn, sqlx::Error> {
        let mut conn = self.pool.acquire().await?.detach();
        for statement in self.engine.begin_snapshot() {
            conn.execute(*statement).await?;
        }
        Ok(conn)
    }

    /// Runs `work` in one writing transaction and commits it if it succeeds; what it wrote is
    /// durable once this returns, and nothing of it is left if it fails.
    ///
    /// The work goes on if the caller stops waiting: a client that disconnects changes nothing.
    /// It must not wait for anything but the database.
    ///
    /// Nothing is begun twice once it has written: a transaction that another one stood in the way
    /// of fails with an error that [`is_passing`], which callers who can repeat it do, and others
    /// answer with 503.
    ///
    /// On SQLite one writer runs what is waiting in turn and commits it together (each in a
    /// savepoint of its own); on PostgreSQL transactions run side by side.
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

    /// Returns once something has been written since the last time, by this process. One may wait
    /// for it, who must also look without being told: a writer that is cut short tells nobody.
    pub(crate) async fn written(&self) {
        self.written.notified().await;
    }

    /// Ends the connections, once what is under way is done.
    pub async fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
        self.lookouts.close().await;
        self.pool.close().await;
    }
}

/// Connections are taken from it once they are set up, and go back to it only if their server
/// answers: one that has vanished says nothing for ever, and its connections are not kept.
fn pool_of(engine: Engine, connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |conn, _| Box::pin(async move { engine.prepare(conn).await }))
        .after_release(|conn, _| {
            Box::pin(async move {
                match timeout(ANSWERS_WITHIN, conn.ping()).await {
                    Ok(answer) => answer.map(|()| true),
                    Err(_) => Err(sqlx::Error::PoolTimedOut),
                }
            })
        })
}

/// Errors: the file of a SQLite database is missing.
fn assert_file(url: &str) -> Result<(), OpenError> {
    match serving::sqlite_file(url) {
        Some(path) if !path.exists() => Err(OpenError::Missing(path)),
        _ => Ok(()),
    }
}

async fn claim(engine: Engine, url: &str) -> Result<Conn, OpenError> {
    sqlx::any::install_default_drivers();
    let mut conn = Conn::connect(url).await?;
    for statement in engine.claim() {
        match conn.execute(*statement).await {
            Err(error) if is_passing(&error) => {
                return Err(OpenError::InUse("it is locked".to_owned()));
            }
            done => done?,
        };
    }
    // Whoever has just left may still be shown for a moment.
    let began = Instant::now();
    loop {
        for statement in engine.look_anew() {
            conn.execute(*statement).await?;
        }
        let others = query_scalar::<_, Option<String>>(engine.others());
        match others.fetch_one(&mut conn).await? {
            None => return Ok(conn),
            Some(names) if began.elapsed() > LEAVE_TIMEOUT => return Err(OpenError::InUse(names)),
            Some(_) => tokio::time::sleep(LEAVE_LOOK).await,
        }
    }
}
