//! Limits on guessing passwords: concurrent attempts cannot exceed them, attackers cannot lock an owner
//! out, and one address cannot block hashing for others. Also the lifetime of sessions and of hashes.

use crate::support::{Answer, App, Client, client::PASSWORD, on_both_engines};
use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
use platform::session::DbSessions;
use serde_json::json;
use shop::accounts::end_sessions_of;
use sqlx::Row;
use std::time::Instant;

const OTHER_ADDRESS: [u8; 4] = [127, 0, 9, 9];
const THIRD_ADDRESS: [u8; 4] = [127, 0, 9, 10];
const NEW_PASSWORD: &str = "a rather better one";

async fn sign_in(client: &Client, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    client.post("/api/user/signin", body).await
}

/// Makes ten wrong attempts, the limit per address and account.
async fn use_up_attempts(app: &App, from: [u8; 4], email: &str) {
    for _ in 0..10 {
        let guessed = sign_in(&app.anonymous_from(from), email, "not this one").await;
        guessed.refused(401, "bad_credentials");
    }
    let guessed = sign_in(&app.anonymous_from(from), email, "not this one").await;
    guessed.refused(429, "too_many_requests");
}

async fn sign_in_concurrently(app: &App, times: usize, email: &str, password: &str) -> Vec<u16> {
    let clients: Vec<Client> = (0..times).map(|_| app.anonymous()).collect();
    let tries = clients
        .iter()
        .map(|client| sign_in(client, email, password));
    let answers = futures::future::join_all(tries).await;
    answers
        .iter()
        .map(|answer| {
            let waits = answer
                .header("retry-after")
                .parse::<i64>()
                .is_ok_and(|seconds| seconds > 0);
            assert!(answer.status < 429 || waits, "{}", answer.text);
            answer.status
        })
        .collect()
}

async fn read_hash(app: &App, user: &Client) -> String {
    let row = sqlx::query("SELECT password_hash FROM users WHERE id = $1")
        .bind(user.id.clone())
        .fetch_one(app.db.reads())
        .await
        .unwrap();
    row.get("password_hash")
}

