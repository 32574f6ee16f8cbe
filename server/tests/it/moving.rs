//! Moving a shop to another database: the copy is identical and works, the move can be interrupted at any
//! moment, and unsuitable sources and targets are refused.

use crate::{
    audit::Shop,
    audit_command::{code, parse_json, run, stagedoor},
    support::{App, Client, Jobs, client::PASSWORD, database::Database, on_both_engines},
};
use platform::{
    clock::Clock,
    db::{Db, MOVE_PROGRESS, OpenError, Table, tables},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};
use stagedoor::{
    audit::{Provider, Verdict, audit},
    moving::{Comparison, MADE_BY_MIGRATIONS, finish, move_shop},
};
use std::collections::BTreeSet;

/// Small, so that each table has several batches.
const BATCH: i64 = 5;

async fn run_move(from: &str, to: &str) -> anyhow::Result<(Db, Comparison)> {
    move_shop(from, to, BATCH, &mut |_, _, _| {}).await
}

/// Runs a move that must be refused. Returns the error with all its causes.
async fn run_refused_move(from: &str, to: &str) -> String {
    match run_move(from, to).await {
        Ok(_) => panic!("it was moved"),
        Err(error) => format!("{error:#}"),
    }
}

/// Adds rows to tables that the busy shop leaves empty.
async fn fill_remaining_tables(shop: &Shop<'_>, app: &App) {
    let forgot = json!({"email": shop.buyer.email});
    shop.buyer
        .post("/api/user/forgot", forgot)
        .await
        .expect_2xx();
    let key = [
        ("idempotency-key", "once"),
        ("content-type", "application/json"),
    ];
    let body =
        json!({"eventId": shop.free["eventId"], "priceMinor": 700, "section": "Œuvre \"é\" 日本"});
    let listed = shop
        .seller
        .send("POST", "/api/tickets", &key, body.to_string());
    listed.await.expect(201);
    app.run_sql(
        "INSERT INTO incidents (id, kind, subject, detail, found_at, settled_at) \
         VALUES ('i', 'stray', 'pi_1', 'to be seen', 1, 2)",
    )
    .await;
    shop.buyer.get("/api/passes/keys").await;
}

/// Moves the shop, checks the copy, and continues to use it in the target.
async fn check_move(app: App, target: Database) {
    let shop = Shop::open(&app).await;
    fill_remaining_tables(&shop, &app).await;
    let found = search(&shop.buyer).await;
    let now = app.clock.now();
    let (seller, buyer) = (shop.seller.clone(), shop.buyer.clone());
    let (bought, free, held, journal) = (shop.bought, shop.free, shop.held, shop.journal);
    app.db.close().await;

    let (db, comparison) = run_move(&app.database.url, &target.url).await.unwrap();
    assert!(comparison.is_identical(), "{comparison}");
    let count_moved = |table: &str| {
        let mut tables = comparison.tables.iter();
        let compared = tables.find(|compared| compared.table == table);
        compared.map_or(0, |compared| compared.target)
    };
    for table in [
        "users",
        "sessions",
        "events",
        "tickets",
        "orders",
        "order_lines",
        "payments",
        "payment_effects",
        "stripe_inbox",
        "outbox",
        "idempotency_keys",
        "refunds",
        "refund_lines",
        "ledger",
        "incidents",
        "mails",
        "password_resets",
    ] {
        assert!(count_moved(table) > 0, "{table}\n{comparison}");
    }
    let received = comparison
        .money
        .iter()
        .find(|sum| sum.column == "payments.received_minor");
    assert_eq!(received.unwrap().target, 2500 + 2501 + 2502);
    let report = audit(&db, Provider::Journal(journal), now).await.unwrap();
    assert_eq!(report.verdict, Verdict::Holds, "{report}");

    // The target cannot be opened before the move is finished.
    assert!(matches!(
        Db::open(&target.url).await,
        Err(OpenError::UnfinishedMove)
    ));
    finish(&db).await.unwrap();
    db.close().await;

    let copy = App::start_with(target, Jobs::None).await;
    copy.clock
        .advance(app.clock_seconds() - copy.clock_seconds());
    let (seller, buyer) = (seller.at(&copy.base), buyer.at(&copy.base));
    assert_eq!(buyer.order(&bought).await["status"], "complete");
    assert_eq!(buyer.order(&held).await["status"], "created");
    let found_in_copy = search(&buyer).await;
    assert!(
        found > 0 && found_in_copy == found,
        "{found_in_copy} of {found}"
    );
    use_shop(&copy, &seller, &buyer, &free).await;
    copy.close().await;
    app.close().await;
}

