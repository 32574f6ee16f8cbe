//! The world of one history: three buyers, a seller, a few tickets, a lossy gateway to Stripe, a clock, and the
//! possible actions. Actions at Stripe are in `world/elsewhere.rs`, batches of listings in `world/batches.rs`,
//! checks of the invariants in `world/checks.rs`.

mod batches;
mod checks;
mod elsewhere;

use super::{
    Random,
    actors::{Actor, Stopped},
    cast::{create_user, event_request},
    gateway::LossyGateway,
};
use crate::support::{WEBHOOK_SECRET, database::Database, listen, order_steps, staging::Staging};
use model::{
    Moment,
    accounts::Viewer,
    error::AppError,
    ids::{EventId, OrderId, PaymentId, TicketId},
    orders::{Reserve, ReserveAny, ReserveNamed},
    payments::Pay,
    refunds::CreateRefund,
    tickets::{EditTicket, ListTicket},
};
use platform::{
    clock::{Clock, ManualClock},
    db::Db,
};
use shop::{
    Api, Parts, Shop,
    accounts::Operators,
    events::ListenersMax,
    orders::{HoldLimits, Holds},
    tickets::LISTINGS_PER_DAY,
};
use sqlx::{AssertSqlSafe, Row, query};
use std::sync::Arc;
use stripe_double::Double;
use stripe_gateway::{StripeGateway, WebhookSecrets};
use tokio::task::JoinSet;

const CARDS: [&str; 5] = [
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_chargeDeclined",
    "pm_card_threeDSecure2Required",
    "pm_card_pendingRefund",
];
/// Percentage of calls to Stripe that are lost, and of answers.
const LOSS_PERCENT: usize = 8;
/// Limit of unpaid tickets per buyer in histories with limits; low, so that it is reached.
const TICKETS_PER_BUYER: i64 = 3;
/// Maximum number of concurrent actors.
const ACTORS_MAX: usize = 4;

pub struct World {
    random: Random,
    db: Db,
    database: Database,
    clock: Arc<ManualClock>,
    double: Double,
    gateway: Arc<LossyGateway>,
    shop: Arc<Shop>,
    api: Api,
    seller: Viewer,
    buyers: Vec<Viewer>,
    event: EventId,
    tickets: Vec<TicketId>,
    actors: Vec<Actor>,
    trace: Vec<String>,
    /// Disputes that were opened.
    disputes: Vec<String>,
    /// The seller's open batch.
    batch: Option<Staging>,
    _servers: JoinSet<()>,
}

impl World {
    pub async fn start(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let database = Database::sqlite();
        let db = Db::open(&database.url).await.unwrap();
        order_steps::watch(&db).await;
        let clock = ManualClock::starting_at(Moment::from_seconds(1_925_035_200));
        let double_clock = clock.clone();
        let double = Double::open(None, Arc::new(move || double_clock.now().seconds())).unwrap();
        let (stripe_url, listener) = listen().await;
        let router = double.api_router();
        let mut servers = JoinSet::new();
        servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let key = "sk_test_sim".to_owned().into();
        let stripe = StripeGateway::new(&key, Some(&stripe_url)).unwrap();
        let gateway_random = Random::new(random.next());
        let gateway = Arc::new(LossyGateway::new(stripe, gateway_random, LOSS_PERCENT));
        let shop = Shop::new(Parts {
            db: db.clone(),
            clock: clock.clone(),
            gateway: gateway.clone(),
            webhook_verifier: Arc::new(WebhookSecrets {
                secrets: vec![WEBHOOK_SECRET.to_owned().into()],
                live: false,
            }),
            holds: Holds::default(),
            hold_limits: HoldLimits {
                tickets_per_buyer: TICKETS_PER_BUYER,
                ..HoldLimits::default()
            },
            listings_per_day: LISTINGS_PER_DAY,
            public_url: "http://shop.test".to_owned(),
            // While an actor waits, no other one runs, so waiting would have no effect.
            pay_wait: std::time::Duration::ZERO,
            // Sequential, so that a seed determines the history.
            calls_at_once: 1,
            rate_limits: seed.is_multiple_of(2),
            operators: Operators::default(),
            listeners: ListenersMax::default(),
            redis: None,
            nats: None,
            mail: None,
        })
        .unwrap();
        let api = shop.api();
        let mut users = Vec::new();
        for name in ["seller", "ann", "bob", "cleo"] {
            users.push(create_user(&db, name).await);
        }
        let seller = users.remove(0);
        let created = api.events.create(&seller, event_request()).await.unwrap();
        let mut world = Self {
            random,
            db,
            database,
            clock,
            double,
            gateway,
            shop: Arc::new(shop),
            api,
            seller,
            buyers: users,
            event: created.id,
            tickets: Vec::new(),
            actors: Vec::new(),
            trace: Vec::new(),
            disputes: Vec::new(),
            batch: None,
            _servers: servers,
        };
        world.list_tickets().await;
        world
    }

