//! Sign-up, sign-in, sign-out and sessions.

use crate::support::client::PASSWORD;
use crate::support::{App, Client, on_both_engines};
use serde_json::json;

on_both_engines! {
    async fn signing_up_signs_in_and_returns_the_user(app) {
        let anonymous = app.anonymous();
        let signed_out = anonymous.get("/api/user/currentuser").await.expect(200);
        assert_eq!(signed_out, json!({"currentUser": null}));
        let body = json!({"email": "Ann@Example.com", "password": PASSWORD});
        let user = anonymous.post("/api/user/signup", body).await.expect(201);
        assert_eq!((&user["email"], &user["name"], &user["version"]),
            (&json!("Ann@Example.com"), &json!("Ann"), &json!(1)));
        let current = anonymous.get("/api/user/currentuser").await.expect(200);
        assert_eq!(current["currentUser"], user);
        assert!(!current.to_string().contains("password"));
        assert_eq!(app.events_of(&user).await, [("UserCreated".to_owned(), 1)]);
    }

    async fn an_address_signs_up_once_regardless_of_case(app) {
        let ann = app.user("ann").await;
        let body = json!({"email": ann.email.to_uppercase(), "password": PASSWORD});
        app.anonymous().post("/api/user/signup", body).await.invalid("email");
    }

    async fn twenty_concurrent_sign_ups_with_one_address_make_one_account(app) {
        let clients: Vec<Client> = (0..20).map(|_| app.anonymous()).collect();
        let body = json!({"email": "ann@example.com", "password": PASSWORD, "name": "Ann"});
        let answers = futures::future::join_all(
            clients.iter().map(|client| client.post("/api/user/signup", body.clone())),
        ).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1);
        for refused in answers.into_iter().filter(|answer| answer.status != 201) {
            refused.invalid("email");
        }
    }

    async fn sign_up_errors_are_reported_at_their_fields(app) {
        let anonymous = app.anonymous();
        for email in ["nonsense", "", "a@", "@b.example", "a b@example.com", "a@b@example.com"] {
            let body = json!({"email": email, "password": PASSWORD});
            anonymous.post("/api/user/signup", body).await.invalid("email");
        }
        for password in ["short", "", "1234567", &"x".repeat(2000)] {
            let body = json!({"email": "a@example.com", "password": password});
            anonymous.post("/api/user/signup", body).await.invalid("password");
        }
        let body = json!({"email": "a@example.com", "password": PASSWORD, "name": "x".repeat(200)});
        anonymous.post("/api/user/signup", body).await.invalid("name");
        let both = anonymous.post("/api/user/signup", json!({"email": "x", "password": "y"})).await;
        both.clone().invalid("email");
        both.invalid("password");
        let body = json!({"email": "a@example.com", "password": PASSWORD, "admin": true});
        anonymous.post("/api/user/signup", body).await.invalid("admin");
        assert_eq!(app.count("users").await, 0);
    }

    async fn an_unknown_address_and_a_wrong_password_get_the_same_answer(app) {
        let ann = app.user("ann").await;
        let wrong = json!({"email": ann.email, "password": "not this one"});
        let unknown = json!({"email": "nobody@example.com", "password": "not this one"});
        let wrong = app.anonymous().post("/api/user/signin", wrong).await;
        let unknown = app.anonymous().post("/api/user/signin", unknown).await;
        assert_eq!(wrong.body["errors"], unknown.body["errors"]);
        wrong.refused(401, "bad_credentials");
        unknown.refused(401, "bad_credentials");
    }

    async fn empty_sign_in_fields_are_reported(app) {
        let empty = app.anonymous().post("/api/user/signin", json!({"email": " ", "password": ""})).await;
        empty.clone().invalid("email");
        empty.invalid("password");
    }

    async fn signing_in_starts_a_new_session_with_a_persistent_cookie(app) {
        let ann = app.user("ann").await;
        let body = json!({"email": ann.email, "password": PASSWORD});
        let first = app.anonymous().post("/api/user/signin", body.clone()).await;
        let again = app.anonymous().post("/api/user/signin", body).await;
        let (one, two) = (first.header("set-cookie").to_owned(), again.header("set-cookie").to_owned());
        assert_ne!(one, two);
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
            assert!(one.contains(attribute), "{attribute} in {one}");
        }
        let id = one.split(';').next().unwrap().split_once('=').unwrap().1;
        assert_eq!(app.count_where("sessions", "id_hash", id).await, 0, "only its hash is stored");
    }

    async fn signing_out_ends_the_session_on_the_server(app) {
        let ann = app.user("ann").await;
        let body = json!({"email": ann.email, "password": PASSWORD});
        let signed_in = app.anonymous().post("/api/user/signin", body).await;
        let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
        let stolen = app.anonymous();
        let with_cookie = [("cookie", cookie.as_str())];
        stolen.send("GET", "/api/orders", &with_cookie, "").await.expect(200);
        let out = stolen.send("POST", "/api/user/signout", &with_cookie, "").await;
        assert_eq!(out.status, 204);
        stolen.send("GET", "/api/orders", &with_cookie, "").await.refused(401, "sign_in_required");
        ann.get("/api/orders").await.expect(200);
    }

    async fn visitors_get_no_session(app) {
        for path in ["/api/events", "/api/user/currentuser", "/api/tickets"] {
            assert_eq!(app.anonymous().get(path).await.header("set-cookie"), "");
        }
        assert_eq!(app.count("sessions").await, 0);
    }

    async fn wrong_passwords_are_limited_per_account_with_retry_after(app) {
        app.limits_on();
        let ann = app.user("ann").await;
        let wrong = json!({"email": ann.email, "password": "not this one"});
        for _ in 0..10 {
            app.anonymous().post("/api/user/signin", wrong.clone()).await.refused(401, "bad_credentials");
        }
        let limited = app.anonymous().post("/api/user/signin", wrong).await;
        assert!(limited.header("retry-after").parse::<i64>().is_ok_and(|seconds| seconds > 0));
        limited.refused(429, "too_many_requests");
        app.clock.advance(601);
        let right = json!({"email": ann.email, "password": PASSWORD});
        app.anonymous().post("/api/user/signin", right).await.expect(200);
    }

    async fn another_site_cannot_act_for_you(app) {
        let ann = app.user("ann").await;
        let body = || json!({}).to_string();
        for headers in [
            vec![("origin", "https://evil.example")],
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("origin", "null")],
        ] {
            let mut all = vec![("content-type", "application/json")];
            all.extend(headers);
            ann.send("POST", "/api/user/signout", &all, body()).await.refused(403, "forbidden");
        }
        ann.get("/api/orders").await.expect(200);
        let own = [("origin", app.base.as_str())];
        assert_eq!(ann.send("POST", "/api/user/signout", &own, body()).await.status, 204);
    }
}
