//! A whole shop for each test, with its own database, Stripe double and manual clock, over real HTTP. Only Stripe
//! and the clock are simulated.

pub mod broker;
pub mod client;
pub mod database;
pub mod described;
mod faults;
pub mod order_steps;
mod people;
pub mod proxy;
mod seed;
pub mod sound;
pub mod staging;

use crate::support::{database::Database, proxy::Proxy};
use model::money::MinorUnits;
use platform::{
    clock::{Clock, ManualClock, SharedClock, SystemClock},
    db::Db,
    limits::Limits,
    redis_client::Redis,
    trust::Trust,
    write_probe::WriteProbe,
};
use serde_json::Value;
use shop::{
    Api, Parts, Shop,
    accounts::Operators,
    events::ListenersMax,
    expiration::Sweeper,
    orders::{HoldLimits, Holds, OrdersService},
    payments::{CALLS_AT_ONCE, Engine, Gateway, PAY_WAIT, Reconciler, gateway::CreateIntent},
    tickets::{LISTINGS_PER_DAY, TicketsService},
};
use sqlx::Row;
use stagedoor::{
    files::Files,
    health::Health,
    jobs::{self, Process},
    router::{Web, router},
    serve,
};
use std::{net::SocketAddr, sync::Arc};
use stripe_double::{Double, JournalLine, WebhookTarget};
use stripe_gateway::{StripeGateway, WebhookSecrets};
use tokio::{net::TcpListener, task::JoinSet};

pub use client::{Answer, Client, path};
pub use seed::seeded;

pub const WEBHOOK_SECRET: &str = "whsec_of_the_tests";
/// Maximum number of event streams from one address, once limits are on.
pub const LISTENERS_PER_NETWORK: usize = 20;

/// A running shop.
pub struct App {
    pub base: String,
    pub clock: Arc<ManualClock>,
    pub db: Db,
    pub double: Double,
    limits: Arc<Limits>,
    orders: OrdersService,
    pub tickets: TicketsService,
    pub engine: Arc<Engine>,
    pub api: Api,
    gateway: Arc<StripeGateway>,
    sweeper: Arc<Sweeper>,
    pub reconciler: Reconciler,
    pub probe: Arc<WriteProbe>,
    pub database: Database,
    _servers: JoinSet<()>,
    _jobs: JoinSet<()>,
}

/// Which background jobs run.
pub enum Jobs {
    /// None: the test calls them.
    None,
    /// Expiry jobs in the process.
    InProcess,
    /// Expiry jobs in the Redis at this URL, which may be unavailable.
    InRedis(String),
}

impl Jobs {
    fn redis(&self) -> Option<Redis> {
        match self {
            Self::InRedis(url) => Some(Redis::new(url, &Trust::default()).unwrap()),
            Self::None | Self::InProcess => None,
        }
    }
}

/// The length of a hold if jobs run.
pub const SHORT_HOLD_SECONDS: i64 = 2;

/// Defines each test twice: on SQLite and on PostgreSQL.
macro_rules! on_both_engines {
    ($($(#[$doc:meta])* async fn $name:ident($app:ident) $body:block)+) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            async fn scenario($app: &App) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let app = App::on_sqlite().await;
                scenario(&app).await;
                app.close().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let app = App::on_postgres().await;
                scenario(&app).await;
                app.close().await;
            }
        }
    )+};
}
pub(crate) use on_both_engines;

/// The previous and the current secret, as during a rotation.
fn webhook_secrets() -> WebhookSecrets {
    let secrets = ["whsec_of_before", WEBHOOK_SECRET];
    WebhookSecrets {
        secrets: secrets.map(|secret| secret.to_owned().into()).to_vec(),
        live: false,
    }
}

impl App {
    pub async fn on_sqlite() -> Self {
        Self::start(Database::migrated_sqlite().await).await
    }

    pub async fn on_postgres() -> Self {
        Self::start(Database::migrated_postgres().await).await
    }

