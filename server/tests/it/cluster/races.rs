//! Concurrent requests to different web replicas.

use super::set::{Cluster, ClusterOptions};
use crate::{
    crash::{checks, process::Holds},
    live::Listener,
    support::{Client, client},
};
use futures::future::join_all;
use serde_json::json;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

const BUYERS: usize = 40;
const TICKETS: usize = 15;
const KEYS: usize = 12;
/// How many writes a user may make in a minute.
const WRITES: usize = 600;
const EVENT_TIMEOUT: Duration = Duration::from_secs(1);

/// No hold ends during a test.
fn long_holds() -> ClusterOptions {
    ClusterOptions {
        holds: Holds {
            seconds: 600,
            grace_seconds: 60,
        },
        ..ClusterOptions::default()
    }
}

async fn sign_up_buyers(cluster: &Cluster) -> Vec<Client> {
    let mut buyers = Vec::with_capacity(BUYERS);
    for number in 0..BUYERS {
        let buyer = Client::sign_up(&cluster.web_replicas[number % 2].base, "buyer").await;
        // Half of them use another replica than the one at which they signed up.
        buyers.push(buyer.at(&cluster.web_replicas[number / 2 % 2].base));
    }
    buyers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyers_at_two_replicas_reserve_each_ticket_once() {
    let cluster = Cluster::start_with(long_holds()).await;
    let seller = Client::sign_up(&cluster.web_replicas[0].base, "seller").await;
    let event = seller.event().await;
    seller
        .batch(&event, i64::try_from(TICKETS).unwrap(), 2500)
        .await;
    let buyers = sign_up_buyers(&cluster).await;
    let answers = join_all(buyers.iter().map(|buyer| buyer.reserve_any(&event, 1))).await;
    let mut held = HashSet::new();
    let mut orders = 0;
    for answer in answers {
        if answer.status == 201 {
            orders += 1;
            held.insert(answer.body["tickets"][0]["id"].as_str().unwrap().to_owned());
        } else {
            answer.refused(409, "not_enough_tickets");
        }
    }
    assert_eq!((orders, held.len()), (TICKETS, TICKETS));

    let ticket = seller.ticket(&event, 2500).await;
    let named = [&ticket];
    let answers = join_all(buyers.iter().map(|buyer| buyer.reserve(&named))).await;
    let reserved: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert_eq!(reserved.len(), 1, "buyers who reserved the ticket");
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.clone().refused(409, "ticket_reserved");
    }
    println!(
        "{BUYERS} buyers at two replicas reserved {orders} of {TICKETS} tickets, and 1 of 1, each once"
    );
    let db = cluster.connect_database().await;
    checks::assert_sound(&cluster.stripe, cluster.audit_command(), &db).await;
    db.close().await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_that_is_sent_to_both_replicas_has_one_effect() {
    let cluster = Cluster::start_with(long_holds()).await;
    let seller = Client::sign_up(&cluster.web_replicas[0].base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 100, 2500).await;
    let here = Client::sign_up(&cluster.web_replicas[0].base, "buyer").await;
    let there = here.at(&cluster.web_replicas[1].base);
    let body = json!({"eventId": event["id"], "quantity": 1});
    for number in 0..KEYS {
        let key = format!("attempt-{number}");
        let headers = [("idempotency-key", key.as_str())];
        let post = |buyer: &Client| {
            let (buyer, body) = (buyer.clone(), body.clone());
            async move { buyer.json("POST", "/api/orders", &headers, body).await }
        };
        let answers = join_all([&here, &there, &here, &there].map(post)).await;
        let mut orders = HashSet::new();
        for answer in answers {
            if answer.status == 201 {
                orders.insert(answer.body["id"].as_str().unwrap().to_owned());
            } else {
                answer.refused(409, "idempotency_in_progress");
            }
        }
        for buyer in [&here, &there] {
            let again = post(buyer).await.expect(201);
            orders.insert(again["id"].as_str().unwrap().to_owned());
        }
        assert_eq!(orders.len(), 1, "{key}: {orders:?}");
        let other = json!({"eventId": event["id"], "quantity": 2});
        let misused = there.json("POST", "/api/orders", &headers, other).await;
        misused.refused(409, "idempotency_mismatch");
    }
    let orders = cluster.number("SELECT COUNT(*) AS n FROM orders").await;
    assert_eq!(orders, i64::try_from(KEYS).unwrap());
    println!("{KEYS} keys, each sent six times to two replicas: {orders} orders");
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_replicas_share_the_limit_of_a_users_writes() {
    let options = ClusterOptions {
        rate_limits: true,
        ..long_holds()
    };
    let cluster = Cluster::start_with(options).await;
    // Signing up is counted, too.
    let began = Instant::now();
    let here = Client::sign_up(&cluster.web_replicas[0].base, "buyer").await;
    let there = here.at(&cluster.web_replicas[1].base);
    let missing_order = client::path("orders", &json!({"id": uuid::Uuid::now_v7().to_string()}));
    let write = |number: usize| {
        let (writer, path) = ([&here, &there][number % 2].clone(), missing_order.clone());
        async move { writer.delete(&path).await.status }
    };
    let mut passed = 0;
    let mut refused = 0;
    // In groups of concurrent requests.
    for first in (0..WRITES + 40).step_by(40) {
        for status in join_all((first..first + 40).map(write)).await {
            match status {
                404 => passed += 1,
                429 => refused += 1,
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!(passed + refused, WRITES + 40);
    // The limit is per minute, and the requests may take minutes on a busy machine.
    let minutes = usize::try_from(began.elapsed().as_secs() / 60).unwrap();
    assert!(
        (WRITES..=WRITES * (1 + minutes)).contains(&passed),
        "{passed}"
    );
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_of_one_replica_shows_reservations_at_the_other_within_a_second() {
    let cluster = Cluster::start_with(long_holds()).await;
    let seller = Client::sign_up(&cluster.web_replicas[0].base, "seller").await;
    let buyer = Client::sign_up(&cluster.web_replicas[0].base, "buyer").await;
    let event = seller.event().await;
    let mut listeners = [
        Listener::open(&cluster.web_replicas[0].base, &event, None).await,
        Listener::open(&cluster.web_replicas[1].base, &event, None).await,
    ];
    let mut delays = Vec::new();
    for round in 0..6 {
        let ticket = seller.ticket(&event, 2500).await;
        let here = buyer.at(&cluster.web_replicas[round % 2].base);
        here.reserve(&[&ticket]).await.expect(201);
        let began = Instant::now();
        for listener in &mut listeners {
            listener.until(&ticket, "reserved").await;
        }
        delays.push(began.elapsed());
    }
    // A busy machine adds delays that vary: the shortest one is closest to the shop's own.
    assert!(delays.iter().min() < Some(&EVENT_TIMEOUT), "{delays:?}");
    println!("6 reservations, shown by the other replica within {delays:?}");
    drop(listeners);
    cluster.close().await;
}
