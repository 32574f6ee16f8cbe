//! Settings that contradict the shop's database are refused at the start in one line: another payment
//! provider, demo accounts with live keys, an undeclared demo at a public URL, unknown settings.

use crate::{
    audit_command::{code, run, stagedoor},
    crash::process::{Holds, Shop},
    support::{Client, database::Database},
};
use std::{
    io::Read,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A refused process exits at once, but two cores may be busy with other tests.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);
const HOLDS: Holds = Holds {
    seconds: 120,
    grace_seconds: 10,
};
const STRIPE_SETTINGS: [&str; 4] = [
    "STRIPE_SECRET_KEY",
    "STRIPE_PUBLISHABLE_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "STRIPE_API_URL",
];
const LIVE_KEYS: [(&str, &str); 3] = [
    ("STRIPE_SECRET_KEY", "sk_live_of_the_tests"),
    ("STRIPE_PUBLISHABLE_KEY", "pk_live_of_the_tests"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_of_the_tests"),
];

/// Runs a command that must be refused, and returns the last line of its error.
pub async fn run_refused(mut command: Command) -> String {
    tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > EXIT_TIMEOUT {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it was not refused: {command:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut stderr = String::new();
        child.stderr.unwrap().read_to_string(&mut stderr).unwrap();
        assert!(!status.success(), "{stderr}");
        let last = stderr.lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("error: "), "{stderr}");
        last
    })
    .await
    .unwrap()
}

/// Creates a shop with an order that was paid at the double, and stops its server.
async fn create_paid_shop(database: Database) -> Shop {
    let mut shop = Shop::open(database, HOLDS).await;
    let seller = Client::sign_up(&shop.base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 2, 2500).await;
    let buyer = Client::sign_up(&shop.base, "buyer").await;
    let order = buyer.reserve_any(&event, 1).await.expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect(201);
    shop.kill().await;
    shop
}

fn command_without_keys(shop: &Shop, arguments: &[&str]) -> Command {
    let mut command = shop.command(arguments);
    for name in STRIPE_SETTINGS {
        command.env_remove(name);
    }
    command
}