on_both_engines! {
    async fn concurrent_guesses_do_not_exceed_the_limit(app) {
        app.limits_on();
        let ann = app.user("ann").await;
        let statuses = sign_in_concurrently(app, 150, &ann.email, "not this one").await;
        let guesses = statuses.iter().filter(|status| **status == 401).count();
        assert!((1..=10).contains(&guesses), "{guesses} of 150 were compared");
        assert!(statuses.iter().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
    }

    async fn guesses_from_another_address_do_not_lock_the_owner_out(app) {
        app.limits_on();
        let ann = app.user("ann").await;
        use_up_attempts(app, OTHER_ADDRESS, &ann.email).await;
        sign_in(&app.anonymous_from(OTHER_ADDRESS), &ann.email, PASSWORD).await.refused(429, "too_many_requests");
        sign_in(&app.anonymous(), &ann.email, PASSWORD).await.expect(200);
        sign_in(&app.anonymous_from(THIRD_ADDRESS), &ann.email, PASSWORD).await.expect(200);
        let body = json!({"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD});
        assert_eq!(ann.json("PUT", "/api/user/password", &[], body).await.status, 204);
    }

    async fn a_known_device_can_sign_in_while_its_address_is_limited(app) {
        app.limits_on();
        let ann = app.user("ann").await;
        ann.post("/api/user/signout", json!({})).await.expect_2xx();
        use_up_attempts(app, [127, 0, 0, 1], &ann.email).await;
        sign_in(&app.anonymous(), &ann.email, PASSWORD).await.refused(429, "too_many_requests");
        sign_in(&ann, &ann.email, PASSWORD).await.expect(200);
        // For another account, this browser is not a known device.
        let bob = app.user("bob").await;
        use_up_attempts(app, [127, 0, 0, 1], &bob.email).await;
        sign_in(&ann, &bob.email, PASSWORD).await.refused(429, "too_many_requests");
        // A known device is limited too.
        for _ in 0..10 {
            sign_in(&ann, &ann.email, "not this one").await.refused(401, "bad_credentials");
        }
        sign_in(&ann, &ann.email, PASSWORD).await.refused(429, "too_many_requests");
    }

    async fn ending_all_sessions_revokes_known_devices(app) {
        app.limits_on();
        let ann = app.user("ann").await;
        let other = app.anonymous_from(THIRD_ADDRESS);
        sign_in(&other, &ann.email, PASSWORD).await.expect(200);
        assert_eq!(other.delete("/api/user/sessions").await.status, 204);
        use_up_attempts(app, [127, 0, 0, 1], &ann.email).await;
        sign_in(&ann, &ann.email, PASSWORD).await.refused(429, "too_many_requests");
        use_up_attempts(app, THIRD_ADDRESS, &ann.email).await;
        sign_in(&other, &ann.email, PASSWORD).await.expect(200);
    }

    async fn guesses_from_many_addresses_delay_sign_ins_but_do_not_lock_the_account(app) {
        app.limits_on();
        let ann = app.user("ann").await;
        for last in 1..=10 {
            use_up_attempts(app, [127, 0, 7, last], &ann.email).await;
        }
        sign_in(&app.anonymous_from([127, 0, 7, 11]), &ann.email, "not this one").await
            .refused(401, "bad_credentials");
        let slowed = sign_in(&app.anonymous_from(OTHER_ADDRESS), &ann.email, PASSWORD).await;
        let seconds: i64 = slowed.header("retry-after").parse().unwrap();
        assert!((1..=15).contains(&seconds), "{seconds}");
        slowed.refused(429, "too_many_requests");
        app.clock.advance(seconds);
        sign_in(&app.anonymous_from(OTHER_ADDRESS), &ann.email, PASSWORD).await.expect(200);
    }

    async fn wrong_current_passwords_are_counted_by_session(app) {
        app.limits_on();
        let ann = app.user("ann").await;
        let other = app.anonymous();
        sign_in(&other, &ann.email, PASSWORD).await.expect(200);
        let change = |client: &Client, current: &str| {
            let (client, body) = (client.clone(), json!({"currentPassword": current, "newPassword": NEW_PASSWORD}));
            async move { client.json("PUT", "/api/user/password", &[], body).await }
        };
        for _ in 0..10 {
            change(&other, "not this one").await.invalid("currentPassword");
        }
        change(&other, PASSWORD).await.refused(429, "too_many_requests");
        assert_eq!(change(&ann, PASSWORD).await.status, 204);
    }

    async fn many_sign_ins_from_one_address_do_not_delay_other_addresses(app) {
        app.limits_on();
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let repeated = async {
            let answered = sign_in_concurrently(app, 200, &ann.email, PASSWORD).await;
            (answered, Instant::now())
        };
        let other = async {
            let client = app.anonymous_from(OTHER_ADDRESS);
            sign_in(&client, &bob.email, PASSWORD).await.expect(200);
            Instant::now()
        };
        let ((repeated, repeated_done), other_done) = futures::join!(repeated, other);
        let right = repeated.iter().filter(|status| **status == 200).count();
        assert!((1..=60).contains(&right), "{right} of 200");
        assert!(repeated.iter().all(|status| [200, 429, 503].contains(status)), "{repeated:?}");
        assert!(other_done < repeated_done, "the sign-in from the other address waited for all others");
    }

    async fn overlong_texts_are_neither_hashed_nor_stored(app) {
        app.limits_on();
        let (long, ann) = ("x".repeat(200_000), app.user("ann").await);
        sign_in(&app.anonymous(), &format!("{long}@example.com"), PASSWORD).await.invalid("email");
        sign_in(&app.anonymous(), &ann.email, &long).await.invalid("password");
        let body = json!({"email": format!("{long}@example.com")});
        app.anonymous().post("/api/user/forgot", body).await.invalid("email");
        let body = json!({"email": "new@example.com", "password": long});
        app.anonymous().post("/api/user/signup", body).await.invalid("password");
        let body = json!({"currentPassword": long, "newPassword": NEW_PASSWORD});
        ann.json("PUT", "/api/user/password", &[], body).await.invalid("currentPassword");
        ann.json("DELETE", "/api/user", &[], json!({"password": long})).await.invalid("password");
        let next = format!("/events/{long}");
        let fields = [("email", ann.email.as_str()), ("next", next.as_str())];
        app.anonymous().form("/fn/accounts/forgot", "/forgot", &fields).await;
        assert_eq!(app.number("SELECT COUNT(*) AS n FROM password_resets WHERE next IS NULL").await, 1);
    }

    async fn reset_requests_from_another_address_do_not_prevent_the_owners_request(app) {
        app.limits_on();
        let ann = app.user("ann").await;
        let forgot = |from: [u8; 4]| {
            let (client, body) = (app.anonymous_from(from), json!({"email": ann.email}));
            async move { client.post("/api/user/forgot", body).await }
        };
        for _ in 0..5 {
            assert_eq!(forgot(OTHER_ADDRESS).await.status, 204);
        }
        forgot(OTHER_ADDRESS).await.refused(429, "too_many_requests");
        assert_eq!(forgot(THIRD_ADDRESS).await.status, 204, "the request is accepted, but no further link is created");
        assert_eq!(app.count("password_resets").await, 5);
    }

    async fn easily_guessed_passwords_are_refused_at_their_field(app) {
        for (email, name, password) in [
            ("ann@example.com", "Ann", "password"),
            ("ann@example.com", "Ann", "Password123!"),
            ("ann@example.com", "Ann", "qwertyuiop"),
            ("ann@example.com", "Ann", "11111111"),
            ("ann@example.com", "Ann", "ann@example.com"),
            ("ann@example.com", "Ann Archer", "annarcher"),
            ("ann@example.com", "Ann", "Stagedoor1"),
        ] {
            let body = json!({"email": email, "password": password, "name": name});
            app.anonymous().post("/api/user/signup", body).await.invalid("password");
        }
        assert_eq!(app.count("users").await, 0);
    }

    async fn an_existing_guessable_password_still_works_and_its_old_hash_is_renewed(app) {
        let ann = app.user("ann").await;
        let params = Params::new(8 * 1024, 1, 1, None).unwrap();
        let old = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let old = old.hash_password(b"password").unwrap().to_string();
        app.set_password_hash(&ann, &old).await;
        sign_in(&app.anonymous(), &ann.email, "not this one").await.refused(401, "bad_credentials");
        assert_eq!(read_hash(app, &ann).await, old);
        sign_in(&app.anonymous(), &ann.email, "password").await.expect(200);
        let renewed = read_hash(app, &ann).await;
        assert!(renewed.contains("m=19456,t=2,p=1"), "{renewed}");
        sign_in(&app.anonymous(), &ann.email, "password").await.expect(200);
        assert_eq!(read_hash(app, &ann).await, renewed);
        ann.get("/api/orders").await.expect(200);
    }

    async fn an_operator_ends_all_sessions_of_one_account_only(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let other = app.anonymous();
        sign_in(&other, &ann.email, PASSWORD).await.expect(200);
        let sessions = DbSessions::new(app.db.clone(), app.clock.clone());
        let address = ann.email.to_uppercase();
        let ended = end_sessions_of(&app.db, &sessions, &address).await.unwrap();
        assert_eq!(ended.unwrap().email, ann.email);
        for client in [&ann, &other] {
            client.get("/api/orders").await.refused(401, "sign_in_required");
        }
        bob.get("/api/orders").await.expect(200);
        assert_eq!(app.count("sessions").await, 1);
        let unknown = end_sessions_of(&app.db, &sessions, "nobody@example.com").await;
        assert!(unknown.unwrap().is_none());
    }

    async fn a_session_in_use_ends_ninety_days_after_its_sign_in(app) {
        let ann = app.user("ann").await;
        // Used a day ago, and signed in long before.
        let day = 24 * 3600 * 1_000_000_i64;
        let now = app.clock_seconds() * 1_000_000;
        app.sessions_began(now - 89 * day, now - day).await;
        ann.get("/api/orders").await.expect(200);
        let ends = app.number("SELECT MAX(expires_at) AS n FROM sessions").await;
        assert_eq!(ends, now + day, "use extends it by a day, not by thirty");
        // Signing out everywhere else does not restart the 90 days.
        assert_eq!(ann.delete("/api/user/sessions").await.status, 204);
        ann.get("/api/orders").await.expect(200);
        app.sessions_began(now - 91 * day, now - day).await;
        ann.get("/api/orders").await.refused(401, "sign_in_required");
    }
}
