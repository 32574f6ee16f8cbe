//! Settings that do not fit the shop's database end the start with one sentence: another payment
//! provider, demo accounts with live keys, an undeclared demo at a public URL.

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

/// A refused start ends at once, but two cores may be busy with other tests.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
const HOLDS: Holds = Holds {
    seconds: 120,
    grace_seconds: 10,
};
const STRIPE: [&str; 4] = [
    "STRIPE_SECRET_KEY",
    "STRIPE_PUBLISHABLE_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "STRIPE_API_URL",
];
const LIVE: [(&str, &str); 3] = [
    ("STRIPE_SECRET_KEY", "sk_live_of_the_tests"),
    ("STRIPE_PUBLISHABLE_KEY", "pk_live_of_the_tests"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_of_the_tests"),
];

/// Runs a command that must not start, and returns its last line.
pub async fn refused(mut command: Command) -> String {
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
            if began.elapsed() > ENDS_WITHIN {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it has started: {command:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut said = String::new();
        child.stderr.unwrap().read_to_string(&mut said).unwrap();
        assert!(!status.success(), "{said}");
        let last = said.lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("error: "), "{said}");
        last
    })
    .await
    .unwrap()
}

/// A shop with one paid order, whose server has been stopped.
async fn paid_at_a_double(database: Database) -> Shop {
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

fn without_keys(shop: &Shop, arguments: &[&str]) -> Command {
    let mut command = shop.command(arguments);
    for name in STRIPE {
        command.env_remove(name);
    }
    command
}

async fn a_paid_shop_goes_on_with_its_own_provider_only(database: Database) {
    let mut shop = paid_at_a_double(database).await;

    let said = refused(without_keys(&shop, &["serve"])).await;
    assert!(said.contains("set STRIPE_SECRET_KEY"), "{said}");
    for role in ["web", "worker"] {
        let said = refused(without_keys(&shop, &["serve", "--role", role])).await;
        assert!(said.contains("set STRIPE_SECRET_KEY"), "{said}");
    }
    let said = refused(without_keys(&shop, &["seed"])).await;
    assert!(said.contains("demo log-ins do not belong"), "{said}");
    let mut test_keys = shop.command(&["serve"]);
    test_keys
        .env_remove("STRIPE_API_URL")
        .env("STRIPE_PUBLISHABLE_KEY", "pk_test_x");
    let said = refused(test_keys).await;
    assert!(said.contains("Stripe with test keys"), "{said}");
    let mut live = shop.command(&["serve"]);
    live.envs(LIVE);
    let said = refused(live).await;
    assert!(said.contains("Stripe with live keys"), "{said}");

    // An audit that cannot ask the right provider has not checked everything.
    let audit = run(without_keys(&shop, &["audit", "--json"])).await;
    assert_eq!(code(&audit), 2);

    // With its own keys it starts, and the record moves with the database.
    shop.start(None).await;
    shop.kill().await;
    let folder = tempfile::tempdir().unwrap();
    let moved = format!("sqlite://{}", folder.path().join("moved.db").display());
    let mut command = shop.command(&["move", "--from", &shop.database_url(), "--to", &moved]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(code(&run(command).await), 0);
    let mut command = without_keys(&shop, &["serve"]);
    command.env("DATABASE_URL", &moved);
    let said = refused(command).await;
    assert!(said.contains("set STRIPE_SECRET_KEY"), "{said}");

    // An operator can declare that live keys reach the same payments.
    let mut set = shop.command(&["provider", "--set", "test"]);
    set.stdout(Stdio::piped());
    let told = run(set).await;
    assert_eq!((code(&told), &*told.stdout), (0, &b"test\n"[..]));
    let said = refused(shop.command(&["serve"])).await;
    assert!(said.contains("Stripe with test keys"), "{said}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paid_shop_goes_on_with_its_own_provider_only_sqlite() {
    a_paid_shop_goes_on_with_its_own_provider_only(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paid_shop_goes_on_with_its_own_provider_only_postgres() {
    a_paid_shop_goes_on_with_its_own_provider_only(Database::postgres().await).await;
}

/// For a database from before the record, the double's journal and webhooks are evidence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_that_are_older_than_the_record_are_no_demo() {
    let mut shop = paid_at_a_double(Database::sqlite()).await;
    let tables = shop.tables().await;
    let forgotten = sqlx::query("DELETE FROM payment_provider")
        .execute(&tables)
        .await
        .unwrap();
    assert_eq!(forgotten.rows_affected(), 1);
    tables.close().await;
    let said = refused(without_keys(&shop, &["serve"])).await;
    assert!(said.contains("set STRIPE_SECRET_KEY"), "{said}");
    refused(without_keys(&shop, &["seed"])).await;
    shop.start(None).await;
    shop.kill().await;
    let mut told = shop.command(&["provider"]);
    told.stdout(Stdio::piped());
    assert_eq!(&*run(told).await.stdout, b"double\n");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_set_up_for_another_provider_begins_no_payment() {
    let mut shop = Shop::open(Database::sqlite(), HOLDS).await;
    let seller = Client::sign_up(&shop.base, "seller").await;
    let event = seller.event().await;
    seller.batch(&event, 2, 2500).await;
    let buyer = Client::sign_up(&shop.base, "buyer").await;
    let order = buyer.reserve_any(&event, 1).await.expect(201);
    // Another process, with live keys, has recorded its provider first.
    let tables = shop.tables().await;
    sqlx::query("INSERT INTO payment_provider (id, mode, since) VALUES (1, 'live', 1)")
        .execute(&tables)
        .await
        .unwrap();
    buyer.pay(&order, "pm_card_visa").await.expect(500);
    let payments: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM payments")
        .fetch_one(&tables)
        .await
        .unwrap();
    assert_eq!(payments, 0);
    tables.close().await;
    shop.kill().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_keys_and_demo_accounts_do_not_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let live = |arguments: &[&str]| {
        let mut command = stagedoor(folder, arguments);
        command.envs(LIVE).env("STAGEDOOR_ADDR", "127.0.0.1:0");
        command
    };
    assert_eq!(code(&run(stagedoor(folder, &["seed"])).await), 0);
    let said = refused(live(&["serve"])).await;
    assert!(said.contains("seller@stagedoor.example"), "{said}");
    assert!(said.contains("stagedoor seed --remove"), "{said}");

    let removed = run(live(&["seed", "--remove"])).await;
    let told = String::from_utf8_lossy(&removed.stdout).into_owned();
    assert_eq!(code(&removed), 0);
    assert!(
        told.contains("buyer@stagedoor.example: removed, with its listings"),
        "{told}"
    );
    let again = run(live(&["seed", "--remove"])).await;
    assert_eq!(&*again.stdout, b"there are no demo accounts\n");
    // Sound, except that Stripe cannot be checked in a test.
    let audit = run(stagedoor(folder, &["audit"])).await;
    let told = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert_eq!(code(&audit), 0, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_account_that_has_sold_keeps_no_password() {
    let mut shop = Shop::open(Database::sqlite(), HOLDS).await;
    let mut seed = without_keys(&shop, &["seed"]);
    seed.stderr(Stdio::piped());
    assert_eq!(code(&run(seed).await), 0);
    let buyer = Client::sign_up(&shop.base, "buyer").await;
    let events = buyer.get("/api/events").await.expect(200);
    let order = buyer.reserve_any(&events["events"][0], 1).await.expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect(201);

    let mut remove = shop.command(&["seed", "--remove"]);
    remove.stdout(Stdio::piped());
    let removed = run(remove).await;
    let told = String::from_utf8_lossy(&removed.stdout).into_owned();
    assert!(told.contains("kept without a password"), "{told}");
    let sign_in = serde_json::json!({
        "email": "seller@stagedoor.example", "password": "stagedoor-demo",
    });
    let stranger = Client::new(&shop.base);
    stranger.post("/api/user/signin", sign_in).await.expect(401);
    let left = buyer.get("/api/tickets?status=available").await.expect(200);
    assert_eq!(left["tickets"].as_array().unwrap().len(), 0);
    shop.kill().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_at_a_public_address_must_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    for role in ["all", "web", "worker"] {
        let mut command = stagedoor(folder.path(), &["serve", "--role", role]);
        command
            .env("STAGEDOOR_ADDR", "127.0.0.1:0")
            .env("STAGEDOOR_PUBLIC_URL", "https://tickets.example");
        let said = refused(command).await;
        assert!(said.contains("STAGEDOOR_DEMO=1"), "{said}");
    }
    assert!(!folder.path().join("data/stagedoor.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_a_browser_needs_of_a_double_is_reached_through_the_shop() {
    let mut shop = Shop::open(Database::sqlite(), HOLDS).await;
    shop.kill().await;
    shop.start_with(&[("STRIPE_PUBLISHABLE_KEY", "pk_test_double")])
        .await;
    let visitor = Client::new(&shop.base);
    let through = |path: &str| format!("/stripe-double{path}");
    for path in ["/stripe.js", "/bank.css"] {
        visitor.get(&through(path)).await.expect_2xx();
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
            let answer = visitor.send(method, &through(path), &[], "{}").await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
    for (method, path) in [
        ("POST", "/stripe.js"),
        ("GET", "/confirmation_tokens"),
        ("DELETE", "/bank/pi_1"),
        ("POST", "/intents/pi_1"),
    ] {
        let answer = visitor.send(method, &through(path), &[], "{}").await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    shop.kill().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_that_is_none_ends_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["serve"][..],
        &["migrate"],
        &["seed"],
        &["audit"],
        &["operator"],
    ] {
        for (name, meant) in [
            ("STAGEDOOR_HOLD_SECOND", "STAGEDOOR_HOLD_SECONDS"),
            ("STRIPE_SECRET_KEYS", "STRIPE_SECRET_KEY"),
        ] {
            let mut command = stagedoor(folder.path(), arguments);
            command.env(name, "60");
            let said = refused(command).await;
            let sentence = format!("{name}: there is no such setting; did you mean {meant}?");
            assert!(said.contains(&sentence), "{said}");
        }
    }
    for line in [
        "STAGEDOOR_ADDRESS=127.0.0.1:0",
        "DATABASE_URI=postgres://db.example/shop",
    ] {
        std::fs::write(folder.path().join(".env"), line).unwrap();
        let said = refused(stagedoor(folder.path(), &["migrate"])).await;
        assert!(said.contains("did you mean"), "{said}");
    }
    std::fs::write(folder.path().join(".env"), "POSTGRES_PASSWORD=x\n").unwrap();
    let mut command = stagedoor(folder.path(), &["migrate"]);
    command.env("RUST_LOG", "stagedoor=loud");
    let said = refused(command).await;
    assert!(said.contains("RUST_LOG"), "{said}");
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
