//! Runs the moves against a real shop over HTTP and compares its state with the model after each.
//!
//! Owns the translation between numbers and ids. Each case has its own shop, so that failures do not depend on
//! earlier cases.

use super::{
    answers::Model,
    expected::{expected_orders, expected_payments, expected_tickets},
    limits::{TICKETS_PER_BUYER, TICKETS_PER_NETWORK},
    model::{Attempt, SELLER, STARTS_AT, World},
    moves::{AssumedRules, ModelMachine},
    tables,
    words::{Amount, Card, DECLINED_CARDS, Move, Selection},
};
use crate::support::{self, App, Client, Jobs, database::Database, order_steps, path};
use platform::clock::Clock;
use proptest_state_machine::StateMachineTest;
use serde_json::{Value, json};
use shop::orders::HoldLimits;
use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    time::Duration,
};
use stripe_double::DisputeStatus;
use tokio::runtime::Runtime;

/// The database engine of the shop.
pub trait Engine: 'static {
    fn open() -> impl Future<Output = App>;
}

pub struct Sqlite;

impl Engine for Sqlite {
    async fn open() -> App {
        let app = App::start_limited(Database::sqlite(), Jobs::None, None, limits()).await;
        order_steps::watch(&app.db).await;
        app
    }
}

pub struct Postgres;

impl Engine for Postgres {
    async fn open() -> App {
        App::start_limited(Database::postgres().await, Jobs::None, None, limits()).await
    }
}

fn limits() -> HoldLimits {
    HoldLimits {
        tickets_per_buyer: i64::try_from(TICKETS_PER_BUYER).unwrap(),
        tickets_per_network: i64::try_from(TICKETS_PER_NETWORK).ok(),
    }
}

/// Compares a shop on this engine with a model that assumes these rules.
pub struct Comparison<E, B>(PhantomData<(E, B)>);

impl<E: Engine, B: AssumedRules> StateMachineTest for Comparison<E, B> {
    type SystemUnderTest = Shop;
    type Reference = ModelMachine<B>;

    fn init_test(model: &Model) -> Shop {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let users = runtime.block_on(Users::open::<E>(&model.world));
        Shop {
            runtime,
            users: Some(users),
        }
    }

    fn apply(mut shop: Shop, model: &Model, next: Move) -> Shop {
        let users = shop.users.as_mut().unwrap();
        let outcome = shop.runtime.block_on(users.make(&next));
        users.record_ids(&next, &outcome);
        let (actual, expected) = (users.describe(&outcome), model.answer.to_string());
        assert!(
            actual == expected,
            "{next:?} returned {actual}, expected {expected}: {outcome:?}"
        );
        shop
    }

    fn check_invariants(shop: &Shop, model: &Model) {
        shop.runtime
            .block_on(shop.users().assert_agrees_with(&model.world));
    }

    /// Completes everything in progress, compares again and runs the audit.
    fn teardown(shop: Shop, mut model: Model) {
        const LONG: i64 = 3600;
        let world = &mut model.world;
        shop.runtime.block_on(async {
            let users = shop.users();
            users.app.webhooks_arrive().await;
            world.deliver_webhooks();
            users.app.clock.advance(LONG);
            world.now += LONG;
            assert_eq!(users.app.sweep().await, world.sweep(), "the last sweep");
            users.assert_agrees_with(world).await;
            users.app.assert_sound().await;
            assert_eq!(order_steps::find_illegal(&users.app.db).await, None);
            tables::assert_audited(&users.app).await;
            assert_eq!(users.app.captured_minor(), world.captured_amount());
            let mut incidents = users.app.incidents().await;
            incidents.sort_unstable();
            world.incidents.sort_unstable();
            assert!(
                incidents == world.incidents,
                "the incidents are {incidents:?}, expected {:?}",
                world.incidents
            );
        });
    }
}

/// A shop, and the runtime of it and its clients.
pub struct Shop {
    runtime: Runtime,
    users: Option<Users>,
}

impl Shop {
    fn users(&self) -> &Users {
        self.users.as_ref().unwrap()
    }
}

impl Drop for Shop {
    /// Also after a failed comparison, since shrinking would otherwise leave many databases.
    fn drop(&mut self) {
        if let Some(users) = self.users.take() {
            self.runtime.block_on(users.app.close());
        }
    }
}

/// A running shop and the clients of its users.
struct Users {
    app: App,
    event: Value,
    /// The buyers, then the seller.
    clients: Vec<Client>,
    tickets: Vec<Value>,
    orders: BTreeMap<Attempt, Value>,
    /// Open disputes.
    disputes: BTreeMap<Attempt, String>,
    /// The buyer of each attempt.
    buyers: BTreeMap<Attempt, usize>,
}

