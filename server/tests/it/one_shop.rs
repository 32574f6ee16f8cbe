//! A shop and its files: one server per SQLite file, commands that create no shop, databases of other
//! versions, permissions, and a database that is not available yet.

use crate::{
    audit_command::{code, run, stagedoor},
    crash::process::{Holds, Shop, answers, free_port},
    starts::refused,
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
const UP_WITHIN: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_one_file_is_refused_and_commands_go_on() {
    let mut shop = Shop::open(Database::sqlite(), HOLDS).await;
    for role in ["all", "web", "worker"] {
        let mut second = shop.command(&["serve", "--role", role]);
        second.env("STAGEDOOR_ADDR", "127.0.0.1:0");
        let said = refused(second).await;
        assert!(said.contains("another server runs on this file"), "{said}");
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
async fn commands_in_a_wrong_folder_make_no_shop() {
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
        let said = refused(stagedoor(folder.path(), arguments)).await;
        assert!(said.contains("does not exist"), "{said}");
        assert!(!folder.path().join("data").exists(), "{arguments:?}");
    }
    // A file that is not a shop is not changed either.
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/stagedoor.db"), "").unwrap();
    let said = refused(stagedoor(folder.path(), &["incidents"])).await;
    assert!(said.contains("never been migrated"), "{said}");
}

async fn a_newer_database_is_named(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let with = |arguments: &[&str]| {
        let mut command = stagedoor(folder.path(), arguments);
        command
            .env("DATABASE_URL", &database.url)
            .env("STAGEDOOR_ADDR", "127.0.0.1:0");
        command
    };
    assert_eq!(code(&run(with(&["migrate"])).await), 0);
    sqlx::any::install_default_drivers();
    let mut conn = AnyConnection::connect(&database.url).await.unwrap();
    for (version, said_of_it) in [
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
            let said = refused(with(arguments)).await;
            assert!(said.contains(said_of_it), "{said}");
        }
        if version != 1 {
            for arguments in [&["serve"][..], &["migrate"], &["seed"]] {
                let said = refused(with(arguments)).await;
                assert!(said.contains("run the newer binary"), "{said}");
            }
        }
    }
    conn.close().await.unwrap();
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_database_is_named_sqlite() {
    a_newer_database_is_named(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_database_is_named_postgres() {
    a_newer_database_is_named(Database::postgres().await).await;
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The same command with a umask of 0.
fn without_a_umask(command: &Command) -> Command {
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
async fn whatever_the_umask_nobody_else_reads_the_shop() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let seed = without_a_umask(&stagedoor(folder.path(), &["seed"]));
    assert_eq!(code(&run(seed).await), 0);
    let file = data.join("stagedoor.db");
    assert_eq!((mode(&data), mode(&file)), (0o700, 0o600));

    // A folder that an earlier version created.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut serve = without_a_umask(&stagedoor(folder.path(), &["serve"]));
    serve
        .env("STAGEDOOR_ADDR", &address)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut server = serve.spawn().unwrap();
    until_ready(&address).await;
    let forgot = serde_json::json!({"email": "buyer@stagedoor.example"});
    let asked = reqwest::Client::new()
        .post(format!("http://{address}/api/user/forgot"))
        .json(&forgot)
        .send()
        .await
        .unwrap();
    let mails = data.join("mail");
    let began = Instant::now();
    while asked.status().is_success()
        && !std::fs::read_dir(&mails).is_ok_and(|mut mails| mails.next().is_some())
    {
        assert!(began.elapsed() < UP_WITHIN, "no mail was written");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut seen = 0;
    for entry in walk(&data) {
        let wanted = if entry.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&entry), wanted, "{}", entry.display());
        seen += 1;
    }
    assert!(
        seen >= 4,
        "the database, what SQLite writes beside it, the lock"
    );
    server.kill().unwrap();
    server.wait().unwrap();
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}

async fn until_ready(address: &str) {
    let began = Instant::now();
    while !answers(&format!("http://{address}/readyz")).await {
        assert!(began.elapsed() < UP_WITHIN, "the server does not get ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_is_named_with_the_cause() {
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
        let said = refused(command).await;
        assert!(said.contains("Connection refused"), "{said}");
        assert!(!said.contains("pw@"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_waits_for_a_postgres_that_comes_up_after_it() {
    let database = Database::postgres().await;
    let folder = tempfile::tempdir().unwrap();
    let (front, address) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let (before, after) = database.url.rsplit_once('@').unwrap();
    let (behind, name) = after.rsplit_once('/').unwrap();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut serve = stagedoor(folder.path(), &["serve"]);
    serve
        .env("DATABASE_URL", format!("{before}@127.0.0.1:{front}/{name}"))
        .env("STAGEDOOR_ADDR", &address)
        .stdout(Stdio::null())
        .stderr(log);
    let mut server = serve.spawn().unwrap();
    let began = Instant::now();
    let said = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    while !said().contains("the database is not available yet") {
        assert!(began.elapsed() < UP_WITHIN, "{}", said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let listener = TcpListener::bind(("127.0.0.1", front)).await.unwrap();
    let behind = behind.to_owned();
    let line = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(&behind).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    until_ready(&address).await;
    server.kill().unwrap();
    server.wait().unwrap();
    line.abort();
    database.drop().await;
}
