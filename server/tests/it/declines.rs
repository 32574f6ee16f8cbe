//! Declined cards are shown to the buyer on the order's page, and to an operator with their codes in the log
//! and by `stagedoor story`.

use crate::{
    audit_command::{code, run, stagedoor},
    crash::process::{Holds, Shop},
    support::{App, Client, database::Database, on_both_engines},
};
use serde_json::Value;
use std::process::Output;

const CARD_WITHOUT_FUNDS: &str = "pm_card_chargeDeclinedInsufficientFunds";
const STOLEN_CARD: &str = "pm_card_chargeDeclinedStolenCard";

async fn fetch_timeline(buyer: &Client, order: &Value) -> Vec<(String, Option<String>)> {
    let path = format!("/api/orders/{}/timeline", order["id"].as_str().unwrap());
    let body = buyer.get(&path).await.expect(200);
    let moments = body["moments"].as_array().unwrap();
    let moments = moments.iter().map(|moment| {
        let reason = moment["reason"].as_str().map(str::to_owned);
        (moment["what"].as_str().unwrap().to_owned(), reason)
    });
    moments.collect()
}

fn text_of(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(error)
}

async fn run_story(app: &App, about: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = stagedoor(folder.path(), &["story", about]);
    command.env("DATABASE_URL", &app.database.url);
    let output = run(command).await;
    (code(&output), text_of(&output))
}

on_both_engines! {
    async fn an_order_shows_each_declined_card_once(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        for (card, seconds) in [
            (CARD_WITHOUT_FUNDS, 5),
            (STOLEN_CARD, 7),
            ("pm_card_threeDSecureRequiredChargeDeclined", 9),
        ] {
            app.clock.advance(seconds);
            let answer = buyer.pay(&order, card).await;
            if answer.status == 202 {
                app.approve_at_bank(&answer.body);
            }
            app.webhooks_arrive().await;
        }
        let declined = |reason: Option<&str>| ("declined".to_owned(), reason.map(str::to_owned));
        let moment = |what: &str| (what.to_owned(), None);
        let without_funds = declined(Some("there is not enough money for it"));
        let found = fetch_timeline(&buyer, &order).await;
        // The reason "stolen card" is not shown to the buyer.
        let expected = [
            moment("reserved"), moment("payment_begun"), without_funds, declined(None), declined(None),
        ];
        assert_eq!(found, expected);
        app.clock.advance(1);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        assert_eq!(fetch_timeline(&buyer, &order).await.last().unwrap(), &moment("paid"));
        let page = buyer.page(&format!("/orders/{}", order["id"].as_str().unwrap())).await.text;
        assert!(page.contains("A card was declined: there is not enough money for it."), "{page}");
        assert!(!page.contains("stolen"));
        app.assert_sound().await;
    }

    async fn the_command_story_finds_orders_by_email_address_and_by_every_id(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        buyer.pay(&order, CARD_WITHOUT_FUNDS).await.refused(402, "card_declined");
        buyer.pay(&order, STOLEN_CARD).await.refused(402, "card_declined");
        let payment = buyer.pay(&order, "pm_card_visa").await.expect(201);
        app.settle().await;
        let (id, intent) = (payment["id"].as_str().unwrap(), payment["stripeId"].as_str().unwrap());
        let order = order["id"].as_str().unwrap();
        let upper_case = buyer.email.to_uppercase();
        for about in [order, id, intent, buyer.email.as_str(), &upper_case] {
            let (code, output) = run_story(app, about).await;
            assert_eq!(code, 0, "{output}");
            for words in [
                &format!("Order {order}: complete, £25.00"), &format!("buyer: {}", buyer.email),
                "reserved", "payment begun", "card 1 declined: insufficient_funds",
                "card 2 declined: stolen_card", intent, "£25.00 received", "paid, £25.00",
                "call to Stripe: capture, done after 1 try", "mail order_complete, pending",
            ] {
                assert!(output.contains(words), "{about}: no {words:?} in {output}");
            }
        }
        let (code, output) = run_story(app, &seller.email).await;
        assert!(code == 0 && output.contains("They have ordered nothing."), "{output}");
        for unknown in ["nobody@example.com", "pi_nothing", "", "'; DROP TABLE orders"] {
            let (code, output) = run_story(app, unknown).await;
            assert!(code == 1 && !output.contains("Order "), "{unknown}: {output}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_story_creates_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(stagedoor(folder.path(), &["story", "ann@example.com"])).await;
    assert_eq!(code(&output), 1, "{}", text_of(&output));
    assert!(!folder.path().join("data/stagedoor.db").exists());
}

/// With the default log levels, because `RUST_LOG` is not set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_names_the_code_of_a_declined_card_without_a_warning() {
    let holds = Holds {
        seconds: 900,
        grace_seconds: 60,
    };
    let shop = Shop::open_with_log(Database::sqlite(), holds, "").await;
    let seller = Client::sign_up(&shop.base, "seller").await;
    let buyer = Client::sign_up(&shop.base, "buyer").await;
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    buyer
        .pay(&order, CARD_WITHOUT_FUNDS)
        .await
        .refused(402, "card_declined");
    let log = shop.server_log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.collect();
    let is_decline = |line: &&Value| line["fields"]["message"] == "a card was declined";
    let declined: Vec<&Value> = lines.iter().filter(is_decline).collect();
    assert_eq!(declined.len(), 1, "{log}");
    let fields = &declined[0]["fields"];
    assert_eq!(
        (&fields["code"], &fields["order"]),
        (&"insufficient_funds".into(), &order["id"])
    );
    assert!(fields["payment"].is_string());
    let of_stripe = |line: &&Value| {
        line["target"]
            .as_str()
            .unwrap_or_default()
            .starts_with("stripe::")
    };
    assert_eq!(lines.iter().find(of_stripe), None, "{log}");
    assert!(!log.contains(&buyer.email), "{log}");
    shop.close().await;
}
