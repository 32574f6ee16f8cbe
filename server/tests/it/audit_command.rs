//! The command `stagedoor audit`: output, exit codes and requests to Stripe.

use crate::{
    audit::Shop,
    support::{App, on_both_engines},
};
use axum::{Json, Router, extract::RawQuery, routing::get};
use futures::TryStreamExt;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Row, query};
use std::{
    path::Path,
    process::{Command, Output},
};
use stripe_double::JournalLine;
use stripe_gateway::StripeList;
use tokio::net::TcpListener;

/// A command of the binary in `folder`, with only the setting of its data folder.
pub fn stagedoor(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stagedoor"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("STAGEDOOR_DATA_DIR", folder.join("data"));
    command
}

pub async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

pub fn code(output: &Output) -> i32 {
    let error = String::from_utf8_lossy(&output.stderr);
    output.status.code().unwrap_or_else(|| panic!("{error}"))
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn parse_json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seeded_shop_holds_and_a_changed_one_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(code(&run(stagedoor(folder, &["seed"])).await), 0);

    let sound = run(stagedoor(folder, &["audit"])).await;
    assert_eq!(code(&sound), 0, "{}", text(&sound));
    assert!(
        text(&sound).ends_with("\nEverything holds.\n"),
        "{}",
        text(&sound)
    );
    let output = run(stagedoor(folder, &["audit", "--json"])).await;
    let report = parse_json(&output);
    assert_eq!((code(&output), &report["verdict"]), (0, &json!("holds")));
    assert_eq!(report["engine"], "SQLite");
    assert!(report["counts"]["tickets"]["listed"].as_i64().unwrap() > 100);
    let invariants = report["invariants"].as_array().unwrap();
    assert_eq!(invariants.len(), 14);
    for (number, invariant) in (1..).zip(invariants) {
        assert_eq!(invariant["id"], format!("I{number}"));
        let verdict = if number == 11 { "by_tests" } else { "holds" };
        assert_eq!(invariant["verdict"], verdict, "{invariant}");
        assert_eq!(invariant["broken"], json!({"count": 0, "first": []}));
    }

    let url = format!("sqlite://{}", folder.join("data/stagedoor.db").display());
    sqlx::any::install_default_drivers();
    let mut conn = AnyConnection::connect(&url).await.unwrap();
    query("UPDATE tickets SET version = version + 1")
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    assert_eq!(
        read_recorded_audit(&url).await,
        None,
        "recorded without --record"
    );
    let output = run(stagedoor(folder, &["audit", "--json", "--record"])).await;
    let report = parse_json(&output);
    assert_eq!((code(&output), &report["verdict"]), (1, &json!("broken")));
    assert_eq!(read_recorded_audit(&url).await, Some((0, false)));
    let broken = &report["invariants"][5]["broken"];
    assert_eq!(broken["count"], report["counts"]["tickets"]["listed"]);
    assert_eq!(broken["first"].as_array().unwrap().len(), 10);
    assert_eq!(broken["first"][0]["about"], "ticket");

    let mut conn = AnyConnection::connect(&url).await.unwrap();
    query("UPDATE tickets SET version = version - 1")
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    let output = run(stagedoor(folder, &["audit", "--record"])).await;
    assert_eq!(code(&output), 0, "{}", text(&output));
    assert_eq!(read_recorded_audit(&url).await, Some((1, true)));
}

