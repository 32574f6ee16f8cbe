//! Traces, log lines, the security log, metrics and cookies of the real binary in demo mode.

use crate::{
    crash::process::{binary, free_port},
    support::{Client, client, database::Database, listen},
};
use axum::{Json, Router, routing::post};
use serde_json::{Value, json};
use std::{
    fs::File,
    net::TcpListener,
    process::{Child, ExitStatus},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const OTHER_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4737";

/// A collector that stores the messages that it receives.
struct Collector {
    url: String,
    messages: Arc<Mutex<Vec<Value>>>,
    _server: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = messages.clone();
        let app = Router::new().route(
            "/v1/traces",
            post(move |Json(message): Json<Value>| async move {
                kept.lock().unwrap().push(message);
                Json(json!({}))
            }),
        );
        let (url, listener) = listen().await;
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            messages,
            _server: server,
        }
    }

    fn messages(&self) -> Vec<Value> {
        self.messages.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Value> {
        let all = self.messages();
        let spans = all.iter().flat_map(|message| {
            let scope = &message["resourceSpans"][0]["scopeSpans"][0];
            scope["spans"].as_array().unwrap().clone()
        });
        spans.collect()
    }
}

/// A shop of one process.
struct ShopProcess {
    base: String,
    server: Child,
    database: Database,
    folder: TempDir,
}

impl ShopProcess {
    async fn start(database: Database, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let log = File::create(folder.path().join("log")).unwrap();
        let server = binary(folder.path(), &["serve"])
            .env("STAGEDOOR_ADDR", &address)
            .env("DATABASE_URL", &database.url)
            .env("RUST_LOG", "info,stagedoor=debug")
            .envs(settings.iter().copied())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut shop = Self {
            base: format!("http://{address}"),
            server,
            database,
            folder,
        };
        let ready = format!("{}/readyz", shop.base);
        let began = Instant::now();
        while !reqwest::get(&ready)
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            let ended = shop.server.try_wait().unwrap();
            assert!(ended.is_none(), "the server exited: {}", shop.log());
            assert!(began.elapsed() < WAIT_TIMEOUT, "the server is not ready");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        shop
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits for log lines that match, and returns them.
    async fn wait_for_lines(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let log = self.log();
            // The last line may be half written.
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let found: Vec<Value> = lines.filter(|line| wanted(line)).collect();
            if !found.is_empty() {
                return found;
            }
            assert!(began.elapsed() < WAIT_TIMEOUT, "no such line: {log}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn fetch_metrics(&self) -> String {
        let answer = Client::new(&self.base).get("/metrics").await;
        answer.text
    }

    /// Lists, reserves and pays for a ticket, with these headers in the payment's request. Returns the payment.
    async fn purchase(&self, headers: &[(&str, &str)]) -> Value {
        let seller = Client::sign_up(&self.base, "seller").await;
        let buyer = Client::sign_up(&self.base, "buyer").await;
        let event = seller.event().await;
        let ticket = seller.ticket(&event, 2500).await;
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let body = json!({"orderId": order["id"], "token": "pm_card_visa"});
        let paid = buyer.json("POST", "/api/payments", headers, body).await;
        if let Some((_, id)) = headers.iter().find(|(name, _)| *name == "x-request-id") {
            assert_eq!(paid.header("x-request-id"), *id);
        }
        paid.expect(201)
    }

    /// Asks the process to stop and waits for that. Returns its exit status and log.
    async fn stop(mut self) -> (ExitStatus, String) {
        let signalled = std::process::Command::new("kill")
            .args(["-TERM", &self.server.id().to_string()])
            .status();
        assert!(signalled.unwrap().success());
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.server.try_wait().unwrap() {
                break status;
            }
            assert!(
                began.elapsed() < WAIT_TIMEOUT,
                "the server does not exit: {}",
                self.log()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        };
        let log = self.log();
        let placeholder = Database::sqlite();
        std::mem::replace(&mut self.database, placeholder)
            .drop()
            .await;
        (status, log)
    }
}

impl Drop for ShopProcess {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn find_attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    let found = found.unwrap_or_else(|| panic!("{key} is not in {span}"));
    found["value"].as_object().unwrap().values().next().unwrap()
}

fn parse_nanos(span: &Value, field: &str) -> u128 {
    span[field].as_str().unwrap().parse().unwrap()
}

/// The only span of this name with this parent.
fn find_child<'a>(spans: &'a [Value], parent: &str, name: &str) -> &'a Value {
    let mut found = spans
        .iter()
        .filter(|span| span["parentSpanId"] == parent && span["name"] == name);
    match (found.next(), found.next()) {
        (Some(one), None) => one,
        _ => panic!("not one {name} below {parent}: {spans:#?}"),
    }
}

