//! Tests that invalid settings are refused by name, and valid ones read.

use super::*;
use std::path::Path;

#[expect(clippy::unnecessary_wraps, reason = "settings may be missing")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn mail_by(smtp_url: Option<String>, from: Option<String>) -> Result<MailConfig, ConfigError> {
    check_mail(smtp_url, from, "https://x.example", &Trust::default())
}

#[test]
#[allow(clippy::too_many_lines, reason = "a list")]
fn an_invalid_setting_is_named() {
    for (name, result) in [
        (
            "STAGEDOOR_HOLD_SECONDS",
            seconds("STAGEDOOR_HOLD_SECONDS", "soon", 1).err(),
        ),
        (
            "STAGEDOOR_HOLD_SECONDS",
            seconds("STAGEDOOR_HOLD_SECONDS", "0", 1).err(),
        ),
        (
            "STAGEDOOR_PUBLIC_URL",
            check_origin("tickets.example").err(),
        ),
        (
            "STAGEDOOR_PUBLIC_URL",
            check_origin("https://tickets.example/shop").err(),
        ),
        (
            "STAGEDOOR_TRUSTED_PROXIES",
            check_proxies(Some("10.0.0.0/8, the ingress")).err(),
        ),
        ("NATS_URL", check_nats(text("http://nats.example")).err()),
        (
            "STRIPE_SECRET_KEY",
            check_stripe(text("pk_1"), None, None, None).err(),
        ),
        (
            "STRIPE_WEBHOOK_SECRET",
            check_stripe(text("sk_test_1"), text("pk_test_1"), None, None).err(),
        ),
        (
            "STRIPE_PUBLISHABLE_KEY",
            check_stripe(text("sk_test_1"), None, Some("whsec_1"), None).err(),
        ),
        (
            "STRIPE_PUBLISHABLE_KEY",
            check_stripe(text("sk_live_1"), text("pk_test_1"), Some("whsec_1"), None).err(),
        ),
        (
            "STRIPE_PUBLISHABLE_KEY",
            check_stripe(
                text("rk_test_1"),
                text("pk_live_1"),
                Some("whsec_1"),
                text("http://x"),
            )
            .err(),
        ),
        (
            "STRIPE_PUBLISHABLE_KEY",
            check_stripe(text("sk_live_1"), None, Some("whsec_1"), text("http://x")).err(),
        ),
        (
            "STRIPE_SECRET_KEY",
            check_stripe(text("sk_Live_1"), text("pk_live_1"), Some("whsec_1"), None).err(),
        ),
        (
            "STAGEDOOR_OPERATOR_TWO_FACTOR",
            check_operators(Some("on"), &StripeConfig::Demo).err(),
        ),
        (
            "STAGEDOOR_DEMO",
            check_demo(Some("yes"), &StripeConfig::Demo).err(),
        ),
        (
            "STRIPE_API_URL",
            check_stripe(None, None, None, text("http://x")).err(),
        ),
        ("SMTP_URL", mail_by(text("mail.example:25"), None).err()),
        (
            "STAGEDOOR_MAIL_FROM",
            mail_by(None, text("the box office")).err(),
        ),
    ] {
        let sentence = result.unwrap().to_string();
        assert!(sentence.starts_with(name), "{sentence}");
    }
}

#[test]
fn without_keys_it_is_a_demo() {
    assert!(matches!(
        check_stripe(None, None, None, None),
        Ok(StripeConfig::Demo)
    ));
    let keys = check_stripe(text("sk_test_1"), text("pk_test_1"), Some("whsec_1"), None);
    assert!(matches!(keys, Ok(StripeConfig::Live(_))));
    let rotating = check_stripe(
        text("sk_live_1"),
        text("pk_live_1"),
        Some("whsec_1, whsec_2,"),
        None,
    );
    let Ok(StripeConfig::Live(keys)) = rotating else {
        panic!("two webhook secrets are refused");
    };
    assert_eq!((keys.webhooks.secrets.len(), keys.webhooks.live), (2, true));
}

#[test]
fn mails_are_from_the_shops_own_host() {
    let mail = mail_by(None, None).unwrap();
    assert_eq!(mail.from.to_string(), "Stagedoor <tickets@x.example>");
    let smtp = text("smtps://user:secret@mail.example");
    let mail = mail_by(smtp, text("Box Office <box@y.example>")).unwrap();
    assert_eq!(mail.from.email.to_string(), "box@y.example");
    assert!(!format!("{mail:?}").contains("secret"));
}

