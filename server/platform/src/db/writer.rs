//! Writing transactions: SQLite's single writer with group commit, PostgreSQL's side by side.
//!
//! SQLite commits durably in one fsync, whether for one transaction or for many. So the writer
//! takes all that is waiting, runs each in a savepoint, commits once and then answers: durable
//! before anybody is told, and many times faster than one by one.

use super::{Conn, Engine, OpenError, is_passing};
use futures::{FutureExt, future::BoxFuture};
use rand::RngExt;
use sqlx::{Any, AnyPool, Connection, Executor, Transaction};
use std::{io::ErrorKind, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::timeout,
};
use tracing::{Instrument, Span};

/// The most transactions that share a commit: enough to hide the fsync, few enough that the
/// first does not wait long for the last.
const GROUP_MAX: usize = 64;
/// How many may wait before callers are held back.
const QUEUE_MAX: usize = 1024;
/// How long a transaction may take on PostgreSQL. Each of its statements has less by the server's own
/// settings; this is for a server that has vanished, which says nothing for ever.
const WRITTEN_WITHIN: Duration = Duration::from_mins(1);
/// How often a transaction is begun again that a broken connection kept from beginning, and the
/// longest pause before the first time; each is twice as long as the one before.
const BEGIN_AGAIN: u32 = 3;
const PAUSE_MILLIS: u64 = 50;

/// Work that waits for the writer. It runs itself and keeps its own answer until it is told
/// whether the commit held.
pub(super) trait QueuedWork: Send {
    /// Runs in its savepoint; true if it is to be kept.
    fn run<'c>(&'c mut self, conn: &'c mut Conn) -> BoxFuture<'c, bool>;
    /// Answers the caller: with what it made, or with why the commit failed.
    fn answer(self: Box<Self>, committed: Result<(), sqlx::Error>);
}

pub(super) type Job = Box<dyn QueuedWork>;

/// The way to SQLite's one writer.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    closing: Arc<Notify>,
    /// Its other end is dropped with the connection.
    ended: watch::Receiver<()>,
}

impl Writer {
    /// Ends it, once what is waiting is done.
    pub(super) async fn close(&self) {
        self.closing.notify_one();
        // An error says that the other end is gone, which is what is waited for.
        let _ = self.ended.clone().changed().await;
    }
}

struct Queued<T, E, F> {
    work: Option<F>,
    /// What the caller is about, for what the work logs.
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
        // The caller may have gone; what was committed stands all the same.
        let _ = self.caller.send(answer);
    }
}

fn panicked() -> sqlx::Error {
    sqlx::Error::Protocol("the transaction's work panicked; nothing of it was kept".into())
}

/// Hands `work` to the writer and waits for its answer.
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

/// Runs `work` in a transaction of its own, on a task of its own: a caller that stops waiting
/// does not cut it short.
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
        timeout(WRITTEN_WITHIN, writing).await.unwrap_or_else(late)
    };
    tokio::spawn(writing.in_current_span())
        .await
        .unwrap_or_else(|_| Err(panicked().into()))
}

/// Begins a transaction. Nothing has been done by then, so that a connection that breaks here is
/// nobody's business: another is taken. What breaks later is the caller's to repeat, who alone
/// knows whether that is the same.
async fn begin(pool: &AnyPool) -> Result<Transaction<'static, Any>, sqlx::Error> {
    for again in 0..BEGIN_AGAIN {
        match pool.begin().await {
            // It has waited for long enough.
            Err(error @ (sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)) => {
                return Err(error);
            }
            Err(error) if is_passing(&error) => {
                tracing::debug!(%error, "a transaction could not begin");
                let most = PAUSE_MILLIS << again;
                let pause = rand::rng().random_range(most / 2..=most);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            begun => return begun,
        }
    }
    pool.begin().await
}

/// Opens the writer's connection and starts its task, which ends when the last sender is gone.
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

/// The writer's life: group after group, until nobody can send any more.
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
            tracing::error!(%error, "a group of transactions could not be committed");
            // The connection may be left inside a transaction: begin anew with a fresh one.
            match open(engine, url).await {
                Ok(fresh) => conn = fresh,
                Err(error) => tracing::error!(%error, "the writer could not reconnect"),
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

/// Runs the group in one transaction and answers everybody in it.
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