    async fn start(database: Database) -> Self {
        Self::start_with(database, Jobs::None).await
    }

    /// With jobs, uses the system's clock and holds of [`SHORT_HOLD_SECONDS`].
    pub async fn start_with(database: Database, jobs: Jobs) -> Self {
        Self::start_behind(database, jobs, None).await
    }

    /// As [`App::start_with`], with this proxy in front of Stripe.
    pub async fn start_behind(database: Database, jobs: Jobs, proxy: Option<&Proxy>) -> Self {
        Self::start_limited(database, jobs, proxy, HoldLimits::default()).await
    }

    /// With these hold limits, which apply once limits are on.
    pub async fn start_limited(
        database: Database,
        jobs: Jobs,
        proxy: Option<&Proxy>,
        hold_limits: HoldLimits,
    ) -> Self {
        Self::start_as(database, jobs, proxy, hold_limits, Operators::default()).await
    }

    #[expect(clippy::too_many_lines, reason = "assembles a whole shop")]
    async fn start_as(
        database: Database,
        jobs: Jobs,
        proxy: Option<&Proxy>,
        hold_limits: HoldLimits,
        operators: Operators,
    ) -> Self {
        let clock = ManualClock::starting_at(SystemClock.now());
        let (shared, hold_seconds): (SharedClock, i64) = match jobs {
            Jobs::None => (clock.clone(), 900),
            _ => (Arc::new(SystemClock), SHORT_HOLD_SECONDS),
        };
        let db = Db::open(&database.url).await.unwrap();
        let mut servers = JoinSet::new();

        let double_clock = shared.clone();
        let double = Double::open(None, Arc::new(move || double_clock.now().seconds())).unwrap();
        let (stripe_url, stripe) = listen().await;
        let stripe_api = double.api_router();
        servers.spawn(async move { axum::serve(stripe, stripe_api).await.unwrap() });
        let stripe_url = proxy.map_or(stripe_url.clone(), |proxy| proxy.in_front_of(&stripe_url));

        let (base, listener) = listen().await;
        double.set_browser_url(&format!("{base}/stripe-double"));
        double.set_webhooks(WebhookTarget {
            url: format!("{base}/api/webhooks/stripe"),
            secret: WEBHOOK_SECRET.to_owned(),
        });
        let key = "sk_test_of_the_tests".to_owned().into();
        let gateway = Arc::new(StripeGateway::new(&key, Some(&stripe_url)).unwrap());
        let holds = Holds {
            hold_seconds,
            grace_seconds: 60,
        };
        let redis = jobs.redis();
        let shop = Shop::new(Parts {
            db: db.clone(),
            clock: shared.clone(),
            gateway: gateway.clone(),
            webhook_verifier: Arc::new(webhook_secrets()),
            holds,
            hold_limits,
            listings_per_day: LISTINGS_PER_DAY,
            public_url: base.clone(),
            pay_wait: PAY_WAIT,
            calls_at_once: CALLS_AT_ONCE,
            rate_limits: false,
            operators,
            listeners: ListenersMax {
                per_network: LISTENERS_PER_NETWORK,
                ..ListenersMax::default()
            },
            redis: redis.clone(),
            nats: None,
            mail: None,
        })
        .unwrap();
        let probe = WriteProbe::new();
        let web = web(&base, holds, &shop, redis, &double, &probe);
        let service = router(&shop, web).into_make_service_with_connect_info::<SocketAddr>();
        servers.spawn(async move { axum::serve(listener, service).await.unwrap() });
        let (limits, orders, api) = (shop.limits.clone(), shop.orders.clone(), shop.api());
        let tickets = shop.tickets.clone();
        let (engine, sweeper) = (shop.engine.clone(), shop.sweeper.clone());
        let reconciler = Reconciler::new(db.clone(), shared, gateway.clone(), engine.clone());
        let jobs = match jobs {
            Jobs::None => JoinSet::new(),
            Jobs::InProcess | Jobs::InRedis(_) => {
                let process = Process {
                    is_worker: true,
                    redis: jobs.redis().map(|redis| redis.client().clone()),
                    probe: None,
                };
                jobs::start(shop, process)
            }
        };
        Self {
            base,
            clock,
            double,
            limits,
            orders,
            tickets,
            engine,
            api,
            gateway,
            sweeper,
            reconciler,
            probe,
            db,
            database,
            _servers: servers,
            _jobs: jobs,
        }
    }