/// The only span of this name.
fn find_span<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let mut found = spans.iter().filter(|span| span["name"] == name);
    match (found.next(), found.next()) {
        (Some(one), None) => one,
        _ => panic!("not one {name}: {spans:#?}"),
    }
}

async fn check_trace_of_a_purchase(database: Database, engine: &str) {
    let collector = Collector::start().await;
    let shop = ShopProcess::start(
        database,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
            ("STAGEDOOR_TRUSTED_PROXIES", "127.0.0.1"),
        ],
    )
    .await;
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let headers = [
        ("traceparent", traceparent.as_str()),
        ("x-request-id", "purchase-1"),
    ];
    let payment = shop.purchase(&headers).await;
    // The sender does not sample this trace, so the shop does not either.
    let unsampled = format!("00-{OTHER_TRACE}-{SPAN}-00");
    let unsampled = [("traceparent", unsampled.as_str())];
    Client::new(&shop.base)
        .send("GET", "/api/events", &unsampled, "")
        .await
        .expect(200);
    let (status, log) = shop.stop().await;
    assert!(status.success() && !log.contains("traces"), "{log}");

    let all = collector.spans();
    let trace: Vec<Value> = all
        .iter()
        .filter(|span| span["traceId"] == TRACE)
        .cloned()
        .collect();
    let request = find_child(&trace, SPAN, "POST /api/payments");
    assert_eq!(request["kind"], 2);
    assert_eq!(
        find_attribute(request, "stagedoor.request_id"),
        "purchase-1"
    );
    assert_eq!(find_attribute(request, "http.route"), "/api/payments");
    assert_eq!(find_attribute(request, "http.response.status_code"), "201");
    assert_eq!(request["status"], Value::Null);

    let id = request["spanId"].as_str().unwrap();
    let name = "write payments::service::PaymentsService::pay";
    let begun = find_child(&trace, id, name);
    assert_eq!(find_attribute(begun, "db.system.name"), engine);
    let driven = find_child(&trace, id, "payment");
    assert_eq!(find_attribute(driven, "stagedoor.payment"), &payment["id"]);
    let driven = driven["spanId"].as_str().unwrap();
    assert_eq!(
        find_child(&trace, driven, "stripe CreatePaymentIntent")["kind"],
        3
    );
    // Usually the same request captures the money, but a sweep may be faster.
    let captured = find_span(&all, "stripe CapturePaymentIntent");
    let capturing = all
        .iter()
        .find(|span| span["spanId"] == captured["parentSpanId"]);
    assert_eq!(
        find_attribute(capturing.unwrap(), "stagedoor.payment"),
        &payment["id"]
    );
    assert_complete(&trace);

    let reserved = find_span(&all, "POST /api/orders");
    assert_ne!(reserved["traceId"], TRACE);
    assert_eq!(reserved["parentSpanId"], Value::Null);
    assert!(all.iter().all(|span| span["traceId"] != OTHER_TRACE));
    assert_span_names(&all, &payment);
    assert_resource(&collector);
}