async fn check_provider_of_a_paid_shop(database: Database) {
    let mut shop = create_paid_shop(database).await;

    let error = run_refused(command_without_keys(&shop, &["serve"])).await;
    assert!(error.contains("set STRIPE_SECRET_KEY"), "{error}");
    for role in ["web", "worker"] {
        let error = run_refused(command_without_keys(&shop, &["serve", "--role", role])).await;
        assert!(error.contains("set STRIPE_SECRET_KEY"), "{error}");
    }
    let error = run_refused(command_without_keys(&shop, &["seed"])).await;
    assert!(error.contains("demo log-ins do not belong"), "{error}");
    let mut test_keys = shop.command(&["serve"]);
    test_keys
        .env_remove("STRIPE_API_URL")
        .env("STRIPE_PUBLISHABLE_KEY", "pk_test_x");
    let error = run_refused(test_keys).await;
    assert!(error.contains("Stripe with test keys"), "{error}");
    let mut live = shop.command(&["serve"]);
    live.envs(LIVE_KEYS);
    let error = run_refused(live).await;
    assert!(error.contains("Stripe with live keys"), "{error}");

    // An audit that cannot reach the right provider is incomplete.
    let audit = run(command_without_keys(&shop, &["audit", "--json"])).await;
    assert_eq!(code(&audit), 2);

    // With its own keys it starts; `move` copies the recorded provider.
    shop.start(None).await;
    shop.kill().await;
    let folder = tempfile::tempdir().unwrap();
    let moved = format!("sqlite://{}", folder.path().join("moved.db").display());
    let mut command = shop.command(&["move", "--from", &shop.database_url(), "--to", &moved]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(code(&run(command).await), 0);
    let mut command = command_without_keys(&shop, &["serve"]);
    command.env("DATABASE_URL", &moved);
    let error = run_refused(command).await;
    assert!(error.contains("set STRIPE_SECRET_KEY"), "{error}");

    // An operator can declare that live keys reach the same payments.
    let mut set = shop.command(&["provider", "--set", "test"]);
    set.stdout(Stdio::piped());
    let output = run(set).await;
    assert_eq!((code(&output), &*output.stdout), (0, &b"test\n"[..]));
    let error = run_refused(shop.command(&["serve"])).await;
    assert!(error.contains("Stripe with test keys"), "{error}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_with_payments_starts_only_with_its_own_provider_sqlite() {
    check_provider_of_a_paid_shop(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_with_payments_starts_only_with_its_own_provider_postgres() {
    check_provider_of_a_paid_shop(Database::postgres().await).await;
}

/// In a database without a recorded provider, the double's journal and webhooks are the evidence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_with_payments_and_no_recorded_provider_is_no_demo() {
    let mut shop = create_paid_shop(Database::sqlite()).await;
    let db = shop.connect_database().await;
    let deleted = sqlx::query("DELETE FROM payment_provider")
        .execute(&db)
        .await
        .unwrap();
    assert_eq!(deleted.rows_affected(), 1);
    db.close().await;
    let error = run_refused(command_without_keys(&shop, &["serve"])).await;
    assert!(error.contains("set STRIPE_SECRET_KEY"), "{error}");
    run_refused(command_without_keys(&shop, &["seed"])).await;
    shop.start(None).await;
    shop.kill().await;
    let mut provider = shop.command(&["provider"]);
    provider.stdout(Stdio::piped());
    assert_eq!(&*run(provider).await.stdout, b"double\n");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_keys_of_another_provider_begins_no_payment() {
    let mut shop = Shop::open(Database::sqlite(), HOLDS).await;
    let seller = Client::sign_up(&shop.base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 2, 2500).await;
    let buyer = Client::sign_up(&shop.base, "buyer").await;
    let order = buyer.reserve_any(&event, 1).await.expect(201);
    // Another process, with live keys, has recorded its provider first.
    let db = shop.connect_database().await;
    sqlx::query("INSERT INTO payment_provider (id, mode, since) VALUES (1, 'live', 1)")
        .execute(&db)
        .await
        .unwrap();
    buyer.pay(&order, "pm_card_visa").await.expect(500);
    let payments: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM payments")
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(payments, 0);
    db.close().await;
    shop.kill().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_keys_and_demo_accounts_do_not_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let live = |arguments: &[&str]| {
        let mut command = stagedoor(folder, arguments);
        command.envs(LIVE_KEYS).env("STAGEDOOR_ADDR", "127.0.0.1:0");
        command
    };
    assert_eq!(code(&run(stagedoor(folder, &["seed"])).await), 0);
    let error = run_refused(live(&["serve"])).await;
    assert!(error.contains("seller@stagedoor.example"), "{error}");
    assert!(error.contains("stagedoor seed --remove"), "{error}");

    let removed = run(live(&["seed", "--remove"])).await;
    let stdout = String::from_utf8_lossy(&removed.stdout).into_owned();
    assert_eq!(code(&removed), 0);
    assert!(
        stdout.contains("buyer@stagedoor.example: removed, with its listings"),
        "{stdout}"
    );
    let again = run(live(&["seed", "--remove"])).await;
    assert_eq!(&*again.stdout, b"there are no demo accounts\n");
    // Audited without Stripe, which a test cannot reach.
    let audit = run(stagedoor(folder, &["audit"])).await;
    let stdout = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert_eq!(code(&audit), 0, "{stdout}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_account_that_has_sold_keeps_no_password() {
    let mut shop = Shop::open(Database::sqlite(), HOLDS).await;
    let mut seed = command_without_keys(&shop, &["seed"]);
    seed.stderr(Stdio::piped());
    assert_eq!(code(&run(seed).await), 0);
    let buyer = Client::sign_up(&shop.base, "buyer").await;
    let events = buyer.get("/api/events").await.expect(200);
    let order = buyer.reserve_any(&events["events"][0], 1).await.expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect(201);

    let mut remove = shop.command(&["seed", "--remove"]);
    remove.stdout(Stdio::piped());
    let removed = run(remove).await;
    let stdout = String::from_utf8_lossy(&removed.stdout).into_owned();
    assert!(stdout.contains("kept without a password"), "{stdout}");
    let sign_in = serde_json::json!({
        "email": "seller@stagedoor.example", "password": "stagedoor-demo",
    });
    let visitor = Client::new(&shop.base);
    visitor.post("/api/user/signin", sign_in).await.expect(401);
    let available = buyer.get("/api/tickets?status=available").await.expect(200);
    assert_eq!(available["tickets"].as_array().unwrap().len(), 0);
    shop.kill().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_at_a_public_url_must_be_declared() {
    let folder = tempfile::tempdir().unwrap();
    for role in ["all", "web", "worker"] {
        let mut command = stagedoor(folder.path(), &["serve", "--role", role]);
        command
            .env("STAGEDOOR_ADDR", "127.0.0.1:0")
            .env("STAGEDOOR_PUBLIC_URL", "https://tickets.example");
        let error = run_refused(command).await;
        assert!(error.contains("STAGEDOOR_DEMO=1"), "{error}");
    }
    assert!(!folder.path().join("data/stagedoor.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_forwards_only_browser_requests_to_the_double() {
    let mut shop = Shop::open(Database::sqlite(), HOLDS).await;
    shop.kill().await;
    shop.start_with(&[("STRIPE_PUBLISHABLE_KEY", "pk_test_double")])
        .await;
    let visitor = Client::new(&shop.base);
    let double_path = |path: &str| format!("/stripe-double{path}");
    for path in ["/stripe.js", "/bank.css"] {
        visitor.get(&double_path(path)).await.expect_2xx();
    }
    for path in [
        "/double/journal",
        "/double/faults",
        "/v1/payment_intents",
        "/v1/refunds",
        "/bank/..%2Fdouble%2Fjournal",
        "/bank/../double/journal",
        "/intents/..%2f..%2fdouble%2fjournal?client_secret=x",
        "//double/journal",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let answer = visitor.send(method, &double_path(path), &[], "{}").await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
    for (method, path) in [
        ("POST", "/stripe.js"),
        ("GET", "/confirmation_tokens"),
        ("DELETE", "/bank/pi_1"),
        ("POST", "/intents/pi_1"),
    ] {
        let answer = visitor.send(method, &double_path(path), &[], "{}").await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    shop.kill().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_setting_is_refused_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["serve"][..],
        &["migrate"],
        &["seed"],
        &["audit"],
        &["operator"],
    ] {
        for (name, suggestion) in [
            ("STAGEDOOR_HOLD_SECOND", "STAGEDOOR_HOLD_SECONDS"),
            ("STRIPE_SECRET_KEYS", "STRIPE_SECRET_KEY"),
        ] {
            let mut command = stagedoor(folder.path(), arguments);
            command.env(name, "60");
            let error = run_refused(command).await;
            let sentence = format!("{name}: there is no such setting; did you mean {suggestion}?");
            assert!(error.contains(&sentence), "{error}");
        }
    }
    for line in [
        "STAGEDOOR_ADDRESS=127.0.0.1:0",
        "DATABASE_URI=postgres://db.example/shop",
    ] {
        std::fs::write(folder.path().join(".env"), line).unwrap();
        let error = run_refused(stagedoor(folder.path(), &["migrate"])).await;
        assert!(error.contains("did you mean"), "{error}");
    }
    std::fs::write(folder.path().join(".env"), "POSTGRES_PASSWORD=x\n").unwrap();
    let mut command = stagedoor(folder.path(), &["migrate"]);
    command.env("RUST_LOG", "stagedoor=loud");
    let error = run_refused(command).await;
    assert!(error.contains("RUST_LOG"), "{error}");
    // Variables that the project's scripts set.
    let mut command = stagedoor(folder.path(), &["migrate"]);
    for name in [
        "STAGEDOOR_CACHE",
        "STAGEDOOR_BIN",
        "STAGEDOOR_E2E_JSON",
        "STAGEDOOR_TEST_SEED",
    ] {
        command.env(name, "1");
    }
    assert_eq!(code(&run(command).await), 0);
}
