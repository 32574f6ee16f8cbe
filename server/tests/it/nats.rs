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
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Longer than a relay's lease.
const LEASE_SECONDS: i64 = 7;

/// Starts a relay of this shop's outbox, which runs until it is aborted.
async fn relay(app: &App, broker: &Broker) -> JoinHandle<()> {
    let relay = Relay::new(app.db.clone(), app.clock.clone(), broker.nats().await);
    tokio::spawn(relay.run())
}

async fn unpublished(app: &App) -> i64 {
    platform::outbox::backlog(&app.db).await.unwrap().0
}

async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(
            began.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn all_are_sent(app: &App) {
    until("everything is sent", async || unpublished(app).await == 0).await;
}

/// The ids of all domain events.
async fn told(app: &App) -> BTreeSet<String> {
    let rows = query("SELECT id FROM outbox")
        .fetch_all(app.db.reads())
        .await
        .unwrap();
    rows.iter().map(|row| row.get("id")).collect()
}

/// Asserts that the stream has each event of the outbox once, in order.
async fn all_arrived(app: &App, broker: &Broker) {
    all_are_sent(app).await;
    let messages = broker.messages().await;
    let arrived = in_order(&messages);
    assert_eq!(arrived.len(), messages.len(), "an event came twice");
    assert_eq!(arrived, told(app).await);
}

/// Buyers who concurrently reserve, cancel and pay for the same tickets.
async fn rush(app: &App, rounds: usize) {
    let seller = app.user("seller").await;
    let event = seller.event().await;
    seller.batch(&event, 6, 2500).await;
    let buyers = futures::future::join_all(
        (0..4).map(async |buyer| app.user(&format!("buyer{buyer}")).await),
    );
    let buyers: Vec<Client> = buyers.await;
    let acts = buyers.iter().enumerate().map(async |(number, buyer)| {
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
    futures::future::join_all(acts).await;
}

/// Events of invented tickets, `versions` of each, in this order.
fn made_up(tickets: usize, versions: i64) -> Vec<DomainEvent> {
    let ids: Vec<Uuid> = (0..tickets).map(|_| Uuid::new_v4()).collect();
    let each = |version: i64| {
        ids.iter().map(move |id| {
            let data = json!({"id": id, "version": version});
            DomainEvent::new(EventType::TicketUpdated, id, version, &data)
        })
    };
    (1..=versions).flat_map(each).collect()
}

async fn write(app: &App, events: Vec<DomainEvent>) {
    for some in events.chunks(1_000) {
        let some = some.to_vec();
        app.db
            .write(move |conn| {
                Box::pin(async move { append(conn, Moment::from_micros(1), &some).await })
            })
            .await
            .unwrap();
    }
}

fn row(id: &str, aggregate: &str, version: i64) -> String {
    format!(
        "INSERT INTO outbox (id, type, aggregate_type, aggregate_id, version, occurred_at, data) \
         VALUES ('{id}', 'TicketUpdated', 'ticket', '{aggregate}', {version}, 1, '{{}}')"
    )
}

async fn write_rows(app: &App, rows: Vec<String>) {
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
    async fn everything_that_happens_at_once_arrives_in_order_and_once(app) {
        let broker = Broker::start().await;
        let relay = relay(app, &broker).await;
        rush(app, 8).await;
        all_arrived(app, &broker).await;
        relay.abort();
        app.assert_sound().await;
    }

    async fn a_message_is_as_it_is_promised(app) {
        let broker = Broker::start().await;
        let seller = app.user("seller").await;
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let relay = relay(app, &broker).await;
        all_are_sent(app).await;
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

    async fn of_two_that_would_send_one_sends_and_the_other_goes_on_after_its_death(app) {
        let broker = Broker::start().await;
        let first = relay(app, &broker).await;
        write(app, made_up(1, 1)).await;
        all_are_sent(app).await;
        let second = relay(app, &broker).await;
        tokio::join!(rush(app, 3), write(app, made_up(3_000, 2)));
        all_are_sent(app).await;
        // It has the lease, and is aborted while it sends.
        let before = broker.stream().await.info().await.unwrap().state.messages;
        write(app, made_up(2_000, 4)).await;
        until("some are sent", async || {
            broker.stream().await.info().await.unwrap().state.messages > before
        }).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let left = unpublished(app).await;
        assert!(left > 0, "it was too quick for this test");
        app.clock.advance(LEASE_SECONDS);
        all_arrived(app, &broker).await;
        second.abort();
    }

    /// The previous holder's clock was an hour ahead, and it has ended: the lease must not last an hour.
    async fn a_lease_that_no_right_clock_gives_holds_nobody_up(app) {
        let broker = Broker::start().await;
        let ahead = (app.clock.now() + Duration::from_hours(1)).micros();
        let lease = format!("INSERT INTO leases (name, holder, held_until) VALUES ('events', 'gone', {ahead})");
        write_rows(app, vec![lease]).await;
        let sends = relay(app, &broker).await;
        rush(app, 1).await;
        all_arrived(app, &broker).await;
        sends.abort();
    }

    async fn a_nats_that_stops_gets_everything_once_it_is_back(app) {
        let mut broker = Broker::start().await;
        let relay = relay(app, &broker).await;
        rush(app, 2).await;
        write(app, made_up(3_000, 3)).await;
        until("some are sent", async || unpublished(app).await < 9_000).await;
        broker.kill();
        write(app, made_up(500, 3)).await;
        assert!(unpublished(app).await > 0);
        broker.go_on().await;
        all_arrived(app, &broker).await;
        relay.abort();
    }

    async fn a_stream_that_is_there_stays_as_it_is(app) {
        let broker = Broker::start().await;
        let theirs = Config {
            name: STREAM.to_owned(),
            subjects: vec!["stagedoor.>".to_owned()],
            max_age: Duration::from_hours(48),
            storage: StorageType::Memory,
            ..Config::default()
        };
        broker.jetstream().await.create_stream(&theirs).await.unwrap();
        let relay = relay(app, &broker).await;
        write(app, made_up(10, 2)).await;
        all_arrived(app, &broker).await;
        relay.abort();
        let config = &broker.stream().await.info().await.unwrap().config.clone();
        assert_eq!((config.max_age, config.storage), (theirs.max_age, StorageType::Memory));
    }

    async fn a_stream_that_is_taken_away_is_made_again(app) {
        let broker = Broker::start().await;
        let relay = relay(app, &broker).await;
        write(app, made_up(1, 1)).await;
        all_are_sent(app).await;
        let config = broker.stream().await.info().await.unwrap().config.clone();
        assert_eq!((config.subjects, config.storage), (vec!["stagedoor.>".to_owned()], StorageType::File));
        assert_eq!((config.max_age, config.max_messages), (Duration::ZERO, -1));
        broker.jetstream().await.delete_stream(STREAM).await.unwrap();
        write(app, made_up(10, 2)).await;
        all_are_sent(app).await;
        relay.abort();
        assert_eq!(in_order(&broker.messages().await).len(), 20);
    }

    async fn twenty_thousand_events_that_wait_are_soon_sent(app) {
        let broker = Broker::start().await;
        write(app, made_up(4_000, 5)).await;
        let began = Instant::now();
        let relay = relay(app, &broker).await;
        all_arrived(app, &broker).await;
        println!("20 000 events took {:?}", began.elapsed());
        relay.abort();
    }

    /// Clocks of machines differ, so a later event may have a smaller id.
    async fn an_earlier_version_goes_first_whatever_the_ids_say(app) {
        let broker = Broker::start().await;
        let id = |number: usize| format!("01980000-0000-7000-8000-{number:012}");
        let rows = |from: usize, version: i64| -> Vec<String> {
            (0..1_500)
                .map(|ticket| row(&id(from + ticket), &format!("ticket-{ticket}"), version))
                .collect()
        };
        write_rows(app, rows(0, 3)).await;
        write_rows(app, rows(10_000, 2)).await;
        write_rows(app, rows(20_000, 1)).await;
        let relay = relay(app, &broker).await;
        all_arrived(app, &broker).await;
        relay.abort();
    }

    async fn an_event_that_nats_refuses_holds_up_its_own_aggregate_alone(app) {
        let broker = Broker::start_with("max_payload: 2048").await;
        let large = json!({"description": "x".repeat(4_000)});
        let id = Uuid::new_v4();
        let refused = (1..=2).map(|version| {
            let data = if version == 1 { &large } else { &Value::Null };
            DomainEvent::new(EventType::EventUpdated, id, version, data)
        });
        write(app, refused.collect()).await;
        let relay = relay(app, &broker).await;
        write(app, made_up(1_500, 2)).await;
        until("all others are sent", async || unpublished(app).await == 2).await;
        relay.abort();
        assert_eq!(in_order(&broker.messages().await).len(), 3_000);
    }
}

/// Only on PostgreSQL: SQLite has a single writer, so nothing commits out of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_commits_late_with_an_early_id_is_sent() {
    let app = App::on_postgres().await;
    let broker = Broker::start().await;
    let mut late = app.db.reads().begin().await.unwrap();
    let early_id = "01900000-0000-7000-8000-000000000000";
    query(AssertSqlSafe(row(early_id, "late", 1)))
        .execute(&mut *late)
        .await
        .unwrap();
    let relay = relay(&app, &broker).await;
    write(&app, made_up(10, 2)).await;
    all_are_sent(&app).await;
    late.commit().await.unwrap();
    assert!(unpublished(&app).await > 0);
    all_arrived(&app, &broker).await;
    relay.abort();
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_in_to_nats_is_let_in() {
    let broker = Broker::start_with("authorization { user: ann, password: \"p@ss:word\" }").await;
    let app = App::on_sqlite().await;
    let url = broker.url().replace("//", "//ann:p%40ss%3Aword@");
    let nats = platform::outbox::Nats::connect(&url, &Trust::default())
        .await
        .unwrap();
    let relay = tokio::spawn(Relay::new(app.db.clone(), app.clock.clone(), nats).run());
    write(&app, made_up(1, 1)).await;
    all_are_sent(&app).await;
    relay.abort();
    app.close().await;
}

/// Runs the binary: NATS may start later, and events are then sent within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_opens_without_its_nats_and_says_so() {
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
    let figures = async || visitor.page("/metrics").await.text;
    let now = figures().await;
    assert!(now.contains("stagedoor_nats_up 0\n"), "{now}");
    assert!(now.contains("stagedoor_outbox_unpublished 1\n"), "{now}");
    broker.go_on().await;
    until("it is ready with NATS", async || {
        visitor.get("/readyz").await.body["events"] == "ok"
    })
    .await;
    let sent = async || figures().await.contains("stagedoor_outbox_unpublished 0\n");
    until("what happened before is sent", sent).await;
    // The delay of a busy machine varies: the fastest try shows the relay's own time.
    let mut took = Vec::new();
    for name in ["bob", "cleo", "dan"] {
        Client::sign_up(&shop.base, name).await;
        let began = Instant::now();
        until("it is sent", sent).await;
        took.push(began.elapsed());
    }
    assert!(
        took.iter().min() < Some(&Duration::from_secs(1)),
        "{took:?}"
    );
    let now = figures().await;
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
async fn a_nats_url_that_is_none_ends_the_start_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path(), &["serve"]);
    command.env("NATS_URL", "http://secret@nats.example");
    let ended = command
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success(), "{said}");
    assert!(
        said.contains("NATS_URL: ") && !said.contains("secret"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}