    async fn list_tickets(&mut self) {
        for price_minor in [1500, 2500, 2500, 4000] {
            let ticket = ListTicket {
                event_id: self.event,
                price_minor,
                face_value_minor: None,
                section: None,
                row: None,
                seat: None,
            };
            let tickets = &self.api.tickets;
            let listed = tickets.put_on_sale(&self.seller, ticket, 1, None).await;
            self.tickets.extend(listed.unwrap().ticket_ids);
        }
    }

    /// Starts, resumes or aborts an actor, or advances the clock.
    pub async fn step(&mut self) {
        let waiting = self.actors.len();
        if waiting > 0 && (waiting >= ACTORS_MAX || self.random.percent(55)) {
            let at = self.random.below(waiting);
            if self.random.percent(6) {
                let actor = self.actors.remove(at);
                self.trace.push(format!("{} is aborted", actor.name));
                actor.abort();
            } else {
                self.resume_actor(at).await;
            }
            return;
        }
        match self.random.below(24) {
            0..5 => self.reserve().await,
            5..9 => self.pay().await,
            9 => self.cancel().await,
            10 => self.refund().await,
            11 => self.reprice().await,
            12 => self.answer_at_bank(),
            13 => self.deliver_webhook().await,
            14 => self.run_expiry_job().await,
            15 => self.sweep().await,
            16 => self.run_engine().await,
            17 | 18 => self.act_at_stripe(),
            19 => self.kill_process(),
            20..23 => self.advance_batch().await,
            _ => self.advance_time(),
        }
    }

    async fn resume_actor(&mut self, at: usize) {
        let stopped = self.actors[at].resume().await;
        let name = self.actors[at].name.clone();
        match stopped {
            Stopped::AtPoint(point) => self.trace.push(format!("{name} reaches {point}")),
            Stopped::AtEnd(outcome) => {
                self.trace.push(format!("{name}: {outcome}"));
                self.actors.remove(at);
            }
        }
    }

    async fn start_actor(
        &mut self,
        name: String,
        work: impl Future<Output = String> + Send + 'static,
    ) {
        self.actors.push(Actor::start(name, work));
        self.resume_actor(self.actors.len() - 1).await;
    }

    async fn reserve(&mut self) {
        let buyer = self.random.below(self.buyers.len());
        let request = if self.random.percent(40) {
            Reserve::Any(ReserveAny {
                event_id: self.event,
                quantity: 1 + i64::try_from(self.random.below(2)).unwrap(),
                section: None,
                max_price_minor: None,
                offer: None,
            })
        } else {
            let first = self.random.below(self.tickets.len());
            let mut ids = vec![self.tickets[first]];
            if self.random.percent(40) {
                ids.push(self.tickets[(first + 1) % self.tickets.len()]);
            }
            Reserve::Named(ReserveNamed { ticket_ids: ids })
        };
        let (api, viewer) = (self.api.clone(), self.buyers[buyer].clone());
        self.start_actor(format!("{} reserves", viewer.user.name), async move {
            match api.orders.reserve(&viewer, request, None).await {
                Ok(order) => format!("gets {} tickets", order.tickets.len()),
                Err(error) => refusal(&error),
            }
        })
        .await;
    }

    /// An order, its buyer and its number in the history.
    async fn choose_order(&mut self) -> Option<(OrderId, Viewer, usize)> {
        let rows = query("SELECT id, buyer_id FROM orders ORDER BY id")
            .fetch_all(self.db.reads())
            .await
            .unwrap();
        if rows.is_empty() {
            return None;
        }
        // Prefers recent orders, which are still active.
        let recent = rows.len().min(4);
        let at = rows.len() - 1 - self.random.below(recent);
        let (id, buyer): (String, String) = (rows[at].get("id"), rows[at].get("buyer_id"));
        let of = self.buyers.iter();
        let viewer = of
            .into_iter()
            .find(|known| known.user.id.to_string() == buyer)?;
        Some((id.parse().unwrap(), viewer.clone(), at))
    }

