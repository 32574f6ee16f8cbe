//! Runs the moves against a real shop over HTTP and compares its state with the model after each.
//!
//! Owns the translation between numbers and ids. Each case has its own shop, so that failures do not depend on
//! earlier cases.

use super::{
    limits::{TICKETS_PER_BUYER, TICKETS_PER_NETWORK},
    model::{Attempt, Intent, Place, SELLER, STARTS_AT, World},
    moves::{Belief, Promise},
    promise::Model,
    tables,
    words::{Amount, BAD_CARDS, Card, Move, Wanted, name},
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

/// Compares a shop on this engine with a model of these rules.
pub struct Beside<E, B>(PhantomData<(E, B)>);

impl<E: Engine, B: Belief> StateMachineTest for Beside<E, B> {
    type SystemUnderTest = Shop;
    type Reference = Promise<B>;

    fn init_test(model: &Model) -> Shop {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let seen = runtime.block_on(Seen::open::<E>(&model.world));
        Shop {
            runtime,
            seen: Some(seen),
        }
    }

    fn apply(mut shop: Shop, model: &Model, next: Move) -> Shop {
        let seen = shop.seen.as_mut().unwrap();
        let answer = shop.runtime.block_on(seen.make(&next));
        seen.learn(&next, &answer);
        let (got, promised) = (seen.read(&answer), model.answer.to_string());
        assert!(
            got == promised,
            "{next:?} got {got}, promised was {promised}: {answer:?}"
        );
        shop
    }

    fn check_invariants(shop: &Shop, model: &Model) {
        shop.runtime.block_on(shop.seen().agrees_with(&model.world));
    }

    /// Completes everything in progress, then compares again and audits.
    fn teardown(shop: Shop, mut model: Model) {
        const LONG: i64 = 3600;
        let world = &mut model.world;
        shop.runtime.block_on(async {
            let seen = shop.seen();
            seen.app.webhooks_arrive().await;
            world.webhooks();
            seen.app.clock.advance(LONG);
            world.now += LONG;
            assert_eq!(seen.app.sweep().await, world.sweep(), "the last sweep");
            seen.agrees_with(world).await;
            seen.app.assert_sound().await;
            assert_eq!(order_steps::find_illegal(&seen.app.db).await, None);
            tables::assert_audited(&seen.app).await;
            assert_eq!(seen.app.captured_minor(), world.money());
            let mut asked = seen.app.incidents().await;
            asked.sort_unstable();
            world.incidents.sort_unstable();
            assert!(
                asked == world.incidents,
                "a person was asked to look at {asked:?}, promised was {:?}",
                world.incidents
            );
        });
    }
}

/// A shop, and the runtime of it and its clients.
pub struct Shop {
    runtime: Runtime,
    seen: Option<Seen>,
}

impl Shop {
    fn seen(&self) -> &Seen {
        self.seen.as_ref().unwrap()
    }
}

impl Drop for Shop {
    /// Also after a failed comparison, since shrinking would otherwise leave many databases.
    fn drop(&mut self) {
        if let Some(seen) = self.seen.take() {
            self.runtime.block_on(seen.app.close());
        }
    }
}

/// The shop as seen by its users.
struct Seen {
    app: App,
    event: Value,
    /// The buyers, then the seller.
    users: Vec<Client>,
    tickets: Vec<Value>,
    orders: BTreeMap<Attempt, Value>,
    /// Open disputes.
    disputes: BTreeMap<Attempt, String>,
    /// The buyer of each attempt.
    buyers: BTreeMap<Attempt, usize>,
}

/// The result of a move: an HTTP answer, or the result of a periodic task or a bank.
#[derive(Debug)]
enum Heard {
    Http(support::Answer),
    Did(bool),
    Swept(usize),
    Silence,
}

impl Seen {
    async fn open<E: Engine>(world: &World) -> Self {
        let app = E::open().await;
        let mut users = Vec::new();
        for name in ["ann", "bob", "cleo", "seller"] {
            users.push(app.user(name).await);
        }
        let starts_at = app.clock.now() + Duration::from_secs(STARTS_AT.unsigned_abs());
        let event = users[SELLER]
            .event_with(json!({"startsAt": starts_at.timestamp().to_string()}))
            .await;
        let mut tickets = Vec::new();
        for ticket in &world.tickets {
            tickets.push(users[SELLER].ticket(&event, ticket.price).await);
        }
        if world.limits.on {
            app.limits_on();
        }
        Self {
            app,
            event,
            users,
            tickets,
            orders: BTreeMap::new(),
            disputes: BTreeMap::new(),
            buyers: BTreeMap::new(),
        }
    }

    async fn make(&mut self, next: &Move) -> Heard {
        if let Some(answer) = self.ask(next).await {
            return Heard::Http(answer);
        }
        let app = &self.app;
        match next {
            Move::RefundAtStripe { order, amount } => {
                let intent = self.intent(*order).await;
                let amount = match amount {
                    Amount::All => self.left_at_stripe(&intent),
                    Amount::Part(part) => *part,
                };
                Heard::Did(app.double.refund_at_dashboard(&intent, amount).is_some())
            }
            Move::Dispute { order } => {
                let intent = self.intent(*order).await;
                let opened = self.app.double.open_dispute(&intent, "fraudulent");
                let did = opened.is_some();
                self.disputes
                    .extend(opened.map(|dispute| (*order, dispute)));
                Heard::Did(did)
            }
            Move::CloseDispute { order, won } => {
                let status = if *won {
                    DisputeStatus::Won
                } else {
                    DisputeStatus::Lost
                };
                let dispute = self.disputes.remove(order);
                Heard::Did(dispute.is_some_and(|id| self.app.double.decide_dispute(&id, status)))
            }
            Move::AtBank { order, approves } => {
                let intent = self.intent(*order).await;
                Heard::Did(app.double.answer_at_bank(&intent, *approves))
            }
            Move::Timer { order } => Heard::Did(app.expire(&self.orders[order]).await),
            Move::Sweep => Heard::Swept(app.sweep().await),
            Move::WebhooksArrive => {
                app.webhooks_arrive().await;
                Heard::Silence
            }
            Move::Pass { seconds } => {
                app.clock.advance(*seconds);
                Heard::Silence
            }
            other => panic!("nobody makes {other:?}"),
        }
    }

    /// Sends the HTTP request of a move; `None` if the move is not a request.
    #[expect(clippy::too_many_lines, reason = "one arm for each move")]
    async fn ask(&mut self, next: &Move) -> Option<support::Answer> {
        let seller = &self.users[SELLER];
        Some(match next {
            Move::Reserve {
                attempt,
                who,
                wanted,
            } => {
                self.buyers.insert(*attempt, *who);
                self.reserve(*attempt, wanted).await
            }
            Move::Repeat { attempt, wanted } => self.reserve(*attempt, wanted).await,
            Move::Pay { order, who, card } => {
                let token = match card {
                    Card::Good => "pm_card_visa",
                    Card::Declined => "pm_card_chargeDeclined",
                    Card::AsksTheBank => "pm_card_threeDSecure2Required",
                };
                self.users[*who].pay(&self.orders[order], token).await
            }
            Move::PayBadCards { order, who } => {
                let mut last = None;
                for _ in 0..BAD_CARDS {
                    let order = &self.orders[order];
                    last = Some(self.users[*who].pay(order, "pm_card_chargeDeclined").await);
                }
                return last;
            }
            Move::Look { order } => {
                let (buyer, payment) = self.payment(*order).await;
                // Advances past the interval in which the payment is not read again.
                self.app
                    .engine
                    .refresh(payment.parse().unwrap())
                    .await
                    .unwrap();
                buyer.get(&format!("/api/payments/{payment}")).await
            }
            Move::Cancel { order, who } => self.users[*who].cancel(&self.orders[order]).await,
            Move::MoreTime { order, who } => self.users[*who].more_time(&self.orders[order]).await,
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
            Move::Refund { who, tickets } => {
                let tickets: Vec<&Value> = tickets
                    .iter()
                    .map(|ticket| &self.tickets[*ticket])
                    .collect();
                self.users[*who].refund(&tickets).await
            }
            Move::RefundOrder { who, order } => {
                self.users[*who].refund_order(&self.orders[order]).await
            }
            _ => return None,
        })
    }

    async fn reserve(&self, attempt: Attempt, wanted: &Wanted) -> support::Answer {
        let body = match wanted {
            Wanted::Named(named) => {
                let ids: Vec<&Value> = named
                    .iter()
                    .map(|ticket| &self.tickets[*ticket]["id"])
                    .collect();
                json!({"ticketIds": ids})
            }
            Wanted::Any(quantity) => json!({"eventId": self.event["id"], "quantity": quantity}),
        };
        let key = format!("attempt-{attempt}");
        let headers = [("idempotency-key", key.as_str())];
        let buyer = &self.users[self.buyers[&attempt]];
        buyer.json("POST", "/api/orders", &headers, body).await
    }

    /// The order's buyer, and the id of its payment.
    async fn payment(&self, order: Attempt) -> (&Client, String) {
        let buyer = &self.users[self.buyers[&order]];
        let now = buyer.order(&self.orders[&order]).await;
        (buyer, now["paymentId"].as_str().unwrap().to_owned())
    }

    /// The refundable rest of a payment at Stripe, in minor units.
    fn left_at_stripe(&self, intent: &str) -> i64 {
        let journal = self.app.journal();
        let line = journal.iter().find(|line| line.id == intent);
        line.map_or(0, |line| line.amount_received - line.amount_refunded)
    }

    /// Stripe's id of the order's payment.
    async fn intent(&self, order: Attempt) -> String {
        let (_, payment) = self.payment(order).await;
        let ours =
            |line: &stripe_double::JournalLine| line.metadata.values().any(|id| *id == payment);
        let journal = self.app.journal();
        journal
            .into_iter()
            .find(ours)
            .expect("Stripe knows the payment")
            .id
    }

    /// Records the ids of new objects.
    fn learn(&mut self, next: &Move, heard: &Heard) {
        let Heard::Http(answer) = heard else { return };
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

    /// The answer in the format of the model.
    fn read(&self, heard: &Heard) -> String {
        let answer = match heard {
            Heard::Http(answer) => answer,
            Heard::Did(did) => return format!("did {did}"),
            Heard::Swept(orders) => return format!("swept {orders}"),
            Heard::Silence => return "nothing".to_owned(),
        };
        let (http, body) = (answer.status, &answer.body);
        if http >= 400 {
            let code = body["code"].as_str().unwrap_or("?");
            return format!("{http} {code} {}", body["retryAfterSeconds"]);
        }
        let word = body["status"].as_str().unwrap_or("?");
        if http == 204 {
            "204".to_owned()
        } else if let Some(tickets) = body["tickets"].as_array() {
            let tickets = self.numbers(tickets);
            let order = self
                .orders
                .iter()
                .find(|(_, known)| known["id"] == body["id"]);
            let order = order.map_or("?".to_owned(), |(attempt, _)| attempt.to_string());
            format!(
                "{http} order {order} {word} {} {tickets:?}",
                body["totalMinor"]
            )
        } else if body["ticketIds"].is_array() {
            format!("{http} refund {word} {}", body["amountMinor"])
        } else if body["amountMinor"].is_i64() {
            format!("{http} payment {word}")
        } else {
            format!("{http} ticket {}", body["priceMinor"])
        }
    }

    fn numbers(&self, tickets: &[Value]) -> BTreeSet<usize> {
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
    async fn agrees_with(&self, world: &World) {
        let listed = format!(
            "/api/tickets?eventId={}&sellerId=me&limit=100",
            self.event["id"].as_str().unwrap()
        );
        let orders = "/api/orders?limit=100";
        let (tickets, ann, bob, cleo) = futures::join!(
            self.users[SELLER].get(&listed),
            self.users[0].get(orders),
            self.users[1].get(orders),
            self.users[2].get(orders),
        );
        same(
            "ticket",
            self.tickets_seen(&tickets.expect(200)),
            tickets_of(world),
        );
        for (buyer, seen) in [ann, bob, cleo].into_iter().enumerate() {
            same(
                "order",
                self.orders_seen(&seen.expect(200)),
                orders_of(world, buyer),
            );
        }
        same("payment of order", self.journal_seen(), journal_of(world));
        tables::agree(&self.app, &self.tickets, world).await;
    }

    fn tickets_seen(&self, body: &Value) -> BTreeMap<usize, String> {
        let all = body["tickets"].as_array().unwrap();
        let told = all.iter().map(|ticket| {
            let number = self
                .tickets
                .iter()
                .position(|known| known["id"] == ticket["id"]);
            let told = format!(
                "{} at {}, {} s left",
                ticket["status"].as_str().unwrap(),
                ticket["priceMinor"],
                ticket["reservedSecondsLeft"]
            );
            (number.expect("a ticket that nobody listed"), told)
        });
        told.collect()
    }

    fn orders_seen(&self, body: &Value) -> BTreeMap<Attempt, String> {
        let all = body["orders"].as_array().unwrap();
        let told = all.iter().map(|order| {
            let known = self
                .orders
                .iter()
                .find(|(_, known)| known["id"] == order["id"]);
            let (attempt, _) = known.expect("an order that nobody made");
            let told = format!(
                "{}, {} s left, {} for {:?}, payment: {}",
                order["status"].as_str().unwrap(),
                order["secondsLeft"],
                order["totalMinor"],
                self.numbers(order["tickets"].as_array().unwrap()),
                !order["paymentId"].is_null(),
            );
            (*attempt, told)
        });
        told.collect()
    }

    /// The payments in Stripe's journal, by order.
    fn journal_seen(&self) -> BTreeMap<Attempt, String> {
        let journal = self.app.journal();
        let mut told = BTreeMap::new();
        for line in &journal {
            let names = |order: &Value| line.metadata.values().any(|id| order["id"] == id.as_str());
            let order = self.orders.iter().find(|(_, order)| names(order));
            let (attempt, _) = order.expect("a payment for no order");
            let text = format!(
                "{} of {}, {} taken, {} back",
                line.status, line.amount, line.amount_received, line.amount_refunded
            );
            assert!(
                told.insert(*attempt, text).is_none(),
                "two intents for one order"
            );
        }
        told
    }
}

/// Panics with the differences.
#[track_caller]
fn same(what: &str, mut seen: BTreeMap<usize, String>, mut promised: BTreeMap<usize, String>) {
    let equal: Vec<usize> = seen
        .iter()
        .filter(|(number, told)| promised.get(number) == Some(told))
        .map(|(number, _)| *number)
        .collect();
    for number in equal {
        seen.remove(&number);
        promised.remove(&number);
    }
    let agree = seen.is_empty() && promised.is_empty();
    assert!(
        agree,
        "{what}: the shop says {seen:?}, promised was {promised:?}"
    );
}

fn tickets_of(world: &World) -> BTreeMap<usize, String> {
    let told = world.tickets.iter().enumerate().map(|(number, ticket)| {
        let left = world.held_for(number);
        let status = match ticket.place {
            Place::Sold(_) => "sold",
            Place::Withdrawn => "withdrawn",
            Place::Listed(_) if left.is_some() => "reserved",
            Place::Listed(_) => "available",
        };
        let told = format!("{} at {}, {} s left", status, ticket.price, json!(left));
        (number, told)
    });
    told.collect()
}

fn orders_of(world: &World, buyer: usize) -> BTreeMap<Attempt, String> {
    let own = world
        .orders
        .iter()
        .filter(|(_, order)| order.buyer == buyer);
    let told = own.map(|(attempt, order)| {
        let left = if order.is_open() {
            (order.expires_at - world.now).max(0)
        } else {
            0
        };
        let tickets: BTreeSet<usize> = order.lines.iter().map(|line| line.ticket).collect();
        let told = format!(
            "{}, {left} s left, {} for {tickets:?}, payment: {}",
            name(world.seen(*attempt)),
            order.total(),
            order.payment.is_some(),
        );
        (*attempt, told)
    });
    told.collect()
}

fn journal_of(world: &World) -> BTreeMap<Attempt, String> {
    let paid = world
        .paid
        .iter()
        .map(|attempt| (*attempt, world.order(*attempt)));
    let told = paid.filter_map(|(attempt, order)| {
        let payment = order.payment.as_ref()?;
        let status = match payment.intent {
            Intent::RequiresPaymentMethod => "requires_payment_method",
            Intent::RequiresAction => "requires_action",
            Intent::RequiresCapture => "requires_capture",
            Intent::Canceled => "canceled",
            Intent::Succeeded => "succeeded",
        };
        let (total, taken, back) = (order.total(), payment.received, payment.refunded);
        Some((
            attempt,
            format!("{status} of {total}, {taken} taken, {back} back"),
        ))
    });
    told.collect()
}
