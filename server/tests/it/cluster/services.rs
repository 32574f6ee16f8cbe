//! A PostgreSQL, Redis or NATS of a test's own, which it stops and starts again at the same place,
//! with what it had kept.

use crate::crash::process::{LOOK_AGAIN, UP_WITHIN, free_port};
use sqlx::{AnyConnection, Connection};
use std::{
    fs::File,
    net::TcpStream,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

/// How a service is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Not at all: it is killed.
    Kill,
    /// At once, as if it had crashed; PostgreSQL recovers at the next start.
    Immediate,
    /// In order, but waiting for nobody who is connected.
    Fast,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Postgres,
    Redis,
    Nats,
}

/// One of them.
pub struct Service {
    kind: Kind,
    port: u16,
    process: Option<Child>,
    folder: tempfile::TempDir,
}

impl Service {
    pub async fn redis() -> Self {
        Self::begin(Kind::Redis).await
    }

    pub async fn nats() -> Self {
        Self::begin(Kind::Nats).await
    }

    /// Durable, as in production: the server refuses anything less.
    pub async fn postgres() -> Self {
        Self::begin(Kind::Postgres).await
    }

    async fn begin(kind: Kind) -> Self {
        let mut service = Self {
            kind,
            port: free_port(),
            process: None,
            folder: tempfile::tempdir().unwrap(),
        };
        if matches!(kind, Kind::Postgres) {
            service.make_cluster().await;
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

    /// Returns once it answers.
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
                "{} starts (`make setup` installs it): {error}",
                name.display()
            )
        }));
        let began = Instant::now();
        while !self.answers().await {
            assert!(
                began.elapsed() < UP_WITHIN,
                "{:?}: {}",
                self.kind,
                self.log()
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Returns once it is gone.
    pub async fn stop(&mut self, how: Stop) {
        let mut process = self.process.take().unwrap();
        match how {
            Stop::Kill => process.kill().unwrap(),
            Stop::Immediate => signal(&process, "QUIT"),
            Stop::Fast => signal(&process, "INT"),
        }
        let began = Instant::now();
        while process.try_wait().unwrap().is_none() {
            assert!(
                began.elapsed() < UP_WITHIN,
                "{:?}: {}",
                self.kind,
                self.log()
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Redis, asked for something.
    pub async fn ask(&self, command: &str) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(command)
            .exec_async(&mut connection)
            .await
            .unwrap();
    }

    async fn answers(&self) -> bool {
        if TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            return false;
        }
        match self.kind {
            // It listens before it lets anybody in.
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
                command = as_postgres("postgres", folder);
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

    /// The files of an empty PostgreSQL.
    async fn make_cluster(&self) {
        let folder = self.folder.path();
        if let Some((user, group)) = user_of_postgres() {
            chown(folder, Some(user), Some(group)).unwrap();
        }
        let mut command = as_postgres("initdb", folder);
        command
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-U", "stagedoor", "-A", "trust", "-E", "UTF8", "--locale=C"])
            .arg("--no-sync");
        let made = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
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
                // One that is killed leaves its children behind.
                Kind::Postgres => signal(&process, "QUIT"),
                Kind::Redis | Kind::Nats => process.kill().unwrap(),
            }
            let _ = process.wait();
        }
    }
}

/// A signal that the standard library has no call for.
pub fn signal(process: &Child, name: &str) {
    let kill = format!("kill -{name} {}", process.id());
    let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(sent.success(), "{kill}");
}

/// A program of PostgreSQL's server: on PATH, or where `scripts/with-services.sh` says.
fn postgres_program(name: &str) -> PathBuf {
    std::env::var_os("POSTGRES_BIN").map_or_else(
        || PathBuf::from(name),
        |folder| Path::new(&folder).join(name),
    )
}

/// PostgreSQL refuses to run as root.
fn as_postgres(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(postgres_program(name));
    command.current_dir(folder);
    if let Some((user, group)) = user_of_postgres() {
        command.uid(user).gid(group);
    }
    command
}

/// If this is root: the user that PostgreSQL's package made, or nobody.
fn user_of_postgres() -> Option<(u32, u32)> {
    let own = Command::new("id").arg("-u").output().unwrap();
    if own.stdout != b"0\n" {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let user = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = user.split(':').skip(2).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    of("postgres").or_else(|| of("nobody"))
}