/// Searches, and returns the number of events found.
async fn search(buyer: &Client) -> usize {
    let page = buyer.page("/?q=late").await.text;
    page.matches("href=\"/events/").count()
}

/// Uses an existing session, signs in, buys a ticket and lists one.
async fn use_shop(app: &App, seller: &Client, buyer: &Client, free: &Value) {
    let current = buyer.get("/api/user/currentuser").await;
    assert_eq!(current.body["currentUser"]["id"], buyer.id);
    let credentials = json!({"email": buyer.email, "password": PASSWORD});
    let signed_in = buyer.post("/api/user/signin", credentials).await;
    signed_in.expect(200);
    let order = buyer.reserve(&[free]).await.expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect(201);
    seller.ticket(&seller.event().await, 900).await;
    app.settle().await;
    app.assert_tables().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_on_sqlite_is_the_same_on_postgresql() {
    check_move(App::on_sqlite().await, Database::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_on_postgresql_is_the_same_on_sqlite() {
    check_move(App::on_postgres().await, Database::sqlite()).await;
}

/// Runs the binary, which is killed after every batch and restarted until the move is finished.
#[expect(clippy::too_many_lines, reason = "one scenario")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_to_postgres_that_is_killed_after_any_batch_resumes_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let target = Database::postgres().await;
    assert_eq!(code(&run(stagedoor(folder, &["seed"])).await), 0);
    let source = format!("sqlite://{}", folder.join("data/stagedoor.db").display());
    let arguments = [
        "move",
        "--from",
        &source,
        "--to",
        &target.url,
        "--batch",
        "120",
        "--json",
    ];

    let mut aborts = 0;
    let outcome = loop {
        let mut command = stagedoor(folder, &arguments);
        command.env("STAGEDOOR_CRASH_AT", "batch_moved");
        let output = run(command).await;
        if output.status.code().is_some() {
            break output;
        }
        aborts += 1;
        assert!(aborts < 100, "the move does not finish");
        let mut migrate = stagedoor(folder, &["migrate"]);
        migrate.env("DATABASE_URL", &target.url);
        let output = run(migrate).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            code(&output) != 0 && stderr.contains("is not finished"),
            "{stderr}"
        );
        if aborts == 1 {
            // An incomplete copy may be consistent, but an audit must not report that it holds.
            let mut audit = stagedoor(folder, &["audit", "--json"]);
            audit.env("DATABASE_URL", &target.url);
            let output = run(audit).await;
            let report = parse_json(&output);
            assert_eq!(
                (code(&output), &report["verdict"]),
                (2, &json!("unchecked"))
            );
            assert!(
                report["error"]
                    .as_str()
                    .unwrap()
                    .contains("is not finished"),
                "{report:#}"
            );
        }
    };
    let report = parse_json(&outcome);
    assert_eq!(
        (code(&outcome), &report["verdict"]),
        (0, &json!("holds")),
        "{report:#}"
    );
    let tables = report["tables"].as_array().unwrap();
    let batches: i64 = tables
        .iter()
        .map(|table| (table["target"].as_i64().unwrap() + 119) / 120)
        .sum();
    assert_eq!(aborts, batches, "each batch was moved once");
    assert!(
        tables
            .iter()
            .all(|table| table["alike"] == true && table["source"] == table["target"])
    );

    // The finished copy passes an audit, and is refused as a target.
    let mut audit = stagedoor(folder, &["audit"]);
    audit.env("DATABASE_URL", &target.url);
    assert_eq!(code(&run(audit).await), 0);
    let again = run(stagedoor(folder, &arguments)).await;
    assert_eq!(code(&again), 2);
    assert!(
        parse_json(&again)["error"]
            .as_str()
            .unwrap()
            .contains("it must be empty")
    );
    target.drop().await;
}

/// With an ordinary role: owner of the database, but not a superuser.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_to_postgres_by_an_ordinary_role_prints_no_warning() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(code(&run(stagedoor(folder, &["seed"])).await), 0);
    let source = format!("sqlite://{}", folder.join("data/stagedoor.db").display());
    let target = Database::postgres().await;
    let (server, name) = target.url.rsplit_once('/').unwrap();
    let role = format!("mover_{name}");
    let superuser = Db::connect(&target.url).await.unwrap();
    for sql in [
        format!("CREATE ROLE {role} LOGIN"),
        format!("ALTER DATABASE {name} OWNER TO {role}"),
    ] {
        sqlx::query(AssertSqlSafe(sql))
            .execute(superuser.reads())
            .await
            .unwrap();
    }
    superuser.close().await;
    let (_, host) = server.rsplit_once('@').unwrap();
    let url = format!("postgres://{role}@{host}/{name}");
    let output = run(stagedoor(
        folder,
        &["move", "--from", &source, "--to", &url],
    ))
    .await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code(&output), 0, "{stderr}");
    assert!(!stderr.contains("skipping"), "{stderr}");
    target.drop().await;
}

