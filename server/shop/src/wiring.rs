//! Puts the shop together: every service over one database, one clock, one gateway. What differs
//! between the real thing and a test is a parameter here and nowhere else.

use crate::{
    account_care::AccountCareService,
    accounts::{AccountsService, Operators},
    api::Api,
    events::{EventsService, Listeners, ListenersMax},
    expiration::{Queue, Sweeper, Workers},
    history::HistoryService,
    letters::Mailer,
    mail::{Letterhead, Transport},
    orders::{HoldLimits, Holds, OrdersService},
    passes::PassesService,
    payments::{
        Engine, Gateway, PaymentVoider, PaymentsService, Reconciler, WebhookVerifier, Webhooks,
    },
    refunds::{self, RefundsService},
    selling::SellingService,
    tickets::TicketsService,
    waiting::WaitingService,
};
use platform::{
    clock::SharedClock,
    db::Db,
    fault::FaultResult,
    limits::Limits,
    outbox::{Fanout, Live, Nats},
    redis_client::Redis,
    session::KeptSessions,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// What a shop is made of.
pub struct Parts {
    /// Where everything is kept.
    pub db: Db,
    /// What time it is.
    pub clock: SharedClock,
    /// Who charges cards.
    pub gateway: Arc<dyn Gateway>,
    /// Tells the webhooks of Stripe from others.
    pub webhook_verifier: Arc<dyn WebhookVerifier>,
    /// How long tickets are held.
    pub holds: Holds,
    /// How many of them may be held unpaid.
    pub hold_limits: HoldLimits,
    /// How many tickets one seller may list a day.
    pub listings_per_day: i64,
    /// The shop's own origin, without a trailing slash.
    pub public_url: String,
    /// How long a buyer waits for a payment that somebody else is driving.
    pub pay_wait: Duration,
    /// For how many payments Stripe is called at once by jobs.
    pub calls_at_once: usize,
    /// Whether tries are counted.
    pub rate_limits: bool,
    /// How operators are recognised.
    pub operators: Operators,
    /// How many may listen to what happens.
    pub listeners: ListenersMax,
    /// What the processes of the shop share besides the database.
    pub redis: Option<Redis>,
    /// Where domain events go.
    pub nats: Option<Nats>,
    /// How mails leave, and what they have in common. None: they wait in the database.
    pub mail: Option<(Arc<dyn Transport>, Letterhead)>,
}

/// A shop, put together and not yet open.
pub struct Shop {
    /// Where everything is kept.
    pub db: Db,
    /// What time it is.
    pub clock: SharedClock,
    /// Counts tries.
    pub limits: Arc<Limits>,
    /// Which sessions there are.
    pub sessions: KeptSessions,
    /// Accounts, signing up, in and out.
    pub accounts: AccountsService,
    account_care: AccountCareService,
    /// The catalogue.
    pub events: EventsService,
    /// Listings.
    pub tickets: TicketsService,
    /// Holds.
    pub orders: OrdersService,
    /// Drives payments.
    pub engine: Arc<Engine>,
    /// Sweeps the database.
    pub sweeper: Arc<Sweeper>,
    /// Compares the provider's books with ours.
    pub reconciler: Reconciler,
    /// Tells browsers what happens.
    pub live: Arc<Live>,
    listeners: Arc<Listeners>,
    passes: PassesService,
    payments: PaymentsService,
    refunds: RefundsService,
    selling: SellingService,
    pub waiting: WaitingService,
    pub webhooks: Webhooks,
    pub workers: Workers,
    /// Sends mails, if they leave.
    pub mailer: Option<Arc<Mailer>>,
    pub nats: Option<Nats>,
}

impl Shop {
    /// Puts the parts together. Errors: the system's randomness fails.
    #[expect(clippy::too_many_lines, reason = "puts a whole shop together")]
    pub fn new(parts: Parts) -> FaultResult<Self> {
        let Parts {
            db,
            clock,
            gateway,
            holds,
            ..
        } = parts;
        let redis = parts.redis;
        let operators = parts.operators;
        let limits = Arc::new(Limits::new(clock.clone(), parts.rate_limits, redis.clone()));
        let (queue, workers) = Queue::new();
        let (expiry, calls_wait) = (Arc::new(queue), Arc::new(Notify::new()));
        let orders = OrdersService::new(
            db.clone(),
            clock.clone(),
            holds,
            parts.hold_limits,
            limits.clone(),
            expiry.clone(),
            Arc::new(PaymentVoider::new(calls_wait.clone())),
        );
        let engine = Arc::new(Engine::new(
            db.clone(),
            clock.clone(),
            gateway.clone(),
            Arc::new(refunds::Transitions),
            calls_wait,
            parts.calls_at_once,
        ));
        let reconciler = Reconciler::new(db.clone(), clock.clone(), gateway, engine.clone());
        let mailer = parts.mail.map(|(transport, head)| {
            Arc::new(Mailer::new(db.clone(), clock.clone(), transport, head))
        });
        let sessions = KeptSessions::new(db.clone(), clock.clone(), redis.clone());
        let accounts = AccountsService::new(
            db.clone(),
            clock.clone(),
            limits.clone(),
            Arc::new(sessions.clone()),
            operators,
            &parts.public_url,
        )?;
        Ok(Self {
            account_care: AccountCareService::new(
                accounts.clone(),
                db.clone(),
                clock.clone(),
                limits.clone(),
                Arc::new(sessions.clone()),
            ),
            accounts,
            events: EventsService::new(db.clone(), clock.clone()),
            tickets: TicketsService::new(
                db.clone(),
                clock.clone(),
                limits.clone(),
                parts.listings_per_day,
                operators,
            ),
            passes: PassesService::new(
                db.clone(),
                clock.clone(),
                parts.public_url.clone(),
                operators,
            ),
            payments: PaymentsService::new(
                db.clone(),
                clock.clone(),
                engine.clone(),
                holds,
                expiry,
                parts.pay_wait,
                parts.public_url,
                limits.clone(),
            ),
            refunds: RefundsService::new(db.clone(), clock.clone(), engine.clone(), operators),
            selling: SellingService::new(db.clone(), clock.clone()),
            waiting: WaitingService::new(db.clone(), clock.clone(), limits.clone()),
            webhooks: Webhooks::new(
                db.clone(),
                clock.clone(),
                engine.clone(),
                parts.webhook_verifier,
            ),
            sweeper: Arc::new(Sweeper::new(orders.clone(), engine.clone())),
            reconciler,
            live: Arc::new(Live::new(db.clone(), redis.map(Fanout::new))),
            listeners: Arc::new(Listeners::new(parts.listeners, limits.clone())),
            orders,
            engine,
            workers,
            mailer,
            nats: parts.nats,
            limits,
            sessions,
            db,
            clock,
        })
    }

    /// What pages and routes call.
    pub fn api(&self) -> Api {
        Api {
            accounts: Arc::new(self.accounts.clone()),
            account_care: Arc::new(self.account_care.clone()),
            second_factor: Arc::new(self.accounts.clone()),
            events: Arc::new(self.events.clone()),
            pictures: Arc::new(self.events.clone()),
            tickets: Arc::new(self.tickets.clone()),
            orders: Arc::new(self.orders.clone()),
            history: Arc::new(HistoryService::new(self.db.clone())),
            payments: Arc::new(self.payments.clone()),
            passes: Arc::new(self.passes.clone()),
            refunds: Arc::new(self.refunds.clone()),
            selling: Arc::new(self.selling.clone()),
            waiting: Arc::new(self.waiting.clone()),
            live: self.live.clone(),
            listeners: self.listeners.clone(),
            webhooks: Arc::new(self.webhooks.clone()),
        }
    }
}
