//! Gauges during real outages, and whether the alerts in `deploy/` would fire: a test causes the outage,
//! advances the clock, and reads the gauges like a scrape.

use crate::{
    crash::process::{Holds, LOOK_AGAIN, Shop, UP_WITHIN, answers},
    mail::{mailer, post::MailServer},
    support::{App, Client, database::Database, on_both_engines},
};
use metrics_exporter_prometheus::PrometheusBuilder;
use platform::{
    clock::{Clock, SharedClock},
    db::Engine,
    task_runs,
};
use sqlx::AssertSqlSafe;
use stagedoor::gauges;
use std::{collections::HashMap, process::Command, sync::Arc, time::Instant};

const ALERTS: &str = include_str!("../../../deploy/observability/alerts.yaml");

/// The threshold in an alert's expression: the number after its last `>`.
fn threshold(alert: &str) -> i64 {
    let (_, rule) = ALERTS.split_once(&format!("- alert: {alert}\n")).unwrap();
    let expression = rule.lines().next().unwrap();
    let (_, number) = expression.rsplit_once("> ").unwrap();
    number.parse().unwrap()
}

/// The gauges that are read from the database, by name.
async fn figures_now(app: &App) -> HashMap<String, i64> {
    figures_of(app, async {}).await
}

/// The same, with the metrics that `done` records.
async fn figures_of(app: &App, done: impl Future<Output = ()>) -> HashMap<String, i64> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let clock: SharedClock = app.clock.clone();
    {
        let _recorded = metrics::set_default_local_recorder(&recorder);
        done.await;
        gauges::update_from_database(&app.db, &clock, None).await;
    }
    let text = recorder.handle().render();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| {
            // As integers: seconds and counts.
            let whole = value.split('.').next().unwrap();
            (name.to_owned(), whole.parse().unwrap())
        })
        .collect()
}

