//! What the figures say while something is really away, and that the alerts of `deploy/` go off by
//! it: the outage happens, the clock moves, and the figures are read as a scrape reads them.

#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use crate::support::{App, on_both_engines};
use metrics_exporter_prometheus::PrometheusBuilder;
use stagedoor::{clock::SharedClock, figures};
use std::collections::HashMap;

const ALERTS: &str = include_str!("../../../deploy/observability/alerts.yaml");

/// What an alert's expression compares with: the number after its last `>`.
fn threshold(alert: &str) -> f64 {
    let (_, rule) = ALERTS.split_once(&format!("- alert: {alert}\n")).unwrap();
    let expression = rule.lines().next().unwrap();
    let (_, number) = expression.rsplit_once("> ").unwrap();
    number.parse().unwrap()
}

/// The figures that stand in the database, by name.
async fn figures_now(app: &App) -> HashMap<String, f64> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let clock: SharedClock = app.clock.clone();
    {
        let _recorded = metrics::set_default_local_recorder(&recorder);
        figures::read(&app.db, &clock, None).await;
    }
    let text = recorder.handle().render();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

on_both_engines! {
    async fn a_call_to_stripe_that_is_repeated_in_vain_grows_old(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        app.stripe_is_away();
        buyer.pay(&order, "pm_card_visa").await.expect(202);
        // A worker repeats it for six minutes, as soon as it may.
        let mut before = 0.0;
        for _ in 0..6 {
            app.clock.advance(61);
            app.engine.drain().await.unwrap();
            let figures = figures_now(app).await;
            assert_eq!(figures["stagedoor_effects_waiting"], 1.0, "{figures:?}");
            let old = figures["stagedoor_effects_oldest_seconds"];
            assert!(old > before + 60.0, "{before}, {old}");
            before = old;
        }
        assert!(before > threshold("StagedoorPaymentsStuck"), "{before}");
        app.stripe_is_back();
        app.settle().await;
        let figures = figures_now(app).await;
        assert_eq!(figures["stagedoor_effects_waiting"], 0.0, "{figures:?}");
        assert_eq!(figures["stagedoor_effects_oldest_seconds"], 0.0, "{figures:?}");
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
        assert!(figures["stagedoor_inbox_waiting"] >= 1.0, "{figures:?}");
        let old = figures["stagedoor_inbox_oldest_seconds"];
        assert!(old > threshold("StagedoorWebhooksStuck"), "{old}");
    }

    async fn holds_that_nobody_tidies_up_grow_old(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        buyer.reserve(&[&ticket]).await.expect(201);
        app.clock.advance(900 + 120);
        let figures = figures_now(app).await;
        assert_eq!(figures["stagedoor_holds_overdue"], 1.0, "{figures:?}");
        let old = figures["stagedoor_holds_overdue_seconds"];
        assert!(old > threshold("StagedoorHoldsOverdue"), "{old}");
    }

    async fn an_incident_is_seen_until_it_is_settled(app) {
        assert_eq!(figures_now(app).await["stagedoor_incidents_open"], 0.0);
        app.run_sql(
            "INSERT INTO incidents (id, kind, subject, detail, found_at) \
             VALUES ('i', 'capture_slow', 'p', 'for the test', 1)",
        ).await;
        let figures = figures_now(app).await;
        let open = figures["stagedoor_incidents_open"];
        assert!(open > threshold("StagedoorSomebodyShouldLook"), "{figures:?}");
        app.run_sql("UPDATE incidents SET settled_at = 2").await;
        assert_eq!(figures_now(app).await["stagedoor_incidents_open"], 0.0);
    }
}
