//! The second factor: turning it on and off, signing in with it, recovery codes, and operators who must
//! have it.

use crate::{
    mail::letters,
    support::{Answer, App, Client, client::PASSWORD, on_both_engines},
};
use platform::session::DbSessions;
use serde_json::{Value, json};
use shop::accounts::reset_second_factor_of;
use totp_rs::{Builder, Secret};

const PATH: &str = "/api/user/second-factor";
const CODES: &str = "/api/user/second-factor/recovery-codes";

/// The code that an app with this secret shows now.
fn code_of(app: &App, secret: &str) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let totp = Builder::new().with_secret(secret).build().unwrap();
    let seconds = app.clock_seconds().unsigned_abs();
    totp.generate(seconds).to_string()
}

/// A code that is wrong now.
fn wrong(app: &App, secret: &str) -> String {
    let right: u32 = code_of(app, secret).parse().unwrap();
    // Neither the previous nor the next code.
    format!("{:06}", (right + 333_333) % 1_000_000)
}

async fn setup(client: &Client) -> Value {
    client
        .get("/api/user/second-factor/setup")
        .await
        .expect(200)
}

async fn enable(client: &Client, setup: &Value, password: &str, code: &str) -> Answer {
    let body = json!({"setup": setup["setup"], "password": password, "code": code});
    client.put(PATH, body).await
}

/// Turns the second factor on. Returns its secret and recovery codes; the current code is used.
async fn with_factor(app: &App, client: &Client) -> (String, Vec<String>) {
    let setup = setup(client).await;
    let secret = setup["secret"].as_str().unwrap().to_owned();
    let done = enable(client, &setup, PASSWORD, &code_of(app, &secret)).await;
    let codes = done.expect(200)["recoveryCodes"].clone();
    (secret, serde_json::from_value(codes).unwrap())
}

async fn prove(client: &Client, method: &str, path: &str, password: &str, code: &str) -> Answer {
    let body = json!({"password": password, "code": code});
    client.json(method, path, &[], body).await
}

async fn sign_in(client: &Client, email: &str, code: Option<&str>) -> Answer {
    let mut body = json!({"email": email, "password": PASSWORD});
    if let Some(code) = code {
        body["code"] = code.into();
    }
    client.post("/api/user/signin", body).await
}

async fn is_signed_in(client: &Client) -> bool {
    client.get("/api/orders").await.status == 200
}

async fn state(client: &Client) -> Value {
    client.get(PATH).await.expect(200)
}

#[track_caller]
fn leads_to(answer: &Answer) -> String {
    assert!(
        [302, 303].contains(&answer.status),
        "{} {}",
        answer.status,
        answer.text
    );
    answer.header("location").to_owned()
}

/// The value of a hidden field of this page.
#[track_caller]
fn hidden_field(page: &str, name: &str) -> String {
    let field = format!("name=\"{name}\" value=\"");
    let after = page.split(&field).nth(1);
    let after = after.unwrap_or_else(|| panic!("{name}: {page}"));
    after.split('"').next().unwrap().to_owned()
}

/// Sells a ticket of `seller`. Returns the ticket.
async fn sold(seller: &Client, buyer: &Client) -> Value {
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    buyer.pay_to_the_end(&order).await;
    ticket
}