#[test]
fn an_origin_loses_its_slash() {
    assert_eq!(
        check_origin("https://tickets.example/").unwrap(),
        "https://tickets.example"
    );
    assert_eq!(
        reachable(([0, 0, 0, 0], 80).into()),
        ([127, 0, 0, 1], 80).into()
    );
}

#[test]
fn a_demo_at_a_public_address_must_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    let served = |url: &str, more: &[(&str, &str)]| {
        let given: Vec<_> = [("public-url", url)].iter().chain(more).copied().collect();
        alone(folder.path(), &given)
            .unwrap()
            .assert_demo_is_intended()
    };
    for url in [
        "http://127.0.0.1:3000",
        "http://localhost:3000",
        "http://shop.localhost",
        "http://[::1]:3000",
    ] {
        assert!(served(url, &[]).is_ok(), "{url}");
    }
    for url in [
        "https://tickets.example",
        "http://192.168.1.5:3000",
        "http://127.0.0.1.example",
        "http://localhost.example",
    ] {
        let sentence = served(url, &[]).unwrap_err().to_string();
        assert!(sentence.contains("STAGEDOOR_DEMO=1"), "{sentence}");
        assert!(served(url, &[("demo", "1")]).is_ok(), "{url}");
    }
    let keys = [
        ("stripe-secret-key", "sk_test_1"),
        ("stripe-publishable-key", "pk_test_1"),
        ("stripe-webhook-secret", "whsec_1"),
    ];
    assert!(served("https://tickets.example", &keys).is_ok());
}

/// Parses settings without a command.
#[derive(clap::Parser)]
struct Alone {
    #[command(flatten)]
    settings: Settings,
}

fn alone(folder: &Path, given: &[(&str, &str)]) -> Result<Config, ConfigError> {
    use clap::Parser;
    let flags = given
        .iter()
        .map(|(flag, value)| format!("--{flag}={value}"));
    let data_dir = format!("--data-dir={}", folder.display());
    let settings = [String::new(), data_dir].into_iter().chain(flags);
    Alone::parse_from(settings).settings.check()
}

#[test]
fn each_service_may_be_set_without_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let all = [
        ("database-url", "postgres://ann@db.example/shop"),
        ("redis-url", "redis://redis.example"),
        ("nats-url", "nats://nats.example"),
    ];
    for chosen in 0..8 {
        let is_chosen = |number: usize| chosen & (1 << number) != 0;
        let given: Vec<_> = (0..3).filter(|number| is_chosen(*number)).collect();
        let given: Vec<_> = given.into_iter().map(|number| all[number]).collect();
        let config = alone(folder.path(), &given).unwrap();
        let is_set = (
            config.database_url.starts_with("postgres"),
            config.redis_url.is_some(),
            config.nats_url.is_some(),
        );
        assert_eq!(is_set, (is_chosen(0), is_chosen(1), is_chosen(2)));
    }
}

#[test]
fn an_invalid_address_of_a_service_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (flag, name) in [
        ("database-url", "DATABASE_URL"),
        ("redis-url", "REDIS_URL"),
        ("nats-url", "NATS_URL"),
    ] {
        let refused = alone(folder.path(), &[(flag, "nonsense")]).unwrap_err();
        let sentence = refused.to_string();
        assert!(sentence.starts_with(name), "{sentence}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a list")]
