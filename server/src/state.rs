//! Puts the shop together: every service over one database, one clock, one gateway. What differs
//! between the real thing and a test is a parameter here and nowhere else.

use crate::{
    accounts::{AccountsService, Operators, proofs, resets},
    clock::SharedClock,
    db::Db,
    events::{
        EventsService, Listeners, ListenersMax,
        changes::{Changes, changes_delete_old},
    },
    expiration::{Desk, Queue, Sweeper, Workers},
    fault::{Fault, FaultResult},
    limits::Limits,
    mail::{self, Letterhead, Mailer, Transport},
    orders::{HoldLimits, Holds, OrdersService},
    outbox::{Live, Nats, Relay},
    passes::PassesService,
    payments::{Engine, Gateway, PaymentsService, Reconciler, WebhookSecrets, Webhooks},
    refunds::RefundsService,
    replicas::{Fanout, KeptSessions, Redis},
    rest::{Api, idempotency::Kept},
    selling::SellingService,
    session,
    tickets::TicketsService,
    waiting::{Rounds, WaitingService},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, task::JoinSet};

/// How often rows that nobody needs any more are deleted.
const CLEAN_EVERY: Duration = Duration::from_hours(1);

/// What a shop is made of.
pub struct Parts {
    /// Where everything is kept.
    pub db: Db,
    /// What time it is.
    pub clock: SharedClock,
    /// Who charges cards.
    pub gateway: Arc<dyn Gateway>,
    /// What Stripe signs its webhooks with.
    pub webhook_secrets: WebhookSecrets,
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
    /// Makes accounts.
    pub accounts: AccountsService,
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
    waiting: WaitingService,
    webhooks: Webhooks,
    workers: Workers,
    /// Sends mails, if they leave.
    pub mailer: Option<Arc<Mailer>>,
    nats: Option<Nats>,
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
        let (redis, secrets) = (parts.redis, parts.webhook_secrets);
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
            calls_wait.clone(),
        );
        let engine = Arc::new(Engine::new(
            db.clone(),
            clock.clone(),
            gateway.clone(),
            calls_wait,
            parts.calls_at_once,
        ));
        let reconciler = Reconciler::new(db.clone(), clock.clone(), gateway, engine.clone());
        let mailer = parts.mail.map(|(transport, head)| {
            Arc::new(Mailer::new(db.clone(), clock.clone(), transport, head))
        });
        let sessions = KeptSessions::new(db.clone(), clock.clone(), redis.clone());
        Ok(Self {
            accounts: AccountsService::new(
                db.clone(),
                clock.clone(),
                limits.clone(),
                Arc::new(sessions.clone()),
                operators,
                &parts.public_url,
            )?,
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
            webhooks: Webhooks::new(db.clone(), clock.clone(), engine.clone(), secrets),
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
            account_care: Arc::new(self.accounts.clone()),
            second_factor: Arc::new(self.accounts.clone()),
            events: Arc::new(self.events.clone()),
            pictures: Arc::new(self.events.clone()),
            tickets: Arc::new(self.tickets.clone()),
            orders: Arc::new(self.orders.clone()),
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

    /// Starts what time brings: the sweep, the cleaning and the live changes in every process, the
    /// expiry jobs, the waiting list, the mails about changed events, all mails and the events for NATS where `works` says so. They
    /// end when the set is dropped; whatever they leave undone is found in the database by the next
    /// start.
    pub fn start_jobs(self, redis: Option<redis::Client>, works: bool) -> JoinSet<()> {
        let mut jobs = JoinSet::new();
        jobs.spawn(self.sweeper.run());
        jobs.spawn(self.live.run());
        if works {
            jobs.spawn(Arc::new(self.reconciler).run());
            let rounds = Rounds::new(self.db.clone(), self.clock.clone());
            jobs.spawn(Arc::new(rounds).run());
            jobs.spawn(self.tickets.clone().delete_abandoned_for_ever());
            let changes = Changes::new(self.db.clone(), self.clock.clone());
            jobs.spawn(Arc::new(changes).run());
        }
        jobs.spawn(clean(
            self.db.clone(),
            self.clock.clone(),
            self.orders.clone(),
            self.tickets,
            self.waiting,
            self.webhooks,
        ));
        if let Some(mailer) = self.mailer.filter(|_| works) {
            jobs.spawn(mailer.run());
        }
        if let Some(nats) = self.nats.filter(|_| works) {
            jobs.spawn(Relay::new(self.db.clone(), self.clock.clone(), nats).run());
        }
        let desk = Desk {
            orders: self.orders,
            engine: self.engine,
        };
        jobs.spawn(self.workers.run(self.db, self.clock, desk, redis, works));
        jobs
    }
}

/// Every hour, deletes sessions, idempotency keys, links to new passwords, webhooks, told changes of
/// events and entries of the waiting list whose time is over, and releases ended orders that still count as unpaid.
async fn clean(
    db: Db,
    clock: SharedClock,
    orders: OrdersService,
    tickets: TicketsService,
    waiting: WaitingService,
    inbox: Webhooks,
) {
    let kept = Kept {
        db: db.clone(),
        clock: clock.clone(),
    };
    let mut tick = tokio::time::interval(CLEAN_EVERY);
    loop {
        tick.tick().await;
        let sessions = session::sessions_delete_expired(&db, &clock).await;
        let keys = kept.forget_old().await;
        let now = clock.now();
        let links: Result<u64, sqlx::Error> = db
            .write(move |conn| {
                Box::pin(async move {
                    mail::forget_turns(conn, now).await?;
                    changes_delete_old(conn, now).await?;
                    let proofs = proofs::proofs_delete_expired(conn, now).await?;
                    Ok(proofs + resets::resets_delete_expired(conn, now).await?)
                })
            })
            .await;
        let webhooks = inbox.forget_old().await;
        match orders.release_ended().await {
            Ok(0) => {}
            Ok(orders) => tracing::info!(orders, "released ended orders from hold limits"),
            Err(fault) => tracing::warn!(
                error = crate::fault::chain(&fault),
                "ended orders were not released from hold limits"
            ),
        }
        if let Err(error) = tickets.forget_old_listings().await {
            tracing::warn!(
                error = crate::fault::chain(&error),
                "old counts of listings were not deleted"
            );
        }
        match waiting.forget_old().await {
            Ok(entries) => tracing::debug!(entries, "old entries of the waiting list deleted"),
            Err(fault) => tracing::warn!(
                error = crate::fault::chain(&fault),
                "old entries of the waiting list were not deleted"
            ),
        }
        match (sessions, keys, links, webhooks) {
            (Ok(sessions), Ok(keys), Ok(links), Ok(webhooks)) => {
                tracing::debug!(sessions, keys, links, webhooks, "old rows deleted");
            }
            (Err(error), ..) | (_, Err(error), ..) | (_, _, Err(error), _) | (.., Err(error)) => {
                let fault = Fault::Database(error);
                tracing::warn!(
                    error = crate::fault::chain(&fault),
                    "old rows were not deleted"
                );
            }
        }
    }
}
