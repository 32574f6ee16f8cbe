//! The set-up under test: two web replicas and two workers of the real binary, with a PostgreSQL, a
//! Redis, a NATS and a Stripe double beside them. Every one of them can be ended, and started again
//! at the same place.

use super::services::{Service, signal};
use crate::{
    crash::{
        checks,
        clients::Crowd,
        doors::Doors,
        process::{
            self, Holds, LOOK_AGAIN, UP_WITHIN, WEBHOOK_SECRET, answers, binary, free_port, log,
            log_path, show_logs,
        },
    },
    support::{Client, database::Database, sound},
};
use serde_json::Value;
use sqlx::{AnyPool, any::AnyPoolOptions};
use std::{
    process::{Child, Command, ExitStatus},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// A call that died with its process is left alone for half a minute, and one that met several
/// faults waits for up to a minute.
const RESTS_WITHIN: Duration = Duration::from_mins(3);

/// One process of the shop.
pub struct Replica {
    name: &'static str,
    role: &'static str,
    address: String,
    pub base: String,
    process: Option<Child>,
}

/// How a set differs from what most tests want.
pub struct Wants {
    pub holds: Holds,
    pub rate_limits: bool,
    pub drain_seconds: u32,
    /// A PostgreSQL of its own, which can be stopped.
    pub own_postgres: bool,
}

impl Default for Wants {
    fn default() -> Self {
        Self {
            holds: Holds {
                seconds: 3,
                grace_seconds: 3,
            },
            rate_limits: false,
            drain_seconds: 0,
            own_postgres: false,
        }
    }
}

/// All of it.
pub struct Set {
    pub webs: [Replica; 2],
    pub workers: [Replica; 2],
    /// Where the double is: Stripe's API, the journal and the bank's page.
    pub stripe: String,
    wants: Wants,
    double: Child,
    pub redis: Service,
    pub nats: Service,
    pub postgres: Option<Service>,
    // Behind the processes, which are to be gone before their data.
    database: Option<Database>,
    database_url: String,
    folder: tempfile::TempDir,
}

impl Replica {
    fn new(name: &'static str, role: &'static str) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        Self {
            name,
            role,
            base: format!("http://{address}"),
            address,
            process: None,
        }
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub async fn kill(&mut self) {
        self.process.as_mut().unwrap().kill().unwrap();
        self.ends_within(UP_WITHIN).await;
    }

    /// SIGTERM: it is asked to stop.
    pub fn ask_to_stop(&self) {
        signal(self.process.as_ref().unwrap(), "TERM");
    }

    /// Waits for its end, and says what it was.
    pub async fn ends_within(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                self.process = None;
                return status;
            }
            assert!(began.elapsed() < limit, "{} lives on", self.name);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What it says of itself, and whether it is ready.
    pub async fn readiness(&self) -> (u16, Value) {
        let answer = Client::new(&self.base).get("/readyz").await;
        (answer.status, answer.body)
    }

    /// Waits until it says so of this part of it.
    pub async fn until_it_says(&self, part: &str, says: &str) {
        let began = Instant::now();
        loop {
            let (_, body) = self.readiness().await;
            if body[part] == says {
                return;
            }
            assert!(began.elapsed() < UP_WITHIN, "{part} is not {says}: {body}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// One of its figures; 0 while it has none of this name.
    pub async fn figure(&self, name: &str) -> f64 {
        let answer = Client::new(&self.base).get("/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let of_this_name = |line: &&str| line.split([' ', '{']).next() == Some(name);
        let line = answer.text.lines().find(of_this_name);
        line.map_or(0.0, |line| {
            line.rsplit_once(' ').unwrap().1.parse().unwrap()
        })
    }
}

impl Set {
    pub async fn start() -> Self {
        Self::start_with(Wants::default()).await
    }

    pub async fn start_with(wants: Wants) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (redis, nats) = tokio::join!(Service::redis(), Service::nats());
        let (mut database, mut postgres) = (None, None);
        let database_url = if wants.own_postgres {
            postgres.insert(Service::postgres().await).url()
        } else {
            database.insert(Database::postgres().await).url.clone()
        };
        let webs = [Replica::new("web-1", "web"), Replica::new("web-2", "web")];
        let (double, stripe) = process::start_double(folder.path(), &webs[0].base).await;
        let mut set = Self {
            webs,
            workers: [
                Replica::new("worker-1", "worker"),
                Replica::new("worker-2", "worker"),
            ],
            stripe,
            wants,
            double,
            redis,
            nats,
            postgres,
            database,
            database_url,
            folder,
        };
        // The first migrates; then they begin side by side.
        set.launch_web(0);
        set.web_is_ready(0).await;
        set.launch_web(1);
        set.launch_worker(0);
        set.launch_worker(1);
        set.web_is_ready(1).await;
        set.worker_is_ready(0).await;
        set.worker_is_ready(1).await;
        set
    }

    /// A command of the binary with this shop's settings and no others.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary(self.folder.path(), arguments);
        let Wants { holds, .. } = &self.wants;
        command
            .env("RUST_LOG", "info,sqlx=warn")
            .env("STAGEDOOR_PUBLIC_URL", &self.webs[0].base)
            .env("STAGEDOOR_DATA_DIR", self.folder.path().join("data"))
            .env("DATABASE_URL", &self.database_url)
            .env("REDIS_URL", self.redis.url())
            .env("NATS_URL", self.nats.url())
            .env("STAGEDOOR_HOLD_SECONDS", holds.seconds.to_string())
            .env(
                "STAGEDOOR_HOLD_GRACE_SECONDS",
                holds.grace_seconds.to_string(),
            )
            .env(
                "STAGEDOOR_DRAIN_SECONDS",
                self.wants.drain_seconds.to_string(),
            )
            .env("STRIPE_SECRET_KEY", "sk_test_x")
            .env("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .env("STRIPE_API_URL", &self.stripe)
            .env(
                "STAGEDOOR_RATE_LIMITS",
                if self.wants.rate_limits { "on" } else { "off" },
            );
        command
    }

    fn launch(&self, replica: &Replica) -> Child {
        let mut command = self.command(&["serve", "--role", replica.role]);
        command
            .env("STAGEDOOR_ADDR", &replica.address)
            .stderr(log(self.folder.path(), replica.name))
            .spawn()
            .unwrap()
    }

    /// Starts a web replica, which is not yet ready then.
    pub fn launch_web(&mut self, number: usize) {
        self.webs[number].process = Some(self.launch(&self.webs[number]));
    }

    pub fn launch_worker(&mut self, number: usize) {
        self.workers[number].process = Some(self.launch(&self.workers[number]));
    }

    pub async fn web_is_ready(&mut self, number: usize) {
        is_ready(&mut self.webs[number]).await;
    }

    pub async fn worker_is_ready(&mut self, number: usize) {
        is_ready(&mut self.workers[number]).await;
    }

    /// A door for each web replica.
    pub fn doors(&self) -> Doors {
        Doors::to(self.webs.iter().map(|web| &web.base))
    }

    /// What an operator would ask of it.
    pub fn audit(&self) -> Command {
        self.command(&["audit", "--json"])
    }

    /// A look into the database, past the processes.
    pub async fn tables(&self) -> AnyPool {
        sqlx::any::install_default_drivers();
        AnyPoolOptions::new()
            .max_connections(1)
            .connect(&self.database_url)
            .await
            .unwrap()
    }

    pub async fn number(&self, sql: &str) -> i64 {
        let tables = self.tables().await;
        let found = sound::number(&tables, sql).await;
        tables.close().await;
        found
    }

    /// Waits until the statement finds at least one.
    pub async fn until_found(&self, sql: &str) {
        let tables = self.tables().await;
        let began = Instant::now();
        while sound::number(&tables, sql).await == 0 {
            assert!(began.elapsed() < UP_WITHIN, "none yet: {sql}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        tables.close().await;
    }

    /// Lets the buyers end and everything come to its end, and asserts that all that was answered
    /// stands and that nothing is broken. Prints what survived `what`.
    pub async fn comes_through(&self, what: &str, crowd: &Arc<Crowd>, buyers: JoinSet<()>) {
        crowd.has_enough.store(true, Ordering::SeqCst);
        buyers.join_all().await;
        let tables = self.tables().await;
        let began = Instant::now();
        checks::comes_to_rest_within(&tables, RESTS_WITHIN).await;
        let answered = std::mem::take(&mut *crowd.answered.lock().unwrap());
        println!(
            "{what}: {}; at rest after {:.1?}",
            answered.summary(),
            began.elapsed()
        );
        checks::assert_answers_stand(&tables, &answered).await;
        checks::assert_sound(&self.stripe, self.audit(), &tables).await;
        tables.close().await;
    }

    /// All that a process has logged in all its lives.
    pub fn log_of(&self, replica: &Replica) -> String {
        std::fs::read_to_string(log_path(self.folder.path(), replica.name)).unwrap_or_default()
    }

    /// Ends it all.
    pub async fn close(mut self) {
        for replica in self.webs.iter().chain(&self.workers) {
            let log = self.log_of(replica);
            assert!(
                !log.contains("panicked"),
                "{} panicked: {log}",
                replica.name
            );
        }
        self.end_processes();
        if let Some(database) = self.database.take() {
            database.drop().await;
        }
    }

    fn end_processes(&mut self) {
        let replicas = self.webs.iter_mut().chain(&mut self.workers);
        let processes = replicas.filter_map(|replica| replica.process.as_mut());
        for process in processes.chain([&mut self.double]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        self.end_processes();
        if std::thread::panicking() {
            let names = ["web-1", "web-2", "worker-1", "worker-2", "double"];
            show_logs(self.folder.path(), &names);
        }
    }
}

async fn is_ready(replica: &mut Replica) {
    let ready = format!("{}/readyz", replica.base);
    let began = Instant::now();
    while !answers(&ready).await {
        let ended = replica.process.as_mut().unwrap().try_wait().unwrap();
        assert!(
            ended.is_none(),
            "{} ended at its start: {ended:?}",
            replica.name
        );
        assert!(
            began.elapsed() < UP_WITHIN,
            "{} does not get ready",
            replica.name
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Waits until buyers have been told of so many more orders that they paid.
pub async fn more_are_paid(crowd: &Crowd, more: usize) {
    let paid = || crowd.answered.lock().unwrap().paid();
    let began = Instant::now();
    let wanted = paid() + more;
    while paid() < wanted {
        assert!(began.elapsed() < UP_WITHIN, "sales do not go on");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