fn no_password_crosses_a_network_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let host_named = ("cleartext-hosts", "db, 10.1.2.3,collector");
    for (flag, name, url, is_refused) in [
        (
            "database-url",
            "DATABASE_URL",
            "postgres://ann:pw@db/shop",
            true,
        ),
        (
            "database-url",
            "DATABASE_URL",
            "postgres://ann:pw@db/shop?sslmode=prefer",
            true,
        ),
        (
            "database-url",
            "DATABASE_URL",
            "postgres://ann:pw@db/shop?SSLMODE=require",
            true,
        ),
        (
            "database-url",
            "DATABASE_URL",
            "postgres://db/shop?user=ann&password=pw",
            true,
        ),
        (
            "database-url",
            "DATABASE_URL",
            "postgres://ann:pw@db/shop?sslmode=require",
            false,
        ),
        (
            "database-url",
            "DATABASE_URL",
            "postgres://ann:pw@db/shop?sslmode=verify-full",
            false,
        ),
        (
            "database-url",
            "DATABASE_URL",
            "postgres://ann@db/shop",
            false,
        ),
        (
            "database-url",
            "DATABASE_URL",
            "postgres://ann:pw@127.0.0.1/shop",
            false,
        ),
        (
            "database-url",
            "DATABASE_URL",
            "postgres://ann:pw@localhost/shop?host=/run",
            false,
        ),
        ("redis-url", "REDIS_URL", "redis://:pw@10.1.2.3:6379", true),
        ("redis-url", "REDIS_URL", "redis://10.1.2.3:6379", false),
        ("redis-url", "REDIS_URL", "redis://:pw@[::1]:6379", false),
        (
            "redis-url",
            "REDIS_URL",
            "rediss://:pw@10.1.2.3:6379",
            false,
        ),
        (
            "smtp-url",
            "SMTP_URL",
            "smtp://ann:pw@db?tls=opportunistic",
            true,
        ),
        (
            "smtp-url",
            "SMTP_URL",
            "smtp://ann:pw@db?TLS=required",
            false,
        ),
    ] {
        let across = alone(folder.path(), &[(flag, url)]);
        if is_refused {
            let sentence = across.unwrap_err().to_string();
            assert!(sentence.starts_with(name), "{sentence}");
            assert!(sentence.contains("STAGEDOOR_CLEARTEXT_HOSTS"), "{sentence}");
            assert!(!sentence.contains("pw@"), "{sentence}");
        } else {
            assert!(across.is_ok(), "{url}: {across:?}");
        }
        let named = alone(folder.path(), &[(flag, url), host_named]);
        assert!(named.is_ok(), "{url}: {named:?}");
    }
    let insecure = alone(
        folder.path(),
        &[("redis-url", "rediss://r.example/#insecure")],
    );
    assert!(insecure.unwrap_err().to_string().starts_with("REDIS_URL"));
    for (endpoint, is_refused) in [
        ("http://collector:4318", true),
        ("https://collector:4318", false),
        ("http://127.0.0.1:4318", false),
    ] {
        let given = [
            ("otel-exporter-otlp-endpoint", endpoint),
            ("otel-exporter-otlp-headers", "api-key=pw"),
        ];
        assert_eq!(
            alone(folder.path(), &given).is_err(),
            is_refused,
            "{endpoint}"
        );
        let named = [given[0], given[1], host_named];
        assert!(alone(folder.path(), &named).is_ok(), "{endpoint}");
    }
    let live = [
        ("stripe-secret-key", "sk_live_1"),
        ("stripe-publishable-key", "pk_live_1"),
        ("stripe-webhook-secret", "whsec_1"),
    ];
    for (url, is_refused) in [("http://10.1.2.3", true), ("https://10.1.2.3", false)] {
        let given: Vec<_> = live.into_iter().chain([("stripe-api-url", url)]).collect();
        assert_eq!(alone(folder.path(), &given).is_err(), is_refused, "{url}");
    }
}

#[test]
fn authorities_of_ones_own_are_read_from_a_file_that_has_some() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let file = path.to_str().unwrap();
    let refused = || {
        alone(folder.path(), &[("ca-file", file)])
            .unwrap_err()
            .to_string()
    };
    assert!(refused().starts_with("STAGEDOOR_CA_FILE"), "{}", refused());
    for text in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&path, text).unwrap();
        assert!(refused().contains("ca.pem"), "{}", refused());
    }
    let hosts = alone(folder.path(), &[("cleartext-hosts", "redis://redis:6379")]);
    let sentence = hosts.unwrap_err().to_string();
    assert!(
        sentence.starts_with("STAGEDOOR_CLEARTEXT_HOSTS"),
        "{sentence}"
    );
}

#[test]
fn operators_need_a_second_factor_with_live_keys_by_default() {
    let stripe = |key: &str, publishable: &str| {
        check_stripe(text(key), text(publishable), Some("whsec_1"), None).unwrap()
    };
    let needed = |said, stripe: &StripeConfig| {
        let operators = check_operators(said, stripe).unwrap();
        operators.need_second_factor
    };
    let (live, test) = (
        stripe("sk_live_1", "pk_live_1"),
        stripe("sk_test_1", "pk_test_1"),
    );
    assert!(needed(None, &live));
    assert!(!needed(None, &test) && !needed(None, &StripeConfig::Demo));
    assert!(!needed(Some("optional"), &live));
    assert!(needed(Some("required"), &StripeConfig::Demo));
}