on_both_engines! {
    async fn a_code_is_asked_for_besides_the_password(app) {
        let ann = app.user("ann").await;
        let other = app.anonymous();
        sign_in(&other, &ann.email, None).await.expect(200);
        assert_eq!(state(&ann).await["enabledAt"], Value::Null);
        let (secret, codes) = with_factor(app, &ann).await;
        assert_eq!(codes.len(), 10);
        assert!(is_signed_in(&ann).await && !is_signed_in(&other).await, "all others are signed out");
        let now = state(&ann).await;
        assert!(now["enabledAt"].is_string(), "{now}");
        assert_eq!((&now["recoveryCodesLeft"], &now["required"]), (&json!(10), &json!(false)));

        let phone = app.anonymous();
        let missing = sign_in(&phone, &ann.email, None).await.refused(401, "second_factor_required");
        assert_eq!(missing["errors"][0]["field"], "code");
        for none in ["", "  "] {
            sign_in(&phone, &ann.email, Some(none)).await.refused(401, "second_factor_required");
        }
        let code = wrong(app, &secret);
        sign_in(&phone, &ann.email, Some(&code)).await.refused(401, "second_factor_required");
        let used = code_of(app, &secret);
        sign_in(&phone, &ann.email, Some(&used)).await.refused(401, "second_factor_required");
        assert!(!is_signed_in(&phone).await);
        app.clock.advance(30);
        let code = code_of(app, &secret);
        sign_in(&phone, &ann.email, Some(&format!(" {} {} ", &code[..3], &code[3..]))).await.expect(200);
        assert!(is_signed_in(&phone).await);
        let again = sign_in(&app.anonymous(), &ann.email, Some(&code)).await;
        again.refused(401, "second_factor_required");

        let recovery = codes[3].to_uppercase();
        sign_in(&app.anonymous(), &ann.email, Some(&recovery)).await.expect(200);
        let again = sign_in(&app.anonymous(), &ann.email, Some(&recovery)).await;
        again.refused(401, "second_factor_required");
        assert_eq!(state(&ann).await["recoveryCodesLeft"], 9);
        let body = json!({"email": ann.email, "password": "not this one", "code": codes[4]});
        app.anonymous().post("/api/user/signin", body).await.refused(401, "bad_credentials");
        assert_eq!(state(&ann).await["recoveryCodesLeft"], 9, "a wrong password uses no code up");

        let told = letters(app).await;
        let about = |words: &str| told.iter().filter(|letter| letter.text.contains(words)).count();
        assert_eq!((about("Two-step sign-in is on"), about("A recovery code was used")), (1, 1), "{told:?}");
        let data = ann.get("/account/data.json").await.expect(200);
        assert_eq!(data["secondFactor"]["recoveryCodesLeft"], 9);
        for kept in app.texts("SELECT secret AS t FROM second_factors").await {
            assert!(kept.starts_with("SDE1.") && !kept.contains(&secret), "{kept}");
        }
        for kept in app.texts("SELECT code_hash AS t FROM recovery_codes").await {
            assert!(!codes.contains(&kept) && kept.len() == 64, "{kept}");
        }
    }

    async fn turning_it_on_requires_the_password_and_a_code_of_the_setup(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let own = setup(&ann).await;
        let secret = own["secret"].as_str().unwrap();
        let code = code_of(app, secret);
        assert!(own["uri"].as_str().unwrap().contains(secret), "{own}");
        enable(&ann, &own, "not this one", &code).await.invalid("password");
        enable(&ann, &own, PASSWORD, &wrong(app, secret)).await.invalid("code");
        let both = enable(&ann, &own, "", " ").await;
        both.clone().invalid("password");
        both.invalid("code");
        enable(&bob, &own, PASSWORD, &code).await.invalid("setup");
        enable(&ann, &json!({"setup": "SDE1.nonsense.AAAA"}), PASSWORD, &code).await.invalid("setup");
        app.clock.advance(3600);
        enable(&ann, &own, PASSWORD, &code_of(app, secret)).await.invalid("setup");
        assert_eq!(app.count("second_factors").await, 0);
        app.anonymous().get(PATH).await.refused(401, "sign_in_required");
        with_factor(app, &ann).await;
        let another = setup(&ann).await;
        let code = code_of(app, another["secret"].as_str().unwrap());
        enable(&ann, &another, PASSWORD, &code).await.refused(409, "second_factor_on");
    }

    async fn of_two_who_use_one_code_at_once_one_gets_in(app) {
        let ann = app.user("ann").await;
        let (secret, codes) = with_factor(app, &ann).await;
        app.clock.advance(30);
        for code in [code_of(app, &secret), codes[0].clone()] {
            let (one, two) = (app.anonymous(), app.anonymous());
            let (first, second) = tokio::join!(
                sign_in(&one, &ann.email, Some(&code)),
                sign_in(&two, &ann.email, Some(&code))
            );
            let mut statuses = [first.status, second.status];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 401], "{code}");
            assert_ne!(is_signed_in(&one).await, is_signed_in(&two).await);
        }
    }

    async fn of_two_concurrent_requests_to_turn_it_on_one_succeeds(app) {
        let ann = app.user("ann").await;
        let other = app.anonymous();
        sign_in(&other, &ann.email, None).await.expect(200);
        let (one, two) = (setup(&ann).await, setup(&other).await);
        let code = |setup: &Value| code_of(app, setup["secret"].as_str().unwrap());
        let (of_one, of_two) = (code(&one), code(&two));
        let (first, second) = tokio::join!(
            enable(&ann, &one, PASSWORD, &of_one),
            enable(&other, &two, PASSWORD, &of_two)
        );
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        // The other finds a second factor, or its session has ended.
        assert_eq!(statuses[0], 200);
        assert!([401, 409].contains(&statuses[1]), "{statuses:?}");
        assert_eq!((app.count("second_factors").await, app.count("recovery_codes").await), (1, 10));
    }

    async fn turning_it_off_requires_the_password_and_a_code(app) {
        let ann = app.user("ann").await;
        for (method, path) in [("DELETE", PATH), ("PUT", CODES)] {
            prove(&ann, method, path, PASSWORD, "123456").await.refused(409, "second_factor_off");
        }
        let (secret, codes) = with_factor(app, &ann).await;
        app.clock.advance(30);
        for (method, path) in [("DELETE", PATH), ("PUT", CODES)] {
            let code = code_of(app, &secret);
            prove(&ann, method, path, "not this one", &code).await.invalid("password");
            prove(&ann, method, path, PASSWORD, &wrong(app, &secret)).await.invalid("code");
            prove(&ann, method, path, PASSWORD, "").await.invalid("code");
        }
        let code = code_of(app, &secret);
        let new = prove(&ann, "PUT", CODES, PASSWORD, &code).await.expect(200)["recoveryCodes"].clone();
        let new: Vec<String> = serde_json::from_value(new).unwrap();
        prove(&ann, "DELETE", PATH, PASSWORD, &code).await.invalid("code");
        prove(&ann, "DELETE", PATH, PASSWORD, &codes[0]).await.invalid("code");
        assert_eq!(app.count("second_factors").await, 1);
        prove(&ann, "DELETE", PATH, PASSWORD, &new[0]).await.expect(204);
        assert_eq!((app.count("second_factors").await, app.count("recovery_codes").await), (0, 0));
        sign_in(&app.anonymous(), &ann.email, None).await.expect(200);
        let told = letters(app).await;
        for words in ["Two-step sign-in is off", "You have new recovery codes"] {
            assert!(told.iter().any(|letter| letter.text.contains(words)), "{words}");
        }
    }

    async fn wrong_codes_are_limited_like_wrong_passwords(app) {
        let ann = app.user("ann").await;
        let (secret, codes) = with_factor(app, &ann).await;
        app.limits_on();
        app.clock.advance(30);
        let from = |last: u8| Client::new_from(&app.base, Some([127, 0, 5, last].into()));
        for last in [1, 2] {
            for _ in 0..10 {
                let code = wrong(app, &secret);
                let answer = sign_in(&from(last), &ann.email, Some(&code)).await;
                answer.refused(401, "second_factor_required");
            }
            let code = code_of(app, &secret);
            sign_in(&from(last), &ann.email, Some(&code)).await.refused(429, "too_many_requests");
        }
        // Over all networks together, because a six-digit code needs few guesses.
        let code = code_of(app, &secret);
        sign_in(&from(3), &ann.email, Some(&code)).await.refused(429, "too_many_requests");
        sign_in(&from(3), &ann.email, Some(&codes[0])).await.refused(429, "too_many_requests");
        // The owner's own browser is exempt.
        ann.post("/api/user/signout", Value::Null).await.expect_2xx();
        sign_in(&ann, &ann.email, Some(&code)).await.expect(200);
        app.clock.advance(3600);
        let code = code_of(app, &secret);
        sign_in(&from(3), &ann.email, Some(&code)).await.expect(200);
    }

    async fn a_mailed_link_asks_for_the_code_too(app) {
        let ann = app.user("ann").await;
        let (secret, _) = with_factor(app, &ann).await;
        app.clock.advance(30);
        let forgot = json!({"email": ann.email});
        app.anonymous().post("/api/user/forgot", forgot).await.expect_2xx();
        let told = letters(app).await;
        let token = told.iter().find_map(|letter| letter.token("/reset")).unwrap();
        let fox = app.anonymous();
        let page = fox.page(&format!("/reset?token={token}")).await.text;
        for part in ["name=\"code\"", "autocomplete=\"username\"", ann.email.as_str()] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let reset = |code: Option<String>| {
            let body = json!({"token": token, "password": "a rather better one", "code": code});
            let fox = fox.clone();
            async move { fox.post("/api/user/reset", body).await }
        };
        reset(None).await.refused(401, "second_factor_required");
        reset(Some(wrong(app, &secret))).await.refused(401, "second_factor_required");
        sign_in(&app.anonymous(), &ann.email, None).await.refused(401, "second_factor_required");
        assert!(!is_signed_in(&fox).await);
        reset(Some(code_of(app, &secret))).await.expect(200);
        assert!(is_signed_in(&fox).await);
        sign_in(&app.anonymous(), &ann.email, None).await.refused(401, "bad_credentials");
    }

    async fn deleting_an_account_deletes_mails_about_its_factor(app) {
        let ann = app.user("ann").await;
        with_factor(app, &ann).await;
        let failed = "UPDATE mails SET state = 'sent', last_error = 'no mailbox of that name: ann' \
             WHERE kind = 'second_factor_changed'";
        app.run_sql(failed).await;
        let code = json!({"password": PASSWORD});
        ann.json("DELETE", "/api/user", &[], code).await.expect(204);
        let left = app.texts("SELECT COALESCE(last_error, '') AS t FROM mails").await;
        assert_eq!(left.join(""), "");
    }

    async fn signing_in_by_forms_takes_two_steps(app) {
        let ann = app.user("ann").await;
        let (secret, codes) = with_factor(app, &ann).await;
        app.clock.advance(30);
        let phone = app.anonymous();
        let fields = [("email", ann.email.as_str()), ("password", PASSWORD), ("next", "/sell")];
        let first = phone.form("/fn/accounts/sign_in", "/signin?next=/sell", &fields).await;
        let page = leads_to(&first);
        assert_eq!(page, "/signin/code?next=/sell");
        let shown = phone.page(&page).await.text;
        for part in ["one-time-code", "autocomplete=\"username\"", ann.email.as_str()] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("role=\"alert\""), "nothing is wrong yet: {shown}");
        let pending = hidden_field(&shown, "pending");
        assert!(!is_signed_in(&phone).await);
        let give = |client: Client, code: String, recovery: &'static str| {
            let (page, pending) = (page.clone(), pending.clone());
            async move {
                let fields = [("pending", pending.as_str()), ("code", &code), ("next", "/sell"), ("recovery", recovery)];
                client.form("/fn/accounts/finish_sign_in", &page, &fields).await
            }
        };
        for (form, typed) in [("false", wrong(app, &secret)), ("true", "no such code".to_owned())] {
            assert_eq!(leads_to(&give(phone.clone(), typed, form).await), page);
            let refused = phone.page(&page).await.text;
            assert!(refused.contains("That code is not right"), "{refused}");
            assert_eq!(hidden_field(&refused, "pending"), pending);
        }
        assert_eq!(leads_to(&give(phone.clone(), code_of(app, &secret), "false").await), "/sell");
        assert!(is_signed_in(&phone).await);
        let other = app.anonymous();
        assert_eq!(leads_to(&give(other.clone(), codes[0].clone(), "true").await), "/sell");
        assert!(is_signed_in(&other).await, "the password was right, and the code is another");
        // Reloaded without the pending sign-in, the page redirects to the password.
        assert_eq!(leads_to(&app.anonymous().page(&page).await), "/signin?next=/sell");
        app.clock.advance(601);
        let late = app.anonymous();
        assert_eq!(leads_to(&give(late.clone(), codes[1].clone(), "true").await), "/signin?next=/sell");
        assert!(late.page("/signin?next=/sell").await.text.contains("That took too long."));
        assert!(!is_signed_in(&late).await);
    }

    async fn a_new_password_invalidates_pending_sign_ins(app) {
        let ann = app.user("ann").await;
        let (_, codes) = with_factor(app, &ann).await;
        let fox = app.anonymous();
        let fields = [("email", ann.email.as_str()), ("password", PASSWORD)];
        let page = leads_to(&fox.form("/fn/accounts/sign_in", "/signin", &fields).await);
        let pending = hidden_field(&fox.page(&page).await.text, "pending");
        let body = json!({"currentPassword": PASSWORD, "newPassword": "a rather better one"});
        ann.put("/api/user/password", body).await.expect_2xx();
        for forged in [pending.as_str(), "", "SDS1.AAAA.AAAA"] {
            let fields = [("pending", forged), ("code", codes[0].as_str())];
            let answer = fox.form("/fn/accounts/finish_sign_in", &page, &fields).await;
            assert_eq!(leads_to(&answer), "/signin", "{forged}");
        }
        assert!(!is_signed_in(&fox).await);
    }

    async fn setup_by_forms_shows_the_recovery_codes_once(app) {
        let ann = app.user("ann").await;
        let page = "/account/second-factor?next=/selling";
        let shown = ann.page(page).await.text;
        assert!(shown.contains("class=\"qr\"") && shown.contains("otpauth://totp/"), "{shown}");
        let setup = hidden_field(&shown, "setup");
        let key = shown.split("<code class=\"key\">").nth(1).unwrap();
        let secret = key.split('<').next().unwrap().replace(' ', "");
        let turn_on = |password: &'static str| {
            let (ann, setup, code) = (ann.clone(), setup.clone(), code_of(app, &secret));
            async move {
                let fields = [("setup", setup.as_str()), ("password", password), ("code", &code), ("next", "/selling")];
                ann.form("/fn/accounts/enable_second_factor", page, &fields).await
            }
        };
        assert_eq!(leads_to(&turn_on("not this one").await), page);
        let refused = ann.page(page).await.text;
        assert!(refused.contains("That is not your password."), "{refused}");
        assert_eq!(hidden_field(&refused, "setup"), setup, "the app that was set up still is");
        assert_eq!(leads_to(&turn_on(PASSWORD).await), page);
        let done = ann.page(page).await.text;
        assert_eq!(done.matches("<li><code class=\"key\">").count(), 10, "{done}");
        assert!(done.contains("href=\"/selling\""), "{done}");
        let later = ann.page(page).await.text;
        assert!(!later.contains("<li><code") && later.contains("10 recovery codes left"), "{later}");
        assert!(ann.page("/account").await.text.contains("Recovery codes, or turn it off"));
    }

    async fn an_operator_who_needs_it_sets_it_up_first(app) {
        let strict = app.strict().await;
        let [seller, buyer, ann] = [app.user("seller").await, app.user("buyer").await, app.user("ann").await];
        app.make_operator(&ann).await;
        let (ticket, own) = (sold(&seller, &buyer).await, sold(&ann, &buyer).await);
        let listed = seller.ticket(&seller.event().await, 2500).await;
        let there = ann.at(&strict.base);
        assert_eq!(state(&there).await["required"], true);
        there.refund(&[&ticket]).await.refused(403, "second_factor_setup_required");
        there.delete(&crate::support::path("tickets", &listed)).await.refused(403, "second_factor_setup_required");
        let victim = json!({"email": buyer.email});
        let end = "/api/user/sessions/end";
        there.post(end, victim.clone()).await.refused(403, "second_factor_setup_required");
        buyer.at(&strict.base).refund(&[&ticket]).await.refused(404, "not_found");
        there.refund(&[&own]).await.expect(201);
        let form = [("ticket_id", ticket["id"].as_str().unwrap())];
        let answer = there.form("/fn/refunds/ask", "/selling", &form).await;
        assert_eq!(leads_to(&answer), "/account/second-factor?next=/selling");
        assert!(there.page("/account").await.text.contains("Operators must turn this on"));

        with_factor(&strict, &there).await;
        there.refund(&[&ticket]).await.expect(201);
        there.delete(&crate::support::path("tickets", &listed)).await.expect_2xx();
        there.post(end, victim).await.expect_2xx();
        assert!(!is_signed_in(&buyer).await);
        there.post(end, json!({"email": "nobody@example.com"})).await.invalid("email");
        seller.post(end, json!({"email": ann.email})).await.refused(403, "forbidden");
        app.assert_sound().await;
        strict.close().await;
    }

    async fn who_has_lost_app_and_codes_is_let_in_by_a_command(app) {
        let ann = app.user("ann").await;
        let sessions = DbSessions::new(app.db.clone(), app.clock.clone());
        let reset = |email: String| {
            let (db, clock, sessions) = (app.db.clone(), app.clock.clone(), sessions.clone());
            async move { reset_second_factor_of(&db, &*clock, &sessions, &email).await.unwrap() }
        };
        assert!(reset("nobody@example.com".to_owned()).await.is_none());
        assert!(!reset(ann.email.clone()).await.unwrap().1);
        assert!(is_signed_in(&ann).await, "there was nothing to reset");
        with_factor(app, &ann).await;
        assert!(reset(ann.email.to_uppercase()).await.unwrap().1);
        assert!(!is_signed_in(&ann).await);
        sign_in(&app.anonymous(), &ann.email, None).await.expect(200);
        assert_eq!((app.count("second_factors").await, app.count("recovery_codes").await), (0, 0));
        let told = letters(app).await;
        assert!(told.iter().any(|letter| letter.text.contains("Two-step sign-in was reset")));
    }

    async fn deleting_an_account_deletes_its_second_factor(app) {
        let ann = app.user("ann").await;
        with_factor(app, &ann).await;
        let body = json!({"password": "not this one"});
        let refused = ann.json("DELETE", "/api/user", &[], body).await;
        assert_eq!(refused.header("clear-site-data"), "", "nothing has ended");
        refused.invalid("password");
        let left = ann.json("DELETE", "/api/user", &[], json!({"password": PASSWORD})).await;
        assert_eq!(left.header("clear-site-data"), "\"cache\", \"storage\"");
        left.expect_2xx();
        assert_eq!((app.count("second_factors").await, app.count("recovery_codes").await), (0, 0));
    }

    async fn a_guest_must_set_a_password_first(app) {
        let gus = app.guest("gus@example.com").await;
        let page = gus.page("/account/second-factor").await.text;
        assert!(page.contains("set a password first"), "{page}");
        let setup = setup(&gus).await;
        let code = code_of(app, setup["secret"].as_str().unwrap());
        enable(&gus, &setup, "anything at all", &code).await.invalid("password");
    }

    async fn the_list_of_sessions_shows_their_networks(app) {
        let ann = Client::sign_up_from(&app.base, "ann", "127.0.7.9").await;
        let list = ann.get("/api/user/sessions").await.expect(200);
        assert_eq!(list["sessions"][0]["network"], "127.0.7.0/24");
        assert!(ann.page("/account").await.text.contains("from 127.0.7.0/24"));
    }
}
