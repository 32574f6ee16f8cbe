//! A shop of real processes: `stagedoor serve` and the Stripe double, each with its data, which
//! outlives them. The server can be killed, and started again at the same place.

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
/// Two cores may be busy with other tests and with a build: this only ends a test that hangs.
pub const UP_WITHIN: Duration = Duration::from_mins(2);
pub const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// `abort` ends a process by this signal.
pub const SIGABRT: i32 = 6;
const LOG: &str = "warn";
const LINES_SHOWN: usize = 60;

/// How long reservations hold.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    pub seconds: u32,
    pub grace_seconds: u32,
}

/// A shop whose server runs, or does not at this moment.
pub struct Shop {
    pub base: String,
    /// Where the double is: Stripe's API, the journal and the bank's page.
    pub stripe: String,
    address: String,
    holds: Holds,
    /// What the server logs, as `RUST_LOG` says it; empty: `RUST_LOG` is not set.
    log: &'static str,
    server: Option<Child>,
    double: Child,
    // Behind the processes, which are to be gone before their data.
    database: Database,
    folder: tempfile::TempDir,
}

impl Shop {
    /// A new shop, its server running.
    pub async fn open(database: Database, holds: Holds) -> Self {
        Self::open_telling(database, holds, LOG).await
    }

    /// The same, whose server logs so much.
    pub async fn open_telling(database: Database, holds: Holds, log: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let base = format!("http://{address}");
        let (double, stripe) = start_double(folder.path(), &base).await;
        let mut shop = Self {
            base,
            stripe,
            address,
            holds,
            log,
            server: None,
            double,
            database,
            folder,
        };
        shop.start(None).await;
        shop
    }

    /// A command of the binary with this shop's settings and no others.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary(self.folder.path(), arguments);
        command.env("RUST_LOG", self.log);
        if self.log.is_empty() {
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

    /// Starts the server, which will die at `fatal`, and waits until it is ready.
    pub async fn start(&mut self, fatal: Option<&str>) {
        let point = fatal.map(|point| ("STAGEDOOR_CRASH_AT", point));
        self.start_with(point.as_slice()).await;
    }

    /// As [`Shop::start`], with more in its environment.
    pub async fn start_with(&mut self, more: &[(&str, &str)]) {
        let mut command = self.command(&["serve"]);
        command.envs(more.iter().copied());
        self.spawn(command).await;
    }

    /// Starts it so that a file which may not grow any more is an error to it, as on a full disk, and
    /// not its end. Returns its process id, for `prlimit`.
    pub async fn start_for_a_full_disk(&mut self) -> u32 {
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
        let log = log(self.folder.path(), "server");
        self.server = Some(command.stderr(log).spawn().unwrap());
        let ready = format!("{}/readyz", self.base);
        let began = Instant::now();
        while !answers(&ready).await {
            let ended = self.ended();
            assert!(ended.is_none(), "the server ended at its start: {ended:?}");
            assert!(began.elapsed() < UP_WITHIN, "the server does not get ready");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub async fn kill(&mut self) {
        self.server.as_mut().unwrap().kill().unwrap();
        self.dies_within(UP_WITHIN).await;
    }

    /// Waits for the server's end, and says what it was.
    pub async fn dies_within(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                self.server = None;
                return status;
            }
            assert!(began.elapsed() < limit, "the server lives on");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until the server has aborted itself.
    pub async fn aborts_within(&mut self, limit: Duration) {
        let status = self.dies_within(limit).await;
        assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.server.as_mut()?.try_wait().unwrap()
    }

    /// Where the shop's database is.
    pub fn database_url(&self) -> String {
        self.database.url.clone()
    }

    /// A look into the shop's database, past the server.
    pub async fn tables(&self) -> AnyPool {
        sqlx::any::install_default_drivers();
        AnyPoolOptions::new()
            .max_connections(1)
            .connect(&self.database.url)
            .await
            .unwrap()
    }

    /// What an operator would ask of it.
    pub fn audit(&self) -> Command {
        self.command(&["audit", "--json"])
    }

    /// All that the server has logged in all its lives.
    pub fn server_log(&self) -> String {
        std::fs::read_to_string(log_path(self.folder.path(), "server")).unwrap_or_default()
    }

    /// Ends it all.
    pub async fn close(mut self) {
        let log = self.server_log();
        assert!(!log.contains("panicked"), "the server panicked: {log}");
        self.end_processes();
        let emptied = Database::sqlite();
        std::mem::replace(&mut self.database, emptied).drop().await;
    }

    fn end_processes(&mut self) {
        for process in self.server.iter_mut().chain([&mut self.double]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.end_processes();
        if std::thread::panicking() {
            show_logs(self.folder.path(), &["server", "double"]);
        }
    }
}

/// The last lines of these logs, for whoever looks why a test failed.
pub fn show_logs(folder: &Path, names: &[&str]) {
    for name in names {
        let log = std::fs::read_to_string(log_path(folder, name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
        eprintln!("--- the end of the {name}'s log:\n{last}");
    }
}

/// The binary under test, in `folder`, with no settings.
pub fn binary(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stagedoor"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("RUST_LOG", LOG)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// What the bank at `stripe` shows.
pub async fn journal(stripe: &str) -> Vec<JournalLine> {
    #[derive(serde::Deserialize)]
    struct Journal {
        payments: Vec<JournalLine>,
    }
    let url = format!("{stripe}/double/journal");
    let answer = reqwest::get(url).await.unwrap();
    answer.json::<Journal>().await.unwrap().payments
}

/// The double, with its state in `folder`, and where it is once it answers.
pub async fn start_double(folder: &Path, shop: &str) -> (Child, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let data = folder.join("bank");
    let child = binary(folder, &["stripe-double", "--addr", &address])
        .arg("--data")
        .arg(data)
        .args(["--webhook-url", &format!("{shop}/api/webhooks/stripe")])
        .args(["--webhook-secret", WEBHOOK_SECRET])
        .stderr(log(folder, "double"))
        .spawn()
        .unwrap();
    let stripe = format!("http://{address}");
    let began = Instant::now();
    while !answers(&format!("{stripe}/double/journal")).await {
        assert!(began.elapsed() < UP_WITHIN, "the double does not answer");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    (child, stripe)
}

pub fn log_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

pub fn log(folder: &Path, name: &str) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_path(folder, name))
        .unwrap()
}

pub async fn answers(url: &str) -> bool {
    reqwest::get(url)
        .await
        .is_ok_and(|answer| answer.status().is_success())
}

/// A port that stays free while nobody listens there: from below the range out of which the kernel
/// hands out ports, and never the same twice in this process. Else a connection that somebody makes
/// between two lives of a server could come to have its port, or a client be connected to itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    loop {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        // Test processes that run side by side begin at different places.
        let place = (std::process::id().wrapping_mul(97) + number) % COUNT;
        let port = u16::try_from(FIRST + place).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
