//! Gauges during outages, and whether the alerts in `deploy/` would fire: a test causes the outage, advances
//! the clock, and reads the gauges like a scrape.

use crate::{
    crash::process::{Holds, POLL_INTERVAL, Shop, WAIT_TIMEOUT, answers},
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

/// Parses the threshold in an alert's expression: the number after its last `>`.
fn parse_threshold(alert: &str) -> i64 {
    let (_, rule) = ALERTS.split_once(&format!("- alert: {alert}\n")).unwrap();
    let expression = rule.lines().next().unwrap();
    let (_, number) = expression.rsplit_once("> ").unwrap();
    number.parse().unwrap()
}

/// Reads the gauges that come from the database, by name.
async fn read_gauges(app: &App) -> HashMap<String, i64> {
    read_metrics_of(app, async {}).await
}

/// As [`read_gauges`], with the metrics that `work` records.
async fn read_metrics_of(app: &App, work: impl Future<Output = ()>) -> HashMap<String, i64> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let clock: SharedClock = app.clock.clone();
    {
        let _guard = metrics::set_default_local_recorder(&recorder);
        work.await;
        gauges::update_from_database(&app.db, &clock, None).await;
    }
    let text = recorder.handle().render();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| {
            // All are whole seconds or counts.
            let integer = value.split('.').next().unwrap();
            (name.to_owned(), integer.parse().unwrap())
        })
        .collect()
}

