//! Migrations of a populated database: no row is lost, even if they were interrupted before, and the shop
//! works afterwards.

use crate::{
    audit::Shop,
    support::{App, Jobs, database::Database, on_both_engines},
};
use platform::{
    clock::Clock,
    db::{Db, Kind, Statement, Table, tables},
};
use sqlx::{AssertSqlSafe, Row, query};
use stagedoor::audit::{Provider, Verdict, audit};
use std::{collections::BTreeMap, time::Duration};

/// The last migration of the version to upgrade from.
const OLD_VERSION: i64 = 20_261_128_000_019;

async fn list_tables(db: &Db) -> Vec<Table> {
    let mut conn = db.reads().acquire().await.unwrap();
    tables(&mut conn).await.unwrap()
}

async fn count(db: &Db, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) AS n FROM {table}");
    let row = query(AssertSqlSafe(sql)).fetch_one(db.reads()).await;
    row.unwrap().get("n")
}

/// Copies the rows of `app`'s database to a new one with the old schema.
async fn populate(app: &App, target: &Database) -> BTreeMap<String, i64> {
    let to = Db::connect(&target.url).await.unwrap();
    to.migrate_to(OLD_VERSION).await.unwrap();
    let source = list_tables(&app.db).await;
    let mut remaining = list_tables(&to).await;
    remaining.retain(|table| table.name != "_sqlx_migrations");
    let mut counts = BTreeMap::new();
    while !remaining.is_empty() {
        let names: Vec<String> = remaining.iter().map(|table| table.name.clone()).collect();
        let ready = remaining.iter().position(|table| {
            let mut refers = table.refers_to.iter();
            refers.all(|other| *other == table.name || !names.contains(other))
        });
        let table = remaining.remove(ready.unwrap());
        if source.iter().any(|known| known.name == table.name) {
            copy(app, &to, &table).await;
            counts.insert(table.name.clone(), count(&to, &table.name).await);
        }
    }
    to.close().await;
    counts
}

async fn copy(app: &App, to: &Db, table: &Table) {
    let names: Vec<&str> = table
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let columns = names.join(", ");
    let select = format!("SELECT {columns} FROM {} ORDER BY 1", table.name);
    let found = query(AssertSqlSafe(select)).fetch_all(app.db.reads()).await;
    for row in found.unwrap() {
        let insert = format!("INSERT INTO {} ({columns}) VALUES (", table.name);
        let kinds: Vec<Kind> = table
            .columns
            .iter()
            .map(|column| column.kind.clone())
            .collect();
        to.write(move |conn| {
            Box::pin(async move {
                let mut insert = Statement::new(insert);
                for (index, kind) in kinds.iter().enumerate() {
                    if index > 0 {
                        insert.push(", ");
                    }
                    match kind {
                        Kind::Integer => insert.bind(row.get::<Option<i64>, _>(index)),
                        Kind::Blob => insert.bind(row.get::<Option<Vec<u8>>, _>(index)),
                        _ => insert.bind(row.get::<Option<String>, _>(index)),
                    };
                }
                insert.push(")");
                insert.query()?.execute(conn).await.map(|_| ())
            })
        })
        .await
        .unwrap();
    }
}

/// Asserts what an empty database could not show: no lost rows or triggers, no dangling references.
async fn assert_complete(db: &Db, counts: &BTreeMap<String, i64>) {
    for (table, before) in counts {
        assert_eq!(count(db, table).await, *before, "{table}");
    }
    if db.engine() == platform::db::Engine::Sqlite {
        let dangling = query("PRAGMA foreign_key_check")
            .fetch_all(db.reads())
            .await;
        assert!(dangling.unwrap().is_empty());
        let whole = query("PRAGMA integrity_check").fetch_one(db.reads()).await;
        assert_eq!(whole.unwrap().get::<String, _>(0), "ok");
        let triggers = "SELECT COUNT(*) AS n FROM sqlite_schema WHERE type = 'trigger'";
        let triggers = query(triggers).fetch_one(db.reads()).await.unwrap();
        assert!(
            triggers.get::<i64, _>("n") >= 2,
            "the triggers of the word index are missing"
        );
    }
}

async fn try_change(db: &Db, sql: &'static str) -> bool {
    let done = db.write(move |conn| {
        Box::pin(async move {
            query(sql)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })
    });
    done.await.is_ok_and(|rows| rows > 0)
}

#[expect(clippy::too_many_lines, reason = "one sequence of steps")]
async fn check_migration(app: &App, target: Database) {
    let shop = Shop::open(app).await;
    let counts = populate(app, &target).await;
    for table in [
        "orders",
        "order_lines",
        "payments",
        "refunds",
        "refund_lines",
        "ledger",
    ] {
        assert!(counts[table] > 0, "{table}");
    }
    // Interrupted at several moments, like a killed process.
    for micros in [0, 300, 1_000, 3_000, 10_000] {
        let db = Db::connect(&target.url).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_micros(micros), db.migrate()).await;
        db.close().await;
        let db = Db::connect(&target.url).await.unwrap();
        assert_complete(&db, &counts).await;
        db.close().await;
    }
    let db = Db::open(&target.url).await.unwrap();
    assert_complete(&db, &counts).await;
    let now = app.clock.now();
    let provider = Provider::Journal(shop.journal.clone());
    let report = audit(&db, provider, now).await.unwrap();
    assert_eq!(report.verdict, Verdict::Holds, "{report}");
    for (sql, allowed) in [
        (
            "UPDATE tickets SET price_minor = 999999999999 WHERE state = 'listed'",
            true,
        ),
        (
            "UPDATE tickets SET price_minor = 0, face_value_minor = 0 WHERE state = 'listed'",
            true,
        ),
        ("UPDATE tickets SET price_minor = -1", false),
        ("UPDATE tickets SET face_value_minor = -1", false),
        ("UPDATE order_lines SET price_minor = -1", false),
        ("UPDATE orders SET total_minor = -1", false),
        ("UPDATE refund_lines SET amount_minor = -1", false),
        (
            "UPDATE tickets SET state = 'sold' WHERE state = 'listed'",
            false,
        ),
        ("UPDATE order_lines SET ticket_id = 'none'", false),
        (
            "UPDATE tickets SET price_minor = 2507 WHERE state = 'listed' AND held_by IS NULL",
            true,
        ),
    ] {
        assert_eq!(try_change(&db, sql).await, allowed, "{sql}");
    }
    db.close().await;

    let migrated = App::start_with(target, Jobs::None).await;
    migrated
        .clock
        .advance(app.clock_seconds() - migrated.clock_seconds());
    let buyer = shop.buyer.at(&migrated.base);
    let order = buyer.reserve(&[&shop.free]).await.expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect(201);
    let seller = shop.seller.at(&migrated.base);
    let event = seller
        .event_with(serde_json::json!({"title": "Ümlaut Night"}))
        .await;
    let found = seller.get("/api/events?q=umlaut").await.expect(200);
    assert_eq!(
        found["events"][0]["id"], event["id"],
        "the word index is updated"
    );
    migrated.close().await;
}

on_both_engines! {
    async fn a_populated_database_is_migrated_completely_after_interruptions(app) {
        let target = match app.db.engine() {
            platform::db::Engine::Sqlite => Database::sqlite(),
            platform::db::Engine::Postgres => Database::postgres().await,
        };
        check_migration(app, target).await;
    }
}