/// Reads the recorded last audit: whether it succeeded, and whether any audit ever did.
async fn read_recorded_audit(url: &str) -> Option<(i64, bool)> {
    let mut conn = AnyConnection::connect(url).await.unwrap();
    let sql = "SELECT succeeded, succeeded_at FROM task_runs WHERE task = 'audit'";
    let row = query(sql).fetch_optional(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    row.map(|row| {
        let at: Option<i64> = row.get("succeeded_at");
        (row.get("succeeded"), at.is_some())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_the_audit_is_unchecked_and_creates_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(stagedoor(folder.path(), &["audit", "--json"])).await;
    assert_eq!(code(&output), 2);
    assert_eq!(parse_json(&output)["verdict"], "unchecked");
    assert!(
        !folder.path().join("data/stagedoor.db").exists(),
        "the audit created a database"
    );
}

/// An intent as Stripe lists it.
fn listed_intent(id: &str, payment: &str, received: i64, status: &str, charge: &Value) -> Value {
    json!({
        "id": id, "object": "payment_intent", "amount": 2500, "amount_capturable": 0,
        "amount_received": received, "capture_method": "manual", "created": 1_700_000_000,
        "confirmation_method": "automatic", "currency": "gbp", "livemode": false,
        "status": status, "metadata": {"payment_id": payment},
        "payment_method_types": ["card"], "latest_charge": charge,
    })
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// Serves a Stripe with three intents, two per page. Returns its address.
async fn serve_stripe() -> String {
    async fn list(RawQuery(query): RawQuery) -> Json<Value> {
        let query = query.unwrap_or_default();
        let intent = |id: &str, received: i64, charge: Value| {
            let status = if received > 0 {
                "succeeded"
            } else {
                "requires_capture"
            };
            listed_intent(
                id,
                "0193a000-0000-7000-8000-000000000001",
                received,
                status,
                &charge,
            )
        };
        let charge = json!({
            "id": "ch_1", "object": "charge", "amount": 2500, "amount_captured": 2500,
            "amount_refunded": 700, "billing_details": {}, "captured": true, "created": 1,
            "currency": "gbp", "disputed": false, "livemode": false, "metadata": {},
            "paid": true, "refunded": false, "status": "succeeded",
        });
        assert!(
            query.contains("latest_charge") && query.contains("limit=100"),
            "{query}"
        );
        let (data, more) = if query.contains("starting_after=pi_2") {
            (vec![intent("pi_3", 0, json!("ch_3"))], false)
        } else {
            let first = intent("pi_1", 2500, charge);
            (vec![first, intent("pi_2", 0, Value::Null)], true)
        };
        Json(json!({
            "object": "list", "url": "/v1/payment_intents", "has_more": more, "data": data,
        }))
    }
    serve(Router::new().route("/v1/payment_intents", get(list))).await
}

/// Serves a Stripe with the intents of a journal, with `additional` received for the first paid one.
async fn serve_journal(journal: &[JournalLine], additional: i64) -> String {
    let mut additional = Some(additional);
    let lines = journal.iter().map(|line| {
        let mut received = line.amount_received;
        if received > line.amount_refunded {
            received += additional.take().unwrap_or_default();
        }
        let charge = json!({
            "id": "ch_1", "object": "charge", "amount": line.amount,
            "amount_captured": received, "amount_refunded": line.amount_refunded,
            "billing_details": {}, "captured": true, "created": 1, "currency": "gbp",
            "disputed": false, "livemode": false, "metadata": {}, "paid": true,
            "refunded": false, "status": "succeeded",
        });
        listed_intent(
            &line.id,
            &line.metadata["payment_id"],
            received,
            &line.status,
            &charge,
        )
    });
    let data: Vec<Value> = lines.collect();
    let list = move || async move {
        Json(json!({
            "object": "list", "url": "/v1/payment_intents", "has_more": false, "data": data,
        }))
    };
    serve(Router::new().route("/v1/payment_intents", get(list))).await
}

on_both_engines! {
    async fn a_pending_call_makes_the_audit_unsettled(app) {
        let shop = Shop::open(app).await;
        let folder = tempfile::tempdir().unwrap();
        let run_audit = async |url: String| {
            let mut command = stagedoor(folder.path(), &["audit", "--json", "--wait", "0"]);
            command
                .env("DATABASE_URL", &app.database.url)
                .env("STRIPE_SECRET_KEY", "sk_test_of_the_tests")
                .env("STRIPE_WEBHOOK_SECRET", "whsec_of_the_tests")
                .env("STRIPE_API_URL", url);
            let output = run(command).await;
            let report = parse_json(&output);
            (code(&output), report["verdict"].clone(), format!("{report:#}"))
        };
        app.sales_were_days_ago(1).await;
        let (code, verdict, report) = run_audit(serve_journal(&shop.journal, 0).await).await;
        assert_eq!((code, verdict), (0, json!("holds")), "{report}");
        // Stripe has another amount, and a call is pending.
        app.run_sql("UPDATE payment_effects SET state = 'pending' WHERE kind = 'capture'").await;
        let (code, verdict, report) = run_audit(serve_journal(&shop.journal, 100).await).await;
        assert_eq!((code, verdict), (3, json!("unsettled")), "{report}");
        // No call is pending.
        app.run_sql("UPDATE payment_effects SET state = 'done'").await;
        let (code, verdict, report) = run_audit(serve_journal(&shop.journal, 100).await).await;
        assert_eq!((code, verdict), (1, json!("broken")), "{report}");
    }
}

#[tokio::test]
async fn every_page_of_stripe_is_read() {
    let key = "sk_test_of_the_tests".to_owned().into();
    let list = StripeList::new(&key, Some(&serve_stripe().await)).unwrap();
    let pages: Vec<_> = list.list_intents_since(1).try_collect().await.unwrap();
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    let first = &pages[0][0];
    assert_eq!(
        (first.received_minor.get(), first.refunded_minor.get()),
        (2500, 700)
    );
    assert_eq!(
        first.payment_id.as_deref(),
        Some("0193a000-0000-7000-8000-000000000001")
    );
    assert_eq!(
        (pages[1][0].id.as_str(), pages[1][0].status.as_str()),
        ("pi_3", "requires_capture")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_only_at_stripe_is_broken_and_an_unavailable_stripe_is_unchecked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(code(&run(stagedoor(folder, &["migrate"])).await), 0);
    let audit_with_stripe = |url: &str| {
        let mut command = stagedoor(folder, &["audit", "--json", "--since", "3"]);
        command
            .env("STRIPE_SECRET_KEY", "sk_test_of_the_tests")
            .env("STRIPE_WEBHOOK_SECRET", "whsec_of_the_tests")
            .env("STRIPE_API_URL", url);
        command
    };
    let output = run(audit_with_stripe(&serve_stripe().await)).await;
    let report = parse_json(&output);
    assert_eq!(
        (code(&output), &report["verdict"]),
        (1, &json!("broken")),
        "{report:#}"
    );
    let broken = &report["invariants"][3]["broken"];
    assert_eq!(
        (&broken["count"], &broken["first"][0]["id"]),
        (&json!(1), &json!("pi_1"))
    );

    // Nothing listens there.
    let output = run(audit_with_stripe("http://127.0.0.1:9")).await;
    let report = parse_json(&output);
    assert_eq!(
        (code(&output), &report["verdict"]),
        (2, &json!("unchecked")),
        "{report:#}"
    );
    assert!(
        report["invariants"][3]["uncheckedBecause"].is_string(),
        "{report:#}"
    );
}
