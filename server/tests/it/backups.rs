//! The script `deploy/kubernetes/base/backup-postgres`: a copy can be restored, invalid numbers of copies are
//! refused, and a failure keeps existing copies. The script for SQLite is checked by
//! `scripts/check-deploy/backup.mjs`.

use crate::support::{App, database::Database};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const SCRIPT: &str = "../deploy/kubernetes/base/backup-postgres";
const OLD_COPIES: [&str; 3] = [
    "20260101T000000Z.dump",
    "20260102T000000Z.dump",
    "20260103T000000Z.dump",
];
/// A file of another program, which must not be removed.
const OTHER_FILE: &str = "customers.dump";

fn with_postgres_programs(mut command: Command) -> Command {
    let tools = std::env::var("POSTGRES_BIN").unwrap_or_default();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{tools}:{path}"));
    command
}

async fn run_backup(database: &Database, folder: &Path, keep: &str) -> Output {
    let mut command = with_postgres_programs(Command::new("sh"));
    command
        .arg(SCRIPT)
        .arg(folder)
        .env("DATABASE_URL", &database.url)
        .env("KEEP", keep);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn list_files(folder: &Path) -> Vec<String> {
    let found = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = found
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn create_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in OLD_COPIES.iter().chain([&OTHER_FILE]) {
        fs::write(folder.path().join(name), name).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_postgresql_can_be_restored() {
    let app = App::on_postgres().await;
    let seller = app.user("seller").await;
    seller.ticket(&seller.event().await, 2500).await;
    let folder = create_folder();
    let output = run_backup(&app.database, folder.path(), "2").await;
    assert!(output.status.success(), "{output:?}");
    let names = list_files(folder.path());
    assert_eq!(
        (names.len(), names[0].as_str(), names[2].as_str()),
        (3, OLD_COPIES[2], OTHER_FILE)
    );
    let recorded = "SELECT COUNT(*) AS n FROM task_runs WHERE task = 'backup' AND succeeded = 1 \
                 AND succeeded_at > 1700000000000000";
    assert_eq!(app.number(recorded).await, 1);

    let target = Database::postgres().await;
    let mut restore = with_postgres_programs(Command::new("pg_restore"));
    restore
        .arg("--dbname")
        .arg(&target.url)
        .arg(folder.path().join(&names[1]));
    let restored = tokio::task::spawn_blocking(move || restore.output().unwrap());
    let restored = restored.await.unwrap();
    assert!(restored.status.success(), "{restored:?}");
    let copy = App::start_with(target, crate::support::Jobs::None).await;
    assert_eq!(copy.count("tickets").await, 1);
    copy.close().await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_backup_of_postgresql_keeps_the_older_ones() {
    let app = App::on_postgres().await;
    let folder = create_folder();
    let before = list_files(folder.path());
    for keep in ["0", "", "-1", "08", "many"] {
        let output = run_backup(&app.database, folder.path(), keep).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && stderr.contains("KEEP"),
            "{keep}: {stderr}"
        );
        assert_eq!(list_files(folder.path()), before, "{keep}");
    }
    assert_eq!(app.count("task_runs").await, 0);
    app.run_sql("ALTER TABLE orders RENAME TO orders_gone")
        .await;
    let output = run_backup(&app.database, folder.path(), "1").await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(list_files(folder.path()), before);
    let recorded = "SELECT COUNT(*) AS n FROM task_runs WHERE task = 'backup' AND succeeded = 0 \
                 AND succeeded_at IS NULL";
    assert_eq!(app.number(recorded).await, 1);
    app.close().await;
}
