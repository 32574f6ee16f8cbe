//! A private PostgreSQL, Redis or NATS of a test, which can be stopped and restarted on the same port with
//! its durable data.

use crate::crash::process::{POLL_INTERVAL, WAIT_TIMEOUT, free_port};
use sqlx::{AnyConnection, Connection};
use std::{
    fs::File,
    net::TcpStream,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

/// How a service is stopped. `Immediate` and `Fast` are modes of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// SIGKILL.
    Kill,
    /// SIGQUIT: without a checkpoint, so that PostgreSQL recovers at the next start.
    Immediate,
    /// SIGINT: with a checkpoint; connections are closed.
    Fast,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Postgres,
    Redis,
    Nats,
}

pub struct Service {
    kind: Kind,
    port: u16,
    process: Option<Child>,
    folder: tempfile::TempDir,
}

impl Service {
    pub async fn redis() -> Self {
        Self::start_new(Kind::Redis).await
    }

    pub async fn nats() -> Self {
        Self::start_new(Kind::Nats).await
    }

    /// Durable, because the server refuses a PostgreSQL that is not.
    pub async fn postgres() -> Self {
        Self::start_new(Kind::Postgres).await
    }

    async fn start_new(kind: Kind) -> Self {
        let mut service = Self {
            kind,
            port: free_port(),
            process: None,
            folder: tempfile::tempdir().unwrap(),
        };
        if matches!(kind, Kind::Postgres) {
            service.init_database().await;
        }
        service.start().await;
        service
    }

    pub fn url(&self) -> String {
        let port = self.port;
        match self.kind {
            Kind::Postgres => format!("postgres://stagedoor@127.0.0.1:{port}/postgres"),
            Kind::Redis => format!("redis://127.0.0.1:{port}"),
            Kind::Nats => format!("nats://127.0.0.1:{port}"),
        }
    }

    /// Starts the process, and waits until it accepts connections.
    pub async fn start(&mut self) {
        let mut command = self.command();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let name = command.get_program().to_owned();
        self.process = Some(command.spawn().unwrap_or_else(|error| {
            panic!(
                "{} did not start (`make setup` installs it): {error}",
                name.display()
            )
        }));
        let began = Instant::now();
        while !self.accepts_connections().await {
            assert!(
                began.elapsed() < WAIT_TIMEOUT,
                "{:?}: {}",
                self.kind,
                self.log()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Stops the process, and waits for its exit.
    pub async fn stop(&mut self, mode: StopMode) {
        let mut process = self.process.take().unwrap();
        match mode {
            StopMode::Kill => process.kill().unwrap(),
            StopMode::Immediate => send_signal(&process, "QUIT"),
            StopMode::Fast => send_signal(&process, "INT"),
        }
        let began = Instant::now();
        while process.try_wait().unwrap().is_none() {
            assert!(
                began.elapsed() < WAIT_TIMEOUT,
                "{:?}: {}",
                self.kind,
                self.log()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    pub async fn run_redis_command(&self, command: &str) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(command)
            .exec_async(&mut connection)
            .await
            .unwrap();
    }

    async fn accepts_connections(&self) -> bool {
        if TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            return false;
        }
        match self.kind {
            // It listens before it accepts sessions.
            Kind::Postgres => {
                sqlx::any::install_default_drivers();
                let connected = AnyConnection::connect(&self.url()).await;
                match connected {
                    Ok(connection) => connection.close().await.is_ok(),
                    Err(_) => false,
                }
            }
            Kind::Redis | Kind::Nats => true,
        }
    }

    fn command(&self) -> Command {
        let (port, folder) = (self.port.to_string(), self.folder.path());
        let mut command;
        match self.kind {
            Kind::Postgres => {
                command = postgres_command("postgres", folder);
                command
                    .arg("-D")
                    .arg(folder.join("data"))
                    .args(["-p", &port, "-c", "listen_addresses=127.0.0.1"])
                    .args([
                        "-c",
                        "unix_socket_directories=",
                        "-c",
                        "max_connections=200",
                    ]);
            }
            Kind::Redis => {
                command = Command::new("redis-server");
                command
                    .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
                    .current_dir(folder);
            }
            Kind::Nats => {
                let program = std::env::var("NATS_SERVER");
                command = Command::new(program.unwrap_or_else(|_| "nats-server".to_owned()));
                command
                    .args(["-a", "127.0.0.1", "-p", &port, "-js", "-sd"])
                    .arg(folder.join("data"));
            }
        }
        command
    }

    /// Creates the files of an empty PostgreSQL.
    async fn init_database(&self) {
        let folder = self.folder.path();
        if let Some((user, group)) = find_postgres_user() {
            chown(folder, Some(user), Some(group)).unwrap();
        }
        let mut command = postgres_command("initdb", folder);
        command
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-U", "stagedoor", "-A", "trust", "-E", "UTF8", "--locale=C"])
            .arg("--no-sync");
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            match self.kind {
                // SIGKILL would leave its child processes running.
                Kind::Postgres => send_signal(&process, "QUIT"),
                Kind::Redis | Kind::Nats => process.kill().unwrap(),
            }
            let _ = process.wait();
        }
    }
}

/// Sends a signal for which the standard library has no function.
pub fn send_signal(process: &Child, name: &str) {
    let kill = format!("kill -{name} {}", process.id());
    let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(sent.success(), "{kill}");
}

/// A program of PostgreSQL's server: on PATH, or in `POSTGRES_BIN`, which `scripts/with-services.sh` sets.
fn postgres_program_path(name: &str) -> PathBuf {
    std::env::var_os("POSTGRES_BIN").map_or_else(
        || PathBuf::from(name),
        |folder| Path::new(&folder).join(name),
    )
}

/// A command that runs as another user if this is root, because PostgreSQL refuses to run as root.
fn postgres_command(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(postgres_program_path(name));
    command.current_dir(folder);
    if let Some((user, group)) = find_postgres_user() {
        command.uid(user).gid(group);
    }
    command
}

/// If this is root: the ids of the user and group of PostgreSQL's package, or of `nobody`.
fn find_postgres_user() -> Option<(u32, u32)> {
    let own = Command::new("id").arg("-u").output().unwrap();
    if own.stdout != b"0\n" {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let user = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = user.split(':').skip(2).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    find("postgres").or_else(|| find("nobody"))
}
