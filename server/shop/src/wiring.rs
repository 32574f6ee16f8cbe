//! Constructs all services over one database, clock and payment gateway. Everything that differs between
//! production and tests is a field of [`Parts`].

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
    session::CachedSessions,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// The parameters of a shop.
pub struct Parts {
    pub db: Db,
    pub clock: SharedClock,
    pub gateway: Arc<dyn Gateway>,
    /// Verifies the signatures of webhooks.
    pub webhook_verifier: Arc<dyn WebhookVerifier>,
    pub holds: Holds,
    pub hold_limits: HoldLimits,
    /// Maximum number of tickets that one seller may list per day.
    pub listings_per_day: i64,
    /// The shop's own origin, without a trailing slash.
    pub public_url: String,
    /// How long a request waits for a payment that another process is advancing.
    pub pay_wait: Duration,
    /// Maximum number of payments for which jobs call Stripe concurrently.
    pub calls_at_once: usize,
    /// Whether rate limits are enforced.
    pub rate_limits: bool,
    pub operators: Operators,
    /// Limits on open event streams.
    pub listeners: ListenersMax,
    pub redis: Option<Redis>,
    /// Receives domain events.
    pub nats: Option<Nats>,
    /// `None`: mails are queued in the database and not sent.
    pub mail: Option<(Arc<dyn Transport>, Letterhead)>,
}

/// All services of a shop. Constructing it starts no tasks.
pub struct Shop {
    pub db: Db,
    pub clock: SharedClock,
    pub limits: Arc<Limits>,
    pub sessions: CachedSessions,
    pub accounts: AccountsService,
    account_care: AccountCareService,
    pub events: EventsService,
    pub tickets: TicketsService,
    pub orders: OrdersService,
    pub engine: Arc<Engine>,
    pub sweeper: Arc<Sweeper>,
    /// Compares the provider's records with the database.
    pub reconciler: Reconciler,
    /// Stream of changes to tickets, for browsers.
    pub live: Arc<Live>,
    listeners: Arc<Listeners>,
    passes: PassesService,
    payments: PaymentsService,
    refunds: RefundsService,
    selling: SellingService,
    pub waiting: WaitingService,
    pub webhooks: Webhooks,
    pub workers: Workers,
    /// `None`: mails are not sent.
    pub mailer: Option<Arc<Mailer>>,
    pub nats: Option<Nats>,
}

impl Shop {
    /// Errors: the system's source of randomness fails.
    #[expect(clippy::too_many_lines, reason = "constructs every service")]
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
        let sessions = CachedSessions::new(db.clone(), clock.clone(), redis.clone());
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

    /// The ports, for pages and routes.
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