on_both_engines! {
    async fn a_database_in_use_is_refused_as_source_and_as_target(app) {
        app.user("ann").await;
        let other = Database::sqlite();
        Db::open(&other.url).await.unwrap().close().await;
        let error = run_refused_move(&app.database.url, &other.url).await;
        assert!(error.starts_with("--from: it is in use"), "{error}");
        let error = run_refused_move(&other.url, &app.database.url).await;
        assert!(error.starts_with("--to: it is in use"), "{error}");
        app.user("bob").await;
    }

    async fn a_target_with_rows_is_refused_and_not_changed(app) {
        app.user("ann").await;
        app.db.close().await;
        let other = Database::sqlite();
        Db::open(&other.url).await.unwrap().close().await;
        let error = run_refused_move(&other.url, &app.database.url).await;
        assert!(error.contains("it must be empty"), "{error}");
        let db = Db::open(&app.database.url).await.unwrap();
        assert_eq!(count_rows(&db, "users").await, 1);
        db.close().await;
    }

    async fn a_target_with_foreign_tables_is_refused_and_not_changed(app) {
        app.run_sql("CREATE TABLE strangers (id TEXT PRIMARY KEY)").await;
        app.db.close().await;
        let other = Database::sqlite();
        Db::open(&other.url).await.unwrap().close().await;
        let error = run_refused_move(&other.url, &app.database.url).await;
        assert!(error.contains("tables of something else (strangers)"), "{error}");
        let db = Db::connect(&app.database.url).await.unwrap();
        let remaining = tables(&mut db.reads().acquire().await.unwrap()).await.unwrap();
        assert!(remaining.iter().all(|table| table.name != MOVE_PROGRESS), "{remaining:?}");
        db.close().await;
    }

    async fn a_source_of_another_version_is_refused(app) {
        app.db.close().await;
        let other = Database::sqlite();
        let last = "FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
        let more = |by: i64| format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT version + {by}, description, success, checksum, execution_time {last}"
        );
        for (change, advice) in [
            (format!("DELETE {last}"), "`stagedoor migrate` first"),
            (more(1), ""),
            (more(2), "use the newer binary"),
        ] {
            let db = Db::connect(&app.database.url).await.unwrap();
            sqlx::query(AssertSqlSafe(change)).execute(db.reads()).await.unwrap();
            db.close().await;
            if !advice.is_empty() {
                let error = run_refused_move(&app.database.url, &other.url).await;
                assert!(error.contains(advice), "{error}");
            }
        }
    }

    async fn a_source_that_changes_between_two_runs_is_detected(app) {
        let ann = app.user("ann").await;
        ann.ticket(&ann.event().await, 2500).await;
        app.db.close().await;
        let target = Database::sqlite();
        let (db, comparison) = run_move(&app.database.url, &target.url).await.unwrap();
        assert!(comparison.is_identical(), "{comparison}");
        db.close().await;
        let source = Db::connect(&app.database.url).await.unwrap();
        sqlx::query("UPDATE tickets SET price_minor = 2600").execute(source.reads()).await.unwrap();
        source.close().await;
        let (db, comparison) = run_move(&app.database.url, &target.url).await.unwrap();
        db.close().await;
        assert!(!comparison.is_identical());
        let different: Vec<&str> = comparison.tables.iter().filter(|table| !table.alike)
            .map(|table| table.table.as_str()).collect();
        assert_eq!(different, ["tickets"], "{comparison}");
        assert!(comparison.to_string().contains("tickets.price_minor: 2500 in total, and 2600"));
    }
}