/// The result of a move: an HTTP answer, or the result of a periodic task or a bank.
#[derive(Debug)]
enum Outcome {
    Http(support::Answer),
    Effect(bool),
    Swept(usize),
    Nothing,
}

impl Users {
    async fn open<E: Engine>(world: &World) -> Self {
        let app = E::open().await;
        let mut clients = Vec::new();
        for name in ["ann", "bob", "cleo", "seller"] {
            clients.push(app.user(name).await);
        }
        let starts_at = app.clock.now() + Duration::from_secs(STARTS_AT.unsigned_abs());
        let event = clients[SELLER]
            .event_with(json!({"startsAt": starts_at.timestamp().to_string()}))
            .await;
        let mut tickets = Vec::new();
        for ticket in &world.tickets {
            tickets.push(clients[SELLER].ticket(&event, ticket.price).await);
        }
        if world.limits.on {
            app.limits_on();
        }
        Self {
            app,
            event,
            clients,
            tickets,
            orders: BTreeMap::new(),
            disputes: BTreeMap::new(),
            buyers: BTreeMap::new(),
        }
    }

    async fn make(&mut self, next: &Move) -> Outcome {
        if let Some(answer) = self.send_request(next).await {
            return Outcome::Http(answer);
        }
        let app = &self.app;
        match next {
            Move::RefundAtStripe { order, amount } => {
                let intent = self.intent(*order).await;
                let amount = match amount {
                    Amount::All => self.refundable_at_stripe(&intent),
                    Amount::Part(part) => *part,
                };
                Outcome::Effect(app.double.refund_at_dashboard(&intent, amount).is_some())
            }
            Move::Dispute { order } => {
                let intent = self.intent(*order).await;
                let opened = self.app.double.open_dispute(&intent, "fraudulent");
                let did = opened.is_some();
                self.disputes
                    .extend(opened.map(|dispute| (*order, dispute)));
                Outcome::Effect(did)
            }
            Move::CloseDispute { order, won } => {
                let status = if *won {
                    DisputeStatus::Won
                } else {
                    DisputeStatus::Lost
                };
                let dispute = self.disputes.remove(order);
                Outcome::Effect(
                    dispute.is_some_and(|id| self.app.double.decide_dispute(&id, status)),
                )
            }
            Move::AnswerBank { order, approves } => {
                let intent = self.intent(*order).await;
                Outcome::Effect(app.double.answer_at_bank(&intent, *approves))
            }
            Move::RunExpiryJob { order } => Outcome::Effect(app.expire(&self.orders[order]).await),
            Move::Sweep => Outcome::Swept(app.sweep().await),
            Move::DeliverWebhooks => {
                app.webhooks_arrive().await;
                Outcome::Nothing
            }
            Move::AdvanceTime { seconds } => {
                app.clock.advance(*seconds);
                Outcome::Nothing
            }
            other => panic!("{other:?} is not implemented"),
        }
    }

    /// Sends the HTTP request of a move; `None` if the move is not a request.
    #[expect(clippy::too_many_lines, reason = "one arm for each move")]
    async fn send_request(&mut self, next: &Move) -> Option<support::Answer> {
        let seller = &self.clients[SELLER];
        Some(match next {
            Move::Reserve {
                attempt,
                user,
                selection,
            } => {
                self.buyers.insert(*attempt, *user);
                self.reserve(*attempt, selection).await
            }
            Move::Repeat { attempt, selection } => self.reserve(*attempt, selection).await,
            Move::Pay { order, user, card } => {
                let token = match card {
                    Card::Good => "pm_card_visa",
                    Card::Declined => "pm_card_chargeDeclined",
                    Card::RequiresAction => "pm_card_threeDSecure2Required",
                };
                self.clients[*user].pay(&self.orders[order], token).await
            }
            Move::PayWithDeclinedCards { order, user } => {
                let mut last = None;
                for _ in 0..DECLINED_CARDS {
                    let order = &self.orders[order];
                    last = Some(
                        self.clients[*user]
                            .pay(order, "pm_card_chargeDeclined")
                            .await,
                    );
                }
                return last;
            }
            Move::ReadPayment { order } => {
                let (buyer, payment) = self.payment(*order).await;
                // Called directly, because requests do not read a payment again within a short interval.
                self.app
                    .engine
                    .refresh(payment.parse().unwrap())
                    .await
                    .unwrap();
                buyer.get(&format!("/api/payments/{payment}")).await
            }
            Move::Cancel { order, user } => self.clients[*user].cancel(&self.orders[order]).await,
            Move::MoreTime { order, user } => {
                self.clients[*user].more_time(&self.orders[order]).await
            }
            Move::List { price } => {
                let body = json!({"eventId": self.event["id"], "priceMinor": price});
                seller.post("/api/tickets", body).await
            }
            Move::Edit {
                ticket,
                price,
                stale,
            } => {
                let ticket = &self.tickets[*ticket];
                let version = seller.ticket_now(ticket).await["version"].as_i64().unwrap();
                let edit = json!({"priceMinor": price, "version": version - i64::from(*stale)});
                seller.put(&path("tickets", ticket), edit).await
            }
            Move::Withdraw { ticket } => {
                seller
                    .delete(&path("tickets", &self.tickets[*ticket]))
                    .await
            }
            Move::Refund { user, tickets } => {
                let tickets: Vec<&Value> = tickets
                    .iter()
                    .map(|ticket| &self.tickets[*ticket])
                    .collect();
                self.clients[*user].refund(&tickets).await
            }
            Move::RefundOrder { user, order } => {
                self.clients[*user].refund_order(&self.orders[order]).await
            }
            _ => return None,
        })
    }

