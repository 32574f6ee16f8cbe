//! Tests of `deploy/kubernetes/base/backup-postgres` with a database of its own: a copy can be restored,
//! invalid numbers of copies are refused, and a failure keeps existing copies. The script for SQLite is
//! checked by `scripts/check-deploy/backup.mjs`.

use crate::support::{App, database::Database};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const SCRIPT: &str = "../deploy/kubernetes/base/backup-postgres";
const OLD: [&str; 3] = [
    "20260101T000000Z.dump",
    "20260102T000000Z.dump",
    "20260103T000000Z.dump",
];
/// A file of another program, which must not be removed.
const OTHER: &str = "customers.dump";

fn with_tools(mut command: Command) -> Command {
    let tools = std::env::var("POSTGRES_BIN").unwrap_or_default();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{tools}:{path}"));
    command
}

async fn backup(database: &Database, folder: &Path, keep: &str) -> Output {
    let mut command = with_tools(Command::new("sh"));
    command
        .arg(SCRIPT)
        .arg(folder)
        .env("DATABASE_URL", &database.url)
        .env("KEEP", keep);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let found = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = found
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in OLD.iter().chain([&OTHER]) {
        fs::write(folder.path().join(name), name).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_postgresql_can_be_restored() {
    let app = App::on_postgres().await;
    let seller = app.user("seller").await;
    seller.ticket(&seller.event().await, 2500).await;
    let folder = folder();
    let done = backup(&app.database, folder.path(), "2").await;
    assert!(done.status.success(), "{done:?}");
    let left = files(folder.path());
    assert_eq!(
        (left.len(), left[0].as_str(), left[2].as_str()),
        (3, OLD[2], OTHER)
    );
    let noted = "SELECT COUNT(*) AS n FROM task_runs WHERE task = 'backup' AND succeeded = 1 \
                 AND succeeded_at > 1700000000000000";
    assert_eq!(app.number(noted).await, 1);

    let target = Database::postgres().await;
    let mut restore = with_tools(Command::new("pg_restore"));
    restore
        .arg("--dbname")
        .arg(&target.url)
        .arg(folder.path().join(&left[1]));
    let restored = tokio::task::spawn_blocking(move || restore.output().unwrap());
    let restored = restored.await.unwrap();
    assert!(restored.status.success(), "{restored:?}");
    let there = App::start_with(target, crate::support::Jobs::None).await;
    assert_eq!(there.count("tickets").await, 1);
    there.close().await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_backup_of_postgresql_keeps_the_older_ones() {
    let app = App::on_postgres().await;
    let folder = folder();
    let before = files(folder.path());
    for keep in ["0", "", "-1", "08", "many"] {
        let done = backup(&app.database, folder.path(), keep).await;
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(
            done.status.code() == Some(1) && said.contains("KEEP"),
            "{keep}: {said}"
        );
        assert_eq!(files(folder.path()), before, "{keep}");
    }
    assert_eq!(app.count("task_runs").await, 0);
    app.run_sql("ALTER TABLE orders RENAME TO orders_gone")
        .await;
    let done = backup(&app.database, folder.path(), "1").await;
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert_eq!(files(folder.path()), before);
    let noted = "SELECT COUNT(*) AS n FROM task_runs WHERE task = 'backup' AND succeeded = 0 \
                 AND succeeded_at IS NULL";
    assert_eq!(app.number(noted).await, 1);
    app.close().await;
}
