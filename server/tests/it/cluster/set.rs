//! The cluster under test: two web replicas and two workers of the real binary, with a PostgreSQL, a
//! Redis, a NATS and a Stripe double. Each replica and service can be stopped, and restarted on the same
//! port.

use super::services::{Service, send_signal};
use crate::{
    crash::{
        checks,
        clients::Workload,
        doors::ShopUrls,
        process::{
            self, Holds, POLL_INTERVAL, WAIT_TIMEOUT, WEBHOOK_SECRET, answers, binary, free_port,
            log_path, open_log, print_logs,
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

/// The lease of a killed process on a call lasts half a minute, and after several faults a call is repeated
/// only after up to a minute.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(3);

/// One process of the shop: a web replica or a worker.
pub struct Replica {
    name: &'static str,
    role: &'static str,
    address: String,
    pub base: String,
    process: Option<Child>,
}

pub struct ClusterOptions {
    pub holds: Holds,
    pub rate_limits: bool,
    pub drain_seconds: u32,
    /// Starts a private PostgreSQL, which the test can stop, instead of using the shared server.
    pub own_postgres: bool,
}

impl Default for ClusterOptions {
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

pub struct Cluster {
    pub web_replicas: [Replica; 2],
    pub workers: [Replica; 2],
    /// The double's URL: Stripe's API, the journal and the bank's pages.
    pub stripe: String,
    options: ClusterOptions,
    double: Child,
    pub redis: Service,
    pub nats: Service,
    /// Only with [`ClusterOptions::own_postgres`].
    pub postgres: Option<Service>,
    // After the processes, because fields are dropped in this order.
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

    /// Sends SIGKILL, so that nothing is flushed.
    pub async fn kill(&mut self) {
        self.process.as_mut().unwrap().kill().unwrap();
        self.wait_for_exit(WAIT_TIMEOUT).await;
    }

    /// Asks the process to stop.
    pub fn ask_to_stop(&self) {
        send_signal(self.process.as_ref().unwrap(), "TERM");
    }

    pub async fn wait_for_exit(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                self.process = None;
                return status;
            }
            assert!(began.elapsed() < limit, "{} is still running", self.name);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Fetches status and body of `/readyz`.
    pub async fn fetch_readiness(&self) -> (u16, Value) {
        let answer = Client::new(&self.base).get("/readyz").await;
        (answer.status, answer.body)
    }

    /// Waits until `/readyz` reports this status of this part.
    pub async fn wait_for_status(&self, part: &str, status: &str) {
        let began = Instant::now();
        loop {
            let (_, body) = self.fetch_readiness().await;
            if body[part] == status {
                return;
            }
            assert!(
                began.elapsed() < WAIT_TIMEOUT,
                "{part} is not {status}: {body}"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Fetches the value of a metric; 0 if there is none of this name.
    pub async fn fetch_metric(&self, name: &str) -> f64 {
        let answer = Client::new(&self.base).get("/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let has_name = |line: &&str| line.split([' ', '{']).next() == Some(name);
        let line = answer.text.lines().find(has_name);
        line.map_or(0.0, |line| {
            line.rsplit_once(' ').unwrap().1.parse().unwrap()
        })
    }
}

impl Cluster {
    pub async fn start() -> Self {
        Self::start_with(ClusterOptions::default()).await
    }

    pub async fn start_with(options: ClusterOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (redis, nats) = tokio::join!(Service::redis(), Service::nats());
        let (mut database, mut postgres) = (None, None);
        let database_url = if options.own_postgres {
            postgres.insert(Service::postgres().await).url()
        } else {
            database.insert(Database::postgres().await).url.clone()
        };
        let web_replicas = [Replica::new("web-1", "web"), Replica::new("web-2", "web")];
        let (double, stripe) = process::start_double(folder.path(), &web_replicas[0].base).await;
        let mut cluster = Self {
            web_replicas,
            workers: [
                Replica::new("worker-1", "worker"),
                Replica::new("worker-2", "worker"),
            ],
            stripe,
            options,
            double,
            redis,
            nats,
            postgres,
            database,
            database_url,
            folder,
        };
        // The first migrates the database; then the others start concurrently.
        cluster.launch_web(0);
        cluster.wait_for_web(0).await;
        cluster.launch_web(1);
        cluster.launch_worker(0);
        cluster.launch_worker(1);
        cluster.wait_for_web(1).await;
        cluster.wait_for_worker(0).await;
        cluster.wait_for_worker(1).await;
        cluster
    }

    /// A command of the binary with only this shop's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary(self.folder.path(), arguments);
        let ClusterOptions { holds, .. } = &self.options;
        command
            .env("RUST_LOG", "info,sqlx=warn")
            .env("STAGEDOOR_PUBLIC_URL", &self.web_replicas[0].base)
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
                self.options.drain_seconds.to_string(),
            )
            .env("STRIPE_SECRET_KEY", "sk_test_x")
            .env("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .env("STRIPE_API_URL", &self.stripe)
            .env(
                "STAGEDOOR_RATE_LIMITS",
                if self.options.rate_limits {
                    "on"
                } else {
                    "off"
                },
            );
        command
    }

    fn spawn(&self, replica: &Replica) -> Child {
        let mut command = self.command(&["serve", "--role", replica.role]);
        command
            .env("STAGEDOOR_ADDR", &replica.address)
            .stderr(open_log(self.folder.path(), replica.name))
            .spawn()
            .unwrap()
    }

    /// Starts a web replica without waiting until it is ready.
    pub fn launch_web(&mut self, number: usize) {
        self.web_replicas[number].process = Some(self.spawn(&self.web_replicas[number]));
    }

    /// Starts a worker without waiting until it is ready.
    pub fn launch_worker(&mut self, number: usize) {
        self.workers[number].process = Some(self.spawn(&self.workers[number]));
    }

    pub async fn wait_for_web(&mut self, number: usize) {
        wait_until_ready(&mut self.web_replicas[number]).await;
    }

    pub async fn wait_for_worker(&mut self, number: usize) {
        wait_until_ready(&mut self.workers[number]).await;
    }

    pub fn web_urls(&self) -> ShopUrls {
        ShopUrls::new(self.web_replicas.iter().map(|web| &web.base))
    }

    pub fn audit_command(&self) -> Command {
        self.command(&["audit", "--json"])
    }

    /// Opens the shop's database without its processes.
    pub async fn connect_database(&self) -> AnyPool {
        sqlx::any::install_default_drivers();
        AnyPoolOptions::new()
            .max_connections(1)
            .connect(&self.database_url)
            .await
            .unwrap()
    }

    /// The one number `n` that the statement finds.
    pub async fn number(&self, sql: &str) -> i64 {
        let db = self.connect_database().await;
        let found = sound::number(&db, sql).await;
        db.close().await;
        found
    }

    /// Waits until the statement's count is not zero.
    pub async fn wait_until_found(&self, sql: &str) {
        let db = self.connect_database().await;
        let began = Instant::now();
        while sound::number(&db, sql).await == 0 {
            assert!(began.elapsed() < WAIT_TIMEOUT, "still zero: {sql}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        db.close().await;
    }

    /// Stops the buyers, waits until all payments have settled, and asserts that all answers are true and
    /// that the shop is consistent. Prints a summary of the orders.
    pub async fn assert_consistent_after(
        &self,
        interruption: &str,
        workload: &Arc<Workload>,
        buyers: JoinSet<()>,
    ) {
        workload.stop.store(true, Ordering::SeqCst);
        buyers.join_all().await;
        let db = self.connect_database().await;
        let began = Instant::now();
        checks::wait_until_settled(&db, SETTLE_TIMEOUT).await;
        let answers = std::mem::take(&mut *workload.answers.lock().unwrap());
        println!(
            "{interruption}: {}; settled after {:.1?}",
            answers.summarize(),
            began.elapsed()
        );
        checks::assert_answers_match(&db, &answers).await;
        checks::assert_sound(&self.stripe, self.audit_command(), &db).await;
        db.close().await;
    }

    /// Reads the replica's log since its first start, across restarts.
    pub fn read_log(&self, replica: &Replica) -> String {
        std::fs::read_to_string(log_path(self.folder.path(), replica.name)).unwrap_or_default()
    }

    /// Stops all processes and removes the data.
    pub async fn close(mut self) {
        for replica in self.web_replicas.iter().chain(&self.workers) {
            let log = self.read_log(replica);
            assert!(
                !log.contains("panicked"),
                "{} panicked: {log}",
                replica.name
            );
        }
        self.kill_processes();
        if let Some(database) = self.database.take() {
            database.drop().await;
        }
    }

    fn kill_processes(&mut self) {
        let replicas = self.web_replicas.iter_mut().chain(&mut self.workers);
        let processes = replicas.filter_map(|replica| replica.process.as_mut());
        for process in processes.chain([&mut self.double]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_processes();
        if std::thread::panicking() {
            let names = ["web-1", "web-2", "worker-1", "worker-2", "double"];
            print_logs(self.folder.path(), &names);
        }
    }
}

async fn wait_until_ready(replica: &mut Replica) {
    let ready = format!("{}/readyz", replica.base);
    let began = Instant::now();
    while !answers(&ready).await {
        let status = replica.process.as_mut().unwrap().try_wait().unwrap();
        assert!(
            status.is_none(),
            "{} exited during its start: {status:?}",
            replica.name
        );
        assert!(
            began.elapsed() < WAIT_TIMEOUT,
            "{} is not ready",
            replica.name
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Waits until this many more payments have been answered as captured.
pub async fn wait_for_payments(workload: &Workload, more: usize) {
    let count_paid = || workload.answers.lock().unwrap().count_paid();
    let began = Instant::now();
    let target = count_paid() + more;
    while count_paid() < target {
        assert!(began.elapsed() < WAIT_TIMEOUT, "payments have stopped");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
