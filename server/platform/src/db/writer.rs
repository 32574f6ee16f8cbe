//! Writing transactions: a single writer with group commit on SQLite, concurrent ones on PostgreSQL.
//!
//! A commit of SQLite costs one fsync, however many transactions it contains. The writer therefore takes
//! all queued transactions, runs each in a savepoint, commits once, and only then answers the callers.

use super::{Conn, Engine, OpenError, is_transient};
use futures::{FutureExt, future::BoxFuture};
use rand::RngExt;
use sqlx::{Any, AnyPool, Connection, Executor, Transaction};
use std::{io::ErrorKind, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::timeout,
};
use tracing::{Instrument, Span};

/// The most transactions in one commit: enough to hide the fsync, few enough that the first does not
/// wait long for the last.
const GROUP_MAX: usize = 64;
/// How many transactions may be queued before callers wait to enqueue.
const QUEUE_MAX: usize = 1024;
/// How long a transaction may take on PostgreSQL. The server limits each statement to less; this is for
/// a lost connection that never reports an error.
const TRANSACTION_TIME_MAX: Duration = Duration::from_mins(1);
/// How often BEGIN is retried after a transient error, and the longest pause before the first retry; the
/// pause doubles each time.
const BEGIN_RETRIES: u32 = 3;
const PAUSE_MILLIS: u64 = 50;

/// Work in the writer's queue. It keeps its result until the commit has succeeded or failed.
pub(super) trait QueuedWork: Send {
    /// Runs in its savepoint. Returns whether to keep the changes.
    fn run<'c>(&'c mut self, conn: &'c mut Conn) -> BoxFuture<'c, bool>;
    /// Sends the caller the result, or the error of the commit.
    fn answer(self: Box<Self>, committed: Result<(), sqlx::Error>);
}

pub(super) type Job = Box<dyn QueuedWork>;

/// A handle to SQLite's single writer.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    closing: Arc<Notify>,
    /// Its sender is dropped once the connection is closed.
    ended: watch::Receiver<()>,
}

impl Writer {
    /// Stops the writer once its queue is empty.
    pub(super) async fn close(&self) {
        self.closing.notify_one();
        // Fails once the sender is dropped, which is what this waits for.
        let _ = self.ended.clone().changed().await;
    }
}

struct Queued<T, E, F> {
    work: Option<F>,
    /// The caller's span, for what the work logs.
    span: Span,
    made: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> QueuedWork for Queued<T, E, F>
where
    T: Send + 'static,
    E: From<sqlx::Error> + Send + 'static,
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
{
    fn run<'c>(&'c mut self, conn: &'c mut Conn) -> BoxFuture<'c, bool> {
        let span = self.span.clone();
        let running = async move {
            let Some(work) = self.work.take() else {
                return false;
            };
            let made = AssertUnwindSafe(async { work(conn).await })
                .catch_unwind()
                .await;
            let made = made.unwrap_or_else(|_| Err(panicked().into()));
            let keep = made.is_ok();
            self.made = Some(made);
            keep
        };
        Box::pin(running.instrument(span))
    }

    fn answer(self: Box<Self>, committed: Result<(), sqlx::Error>) {
        let answer = match (self.made, committed) {
            (Some(Err(refused)), _) => Err(refused),
            (Some(Ok(made)), Ok(())) => Ok(made),
            (_, Err(failed)) => Err(failed.into()),
            (None, Ok(())) => Err(panicked().into()),
        };
        // The caller may be gone; the commit stands.
        let _ = self.caller.send(answer);
    }
}

fn panicked() -> sqlx::Error {
    sqlx::Error::Protocol("the transaction panicked and was rolled back".into())
}

/// Queues `work` for the writer and waits for the result.
pub(super) async fn run_queued<T, E, F>(writer: &Writer, work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<sqlx::Error> + Send + 'static,
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    let job: Job = Box::new(Queued {
        work: Some(work),
        span: Span::current(),
        made: None,
        caller,
    });
    if writer.jobs.send(job).await.is_err() {
        return Err(sqlx::Error::PoolClosed.into());
    }
    answer
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::PoolClosed.into()))
}