    async fn reserve(&self, attempt: Attempt, selection: &Selection) -> support::Answer {
        let body = match selection {
            Selection::Named(named) => {
                let ids: Vec<&Value> = named
                    .iter()
                    .map(|ticket| &self.tickets[*ticket]["id"])
                    .collect();
                json!({"ticketIds": ids})
            }
            Selection::Any(quantity) => json!({"eventId": self.event["id"], "quantity": quantity}),
        };
        let key = format!("attempt-{attempt}");
        let headers = [("idempotency-key", key.as_str())];
        let buyer = &self.clients[self.buyers[&attempt]];
        buyer.json("POST", "/api/orders", &headers, body).await
    }

    /// The order's buyer, and the id of its payment.
    async fn payment(&self, order: Attempt) -> (&Client, String) {
        let buyer = &self.clients[self.buyers[&order]];
        let now = buyer.order(&self.orders[&order]).await;
        (buyer, now["paymentId"].as_str().unwrap().to_owned())
    }

    /// The refundable amount of a payment at Stripe, in minor units.
    fn refundable_at_stripe(&self, intent: &str) -> i64 {
        let journal = self.app.journal();
        let line = journal.iter().find(|line| line.id == intent);
        line.map_or(0, |line| line.amount_received - line.amount_refunded)
    }

    /// Stripe's id of the order's payment.
    async fn intent(&self, order: Attempt) -> String {
        let (_, payment) = self.payment(order).await;
        let matches =
            |line: &stripe_double::JournalLine| line.metadata.values().any(|id| *id == payment);
        let journal = self.app.journal();
        journal
            .into_iter()
            .find(matches)
            .expect("Stripe knows the payment")
            .id
    }

    /// Records the ids of new objects.
    fn record_ids(&mut self, next: &Move, outcome: &Outcome) {
        let Outcome::Http(answer) = outcome else {
            return;
        };
        if answer.status != 201 {
            return;
        }
        match next {
            Move::Reserve { attempt, .. } | Move::Repeat { attempt, .. } => {
                self.orders
                    .entry(*attempt)
                    .or_insert_with(|| answer.body.clone());
            }
            Move::List { .. } => self.tickets.push(answer.body.clone()),
            _ => {}
        }
    }

    /// The outcome in the format of the model's answers.
    fn describe(&self, outcome: &Outcome) -> String {
        let answer = match outcome {
            Outcome::Http(answer) => answer,
            Outcome::Effect(did) => return format!("did {did}"),
            Outcome::Swept(orders) => return format!("swept {orders}"),
            Outcome::Nothing => return "nothing".to_owned(),
        };
        let (http, body) = (answer.status, &answer.body);
        if http >= 400 {
            let code = body["code"].as_str().unwrap_or("?");
            return format!("{http} {code} {}", body["retryAfterSeconds"]);
        }
        let status = body["status"].as_str().unwrap_or("?");
        if http == 204 {
            "204".to_owned()
        } else if let Some(tickets) = body["tickets"].as_array() {
            let tickets = self.ticket_numbers(tickets);
            let order = self
                .orders
                .iter()
                .find(|(_, known)| known["id"] == body["id"]);
            let order = order.map_or("?".to_owned(), |(attempt, _)| attempt.to_string());
            format!(
                "{http} order {order} {status} {} {tickets:?}",
                body["totalMinor"]
            )
        } else if body["ticketIds"].is_array() {
            format!("{http} refund {status} {}", body["amountMinor"])
        } else if body["amountMinor"].is_i64() {
            format!("{http} payment {status}")
        } else {
            format!("{http} ticket {}", body["priceMinor"])
        }
    }

