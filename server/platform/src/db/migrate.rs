//! The migrations, embedded in the binary. A released migration is never changed.
//!
//! A migration is one file for both engines. If part of it differs between them, each engine's folder
//! has a file of the same name, which is appended.

use super::{Conn, Engine, engine_of};
use sqlx::{
    Any, Executor, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};
use std::borrow::Cow;

struct Embedded {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! text {
    ($version:literal, $name:literal $(, $engine:literal)?) => {
        include_str!(concat!("../../../../migrations/", $($engine, "/",)? $version, "_", $name, ".sql"))
    };
}

macro_rules! embedded {
    ($version:literal $name:literal) => {
        embedded!(
            $version,
            $name,
            text!($version, $name),
            text!($version, $name)
        )
    };
    ($version:literal $name:literal and_by_engine) => {
        embedded!(
            $version,
            $name,
            concat!(text!($version, $name), text!($version, $name, "sqlite")),
            concat!(text!($version, $name), text!($version, $name, "postgres"))
        )
    };
    ($version:literal, $name:literal, $sqlite:expr, $postgres:expr) => {
        Embedded {
            version: $version,
            name: $name,
            sqlite: $sqlite,
            postgres: $postgres,
        }
    };
}

macro_rules! migrations {
    ($($version:literal $name:literal $($by_engine:ident)?),+ $(,)?) => {
        &[$(embedded!($version $name $($by_engine)?)),+]
    };
}

#[expect(
    clippy::unreadable_literal,
    reason = "a date and a number, as in the file name"
)]
const MIGRATIONS: &[Embedded] = migrations![
    20261123000001 "accounts",
    20261123000002 "events_and_tickets",
    20261123000003 "orders",
    20261123000004 "payments",
    20261123000005 "outbox",
    20261124000006 "refunds_and_books",
    20261124000007 "strays",
    20261124000008 "finding" and_by_engine,
    20261124000010 "passes",
    20261124000011 "account_care",
    20261124000012 "more_time",
    20261124000013 "selling",
    20261128000014 "pictures" and_by_engine,
    20261128000015 "guests",
    20261128000016 "waiting_list",
    20261128000017 "leases",
    20261128000018 "hot_paths",
    20261128000019 "old_webhooks",
    20261130000020 "hold_limits",
    20261130000021 "payment_provider",
    20261130000023 "operations",
    20261130000024 "declines",
    20261130000026 "backfills",
    20261130000027 "seat_keys",
    20261130000030 "amounts" and_by_engine,
    20261130000031 "attempts",
    20261130000032 "card_trials",
    20261130000033 "disputes",
    20261130000040 "session_lifetime",
    20261130000041 "verified_addresses",
    20261130000050 "listing_batches",
    20261130000053 "event_ends",
    20261130000054 "event_changes",
    20261130000056 "second_factors",
    20261130000057 "session_networks",
    20261130000058 "incidents_by_order",
];

fn migrator(engine: Engine, last: i64) -> Migrator {
    let migrations = MIGRATIONS
        .iter()
        .filter(|embedded| embedded.version <= last)
        .map(|embedded| {
            Migration::new(
                embedded.version,
                Cow::Borrowed(embedded.name),
                MigrationType::Simple,
                engine
                    .pick(embedded.sqlite, embedded.postgres)
                    .into_sql_str(),
                false,
            )
        })
        .collect();
    Migrator::with_migrations(migrations)
}

/// Applies the migrations up to the version `last`.
pub(super) async fn run(conn: &mut Conn, last: i64) -> Result<(), MigrateError> {
    migrator(engine_of(conn), last).run(conn).await
}

/// How many migrations are applied to the database of `on`, and how many this binary has.
pub async fn migration_counts<'e>(
    on: impl Executor<'e, Database = Any>,
) -> Result<(i64, i64), sqlx::Error> {
    let applied = sqlx::query_scalar("SELECT COUNT(*) FROM _sqlx_migrations")
        .fetch_one(on)
        .await?;
    Ok((applied, i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)))
}

/// The versions of the newest migration applied (`None` if the database was never migrated) and of the
/// newest in this binary.
pub(super) async fn newest(conn: &mut Conn) -> Result<(Option<i64>, i64), sqlx::Error> {
    let known = MIGRATIONS.last().map_or(0, |newest| newest.version);
    if !super::has_table(conn, "_sqlx_migrations").await? {
        return Ok((None, known));
    }
    let applied = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations")
        .fetch_one(conn)
        .await?;
    Ok((applied, known))
}

#[cfg(test)]
mod tests {
    use super::{Embedded, MIGRATIONS};

    fn files(folder: &str) -> Vec<String> {
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }

    #[test]
    fn every_migration_file_is_embedded_in_order() {
        let name = |embedded: &Embedded| format!("{}_{}.sql", embedded.version, embedded.name);
        let embedded: Vec<String> = MIGRATIONS.iter().map(name).collect();
        assert_eq!(embedded, files("../../migrations"));
        let by_engine: Vec<String> = MIGRATIONS
            .iter()
            .filter(|embedded| embedded.sqlite != embedded.postgres)
            .map(name)
            .collect();
        assert_eq!(by_engine, files("../../migrations/sqlite"));
        assert_eq!(by_engine, files("../../migrations/postgres"));
    }
}