/// Runs `work` in its own transaction, on its own task: it continues if the caller is cancelled.
pub(super) async fn run_alone<T, E, F>(pool: AnyPool, work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<sqlx::Error> + Send + 'static,
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
{
    let writing = async move {
        let mut transaction = begin(&pool).await?;
        let made = work(&mut transaction).await?;
        transaction.commit().await?;
        Ok(made)
    };
    let writing = async {
        let late = |_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()).into());
        timeout(TRANSACTION_TIME_MAX, writing)
            .await
            .unwrap_or_else(late)
    };
    tokio::spawn(writing.in_current_span())
        .await
        .unwrap_or_else(|_| Err(panicked().into()))
}

/// Begins a transaction, retrying with another connection after a transient error: nothing has been done
/// yet. Later errors go to the caller, which knows whether its work can be repeated.
async fn begin(pool: &AnyPool) -> Result<Transaction<'static, Any>, sqlx::Error> {
    for retry in 0..BEGIN_RETRIES {
        match pool.begin().await {
            // The acquire timeout has already passed.
            Err(error @ (sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)) => {
                return Err(error);
            }
            Err(error) if is_transient(&error) => {
                tracing::debug!(%error, "could not begin a transaction; retrying");
                let most = PAUSE_MILLIS << retry;
                let pause = rand::rng().random_range(most / 2..=most);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            begun => return begun,
        }
    }
    pool.begin().await
}

/// Opens the writer's connection and starts its task, which ends when the last handle is dropped.
pub(super) async fn spawn(engine: Engine, url: &str) -> Result<Writer, OpenError> {
    let mut conn = open(engine, url).await?;
    engine.assert_suitable(&mut conn).await?;
    let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
    let (ending, ended) = watch::channel(());
    let closing = Arc::new(Notify::new());
    let (url, asked_to_close) = (url.to_owned(), closing.clone());
    tokio::spawn(async move {
        write_all(engine, &url, conn, waiting, &asked_to_close).await;
        drop(ending);
    });
    Ok(Writer {
        jobs,
        closing,
        ended,
    })
}

/// Commits group after group until the queue is closed.
async fn write_all(
    engine: Engine,
    url: &str,
    mut conn: Conn,
    mut waiting: mpsc::Receiver<Job>,
    closing: &Notify,
) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    loop {
        tokio::select! {
            taken = waiting.recv_many(&mut group, GROUP_MAX) => {
                if taken == 0 {
                    break;
                }
            }
            () = closing.notified() => {
                waiting.close();
                continue;
            }
        }
        if let Err(error) = commit_group(engine, &mut conn, &mut group).await {
            tracing::error!(%error, "could not commit a group of transactions");
            // The connection may still be inside the transaction.
            match open(engine, url).await {
                Ok(fresh) => conn = fresh,
                Err(error) => tracing::error!(%error, "the database writer could not reconnect"),
            }
        }
    }
    let _ = conn.close().await;
}

async fn open(engine: Engine, url: &str) -> Result<Conn, sqlx::Error> {
    let mut conn = Conn::connect(url).await?;
    engine.prepare(&mut conn).await?;
    Ok(conn)
}

/// Runs the group in one transaction and answers all its callers.
async fn commit_group(
    engine: Engine,
    conn: &mut Conn,
    group: &mut Vec<Job>,
) -> Result<(), sqlx::Error> {
    let outcome = run_group(engine, conn, group).await;
    for job in group.drain(..) {
        job.answer(match &outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(sqlx::Error::Protocol(format!("the commit failed: {error}"))),
        });
    }
    outcome
}

async fn run_group(engine: Engine, conn: &mut Conn, group: &mut [Job]) -> Result<(), sqlx::Error> {
    conn.execute(engine.begin()).await?;
    for job in group {
        conn.execute("SAVEPOINT work").await?;
        if !job.run(conn).await {
            conn.execute("ROLLBACK TO work").await?;
        }
        conn.execute("RELEASE work").await?;
    }
    conn.execute("COMMIT").await?;
    Ok(())
}
