//! Buyers who come through different replicas at the same moment.

use super::set::{Set, Wants};
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
/// Writes of one user in a minute.
const WRITES: usize = 600;
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// Nothing lapses meanwhile.
fn long_holds() -> Wants {
    Wants {
        holds: Holds {
            seconds: 600,
            grace_seconds: 60,
        },
        ..Wants::default()
    }
}

async fn buyers(set: &Set) -> Vec<Client> {
    let mut buyers = Vec::with_capacity(BUYERS);
    for number in 0..BUYERS {
        let buyer = Client::sign_up(&set.webs[number % 2].base, "buyer").await;
        // Half of them ask another replica than the one that knows them.
        buyers.push(buyer.at(&set.webs[number / 2 % 2].base));
    }
    buyers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyers_of_two_replicas_get_each_ticket_once() {
    let set = Set::start_with(long_holds()).await;
    let seller = Client::sign_up(&set.webs[0].base, "seller").await;
    let event = seller.event().await;
    seller
        .batch(&event, i64::try_from(TICKETS).unwrap(), 2500)
        .await;
    let buyers = buyers(&set).await;
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

    let wanted = seller.ticket(&event, 2500).await;
    let named = [&wanted];
    let answers = join_all(buyers.iter().map(|buyer| buyer.reserve(&named))).await;
    let won: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert_eq!(won.len(), 1, "one ticket, one buyer");
    for lost in answers.iter().filter(|answer| answer.status != 201) {
        lost.clone().refused(409, "ticket_reserved");
    }
    println!(
        "{BUYERS} buyers at two replicas: {orders} of {TICKETS} tickets, and 1 of 1, each once"
    );
    let tables = set.tables().await;
    checks::assert_sound(&set.stripe, set.audit(), &tables).await;
    tables.close().await;
    set.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_both_replicas_are_sent_has_one_effect() {
    let set = Set::start_with(long_holds()).await;
    let seller = Client::sign_up(&set.webs[0].base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 100, 2500).await;
    let here = Client::sign_up(&set.webs[0].base, "buyer").await;
    let there = here.at(&set.webs[1].base);
    let body = json!({"eventId": event["id"], "quantity": 1});
    for number in 0..KEYS {
        let key = format!("attempt-{number}");
        let headers = [("idempotency-key", key.as_str())];
        let post = |buyer: &Client| {
            let (buyer, body) = (buyer.clone(), body.clone());
            async move { buyer.json("POST", "/api/orders", &headers, body).await }
        };
        let both = join_all([&here, &there, &here, &there].map(post)).await;
        let mut orders = HashSet::new();
        for answer in both {
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
    let orders = set.number("SELECT COUNT(*) AS n FROM orders").await;
    assert_eq!(orders, i64::try_from(KEYS).unwrap());
    println!("{KEYS} keys, each sent six times to two replicas: {orders} orders");
    set.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_writes_are_counted_by_both_replicas_together() {
    let wants = Wants {
        rate_limits: true,
        ..long_holds()
    };
    let set = Set::start_with(wants).await;
    // Signing up is counted, too.
    let began = Instant::now();
    let here = Client::sign_up(&set.webs[0].base, "buyer").await;
    let there = here.at(&set.webs[1].base);
    let nothing = client::path("orders", &json!({"id": uuid::Uuid::now_v7().to_string()}));
    let write = |number: usize| {
        let (writer, path) = ([&here, &there][number % 2].clone(), nothing.clone());
        async move { writer.delete(&path).await.status }
    };
    let mut passed = 0;
    let mut refused = 0;
    // Some at a time, as browsers and scripts do.
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
    // A new minute brings new writes: a busy machine may take that long.
    let minutes = usize::try_from(began.elapsed().as_secs() / 60).unwrap();
    assert!(
        (WRITES..=WRITES * (1 + minutes)).contains(&passed),
        "{passed}"
    );
    set.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_one_replica_hears_of_the_other_within_a_second() {
    let set = Set::start_with(long_holds()).await;
    let seller = Client::sign_up(&set.webs[0].base, "seller").await;
    let buyer = Client::sign_up(&set.webs[0].base, "buyer").await;
    let event = seller.event().await;
    let mut pages = [
        Listener::open(&set.webs[0].base, &event, None).await,
        Listener::open(&set.webs[1].base, &event, None).await,
    ];
    let mut took = Vec::new();
    for round in 0..6 {
        let ticket = seller.ticket(&event, 2500).await;
        let here = buyer.at(&set.webs[round % 2].base);
        here.reserve(&[&ticket]).await.expect(201);
        let began = Instant::now();
        for page in &mut pages {
            page.until(&ticket, "reserved").await;
        }
        took.push(began.elapsed());
    }
    // What a busy machine adds differs from time to time: the fastest shows what the shop takes.
    assert!(took.iter().min() < Some(&SHOWN_WITHIN), "{took:?}");
    println!("6 reservations, shown by the other replica within {took:?}");
    drop(pages);
    set.close().await;
}