    async fn pay(&mut self) {
        let card = CARDS[self.random.below(CARDS.len())];
        let Some((order_id, viewer, number)) = self.choose_order().await else {
            return;
        };
        let api = self.api.clone();
        let name = format!("{} pays order {number} with {card}", viewer.user.name);
        let request = Pay {
            order_id,
            token: card.to_owned(),
        };
        self.start_actor(name, async move {
            match api.payments.pay(&viewer, request).await {
                Ok(payment) => format!("{:?}", payment.status),
                Err(error) => refusal(&error),
            }
        })
        .await;
    }

    async fn cancel(&mut self) {
        let Some((order, viewer, number)) = self.choose_order().await else {
            return;
        };
        let api = self.api.clone();
        self.start_actor(
            format!("{} cancels order {number}", viewer.user.name),
            async move { outcome(api.orders.cancel(&viewer, order, None).await) },
        )
        .await;
    }

    async fn refund(&mut self) {
        let Some((order, _, number)) = self.choose_order().await else {
            return;
        };
        let (api, viewer) = (self.api.clone(), self.seller.clone());
        let ticket = self.tickets[self.random.below(self.tickets.len())];
        let (what, request) = if self.random.percent(50) {
            let request = CreateRefund {
                order_id: Some(order),
                ticket_ids: None,
            };
            (format!("order {number}"), request)
        } else {
            let request = CreateRefund {
                order_id: None,
                ticket_ids: Some(vec![ticket]),
            };
            ("a ticket".to_owned(), request)
        };
        self.start_actor(format!("the seller refunds {what}"), async move {
            outcome(api.refunds.create(&viewer, request).await)
        })
        .await;
    }

    async fn reprice(&mut self) {
        let ticket = self.tickets[self.random.below(self.tickets.len())];
        let Ok(found) = self.api.tickets.get(ticket).await else {
            self.trace
                .push("the ticket to reprice is not found".to_owned());
            return;
        };
        let edit = EditTicket {
            version: found.version,
            price_minor: Some(found.price_minor + 100),
            ..EditTicket::default()
        };
        let edited = outcome(
            self.api
                .tickets
                .edit(&self.seller, ticket, edit, None)
                .await,
        );
        self.trace.push(format!("the seller reprices: {edited}"));
    }

    fn answer_at_bank(&mut self) {
        let intents = self.intents();
        let approve = self.random.percent(70);
        let Some(at) = self
            .random
            .pick(&(0..intents.len()).collect::<Vec<_>>())
            .copied()
        else {
            return;
        };
        let done = self.double.answer_at_bank(&intents[at], approve);
        self.trace.push(format!(
            "the bank answers for intent {at}, {approve}: {done}"
        ));
    }

    fn intents(&self) -> Vec<String> {
        self.double
            .journal()
            .into_iter()
            .map(|line| line.id)
            .collect()
    }

    /// Delivers and processes any event about any intent, even if it was delivered before.
    async fn deliver_webhook(&mut self) {
        let intents = self.intents();
        let kinds = [
            "payment_intent.succeeded",
            "payment_intent.canceled",
            "charge.refunded",
            "refund.updated",
            "charge.dispute.closed",
        ];
        let kind = kinds[self.random.below(kinds.len())];
        let Some(intent) = self.random.pick(&intents).cloned() else {
            return;
        };
        let event = format!("{kind}#{}", self.random.below(1000));
        let now = self.clock.now().seconds();
        let (signature, payload) = self.double.sign_event(&event, &intent, WEBHOOK_SECRET, now);
        let (api, shop) = (self.api.clone(), self.shop.clone());
        self.start_actor(format!("the webhook {kind}"), async move {
            if let Err(error) = api.webhooks.receive(&signature, &payload).await {
                return refusal(&error);
            }
            outcome_of(shop.engine.drain().await.map(|_| ()))
        })
        .await;
    }