on_both_engines! {
    async fn a_call_to_stripe_that_is_repeated_in_vain_grows_old(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.stripe_is_away();
        buyer.pay(&order, "pm_card_visa").await.expect(202);
        // A worker repeats the call for six minutes, as soon as it is due.
        let mut before = 0;
        for _ in 0..6 {
            app.clock.advance(61);
            app.engine.drain().await.unwrap();
            let figures = figures_now(app).await;
            assert_eq!(figures["stagedoor_effects_waiting"], 1, "{figures:?}");
            let old = figures["stagedoor_effects_oldest_seconds"];
            assert!(old > before + 60, "{before}, {old}");
            before = old;
        }
        assert!(before > threshold("StagedoorPaymentsStuck"), "{before}");
        app.stripe_is_back();
        app.settle().await;
        let figures = figures_now(app).await;
        assert_eq!(figures["stagedoor_effects_waiting"], 0, "{figures:?}");
        assert_eq!(figures["stagedoor_effects_oldest_seconds"], 0, "{figures:?}");
    }

    async fn a_webhook_that_stripe_explains_to_nobody_grows_old(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let payment = buyer.pay(&order, "pm_card_visa").await.expect(201);
        app.settle().await;
        app.stripe_is_away();
        app.webhook("payment_intent.succeeded", &payment, app.clock_seconds()).await.expect_2xx();
        for _ in 0..6 {
            app.clock.advance(61);
            app.engine.drain().await.unwrap();
        }
        let figures = figures_now(app).await;
        assert!(figures["stagedoor_inbox_waiting"] >= 1, "{figures:?}");
        let old = figures["stagedoor_inbox_oldest_seconds"];
        assert!(old > threshold("StagedoorWebhooksStuck"), "{old}");
    }

    async fn holds_that_nobody_tidies_up_grow_old(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        buyer.reserve(&[&ticket]).await.expect(201);
        app.clock.advance(900 + 120);
        let figures = figures_now(app).await;
        assert_eq!(figures["stagedoor_holds_overdue"], 1, "{figures:?}");
        let old = figures["stagedoor_holds_overdue_seconds"];
        assert!(old > threshold("StagedoorHoldsOverdue"), "{old}");
    }

    async fn mails_that_a_server_does_not_take_grow_old(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect_2xx();
        let server = MailServer::start().await;
        // A server that is shutting down, a wrong password, and a server with an error.
        for reply in ["421 4.3.2 shutting down", "535 5.7.8 wrong password", "451 4.3 try later"] {
            server.answers("EHLO", reply);
            server.answers("HELO", reply);
            let mailer = mailer(app, Arc::new(server.smtp()));
            let figures = figures_of(app, async { mailer.send_due().await.map(drop).unwrap() }).await;
            assert_eq!(figures["stagedoor_mail_up"], 0, "{reply}: {figures:?}");
            assert!(figures["stagedoor_mails_waiting"] > 0, "{reply}: {figures:?}");
            app.clock.advance(31 * 60);
        }
        let old = figures_now(app).await["stagedoor_mails_oldest_seconds"];
        assert!(old > threshold("StagedoorMailsWaiting"), "{old}");
        let server = MailServer::start().await;
        let mailer = mailer(app, Arc::new(server.smtp()));
        let figures = figures_of(app, async { mailer.send_due().await.map(drop).unwrap() }).await;
        assert_eq!(figures["stagedoor_mail_up"], 1, "{figures:?}");
        assert_eq!(figures["stagedoor_mails_waiting"], 0, "{figures:?}");
        // A deferred recipient does not mean that the mail server is down.
        app.run_sql("UPDATE mails SET state = 'pending', tries = 0, next_at = 0").await;
        server.answers("RCPT", "450 4.2 come again in five minutes");
        let figures = figures_of(app, async { mailer.send_due().await.map(drop).unwrap() }).await;
        assert_eq!(figures["stagedoor_mail_up"], 1, "{figures:?}");
        assert!(figures["stagedoor_mails_waiting"] > 0, "{figures:?}");
    }

    /// Simulates the error of a full disk by a trigger: PostgreSQL's tests share one disk.
    async fn a_database_that_takes_no_writes_is_not_ready(app) {
        let (full, well): (&[&str], &[&str]) = match app.db.engine() {
            Engine::Sqlite => (
                &["CREATE TRIGGER full BEFORE INSERT ON write_probes \
                   BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"],
                &["DROP TRIGGER full"],
            ),
            Engine::Postgres => (
                &[
                    "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ \
                     BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$",
                    "CREATE TRIGGER full_disk BEFORE INSERT ON write_probes \
                     FOR EACH ROW EXECUTE FUNCTION no_room()",
                ],
                &["DROP TRIGGER full_disk ON write_probes"],
            ),
        };
        let clock: SharedClock = app.clock.clone();
        let (anybody, probe) = (app.anonymous(), &app.probe);
        assert_eq!(probe.try_once(&app.db, &clock, "a", 0).await, 0);
        assert_eq!(anybody.get("/readyz").await.expect(200)["writes"], "ok");
        for sql in full {
            sqlx::query(AssertSqlSafe(*sql)).execute(app.db.reads()).await.unwrap();
        }
        assert_eq!(probe.try_once(&app.db, &clock, "a", 0).await, 0);
        assert_eq!(anybody.get("/readyz").await.expect(503)["writes"], "refused");
        for sql in well {
            sqlx::query(AssertSqlSafe(*sql)).execute(app.db.reads()).await.unwrap();
        }
        assert_eq!(probe.try_once(&app.db, &clock, "a", 0).await, 0);
        assert_eq!(anybody.get("/readyz").await.expect(200)["writes"], "ok");
        // Rows of processes that have ended are deleted.
        app.clock.advance(2 * 3600);
        probe.try_once(&app.db, &clock, "b", 0).await;
        assert_eq!(app.count("write_probes").await, 1);
    }

    async fn a_night_without_an_audit_or_a_backup_is_seen(app) {
        let (age, failed) = (
            "stagedoor_task_age_seconds{task=\"audit\"}",
            "stagedoor_task_failed{task=\"audit\"}",
        );
        assert_eq!(figures_now(app).await.get(age), None, "none has run");
        let note = async |succeeded| {
            task_runs::record(&app.db, task_runs::AUDIT, succeeded, app.clock.now())
                .await
                .unwrap();
        };
        note(true).await;
        app.clock.advance(24 * 3600);
        let figures = figures_now(app).await;
        assert!(figures[age] < threshold("StagedoorAuditMissing"), "{figures:?}");
        assert_eq!(figures[failed], 0);
        // A failed run does not change the age of the last success.
        note(false).await;
        app.clock.advance(8 * 3600);
        let figures = figures_now(app).await;
        assert!(figures[age] > threshold("StagedoorAuditMissing"), "{figures:?}");
        assert_eq!(figures[failed], 1);
        note(true).await;
        let figures = figures_now(app).await;
        assert_eq!((figures[age], figures[failed]), (0, 0));
    }

    async fn an_incident_is_seen_until_it_is_settled(app) {
        assert_eq!(figures_now(app).await["stagedoor_incidents_open"], 0);
        app.run_sql(
            "INSERT INTO incidents (id, kind, subject, detail, found_at) \
             VALUES ('i', 'capture_slow', 'p', 'for the test', 1)",
        ).await;
        let figures = figures_now(app).await;
        let open = figures["stagedoor_incidents_open"];
        assert!(open > threshold("StagedoorSomebodyShouldLook"), "{figures:?}");
        app.run_sql("UPDATE incidents SET settled_at = 2").await;
        assert_eq!(figures_now(app).await["stagedoor_incidents_open"], 0);
    }
}

/// Limits the file size while the server runs, as on a full disk, and then removes the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_a_full_disk_says_so_until_there_is_room() {
    let holds = Holds {
        seconds: 900,
        grace_seconds: 60,
    };
    let mut shop = Shop::open(Database::sqlite(), holds).await;
    let seller = Client::sign_up(&shop.base, "seller").await;
    shop.kill().await;
    let server = shop.start_for_a_full_disk().await.to_string();
    let ready = format!("{}/readyz", shop.base);
    let files_may_have = async |limit: &str| {
        let (pid, limit) = (format!("--pid={server}"), format!("--fsize={limit}"));
        let done = Command::new("prlimit").args([pid, limit]).status().unwrap();
        assert!(done.success());
    };
    let until_ready = async |wanted: bool| {
        let began = Instant::now();
        while answers(&ready).await != wanted {
            assert!(began.elapsed() < UP_WITHIN, "it is never {wanted}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    files_may_have("1:unlimited").await;
    until_ready(false).await;
    let told: serde_json::Value = reqwest::get(&ready).await.unwrap().json().await.unwrap();
    assert_eq!(
        (&told["database"], &told["writes"]),
        (&"ok".into(), &"refused".into())
    );
    files_may_have("unlimited:unlimited").await;
    until_ready(true).await;
    seller.ticket(&seller.event().await, 2500).await;
    shop.close().await;
}