on_both_engines! {
    async fn the_age_of_a_failing_call_to_stripe_passes_its_alert(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.stripe_is_away();
        buyer.pay(&order, "pm_card_visa").await.expect(202);
        // A worker repeats the call for six minutes, whenever it is due.
        let mut previous_age = 0;
        for _ in 0..6 {
            app.clock.advance(61);
            app.engine.drain().await.unwrap();
            let metrics = read_gauges(app).await;
            assert_eq!(metrics["stagedoor_effects_waiting"], 1, "{metrics:?}");
            let age = metrics["stagedoor_effects_oldest_seconds"];
            assert!(age > previous_age + 60, "{previous_age}, {age}");
            previous_age = age;
        }
        assert!(previous_age > parse_threshold("StagedoorPaymentsStuck"), "{previous_age}");
        app.stripe_is_back();
        app.settle().await;
        let metrics = read_gauges(app).await;
        assert_eq!(metrics["stagedoor_effects_waiting"], 0, "{metrics:?}");
        assert_eq!(metrics["stagedoor_effects_oldest_seconds"], 0, "{metrics:?}");
    }

    async fn the_age_of_an_unprocessed_webhook_passes_its_alert(app) {
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
        let metrics = read_gauges(app).await;
        assert!(metrics["stagedoor_inbox_waiting"] >= 1, "{metrics:?}");
        let age = metrics["stagedoor_inbox_oldest_seconds"];
        assert!(age > parse_threshold("StagedoorWebhooksStuck"), "{age}");
    }

    async fn the_age_of_an_overdue_hold_passes_its_alert(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        buyer.reserve(&[&ticket]).await.expect(201);
        app.clock.advance(900 + 120);
        let metrics = read_gauges(app).await;
        assert_eq!(metrics["stagedoor_holds_overdue"], 1, "{metrics:?}");
        let age = metrics["stagedoor_holds_overdue_seconds"];
        assert!(age > parse_threshold("StagedoorHoldsOverdue"), "{age}");
    }

    async fn the_age_of_mails_that_the_server_refuses_passes_its_alert(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect_2xx();
        let server = MailServer::start().await;
        // A shutdown, a wrong password, and a temporary error.
        for reply in ["421 4.3.2 shutting down", "535 5.7.8 wrong password", "451 4.3 try later"] {
            server.answers("EHLO", reply);
            server.answers("HELO", reply);
            let mailer = mailer(app, Arc::new(server.smtp()));
            let sending = async { mailer.send_due().await.map(drop).unwrap() };
            let metrics = read_metrics_of(app, sending).await;
            assert_eq!(metrics["stagedoor_mail_up"], 0, "{reply}: {metrics:?}");
            assert!(metrics["stagedoor_mails_waiting"] > 0, "{reply}: {metrics:?}");
            app.clock.advance(31 * 60);
        }
        let age = read_gauges(app).await["stagedoor_mails_oldest_seconds"];
        assert!(age > parse_threshold("StagedoorMailsWaiting"), "{age}");
        let server = MailServer::start().await;
        let mailer = mailer(app, Arc::new(server.smtp()));
        let sending = async { mailer.send_due().await.map(drop).unwrap() };
        let metrics = read_metrics_of(app, sending).await;
        assert_eq!(metrics["stagedoor_mail_up"], 1, "{metrics:?}");
        assert_eq!(metrics["stagedoor_mails_waiting"], 0, "{metrics:?}");
        // A deferred recipient does not mean that the mail server is down.
        app.run_sql("UPDATE mails SET state = 'pending', tries = 0, next_at = 0").await;
        server.answers("RCPT", "450 4.2 come again in five minutes");
        let sending = async { mailer.send_due().await.map(drop).unwrap() };
        let metrics = read_metrics_of(app, sending).await;
        assert_eq!(metrics["stagedoor_mail_up"], 1, "{metrics:?}");
        assert!(metrics["stagedoor_mails_waiting"] > 0, "{metrics:?}");
    }

    /// A trigger raises the error of a full disk, because PostgreSQL's tests share one disk.
    async fn a_database_that_refuses_writes_is_not_ready(app) {
        let (fill_disk, free_disk): (&[&str], &[&str]) = match app.db.engine() {
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
        let (visitor, probe) = (app.anonymous(), &app.probe);
        assert_eq!(probe.try_once(&app.db, &clock, "a", 0).await, 0);
        assert_eq!(visitor.get("/readyz").await.expect(200)["writes"], "ok");
        for sql in fill_disk {
            sqlx::query(AssertSqlSafe(*sql)).execute(app.db.reads()).await.unwrap();
        }
        assert_eq!(probe.try_once(&app.db, &clock, "a", 0).await, 0);
        assert_eq!(visitor.get("/readyz").await.expect(503)["writes"], "refused");
        for sql in free_disk {
            sqlx::query(AssertSqlSafe(*sql)).execute(app.db.reads()).await.unwrap();
        }
        assert_eq!(probe.try_once(&app.db, &clock, "a", 0).await, 0);
        assert_eq!(visitor.get("/readyz").await.expect(200)["writes"], "ok");
        // Rows of processes that have ended are deleted.
        app.clock.advance(2 * 3600);
        probe.try_once(&app.db, &clock, "b", 0).await;
        assert_eq!(app.count("write_probes").await, 1);
    }

    async fn a_missing_or_failed_audit_is_shown_by_gauges(app) {
        let (age, failed) = (
            "stagedoor_task_age_seconds{task=\"audit\"}",
            "stagedoor_task_failed{task=\"audit\"}",
        );
        assert_eq!(read_gauges(app).await.get(age), None, "before the first audit");
        let record = async |succeeded| {
            task_runs::record(&app.db, task_runs::AUDIT, succeeded, app.clock.now())
                .await
                .unwrap();
        };
        record(true).await;
        app.clock.advance(24 * 3600);
        let metrics = read_gauges(app).await;
        assert!(metrics[age] < parse_threshold("StagedoorAuditMissing"), "{metrics:?}");
        assert_eq!(metrics[failed], 0);
        // A failed run does not change the age of the last success.
        record(false).await;
        app.clock.advance(8 * 3600);
        let metrics = read_gauges(app).await;
        assert!(metrics[age] > parse_threshold("StagedoorAuditMissing"), "{metrics:?}");
        assert_eq!(metrics[failed], 1);
        record(true).await;
        let metrics = read_gauges(app).await;
        assert_eq!((metrics[age], metrics[failed]), (0, 0));
    }

    async fn an_incident_is_counted_until_it_is_settled(app) {
        assert_eq!(read_gauges(app).await["stagedoor_incidents_open"], 0);
        app.run_sql(
            "INSERT INTO incidents (id, kind, subject, detail, found_at) \
             VALUES ('i', 'capture_slow', 'p', 'for the test', 1)",
        ).await;
        let metrics = read_gauges(app).await;
        let open = metrics["stagedoor_incidents_open"];
        assert!(open > parse_threshold("StagedoorSomebodyShouldLook"), "{metrics:?}");
        app.run_sql("UPDATE incidents SET settled_at = 2").await;
        assert_eq!(read_gauges(app).await["stagedoor_incidents_open"], 0);
    }
}

/// Limits the file size while the server runs, as on a full disk, and then removes the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_a_full_disk_is_not_ready_until_there_is_space() {
    let holds = Holds {
        seconds: 900,
        grace_seconds: 60,
    };
    let mut shop = Shop::open(Database::sqlite(), holds).await;
    let seller = Client::sign_up(&shop.base, "seller").await;
    shop.kill().await;
    let server = shop.start_ignoring_sigxfsz().await.to_string();
    let ready = format!("{}/readyz", shop.base);
    let limit_file_size = async |limit: &str| {
        let (pid, limit) = (format!("--pid={server}"), format!("--fsize={limit}"));
        let status = Command::new("prlimit").args([pid, limit]).status().unwrap();
        assert!(status.success());
    };
    let wait_for_readiness = async |wanted: bool| {
        let began = Instant::now();
        while answers(&ready).await != wanted {
            assert!(
                began.elapsed() < WAIT_TIMEOUT,
                "readiness is never {wanted}"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    limit_file_size("1:unlimited").await;
    wait_for_readiness(false).await;
    let body: serde_json::Value = reqwest::get(&ready).await.unwrap().json().await.unwrap();
    assert_eq!(
        (&body["database"], &body["writes"]),
        (&"ok".into(), &"refused".into())
    );
    limit_file_size("unlimited:unlimited").await;
    wait_for_readiness(true).await;
    seller.ticket(&seller.event().await, 2500).await;
    shop.close().await;
}