    async fn run_expiry_job(&mut self) {
        let Some((order, _, number)) = self.choose_order().await else {
            return;
        };
        let shop = self.shop.clone();
        self.start_actor(format!("the expiry job of order {number}"), async move {
            format!("{:?}", shop.orders.expire(order).await.ok())
        })
        .await;
    }

    async fn sweep(&mut self) {
        let shop = self.shop.clone();
        self.start_actor("the sweep".to_owned(), async move {
            outcome_of(shop.sweeper.sweep().await.map(|_| ()))
        })
        .await;
    }

    async fn run_engine(&mut self) {
        let rows = query("SELECT id FROM payments ORDER BY id")
            .fetch_all(self.db.reads())
            .await
            .unwrap();
        let ids: Vec<String> = rows.iter().map(|row| row.get("id")).collect();
        let Some(id) = self.random.pick(&ids) else {
            return;
        };
        let payment: PaymentId = id.parse().unwrap();
        let shop = self.shop.clone();
        let read = self.random.percent(50);
        self.start_actor(
            format!("the engine runs for a payment, read: {read}"),
            async move {
                if read {
                    outcome_of(shop.engine.refresh(payment).await.map(|_| ()))
                } else {
                    outcome_of(shop.engine.drive(payment).await)
                }
            },
        )
        .await;
    }

    fn kill_process(&mut self) {
        for actor in self.actors.drain(..) {
            self.trace
                .push(format!("{} is aborted with its process", actor.name));
            actor.abort();
        }
        if self.random.percent(30) {
            // The batch stays open until it counts as abandoned.
            self.batch = None;
        }
    }

    fn advance_time(&mut self) {
        let seconds = [1, 20, 31, 65, 300, 841, 901, 962][self.random.below(8)];
        self.clock.advance(seconds);
        self.trace.push(format!("{seconds} seconds pass"));
    }

    /// Stops the faults and buys a ticket.
    pub async fn buy_one(&mut self) {
        self.gateway.stop_losses();
        let buyer = self.buyers[0].clone();
        let request = Reserve::Named(ReserveNamed {
            ticket_ids: vec![self.tickets[0]],
        });
        let order = self
            .api
            .orders
            .reserve(&buyer, request, None)
            .await
            .unwrap();
        let pay = Pay {
            order_id: order.id,
            token: CARDS[0].to_owned(),
        };
        self.api.payments.pay(&buyer, pay).await.unwrap();
    }

    /// Stops the faults, runs all actors to their end, and advances the clock until no work is pending.
    pub async fn run_to_quiescence(&mut self) {
        self.gateway.stop_losses();
        while !self.actors.is_empty() {
            self.resume_actor(0).await;
        }
        for _ in 0..40 {
            self.clock.advance(61);
            self.shop.sweeper.sweep().await.unwrap();
            self.shop.reconciler.reconcile().await.unwrap();
        }
        self.delete_abandoned_batches().await;
        let rows =
            query("SELECT status, COUNT(*) AS n FROM orders GROUP BY status ORDER BY status")
                .fetch_all(self.db.reads())
                .await
                .unwrap();
        for row in rows {
            let (status, count): (String, i64) = (row.get("status"), row.get("n"));
            self.trace.push(format!("{count} orders {status}"));
        }
    }

    /// Changes the database directly.
    pub async fn tamper(&self, sql: &'static str) {
        let done = self
            .db
            .write(move |conn| Box::pin(async move { query(sql).execute(conn).await.map(|_| ()) }));
        done.await.unwrap();
    }

    pub fn trace_text(&self) -> String {
        self.trace.join("\n")
    }

    pub async fn end(self) -> Vec<String> {
        for actor in self.actors {
            actor.abort();
        }
        self.db.close().await;
        self.database.drop().await;
        self.trace
    }

    async fn query_number(&self, sql: &str) -> i64 {
        let row = query(AssertSqlSafe(sql.to_owned()))
            .fetch_one(self.db.reads())
            .await;
        row.unwrap().get("n")
    }
}

fn refusal(error: &AppError) -> String {
    format!("refused, {}", error.code())
}

fn outcome<T>(done: Result<T, AppError>) -> String {
    done.map_or_else(|error| refusal(&error), |_| "done".to_owned())
}

fn outcome_of(done: platform::fault::FaultResult<()>) -> String {
    done.map_or_else(|fault| format!("failed, {fault}"), |()| "done".to_owned())
}
