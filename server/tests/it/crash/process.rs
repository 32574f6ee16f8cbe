//! A shop of real processes, `stagedoor serve` and the Stripe double. Their data is kept when they
//! end, and the server can be killed and restarted at the same address.

use crate::support::database::Database;
use sqlx::{AnyPool, any::AnyPoolOptions};
use std::{
    fs::{File, OpenOptions},
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use stripe_double::JournalLine;

pub const WEBHOOK_SECRET: &str = "whsec_of_the_crash_tests";
/// Long, because two cores may be busy with other tests and a build: only ends a test that hangs.
pub const WAIT_TIMEOUT: Duration = Duration::from_mins(2);
pub const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// The signal that `abort` raises.
pub const SIGABRT: i32 = 6;
const LOG_LEVELS: &str = "warn";
const LOG_LINES_SHOWN: usize = 60;

/// The settings for the length of holds.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    pub seconds: u32,
    pub grace_seconds: u32,
}

/// A shop whose server may be stopped.
pub struct Shop {
    pub base: String,
    /// The double's URL: Stripe's API, the journal and the bank's pages.
    pub stripe: String,
    address: String,
    holds: Holds,
    /// The server's `RUST_LOG`; not set if empty.
    log_levels: &'static str,
    server: Option<Child>,
    double: Child,
    // After the processes, because fields are dropped in this order.
    database: Database,
    folder: tempfile::TempDir,
}

impl Shop {
    /// Creates a shop and starts its server.
    pub async fn open(database: Database, holds: Holds) -> Self {
        Self::open_with_log(database, holds, LOG_LEVELS).await
    }

    /// As [`Shop::open`], with these `RUST_LOG` levels.
    pub async fn open_with_log(database: Database, holds: Holds, log_levels: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let base = format!("http://{address}");
        let (double, stripe) = start_double(folder.path(), &base).await;
        let mut shop = Self {
            base,
            stripe,
            address,
            holds,
            log_levels,
            server: None,
            double,
            database,
            folder,
        };
        shop.start(None).await;
        shop
    }

    /// A command of the binary with only this shop's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary(self.folder.path(), arguments);
        command.env("RUST_LOG", self.log_levels);
        if self.log_levels.is_empty() {
            command.env_remove("RUST_LOG");
        }
        command
            .env("STAGEDOOR_ADDR", &self.address)
            .env("STAGEDOOR_DATA_DIR", self.folder.path().join("data"))
            .env("DATABASE_URL", &self.database.url)
            .env("STAGEDOOR_HOLD_SECONDS", self.holds.seconds.to_string())
            .env(
                "STAGEDOOR_HOLD_GRACE_SECONDS",
                self.holds.grace_seconds.to_string(),
            )
            .env("STRIPE_SECRET_KEY", "sk_test_x")
            .env("STRIPE_PUBLISHABLE_KEY", "pk_test_x")
            .env("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .env("STRIPE_API_URL", &self.stripe)
            .env("STAGEDOOR_RATE_LIMITS", "off");
        command
    }

    /// Starts the server, which aborts at the crash point `crash_at`, and waits until it is ready.
    pub async fn start(&mut self, crash_at: Option<&str>) {
        let variable = crash_at.map(|point| ("STAGEDOOR_CRASH_AT", point));
        self.start_with(variable.as_slice()).await;
    }

    /// As [`Shop::start`], with additional environment variables.
    pub async fn start_with(&mut self, variables: &[(&str, &str)]) {
        let mut command = self.command(&["serve"]);
        command.envs(variables.iter().copied());
        self.spawn(command).await;
    }

