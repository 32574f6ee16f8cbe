//! The migrations, carried inside the binary. Files are only ever added.

use super::{Conn, Db};
use sqlx::{
    SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};
use std::borrow::Cow;

macro_rules! migrations {
    ($($version:literal $name:literal),+ $(,)?) => {
        &[$(($version, $name, include_str!(concat!("../../../migrations/", $version, "_", $name, ".sql")))),+]
    };
}

#[expect(
    clippy::unreadable_literal,
    reason = "a date and a number, as in the file's name"
)]
const MIGRATIONS: &[(i64, &str, &str)] = migrations![
    20261123000001 "accounts",
    20261123000002 "events_and_tickets",
    20261123000003 "orders",
    20261123000004 "payments",
    20261123000005 "outbox",
    20261124000006 "refunds_and_books",
    20261124000007 "strays",
    20261124000011 "account_care",
    20261124000012 "more_time",
];

fn migrator() -> Migrator {
    let migrations = MIGRATIONS
        .iter()
        .map(|(version, name, sql)| {
            Migration::new(
                *version,
                Cow::Borrowed(*name),
                MigrationType::Simple,
                sql.into_sql_str(),
                false,
            )
        })
        .collect();
    Migrator::with_migrations(migrations)
}

pub(super) async fn run(conn: &mut Conn) -> Result<(), MigrateError> {
    migrator().run(conn).await
}

/// How many migrations the database has, and how many this binary knows: equal when it is ready.
pub async fn applied_and_known(db: &Db) -> Result<(i64, i64), sqlx::Error> {
    let applied = sqlx::query_scalar("SELECT COUNT(*) FROM _sqlx_migrations")
        .fetch_one(db.reads())
        .await?;
    Ok((applied, i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn every_migration_file_is_carried_and_they_are_in_order() {
        let mut files: Vec<String> = std::fs::read_dir("../migrations")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let carried: Vec<String> = MIGRATIONS
            .iter()
            .map(|(version, name, _)| format!("{version}_{name}.sql"))
            .collect();
        assert_eq!(carried, files);
    }
}