    /// Starts another process of the same shop, which uses this Redis.
    pub async fn beside(&self, redis: &str) -> Self {
        Self::start_with(self.database.shared(), Jobs::InRedis(redis.to_owned())).await
    }

    pub async fn close(self) {
        self.db.close().await;
        self.database.drop().await;
    }

    /// A visitor who is not signed in.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.base)
    }

    pub fn clock_seconds(&self) -> i64 {
        self.clock.now().seconds()
    }

    pub fn limits_on(&self) {
        self.limits.switch(true);
    }

    // Periodic tasks, called directly.

    /// Runs the expiry job of this order.
    pub async fn expire(&self, order: &Value) -> bool {
        self.orders
            .expire(order["id"].as_str().unwrap().parse().unwrap())
            .await
            .unwrap()
    }

    pub async fn sweep(&self) -> usize {
        self.sweeper.sweep().await.unwrap()
    }

    /// Removes ended orders from the hold limits, as the hourly task does.
    pub async fn release_ended(&self) -> usize {
        self.orders.release_ended().await.unwrap()
    }

    /// Advances the clock beyond leases and back-offs until no call is pending.
    pub async fn settle(&self) {
        for _ in 0..20 {
            if self.engine.drain().await.unwrap() == 0 && self.effects_pending().await == 0 {
                return;
            }
            self.clock.advance(61);
        }
        panic!("calls to Stripe are still pending");
    }

    async fn effects_pending(&self) -> i64 {
        self.number("SELECT COUNT(*) AS n FROM payment_effects WHERE state = 'pending'")
            .await
    }

    /// Delivers the Stripe double's webhooks, and processes them.
    pub async fn webhooks_arrive(&self) {
        let delivered = async {
            // Deliveries run only here, so that each test decides when.
            tokio::select! {
                () = self.double.clone().run_webhooks() => {}
                () = self.double.webhooks_taken() => {}
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), delivered)
            .await
            .unwrap();
        self.engine.drain().await.unwrap();
    }

    // Stripe.

    pub fn journal(&self) -> Vec<JournalLine> {
        self.double.journal()
    }

    pub fn captured_minor(&self) -> i64 {
        self.journal().iter().map(sound::left_minor).sum()
    }

    pub fn approve_at_bank(&self, payment: &Value) {
        assert!(
            self.double
                .answer_at_bank(payment["stripeId"].as_str().unwrap(), true)
        );
    }

    pub fn refuse_at_bank(&self, payment: &Value) {
        assert!(
            self.double
                .answer_at_bank(payment["stripeId"].as_str().unwrap(), false)
        );
    }

    /// A webhook about this payment, signed at `at_seconds`.
    pub async fn webhook(&self, event: &str, payment: &Value, at_seconds: i64) -> Answer {
        self.webhook_signed(event, payment, at_seconds, WEBHOOK_SECRET)
            .await
    }

    pub async fn webhook_signed(
        &self,
        event: &str,
        payment: &Value,
        at_seconds: i64,
        secret: &str,
    ) -> Answer {
        let intent = payment["stripeId"].as_str().unwrap();
        let (signature, body) = self.double.sign_event(event, intent, secret, at_seconds);
        self.deliver(&signature, body).await
    }

    /// A webhook in live mode.
    pub async fn webhook_in_live_mode(&self, event: &str, payment: &Value) -> Answer {
        let (intent, now) = (payment["stripeId"].as_str().unwrap(), self.clock_seconds());
        let (_, body) = self.double.sign_event(event, intent, WEBHOOK_SECRET, now);
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["livemode"] = true.into();
        let body = body.to_string();
        let signature = stripe_double::signature(WEBHOOK_SECRET, now, &body);
        self.deliver(&signature, body).await
    }

    async fn deliver(&self, signature: &str, body: String) -> Answer {
        let headers = [
            ("stripe-signature", signature),
            ("content-type", "application/json"),
        ];
        self.anonymous()
            .send("POST", "/api/webhooks/stripe", &headers, body)
            .await
    }

    /// Inserts a captured payment that Stripe does not know.
    pub async fn invent_capture(&self, payment: &Value) {
        let id = payment["id"].as_str().unwrap().to_owned();
        let copy = "INSERT INTO payments (id, order_id, attempt, stripe_id, state, amount_minor, \
             currency, received_minor, created_at) SELECT '01980000-0000-7000-8000-000000000001', order_id, 2, 'pi_other', \
             'refunded', amount_minor, currency, amount_minor, created_at FROM payments WHERE id = $1";
        self.write_sql(copy, id).await;
    }

    /// Repeats the call that created this payment, with another idempotency key. Returns the new intent's id.
    pub async fn reaches_stripe_after_all(&self, order: &Value, payment: &Value) -> String {
        let create = CreateIntent {
            amount_minor: MinorUnits::new(order["totalMinor"].as_i64().unwrap()),
            currency: order["currency"].as_str().unwrap().to_owned(),
            token: "pm_card_visa".to_owned(),
            order: order["id"].as_str().unwrap().parse().unwrap(),
            payment: payment["id"].as_str().unwrap().parse().unwrap(),
            attempt: 1,
            return_url: self.base.clone(),
        };
        let key = format!("late:{}", create.payment);
        self.gateway.create(&key, &create).await.unwrap().id
    }

    /// Repeats the first refund call.
    pub async fn first_refund_reaches_stripe_after_all(&self) {
        let sql = "SELECT e.idem_key, e.params, p.stripe_id FROM payment_effects e \
                   JOIN payments p ON p.id = e.payment_id WHERE e.kind = 'refund' ORDER BY e.id";
        let call = sqlx::query(sql).fetch_one(self.db.reads()).await.unwrap();
        let refund = serde_json::from_str(call.get("params")).unwrap();
        let (key, intent): (String, String) = (call.get("idem_key"), call.get("stripe_id"));
        self.gateway.refund(&key, &intent, &refund).await.unwrap();
    }

    /// Stripe's id of the newest refund.
    pub async fn newest_refund_at_stripe(&self) -> String {
        let sql = "SELECT stripe_id FROM refunds ORDER BY id DESC LIMIT 1";
        let row = sqlx::query(sql).fetch_one(self.db.reads()).await.unwrap();
        row.get("stripe_id")
    }

    /// Attempt and state of each of the order's payments, by attempt.
    pub async fn payments_of(&self, order: &Value) -> Vec<(i64, String)> {
        let rows =
            sqlx::query("SELECT attempt, state FROM payments WHERE order_id = $1 ORDER BY 1")
                .bind(order["id"].as_str().unwrap().to_owned())
                .fetch_all(self.db.reads())
                .await
                .unwrap();
        rows.iter()
            .map(|row| (row.get("attempt"), row.get("state")))
            .collect()
    }

    pub async fn incidents(&self) -> Vec<String> {
        let open = shop::incidents::list_open(self.db.reads()).await.unwrap();
        open.into_iter().map(|incident| incident.kind).collect()
    }

    pub async fn mails(&self) -> Vec<String> {
        let rows = sqlx::query("SELECT kind FROM mails ORDER BY id")
            .fetch_all(self.db.reads())
            .await
            .unwrap();
        rows.iter().map(|row| row.get("kind")).collect()
    }

    /// Runs a statement directly on the database.
    pub async fn run_sql(&self, sql: &'static str) {
        self.db
            .write(move |conn| {
                Box::pin(async move { sqlx::query(sql).execute(conn).await.map(|_| ()) })
            })
            .await
            .unwrap();
    }

    /// As [`App::run_sql`], with one parameter.
    pub async fn write_sql(&self, sql: &'static str, id: String) {
        self.db
            .write(move |conn| {
                Box::pin(async move { sqlx::query(sql).bind(id).execute(conn).await.map(|_| ()) })
            })
            .await
            .unwrap();
    }

    /// Marks one webhook as unprocessed.
    pub async fn one_webhook_waits(&self) {
        let one = sqlx::query("SELECT MIN(event_id) AS id FROM stripe_inbox");
        let id = one.fetch_one(self.db.reads()).await.unwrap().get("id");
        self.write_sql(
            "UPDATE stripe_inbox SET processed_at = NULL WHERE event_id = $1",
            id,
        )
        .await;
    }

    pub async fn webhooks_stored(&self, event: &str) -> i64 {
        self.count_where("stripe_inbox", "event_id", event).await
    }

    // The database's content.

    pub async fn count(&self, table: &str) -> i64 {
        self.number(&format!("SELECT COUNT(*) AS n FROM {table}"))
            .await
    }

    /// Waits until the number that the statement returns is not zero.
    pub async fn until_found(&self, sql: &str) {
        while self.number(sql).await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub async fn count_where(&self, table: &str, column: &str, value: &str) -> i64 {
        self.number(&format!(
            "SELECT COUNT(*) AS n FROM {table} WHERE {column} = '{value}'"
        ))
        .await
    }

    /// Type and version of the domain events of this aggregate.
    pub async fn events_of(&self, of: &Value) -> Vec<(String, i64)> {
        let sql = "SELECT type, version FROM outbox WHERE aggregate_id = $1 ORDER BY version";
        let rows = sqlx::query(sql)
            .bind(of["id"].as_str().unwrap().to_owned())
            .fetch_all(self.db.reads())
            .await
            .unwrap();
        rows.iter()
            .map(|row| (row.get("type"), row.get("version")))
            .collect()
    }

    /// See [`sound::assert_tables`].
    pub async fn assert_tables(&self) {
        sound::assert_tables(self.db.reads(), self.clock.now()).await;
    }

    /// Asserts the invariants that hold after any scenario: those of the audit, and that Stripe has the expected
    /// amounts.
    pub async fn assert_sound(&self) {
        self.settle().await;
        sound::assert_tables(self.db.reads(), self.clock.now()).await;
        sound::assert_bank(self.db.reads(), &self.journal()).await;
    }

    pub async fn number(&self, sql: &str) -> i64 {
        sound::number(self.db.reads(), sql).await
    }
}

fn web(
    base: &str,
    holds: Holds,
    shop: &Shop,
    redis: Option<Redis>,
    double: &Double,
    probe: &Arc<WriteProbe>,
) -> Web {
    Web {
        options: stagedoor::config::leptos_options(([127, 0, 0, 1], 0).into()).unwrap(),
        files: Files::Folder("../target/site".to_owned()),
        site: Arc::new(serve::demo_site(base.to_owned(), holds)),
        health: Health {
            db: shop.db.clone(),
            redis,
            nats: None,
            clock: shop.clock.clone(),
            worker: false,
            last_sweep: shop.sweeper.last_sweep(),
            probe: probe.clone(),
            draining: Arc::default(),
            data_dir: ".".into(),
            metrics: None,
        },
        double: Some(double.browser_router()),
        trusted_proxies: Arc::default(),
        uploads_per_address: 4,
        transport_security: None,
    }
}

pub async fn listen() -> (String, TcpListener) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    (
        format!("http://{}", listener.local_addr().unwrap()),
        listener,
    )
}
