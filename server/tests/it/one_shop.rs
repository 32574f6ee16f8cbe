//! A shop's files and database: one server per SQLite file, commands that must not create a database,
//! databases of other versions, file permissions, and unavailable databases.

use crate::{
    audit_command::{code, run, stagedoor},
    crash::process::{Holds, Shop, answers, free_port},
    starts::run_refused,
    support::database::Database,
};
use sqlx::{AnyConnection, Connection};
use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::net::{TcpListener, TcpStream};

const HOLDS: Holds = Holds {
    seconds: 120,
    grace_seconds: 10,
};
const READY_TIMEOUT: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_one_file_is_refused_and_commands_are_not() {
    let mut shop = Shop::open(Database::sqlite(), HOLDS).await;
    for role in ["all", "web", "worker"] {
        let mut second = shop.command(&["serve", "--role", role]);
        second.env("STAGEDOOR_ADDR", "127.0.0.1:0");
        let error = run_refused(second).await;
        assert!(
            error.contains("another server runs on this file"),
            "{error}"
        );
    }
    for arguments in [&["audit"][..], &["incidents"], &["operator"], &["migrate"]] {
        assert_eq!(
            code(&run(shop.command(arguments)).await),
            0,
            "{arguments:?}"
        );
    }
    // The kernel releases the lock of a killed process.
    shop.kill().await;
    shop.start(None).await;
    shop.kill().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_in_a_wrong_folder_create_no_database() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["incidents"][..],
        &["incidents", "--settle", "x"],
        &["operator"],
        &["operator", "ann@example.com"],
        &["provider"],
        &["seed", "--remove"],
        &["audit"],
        &[
            "move",
            "--from",
            "sqlite://data/stagedoor.db",
            "--to",
            "sqlite://to.db",
        ],
    ] {
        let error = run_refused(stagedoor(folder.path(), arguments)).await;
        assert!(error.contains("does not exist"), "{error}");
        assert!(!folder.path().join("data").exists(), "{arguments:?}");
    }
    // A file that is not a shop's database is refused, too.
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/stagedoor.db"), "").unwrap();
    let error = run_refused(stagedoor(folder.path(), &["incidents"])).await;
    assert!(error.contains("never been migrated"), "{error}");
}

async fn check_databases_of_other_versions(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let command = |arguments: &[&str]| {
        let mut command = stagedoor(folder.path(), arguments);
        command
            .env("DATABASE_URL", &database.url)
            .env("STAGEDOOR_ADDR", "127.0.0.1:0");
        command
    };
    assert_eq!(code(&run(command(&["migrate"])).await), 0);
    sqlx::any::install_default_drivers();
    let mut conn = AnyConnection::connect(&database.url).await.unwrap();
    for (version, message) in [
        (1, "older version"),
        (99_991_231_000_001_i64, "newer version"),
    ] {
        let change = if version == 1 {
            "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)"
        } else {
            "UPDATE _sqlx_migrations SET version = 99991231000001 \
             WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)"
        };
        sqlx::query(change).execute(&mut conn).await.unwrap();
        for arguments in [&["audit"][..], &["incidents"], &["operator"]] {
            let error = run_refused(command(arguments)).await;
            assert!(error.contains(message), "{error}");
        }
        if version != 1 {
            for arguments in [&["serve"][..], &["migrate"], &["seed"]] {
                let error = run_refused(command(arguments)).await;
                assert!(error.contains("run the newer binary"), "{error}");
            }
        }
    }
    conn.close().await.unwrap();
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_version_is_refused_sqlite() {
    check_databases_of_other_versions(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_version_is_refused_postgres() {
    check_databases_of_other_versions(Database::postgres().await).await;
}

fn read_mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The same command with a umask of 0.
fn with_umask_0(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask 0; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_umask_only_the_owner_can_read_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let seed = with_umask_0(&stagedoor(folder.path(), &["seed"]));
    assert_eq!(code(&run(seed).await), 0);
    let file = data.join("stagedoor.db");
    assert_eq!((read_mode(&data), read_mode(&file)), (0o700, 0o600));

    // The permissions of a file that an earlier version created.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut serve = with_umask_0(&stagedoor(folder.path(), &["serve"]));
    serve
        .env("STAGEDOOR_ADDR", &address)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut server = serve.spawn().unwrap();
    wait_until_ready(&address).await;
    let body = serde_json::json!({"email": "buyer@stagedoor.example"});
    let answer = reqwest::Client::new()
        .post(format!("http://{address}/api/user/forgot"))
        .json(&body)
        .send()
        .await
        .unwrap();
    let mails = data.join("mail");
    let began = Instant::now();
    while answer.status().is_success()
        && !std::fs::read_dir(&mails).is_ok_and(|mut mails| mails.next().is_some())
    {
        assert!(began.elapsed() < READY_TIMEOUT, "no mail was written");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut checked = 0;
    for entry in list_files(&data) {
        let expected = if entry.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(read_mode(&entry), expected, "{}", entry.display());
        checked += 1;
    }
    assert!(
        checked >= 4,
        "fewer than the database, SQLite's other files and the lock: {checked}"
    );
    server.kill().unwrap();
    server.wait().unwrap();
}

fn list_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(list_files(&path));
        }
        found.push(path);
    }
    found
}

async fn wait_until_ready(address: &str) {
    let began = Instant::now();
    while !answers(&format!("http://{address}/readyz")).await {
        assert!(began.elapsed() < READY_TIMEOUT, "the server is not ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_is_reported_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["serve"][..], &["migrate"], &["audit"], &["operator"]] {
        let mut command = stagedoor(folder.path(), arguments);
        command
            .env(
                "DATABASE_URL",
                format!("postgres://ann:pw@127.0.0.1:{}/shop", free_port()),
            )
            .env("STAGEDOOR_DATABASE_WAIT_SECONDS", "1")
            .env("STAGEDOOR_ADDR", "127.0.0.1:0");
        let error = run_refused(command).await;
        assert!(error.contains("Connection refused"), "{error}");
        assert!(!error.contains("pw@"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_waits_for_a_postgres_that_starts_after_it() {
    let database = Database::postgres().await;
    let folder = tempfile::tempdir().unwrap();
    let (proxy_port, address) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let (credentials, host_and_name) = database.url.rsplit_once('@').unwrap();
    let (host, name) = host_and_name.rsplit_once('/').unwrap();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut serve = stagedoor(folder.path(), &["serve"]);
    serve
        .env(
            "DATABASE_URL",
            format!("{credentials}@127.0.0.1:{proxy_port}/{name}"),
        )
        .env("STAGEDOOR_ADDR", &address)
        .stdout(Stdio::null())
        .stderr(log);
    let mut server = serve.spawn().unwrap();
    let began = Instant::now();
    let read_log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    while !read_log().contains("the database is not available yet") {
        assert!(began.elapsed() < READY_TIMEOUT, "{}", read_log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let listener = TcpListener::bind(("127.0.0.1", proxy_port)).await.unwrap();
    let host = host.to_owned();
    let proxy = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(&host).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    wait_until_ready(&address).await;
    server.kill().unwrap();
    server.wait().unwrap();
    proxy.abort();
    database.drop().await;
}