    /// Starts the server with SIGXFSZ ignored, so that writing beyond the file size limit is an error, as on
    /// a full disk, and does not end the process. Returns its process id, for `prlimit`.
    pub async fn start_ignoring_sigxfsz(&mut self) -> u32 {
        let serve = self.command(&["serve"]);
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" serve"])
            .arg(serve.get_program())
            .env_clear()
            .envs(
                serve
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        self.spawn(command).await;
        self.server.as_ref().unwrap().id()
    }

    async fn spawn(&mut self, mut command: Command) {
        let log = open_log(self.folder.path(), "server");
        self.server = Some(command.stderr(log).spawn().unwrap());
        let ready = format!("{}/readyz", self.base);
        let began = Instant::now();
        while !answers(&ready).await {
            let status = self.poll_exit();
            assert!(
                status.is_none(),
                "the server exited during its start: {status:?}"
            );
            assert!(began.elapsed() < WAIT_TIMEOUT, "the server is not ready");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends SIGKILL, so that nothing is flushed.
    pub async fn kill(&mut self) {
        self.server.as_mut().unwrap().kill().unwrap();
        self.wait_for_exit(WAIT_TIMEOUT).await;
    }

    pub async fn wait_for_exit(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.poll_exit() {
                self.server = None;
                return status;
            }
            assert!(began.elapsed() < limit, "the server is still running");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits for the server's exit, and asserts that it aborted.
    pub async fn wait_for_abort(&mut self, limit: Duration) {
        let status = self.wait_for_exit(limit).await;
        assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    }

    fn poll_exit(&mut self) -> Option<ExitStatus> {
        self.server.as_mut()?.try_wait().unwrap()
    }

    pub fn database_url(&self) -> String {
        self.database.url.clone()
    }

    /// Opens the shop's database without the server.
    pub async fn connect_database(&self) -> AnyPool {
        sqlx::any::install_default_drivers();
        AnyPoolOptions::new()
            .max_connections(1)
            .connect(&self.database.url)
            .await
            .unwrap()
    }

    pub fn audit_command(&self) -> Command {
        self.command(&["audit", "--json"])
    }

    /// The server's log since the shop was created, across restarts.
    pub fn server_log(&self) -> String {
        std::fs::read_to_string(log_path(self.folder.path(), "server")).unwrap_or_default()
    }

    /// Stops all processes and removes the data.
    pub async fn close(mut self) {
        let log = self.server_log();
        assert!(!log.contains("panicked"), "the server panicked: {log}");
        self.kill_processes();
        let placeholder = Database::sqlite();
        std::mem::replace(&mut self.database, placeholder)
            .drop()
            .await;
    }

    fn kill_processes(&mut self) {
        for process in self.server.iter_mut().chain([&mut self.double]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.kill_processes();
        if std::thread::panicking() {
            print_logs(self.folder.path(), &["server", "double"]);
        }
    }
}

/// Prints the last lines of these logs, to explain a failed test.
pub fn print_logs(folder: &Path, names: &[&str]) {
    for name in names {
        let log = std::fs::read_to_string(log_path(folder, name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        eprintln!("--- last lines of the log of {name}:\n{last}");
    }
}

/// A command of the binary under test in `folder`, without settings.
pub fn binary(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stagedoor"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("RUST_LOG", LOG_LEVELS)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Fetches all payments of the Stripe double at this URL.
pub async fn fetch_journal(stripe: &str) -> Vec<JournalLine> {
    #[derive(serde::Deserialize)]
    struct Journal {
        payments: Vec<JournalLine>,
    }
    let url = format!("{stripe}/double/journal");
    let answer = reqwest::get(url).await.unwrap();
    answer.json::<Journal>().await.unwrap().payments
}

/// Starts the Stripe double with its data in `folder`, and webhooks to the shop at this URL. Returns the
/// process and its URL once it answers.
pub async fn start_double(folder: &Path, shop: &str) -> (Child, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let data = folder.join("bank");
    let child = binary(folder, &["stripe-double", "--addr", &address])
        .arg("--data")
        .arg(data)
        .args(["--webhook-url", &format!("{shop}/api/webhooks/stripe")])
        .args(["--webhook-secret", WEBHOOK_SECRET])
        .stderr(open_log(folder, "double"))
        .spawn()
        .unwrap();
    let stripe = format!("http://{address}");
    let began = Instant::now();
    while !answers(&format!("{stripe}/double/journal")).await {
        assert!(began.elapsed() < WAIT_TIMEOUT, "the double does not answer");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    (child, stripe)
}

pub fn log_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

/// Opens the log of the process `name` for appending.
pub fn open_log(folder: &Path, name: &str) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_path(folder, name))
        .unwrap()
}

/// Requests `url`, and returns whether the answer is a success.
pub async fn answers(url: &str) -> bool {
    reqwest::get(url)
        .await
        .is_ok_and(|answer| answer.status().is_success())
}

/// A port that no other process takes while its server is stopped: below the kernel's range of ephemeral
/// ports, and never the same twice in this process. With an ephemeral port, an outgoing connection could
/// take it between stop and restart, or a client could connect to itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    loop {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        // Concurrent test processes begin at different offsets.
        let offset = (std::process::id().wrapping_mul(97) + number) % COUNT;
        let port = u16::try_from(FIRST + offset).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