async fn count_rows(db: &Db, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) AS n FROM {table}");
    let row = sqlx::query(AssertSqlSafe(sql))
        .fetch_one(db.reads())
        .await
        .unwrap();
    row.get("n")
}

/// Lists the tables and columns that only the first database has, as `table` or `table.column`.
fn list_only_in(one: &[Table], other: &[Table]) -> BTreeSet<String> {
    let names = |tables: &[Table]| -> BTreeSet<String> {
        let of_table = |table: &Table| {
            let columns = table.columns.iter();
            let columns = columns.map(|column| format!("{}.{}", table.name, column.name));
            std::iter::once(table.name.clone())
                .chain(columns)
                .collect::<Vec<_>>()
        };
        tables.iter().flat_map(of_table).collect()
    };
    names(one).difference(&names(other)).cloned().collect()
}

/// Every table that migrations create is moved, except those that an engine fills itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_of_the_migrations_is_moved_to_postgres() {
    let (sqlite, postgres) = (Database::sqlite(), Database::postgres().await);
    let (one, other) = (
        Db::open(&sqlite.url).await.unwrap(),
        Db::open(&postgres.url).await.unwrap(),
    );
    let of_sqlite = tables(&mut one.reads().acquire().await.unwrap())
        .await
        .unwrap();
    let of_postgres = tables(&mut other.reads().acquire().await.unwrap())
        .await
        .unwrap();
    assert_eq!(list_only_in(&of_sqlite, &of_postgres), BTreeSet::new());
    assert_eq!(list_only_in(&of_postgres, &of_sqlite), BTreeSet::new());
    for table in &of_sqlite {
        let has_rows = table.name != "_sqlx_migrations" && count_rows(&one, &table.name).await > 0;
        assert_eq!(
            has_rows,
            MADE_BY_MIGRATIONS.contains(&table.name.as_str()),
            "{}",
            table.name
        );
        assert_ne!(table.name, MOVE_PROGRESS);
    }
    one.close().await;
    other.close().await;

    let (db, comparison) = run_move(&sqlite.url, &postgres.url).await.unwrap();
    db.close().await;
    let moved: BTreeSet<String> = comparison
        .tables
        .into_iter()
        .map(|table| table.table)
        .collect();
    let all: BTreeSet<String> = of_postgres
        .into_iter()
        .map(|table| table.name)
        .filter(|name| name != "_sqlx_migrations")
        .collect();
    assert_eq!(moved, all);
    postgres.drop().await;
}
