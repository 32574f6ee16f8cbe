//! Domain events are sent to NATS completely and in order per aggregate, despite failures of the relay
//! or of NATS, and whatever the order in which transactions commit.

use crate::{
    crash::process::{Holds, Shop, binary},
    support::{
        App, Client,
        broker::{Broker, in_order},
        database::Database,
        on_both_engines,
    },
};
use async_nats::jetstream::stream::{Config, StorageType};
use model::Moment;
use platform::{
    clock::Clock,
    outbox::{DomainEvent, EventType, Relay, STREAM, append},
    trust::Trust,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row, query};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Two cores may be busy with other tests.
const TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Longer than a relay's lease.
const AFTER_LEASE_SECONDS: i64 = 7;

/// Starts a relay of this shop's outbox, which runs until it is aborted.
async fn start_relay(app: &App, broker: &Broker) -> JoinHandle<()> {
    let relay = Relay::new(app.db.clone(), app.clock.clone(), broker.nats().await);
    tokio::spawn(relay.run())
}

async fn count_unpublished(app: &App) -> i64 {
    platform::outbox::backlog(&app.db).await.unwrap().0
}

async fn wait_until(what: &str, mut is_reached: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_reached().await {
        assert!(began.elapsed() < TIMEOUT, "not within {TIMEOUT:?}: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn wait_until_all_sent(app: &App) {
    wait_until("everything is sent", async || {
        count_unpublished(app).await == 0
    })
    .await;
}

/// The ids of all domain events in the outbox.
async fn read_event_ids(app: &App) -> BTreeSet<String> {
    let rows = query("SELECT id FROM outbox")
        .fetch_all(app.db.reads())
        .await
        .unwrap();
    rows.iter().map(|row| row.get("id")).collect()
}

/// Asserts that the stream has each event of the outbox once, in order.
async fn assert_all_arrived(app: &App, broker: &Broker) {
    wait_until_all_sent(app).await;
    let messages = broker.messages().await;
    let arrived = in_order(&messages);
    assert_eq!(arrived.len(), messages.len(), "an event arrived twice");
    assert_eq!(arrived, read_event_ids(app).await);
}

/// Has four buyers concurrently reserve, cancel and pay for the same tickets.
async fn buy_concurrently(app: &App, rounds: usize) {
    let seller = app.user("seller").await;
    let event = seller.event().await;
    seller.batch(&event, 6, 2500).await;
    let buyers = futures::future::join_all(
        (0..4).map(async |buyer| app.user(&format!("buyer{buyer}")).await),
    );
    let buyers: Vec<Client> = buyers.await;
    let purchases = buyers.iter().enumerate().map(async |(number, buyer)| {
        for round in 0..rounds {
            let reserved = buyer.reserve_any(&event, 2).await;
            if reserved.status == 201 {
                if (number + round) % 5 == 0 {
                    buyer.pay(&reserved.body, "pm_card_visa").await.expect_2xx();
                } else {
                    assert_eq!(buyer.cancel(&reserved.body).await.status, 204);
                }
            }
        }
    });
    futures::future::join_all(purchases).await;
}

/// Makes events of invented tickets, `versions` of each, ordered by version.
fn make_events(tickets: usize, versions: i64) -> Vec<DomainEvent> {
    let ids: Vec<Uuid> = (0..tickets).map(|_| Uuid::new_v4()).collect();
    let each = |version: i64| {
        ids.iter().map(move |id| {
            let data = json!({"id": id, "version": version});
            DomainEvent::new(EventType::TicketUpdated, id, version, &data)
        })
    };
    (1..=versions).flat_map(each).collect()
}

async fn append_events(app: &App, events: Vec<DomainEvent>) {
    for chunk in events.chunks(1_000) {
        let chunk = chunk.to_vec();
        app.db
            .write(move |conn| {
                Box::pin(async move { append(conn, Moment::from_micros(1), &chunk).await })
            })
            .await
            .unwrap();
    }
}

fn insert_statement(id: &str, aggregate: &str, version: i64) -> String {
    format!(
        "INSERT INTO outbox (id, type, aggregate_type, aggregate_id, version, occurred_at, data) \
         VALUES ('{id}', 'TicketUpdated', 'ticket', '{aggregate}', {version}, 1, '{{}}')"
    )
}

async fn execute(app: &App, rows: Vec<String>) {
    app.db
        .write(move |conn| {
            Box::pin(async move {
                for row in rows {
                    query(AssertSqlSafe(row)).execute(&mut *conn).await?;
                }
                Ok::<(), sqlx::Error>(())
            })
        })
        .await
        .unwrap();
}

on_both_engines! {
    async fn concurrent_events_arrive_in_order_and_once(app) {
        let broker = Broker::start().await;
        let relay = start_relay(app, &broker).await;
        buy_concurrently(app, 8).await;
        assert_all_arrived(app, &broker).await;
        relay.abort();
        app.assert_sound().await;
    }

    async fn a_message_has_the_documented_format(app) {
        let broker = Broker::start().await;
        let seller = app.user("seller").await;
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let relay = start_relay(app, &broker).await;
        wait_until_all_sent(app).await;
        relay.abort();
        let messages = broker.messages().await;
        let id = ticket["id"].as_str().unwrap();
        let message = messages.iter().find(|message| message.event["aggregateId"] == id).unwrap();
        assert_eq!(message.subject, format!("stagedoor.ticket.{id}"));
        let mut event = message.event.clone();
        assert_eq!(event["id"], message.header_id);
        assert_eq!((&event["data"]["id"], &event["data"]["priceMinor"]), (&ticket["id"], &json!(2500)));
        let at = app.clock_seconds();
        let occurred: jiff::Timestamp = event["occurredAt"].as_str().unwrap().parse().unwrap();
        assert_eq!(occurred.as_second(), at);
        assert!(event["occurredAt"].as_str().unwrap().ends_with('Z'), "{event}");
        for field in ["data", "id", "occurredAt"] {
            event.as_object_mut().unwrap().remove(field).unwrap();
        }
        assert_eq!(event, json!({
            "type": "TicketCreated", "aggregateType": "ticket", "aggregateId": id, "version": 1,
        }));
        let kinds: Vec<&Value> = messages.iter().map(|message| &message.event["aggregateType"]).collect();
        assert_eq!(kinds, ["user", "event", "ticket"]);
    }

    async fn a_second_relay_takes_over_from_one_that_was_aborted(app) {
        let broker = Broker::start().await;
        let first = start_relay(app, &broker).await;
        append_events(app, make_events(1, 1)).await;
        wait_until_all_sent(app).await;
        let second = start_relay(app, &broker).await;
        tokio::join!(buy_concurrently(app, 3), append_events(app, make_events(3_000, 2)));
        wait_until_all_sent(app).await;
        // The first relay has the lease, and is aborted while it sends.
        let before = broker.stream().await.info().await.unwrap().state.messages;
        append_events(app, make_events(2_000, 4)).await;
        wait_until("some are sent", async || {
            broker.stream().await.info().await.unwrap().state.messages > before
        }).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let left = count_unpublished(app).await;
        assert!(left > 0, "the relay sent all events before it was aborted");
        app.clock.advance(AFTER_LEASE_SECONDS);
        assert_all_arrived(app, &broker).await;
        second.abort();
    }

    /// The previous holder's clock was an hour ahead, and it has ended: the lease must not last an hour.
    async fn a_lease_from_a_clock_that_is_ahead_does_not_delay_the_next_relay(app) {
        let broker = Broker::start().await;
        let ahead = (app.clock.now() + Duration::from_hours(1)).micros();
        let lease = format!("INSERT INTO leases (name, holder, held_until) VALUES ('events', 'gone', {ahead})");
        execute(app, vec![lease]).await;
        let relay = start_relay(app, &broker).await;
        buy_concurrently(app, 1).await;
        assert_all_arrived(app, &broker).await;
        relay.abort();
    }

    async fn all_events_are_sent_after_nats_has_restarted(app) {
        let mut broker = Broker::start().await;
        let relay = start_relay(app, &broker).await;
        buy_concurrently(app, 2).await;
        append_events(app, make_events(3_000, 3)).await;
        wait_until("some are sent", async || count_unpublished(app).await < 9_000).await;
        broker.kill();
        append_events(app, make_events(500, 3)).await;
        assert!(count_unpublished(app).await > 0);
        broker.go_on().await;
        assert_all_arrived(app, &broker).await;
        relay.abort();
    }

    async fn an_existing_stream_keeps_its_configuration(app) {
        let broker = Broker::start().await;
        let existing = Config {
            name: STREAM.to_owned(),
            subjects: vec!["stagedoor.>".to_owned()],
            max_age: Duration::from_hours(48),
            storage: StorageType::Memory,
            ..Config::default()
        };
        broker.jetstream().await.create_stream(&existing).await.unwrap();
        let relay = start_relay(app, &broker).await;
        append_events(app, make_events(10, 2)).await;
        assert_all_arrived(app, &broker).await;
        relay.abort();
        let config = &broker.stream().await.info().await.unwrap().config.clone();
        assert_eq!((config.max_age, config.storage), (existing.max_age, StorageType::Memory));
    }

    async fn a_deleted_stream_is_created_again(app) {
        let broker = Broker::start().await;
        let relay = start_relay(app, &broker).await;
        append_events(app, make_events(1, 1)).await;
        wait_until_all_sent(app).await;
        let config = broker.stream().await.info().await.unwrap().config.clone();
        assert_eq!((config.subjects, config.storage), (vec!["stagedoor.>".to_owned()], StorageType::File));
        assert_eq!((config.max_age, config.max_messages), (Duration::ZERO, -1));
        broker.jetstream().await.delete_stream(STREAM).await.unwrap();
        append_events(app, make_events(10, 2)).await;
        wait_until_all_sent(app).await;
        relay.abort();
        assert_eq!(in_order(&broker.messages().await).len(), 20);
    }

    async fn a_backlog_of_twenty_thousand_events_is_sent(app) {
        let broker = Broker::start().await;
        append_events(app, make_events(4_000, 5)).await;
        let began = Instant::now();
        let relay = start_relay(app, &broker).await;
        assert_all_arrived(app, &broker).await;
        println!("20 000 events took {:?}", began.elapsed());
        relay.abort();
    }

    /// Clocks of machines differ, so a later event may have a smaller id.
    async fn an_earlier_version_is_sent_first_whatever_its_id(app) {
        let broker = Broker::start().await;
        let id = |number: usize| format!("01980000-0000-7000-8000-{number:012}");
        let rows = |from: usize, version: i64| -> Vec<String> {
            (0..1_500)
                .map(|ticket| insert_statement(&id(from + ticket), &format!("ticket-{ticket}"), version))
                .collect()
        };
        execute(app, rows(0, 3)).await;
        execute(app, rows(10_000, 2)).await;
        execute(app, rows(20_000, 1)).await;
        let relay = start_relay(app, &broker).await;
        assert_all_arrived(app, &broker).await;
        relay.abort();
    }

    async fn an_event_that_nats_refuses_delays_its_own_aggregate_only(app) {
        let broker = Broker::start_with("max_payload: 2048").await;
        let large = json!({"description": "x".repeat(4_000)});
        let id = Uuid::new_v4();
        let refused = (1..=2).map(|version| {
            let data = if version == 1 { &large } else { &Value::Null };
            DomainEvent::new(EventType::EventUpdated, id, version, data)
        });
        append_events(app, refused.collect()).await;
        let relay = start_relay(app, &broker).await;
        append_events(app, make_events(1_500, 2)).await;
        wait_until("all others are sent", async || count_unpublished(app).await == 2).await;
        relay.abort();
        assert_eq!(in_order(&broker.messages().await).len(), 3_000);
    }
}

/// Only on PostgreSQL: SQLite has a single writer, so nothing commits out of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_commits_late_with_an_early_id_is_sent() {
    let app = App::on_postgres().await;
    let broker = Broker::start().await;
    let mut late = app.db.reads().begin().await.unwrap();
    let early_id = "01900000-0000-7000-8000-000000000000";
    query(AssertSqlSafe(insert_statement(early_id, "late", 1)))
        .execute(&mut *late)
        .await
        .unwrap();
    let relay = start_relay(&app, &broker).await;
    append_events(&app, make_events(10, 2)).await;
    wait_until_all_sent(&app).await;
    late.commit().await.unwrap();
    assert!(count_unpublished(&app).await > 0);
    assert_all_arrived(&app, &broker).await;
    relay.abort();
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_authenticates_to_nats_with_a_password() {
    let broker = Broker::start_with("authorization { user: ann, password: \"p@ss:word\" }").await;
    let app = App::on_sqlite().await;
    let url = broker.url().replace("//", "//ann:p%40ss%3Aword@");
    let nats = platform::outbox::Nats::connect(&url, &Trust::default())
        .await
        .unwrap();
    let relay = tokio::spawn(Relay::new(app.db.clone(), app.clock.clone(), nats).run());
    append_events(&app, make_events(1, 1)).await;
    wait_until_all_sent(&app).await;
    relay.abort();
    app.close().await;
}

/// Runs the binary: NATS may start later, and events are then sent within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_starts_without_nats_and_reports_it() {
    let holds = Holds {
        seconds: 60,
        grace_seconds: 60,
    };
    let mut broker = Broker::away();
    let mut shop = Shop::open(Database::sqlite(), holds).await;
    shop.kill().await;
    shop.start_with(&[("NATS_URL", &broker.url())]).await;
    let visitor = Client::new(&shop.base);
    let ready = visitor.get("/readyz").await.expect(200);
    assert_eq!(ready["events"], "away", "{ready}");
    Client::sign_up(&shop.base, "ann").await;
    let metrics = async || visitor.page("/metrics").await.text;
    let now = metrics().await;
    assert!(now.contains("stagedoor_nats_up 0\n"), "{now}");
    assert!(now.contains("stagedoor_outbox_unpublished 1\n"), "{now}");
    broker.go_on().await;
    wait_until("it is ready with NATS", async || {
        visitor.get("/readyz").await.body["events"] == "ok"
    })
    .await;
    let sent = async || metrics().await.contains("stagedoor_outbox_unpublished 0\n");
    wait_until("the earlier events are sent", sent).await;
    // The delay of a busy machine varies: the fastest try shows the relay's own time.
    let mut took = Vec::new();
    for name in ["bob", "cleo", "dan"] {
        Client::sign_up(&shop.base, name).await;
        let began = Instant::now();
        wait_until("it is sent", sent).await;
        took.push(began.elapsed());
    }
    assert!(
        took.iter().min() < Some(&Duration::from_secs(1)),
        "{took:?}"
    );
    let now = metrics().await;
    assert!(now.contains("stagedoor_nats_up 1\n"), "{now}");
    assert!(now.contains("stagedoor_outbox_lag_seconds 0\n"), "{now}");
    assert!(
        now.contains("stagedoor_outbox_published_total 4\n"),
        "{now}"
    );
    assert_eq!(in_order(&broker.messages().await).len(), 4);
    shop.close().await;
}

#[tokio::test]
async fn an_invalid_nats_url_is_reported_in_one_line_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path(), &["serve"]);
    command.env("NATS_URL", "http://secret@nats.example");
    let ended = command
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    let output = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success(), "{output}");
    assert!(
        output.contains("NATS_URL: ") && !output.contains("secret"),
        "{output}"
    );
    assert_eq!(output.lines().count(), 1, "{output}");
}