/// Spans are named after route patterns, not paths.
fn assert_span_names(spans: &[Value], payment: &Value) {
    assert!(spans.iter().all(|span| {
        let name = span["name"].as_str().unwrap();
        !name.contains(payment["id"].as_str().unwrap())
            && !name.contains(payment["orderId"].as_str().unwrap())
    }));
    assert!(spans.iter().any(|span| span["name"] == "round expiry"));
    assert!(spans.iter().all(|span| span["name"] != "GET /readyz"));
}

/// Asserts that every parent is in the trace, and that no span ends before it begins.
fn assert_complete(trace: &[Value]) {
    for span in trace {
        let (began, ended) = (
            parse_nanos(span, "startTimeUnixNano"),
            parse_nanos(span, "endTimeUnixNano"),
        );
        assert!(began > 0 && began <= ended, "{span}");
        let parent = &span["parentSpanId"];
        let known = parent == SPAN || trace.iter().any(|other| other["spanId"] == *parent);
        assert!(known, "the parent span is missing: {span}");
    }
}

fn assert_resource(collector: &Collector) {
    let resource = &collector.messages()[0]["resourceSpans"][0]["resource"];
    for (key, value) in [
        ("service.name", "stagedoor"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("stagedoor.role", "all"),
        ("deployment.environment", "test"),
    ] {
        assert_eq!(find_attribute(resource, key), value);
    }
}

mod a_purchase_is_one_trace_including_calls_to_stripe {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        check_trace_of_a_purchase(Database::sqlite(), "SQLite").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        check_trace_of_a_purchase(Database::postgres().await, "PostgreSQL").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tracing_settings_no_spans_are_sent() {
    let collector = Collector::start().await;
    for settings in [
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
            ("OTEL_SERVICE_NAME", "shop"),
        ],
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
            ("OTEL_SDK_DISABLED", "true"),
        ],
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
            ("OTEL_TRACES_SAMPLER", "always_off"),
        ],
    ] {
        let shop = ShopProcess::start(Database::sqlite(), &settings).await;
        shop.purchase(&[]).await;
        let metrics = shop.fetch_metrics().await;
        assert!(
            metrics.contains("stagedoor_http_requests_total"),
            "{metrics}"
        );
        assert!(!metrics.contains("stagedoor_spans_total"), "{metrics}");
        assert!(shop.stop().await.0.success());
        assert_eq!(collector.messages(), Vec::<Value>::new(), "{settings:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unavailable_collector_causes_one_warning() {
    let closed = format!("http://127.0.0.1:{}", free_port());
    // The kernel accepts connections, but no process reads from them.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = (format!("http://{}", silent.local_addr().unwrap()), silent);
    for collector in [closed, silent.0] {
        let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str())];
        let shop = ShopProcess::start(Database::sqlite(), &settings).await;
        let payment = shop.purchase(&[]).await;
        assert_eq!(payment["status"], "captured");
        let warned = |line: &Value| {
            let message = line["fields"]["message"].as_str().unwrap_or_default();
            message.starts_with("the trace collector is unavailable")
        };
        shop.wait_for_lines(warned).await;
        assert!(
            shop.fetch_metrics()
                .await
                .contains("stagedoor_spans_total{result=\"lost\"}")
        );
        shop.purchase(&[]).await;
        let (status, log) = shop.stop().await;
        assert!(status.success(), "{log}");
        assert_eq!(
            log.matches("the trace collector is unavailable").count(),
            1,
            "{log}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_can_be_followed_through_the_log() {
    let settings = [("STAGEDOOR_TRUSTED_PROXIES", "127.0.0.1")];
    let shop = ShopProcess::start(Database::sqlite(), &settings).await;
    let payment = shop.purchase(&[("x-request-id", "purchase-2")]).await;
    let of_the_request = |line: &Value| line["spans"][0]["id"] == "purchase-2";
    let message = |line: &Value| {
        line["fields"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };

    let answered = |line: &Value| of_the_request(line) && message(line) == "answered";
    let answered = shop.wait_for_lines(answered).await;
    assert_eq!(answered[0]["fields"]["status"], 201);
    assert_eq!(answered[0]["spans"][0]["route"], "/api/payments");

    let of_the_payment = |line: &Value| {
        let spans = line["spans"].as_array().into_iter().flatten();
        spans.clone().any(|span| span["payment"] == payment["id"])
    };
    let called = |line: &Value| of_the_payment(line) && message(line) == "Stripe was called";
    let called = shop.wait_for_lines(called).await;
    let calls: Vec<&Value> = called.iter().map(|line| &line["fields"]["call"]).collect();
    assert_eq!(calls, ["create", "capture"]);
    assert!(of_the_request(&called[0]));
    for line in &called {
        assert_eq!(line["fields"]["order"], payment["orderId"]);
    }

    // Mails are sent outside of the request, and logged with the order.
    let mailed = |line: &Value| {
        message(line) == "mail sent" && line["fields"]["subject"] == payment["orderId"]
    };
    let mailed = shop.wait_for_lines(mailed).await;
    assert_eq!(mailed[0]["spans"][0]["name"], "mail");

    // Metrics are not served to requests that come through a proxy.
    let outsider = Client::new(&shop.base);
    for header in ["x-forwarded-for", "forwarded", "x-real-ip", "via"] {
        let passed_on = [(header, "192.0.2.1")];
        let answer = outsider.send("GET", "/metrics", &passed_on, "").await;
        assert_eq!((answer.status, answer.text.as_str()), (404, ""), "{header}");
    }
    assert!(
        shop.fetch_metrics()
            .await
            .contains("stagedoor_disk_bytes{state=\"free\"}")
    );

    let visitor = Client::new(&shop.base);
    let invalid = [("x-request-id", "no id")];
    let answer = visitor.send("GET", "/api/nothing", &invalid, "").await;
    assert_ne!(answer.header("x-request-id"), "no id");
    assert!(shop.stop().await.0.success());
}

/// Sends incomplete bodies, which must not be logged as errors.
async fn send_incomplete_bodies(shop: &ShopProcess) {
    let host = shop.base.trim_start_matches("http://");
    for path in [
        "/fn/accounts/sign_in",
        "/api/user/signin",
        "/fn/events/put_picture",
    ] {
        let mut line = tokio::net::TcpStream::connect(host).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 99\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\nemail="
        );
        let sent = tokio::io::AsyncWriteExt::write_all(&mut line, head.as_bytes()).await;
        sent.unwrap();
    }
}

/// The event, outcome and user in a line of the security log.
fn summarize(line: &Value) -> [&str; 3] {
    ["event", "outcome", "user"].map(|field| line["fields"][field].as_str().unwrap_or("nobody"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_security_log_records_events_without_personal_data() {
    const WRONG: &str = "a wrong passphrase 4711";
    const NEW: &str = "quite another passphrase 0815";
    const FROM: (&str, &str) = ("x-forwarded-for", "203.0.113.77");
    let settings = [("STAGEDOOR_TRUSTED_PROXIES", "127.0.0.1")];
    let shop = ShopProcess::start(Database::sqlite(), &settings).await;
    let ann = Client::sign_up(&shop.base, "ann").await;
    let sign_in = |password| json!({"email": ann.email, "password": password});
    let post = async |path, body| ann.json("POST", path, &[FROM], body).await;
    post("/api/user/signin", sign_in(WRONG)).await.expect(401);
    let signed_in = post("/api/user/signin", sign_in(client::PASSWORD)).await;
    let cookie = signed_in.header("set-cookie").split(['=', ';']).nth(1);
    let cookie = cookie.unwrap().to_owned();
    let change = json!({"currentPassword": client::PASSWORD, "newPassword": NEW});
    let changed = ann.json("PUT", "/api/user/password", &[FROM], change);
    changed.await.expect_2xx();
    let other_site = [FROM, ("sec-fetch-site", "cross-site")];
    let refused = ann.send("POST", "/api/user/signout", &other_site, "").await;
    assert_eq!(refused.status, 403);
    let signed_out = ann.send("POST", "/api/user/signout", &[FROM], "");
    signed_out.await.expect_2xx();
    send_incomplete_bodies(&shop).await;
    let ended =
        |line: &Value| line["target"] == "security" && line["fields"]["event"] == "sign_out";
    shop.wait_for_lines(ended).await;
    let lines = shop
        .wait_for_lines(|line| line["target"] == "security")
        .await;
    let (status, log) = shop.stop().await;
    assert!(status.success(), "{log}");

    let entries: Vec<[&str; 3]> = lines.iter().map(summarize).collect();
    let id = ann.id.as_str();
    assert_eq!(
        entries,
        [
            ["sign_up", "done", id],
            ["sign_in", "failed", id],
            ["sign_in", "done", id],
            ["password_change", "done", id],
            ["other_site", "refused", "nobody"],
            ["sign_out", "done", id],
        ]
    );
    let address = lines[1]["fields"]["address"].as_str().unwrap();
    assert!(
        address.len() == 16 && lines[0]["fields"]["address"] != address,
        "{lines:#?}"
    );
    for line in &lines[1..] {
        assert_eq!(line["fields"]["address"], address);
        assert!(
            line["fields"]["request"]
                .as_str()
                .is_some_and(|id| id.len() == 36)
        );
    }
    for secret in [
        WRONG,
        NEW,
        client::PASSWORD,
        cookie.as_str(),
        ann.email.as_str(),
        FROM.1,
    ] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
    assert!(!log.contains("\"level\":\"ERROR\""), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_cookies_have_the_host_prefix_and_answers_have_hsts() {
    let transport = "max-age=63072000; includeSubDomains";
    let settings = [
        ("STAGEDOOR_PUBLIC_URL", "https://tickets.example"),
        ("STAGEDOOR_DEMO", "1"),
        ("STAGEDOOR_HSTS", transport),
    ];
    let shop = ShopProcess::start(Database::sqlite(), &settings).await;
    let visitor = Client::new(&shop.base);
    let fields = [("email", "nobody"), ("password", "short")];
    let refused = visitor
        .form("/fn/accounts/sign_up", "/signup", &fields)
        .await;
    let fields = [("email", "ann@example.com"), ("password", client::PASSWORD)];
    let signed_up = visitor
        .form("/fn/accounts/sign_up", "/signup", &fields)
        .await;
    let mut names = Vec::new();
    for answer in [&refused, &signed_up] {
        assert_eq!(answer.header("strict-transport-security"), transport);
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.starts_with("__Host-"), "{cookie}");
            assert!(
                cookie.contains("; Secure") && cookie.contains("Path=/"),
                "{cookie}"
            );
            assert!(!cookie.contains("Domain"), "{cookie}");
            names.extend(cookie.split('=').next().map(str::to_owned));
        }
    }
    for name in ["__Host-flash", "__Host-sid"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    // An attacker on the network can set a cookie without the prefix: it must be ignored.
    let planted = refused.header("set-cookie").replace("__Host-", "");
    let planted = planted.split(';').next().unwrap();
    let headers = [("accept", "text/html"), ("cookie", planted)];
    let page = visitor.send("GET", "/signup", &headers, "").await.text;
    assert!(!page.contains("role=\"alert\""), "{page}");
    let chosen = [("accept", "text/html"), ("cookie", "__Host-theme=dark")];
    let page = visitor.send("GET", "/help", &chosen, "").await.text;
    assert!(page.contains("data-theme=\"dark\""), "{page}");
    assert!(shop.stop().await.0.success());
}