    fn ticket_numbers(&self, tickets: &[Value]) -> BTreeSet<usize> {
        let number = |ticket: &Value| {
            self.tickets
                .iter()
                .position(|known| known["id"] == ticket["id"])
        };
        tickets
            .iter()
            .map(|ticket| number(ticket).unwrap_or(usize::MAX))
            .collect()
    }

    /// Compares every ticket, every order and every payment at Stripe with the model.
    async fn assert_agrees_with(&self, world: &World) {
        let listed = format!(
            "/api/tickets?eventId={}&sellerId=me&limit=100",
            self.event["id"].as_str().unwrap()
        );
        let orders = "/api/orders?limit=100";
        let (tickets, ann, bob, cleo) = futures::join!(
            self.clients[SELLER].get(&listed),
            self.clients[0].get(orders),
            self.clients[1].get(orders),
            self.clients[2].get(orders),
        );
        assert_same(
            "ticket",
            self.actual_tickets(&tickets.expect(200)),
            expected_tickets(world),
        );
        for (buyer, orders) in [ann, bob, cleo].into_iter().enumerate() {
            assert_same(
                "order",
                self.actual_orders(&orders.expect(200)),
                expected_orders(world, buyer),
            );
        }
        assert_same(
            "payment of order",
            self.actual_payments(),
            expected_payments(world),
        );
        tables::assert_agree(&self.app, &self.tickets, world).await;
    }

    fn actual_tickets(&self, body: &Value) -> BTreeMap<usize, String> {
        let all = body["tickets"].as_array().unwrap();
        let texts = all.iter().map(|ticket| {
            let number = self
                .tickets
                .iter()
                .position(|known| known["id"] == ticket["id"]);
            let text = format!(
                "{} at {}, {} s left",
                ticket["status"].as_str().unwrap(),
                ticket["priceMinor"],
                ticket["reservedSecondsLeft"]
            );
            (number.expect("a listed ticket"), text)
        });
        texts.collect()
    }

    fn actual_orders(&self, body: &Value) -> BTreeMap<Attempt, String> {
        let all = body["orders"].as_array().unwrap();
        let texts = all.iter().map(|order| {
            let known = self
                .orders
                .iter()
                .find(|(_, known)| known["id"] == order["id"]);
            let (attempt, _) = known.expect("a reserved order");
            let text = format!(
                "{}, {} s left, {} for {:?}, payment: {}",
                order["status"].as_str().unwrap(),
                order["secondsLeft"],
                order["totalMinor"],
                self.ticket_numbers(order["tickets"].as_array().unwrap()),
                !order["paymentId"].is_null(),
            );
            (*attempt, text)
        });
        texts.collect()
    }

    /// The payments in Stripe's journal, by order.
    fn actual_payments(&self) -> BTreeMap<Attempt, String> {
        let journal = self.app.journal();
        let mut payments = BTreeMap::new();
        for line in &journal {
            let belongs_to =
                |order: &Value| line.metadata.values().any(|id| order["id"] == id.as_str());
            let order = self.orders.iter().find(|(_, order)| belongs_to(order));
            let (attempt, _) = order.expect("a payment without an order");
            let text = format!(
                "{} of {}, {} captured, {} refunded",
                line.status, line.amount, line.amount_received, line.amount_refunded
            );
            assert!(
                payments.insert(*attempt, text).is_none(),
                "two intents for one order"
            );
        }
        payments
    }
}

/// Asserts that both maps are equal; prints only the differences.
#[track_caller]
fn assert_same(
    kind: &str,
    mut actual: BTreeMap<usize, String>,
    mut expected: BTreeMap<usize, String>,
) {
    let equal: Vec<usize> = actual
        .iter()
        .filter(|(number, text)| expected.get(number) == Some(text))
        .map(|(number, _)| *number)
        .collect();
    for number in equal {
        actual.remove(&number);
        expected.remove(&number);
    }
    let agree = actual.is_empty() && expected.is_empty();
    assert!(
        agree,
        "{kind}: the shop has {actual:?}, expected {expected:?}"
    );
}
