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
fn current_code(app: &App, secret: &str) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let totp = Builder::new().with_secret(secret).build().unwrap();
    let seconds = app.clock_seconds().unsigned_abs();
    totp.generate(seconds).to_string()
}

/// A code that is wrong now.
fn wrong_code(app: &App, secret: &str) -> String {
    let right: u32 = current_code(app, secret).parse().unwrap();
    // Neither the previous nor the next code.
    format!("{:06}", (right + 333_333) % 1_000_000)
}

async fn get_setup(client: &Client) -> Value {
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
async fn set_up_factor(app: &App, client: &Client) -> (String, Vec<String>) {
    let setup = get_setup(client).await;
    let secret = setup["secret"].as_str().unwrap().to_owned();
    let done = enable(client, &setup, PASSWORD, &current_code(app, &secret)).await;
    let codes = done.expect(200)["recoveryCodes"].clone();
    (secret, serde_json::from_value(codes).unwrap())
}

async fn send_with_code(
    client: &Client,
    method: &str,
    path: &str,
    password: &str,
    code: &str,
) -> Answer {
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

async fn get_state(client: &Client) -> Value {
    client.get(PATH).await.expect(200)
}

#[track_caller]
fn redirect_target(answer: &Answer) -> String {
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

/// Returns the ticket.
async fn sell_ticket(seller: &Client, buyer: &Client) -> Value {
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    buyer.pay_to_the_end(&order).await;
    ticket
}

on_both_engines! {
    async fn signing_in_requires_the_password_and_a_code(app) {
        let ann = app.user("ann").await;
        let other = app.anonymous();
        sign_in(&other, &ann.email, None).await.expect(200);
        assert_eq!(get_state(&ann).await["enabledAt"], Value::Null);
        let (secret, codes) = set_up_factor(app, &ann).await;
        assert_eq!(codes.len(), 10);
        assert!(is_signed_in(&ann).await && !is_signed_in(&other).await, "the other sessions have ended");
        let now = get_state(&ann).await;
        assert!(now["enabledAt"].is_string(), "{now}");
        assert_eq!((&now["recoveryCodesLeft"], &now["required"]), (&json!(10), &json!(false)));

        let phone = app.anonymous();
        let missing = sign_in(&phone, &ann.email, None).await.refused(401, "second_factor_required");
        assert_eq!(missing["errors"][0]["field"], "code");
        for none in ["", "  "] {
            sign_in(&phone, &ann.email, Some(none)).await.refused(401, "second_factor_required");
        }
        let code = wrong_code(app, &secret);
        sign_in(&phone, &ann.email, Some(&code)).await.refused(401, "second_factor_required");
        let used = current_code(app, &secret);
        sign_in(&phone, &ann.email, Some(&used)).await.refused(401, "second_factor_required");
        assert!(!is_signed_in(&phone).await);
        app.clock.advance(30);
        let code = current_code(app, &secret);
        sign_in(&phone, &ann.email, Some(&format!(" {} {} ", &code[..3], &code[3..]))).await.expect(200);
        assert!(is_signed_in(&phone).await);
        let again = sign_in(&app.anonymous(), &ann.email, Some(&code)).await;
        again.refused(401, "second_factor_required");

        let recovery = codes[3].to_uppercase();
        sign_in(&app.anonymous(), &ann.email, Some(&recovery)).await.expect(200);
        let again = sign_in(&app.anonymous(), &ann.email, Some(&recovery)).await;
        again.refused(401, "second_factor_required");
        assert_eq!(get_state(&ann).await["recoveryCodesLeft"], 9);
        let body = json!({"email": ann.email, "password": "not this one", "code": codes[4]});
        app.anonymous().post("/api/user/signin", body).await.refused(401, "bad_credentials");
        assert_eq!(get_state(&ann).await["recoveryCodesLeft"], 9, "a wrong password does not use up a code");

        let mails = letters(app).await;
        let about = |words: &str| mails.iter().filter(|letter| letter.text.contains(words)).count();
        assert_eq!((about("Two-step sign-in is on"), about("A recovery code was used")), (1, 1), "{mails:?}");
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
        let own = get_setup(&ann).await;
        let secret = own["secret"].as_str().unwrap();
        let code = current_code(app, secret);
        assert!(own["uri"].as_str().unwrap().contains(secret), "{own}");
        enable(&ann, &own, "not this one", &code).await.invalid("password");
        enable(&ann, &own, PASSWORD, &wrong_code(app, secret)).await.invalid("code");
        let both = enable(&ann, &own, "", " ").await;
        both.clone().invalid("password");
        both.invalid("code");
        enable(&bob, &own, PASSWORD, &code).await.invalid("setup");
        enable(&ann, &json!({"setup": "SDE1.nonsense.AAAA"}), PASSWORD, &code).await.invalid("setup");
        app.clock.advance(3600);
        enable(&ann, &own, PASSWORD, &current_code(app, secret)).await.invalid("setup");
        assert_eq!(app.count("second_factors").await, 0);
        app.anonymous().get(PATH).await.refused(401, "sign_in_required");
        set_up_factor(app, &ann).await;
        let another = get_setup(&ann).await;
        let code = current_code(app, another["secret"].as_str().unwrap());
        enable(&ann, &another, PASSWORD, &code).await.refused(409, "second_factor_on");
    }

    async fn of_two_concurrent_sign_ins_with_one_code_one_succeeds(app) {
        let ann = app.user("ann").await;
        let (secret, codes) = set_up_factor(app, &ann).await;
        app.clock.advance(30);
        for code in [current_code(app, &secret), codes[0].clone()] {
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
        let (one, two) = (get_setup(&ann).await, get_setup(&other).await);
        let code = |setup: &Value| current_code(app, setup["secret"].as_str().unwrap());
        let (code_of_one, code_of_two) = (code(&one), code(&two));
        let (first, second) = tokio::join!(
            enable(&ann, &one, PASSWORD, &code_of_one),
            enable(&other, &two, PASSWORD, &code_of_two)
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
            send_with_code(&ann, method, path, PASSWORD, "123456").await.refused(409, "second_factor_off");
        }
        let (secret, codes) = set_up_factor(app, &ann).await;
        app.clock.advance(30);
        for (method, path) in [("DELETE", PATH), ("PUT", CODES)] {
            let code = current_code(app, &secret);
            send_with_code(&ann, method, path, "not this one", &code).await.invalid("password");
            send_with_code(&ann, method, path, PASSWORD, &wrong_code(app, &secret)).await.invalid("code");
            send_with_code(&ann, method, path, PASSWORD, "").await.invalid("code");
        }
        let code = current_code(app, &secret);
        let new = send_with_code(&ann, "PUT", CODES, PASSWORD, &code).await.expect(200)["recoveryCodes"].clone();
        let new: Vec<String> = serde_json::from_value(new).unwrap();
        send_with_code(&ann, "DELETE", PATH, PASSWORD, &code).await.invalid("code");
        send_with_code(&ann, "DELETE", PATH, PASSWORD, &codes[0]).await.invalid("code");
        assert_eq!(app.count("second_factors").await, 1);
        send_with_code(&ann, "DELETE", PATH, PASSWORD, &new[0]).await.expect(204);
        assert_eq!((app.count("second_factors").await, app.count("recovery_codes").await), (0, 0));
        sign_in(&app.anonymous(), &ann.email, None).await.expect(200);
        let mails = letters(app).await;
        for words in ["Two-step sign-in is off", "You have new recovery codes"] {
            assert!(mails.iter().any(|letter| letter.text.contains(words)), "{words}");
        }
    }

    async fn wrong_codes_are_limited_like_wrong_passwords(app) {
        let ann = app.user("ann").await;
        let (secret, codes) = set_up_factor(app, &ann).await;
        app.limits_on();
        app.clock.advance(30);
        let from = |last: u8| Client::new_from(&app.base, Some([127, 0, 5, last].into()));
        for last in [1, 2] {
            for _ in 0..10 {
                let code = wrong_code(app, &secret);
                let answer = sign_in(&from(last), &ann.email, Some(&code)).await;
                answer.refused(401, "second_factor_required");
            }
            let code = current_code(app, &secret);
            sign_in(&from(last), &ann.email, Some(&code)).await.refused(429, "too_many_requests");
        }
        // Over all networks together, because a six-digit code needs few guesses.
        let code = current_code(app, &secret);
        sign_in(&from(3), &ann.email, Some(&code)).await.refused(429, "too_many_requests");
        sign_in(&from(3), &ann.email, Some(&codes[0])).await.refused(429, "too_many_requests");
        // The owner's own browser is exempt.
        ann.post("/api/user/signout", Value::Null).await.expect_2xx();
        sign_in(&ann, &ann.email, Some(&code)).await.expect(200);
        app.clock.advance(3600);
        let code = current_code(app, &secret);
        sign_in(&from(3), &ann.email, Some(&code)).await.expect(200);
    }

    async fn resetting_a_password_requires_a_code(app) {
        let ann = app.user("ann").await;
        let (secret, _) = set_up_factor(app, &ann).await;
        app.clock.advance(30);
        let forgot = json!({"email": ann.email});
        app.anonymous().post("/api/user/forgot", forgot).await.expect_2xx();
        let mails = letters(app).await;
        let token = mails.iter().find_map(|letter| letter.token("/reset")).unwrap();
        let browser = app.anonymous();
        let page = browser.page(&format!("/reset?token={token}")).await.text;
        for part in ["name=\"code\"", "autocomplete=\"username\"", ann.email.as_str()] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let reset = |code: Option<String>| {
            let body = json!({"token": token, "password": "a rather better one", "code": code});
            let browser = browser.clone();
            async move { browser.post("/api/user/reset", body).await }
        };
        reset(None).await.refused(401, "second_factor_required");
        reset(Some(wrong_code(app, &secret))).await.refused(401, "second_factor_required");
        sign_in(&app.anonymous(), &ann.email, None).await.refused(401, "second_factor_required");
        assert!(!is_signed_in(&browser).await);
        reset(Some(current_code(app, &secret))).await.expect(200);
        assert!(is_signed_in(&browser).await);
        sign_in(&app.anonymous(), &ann.email, None).await.refused(401, "bad_credentials");
    }

    async fn deleting_an_account_deletes_mails_about_its_factor(app) {
        let ann = app.user("ann").await;
        set_up_factor(app, &ann).await;
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
        let (secret, codes) = set_up_factor(app, &ann).await;
        app.clock.advance(30);
        let phone = app.anonymous();
        let fields = [("email", ann.email.as_str()), ("password", PASSWORD), ("next", "/sell")];
        let first = phone.form("/fn/accounts/sign_in", "/signin?next=/sell", &fields).await;
        let page = redirect_target(&first);
        assert_eq!(page, "/signin/code?next=/sell");
        let shown = phone.page(&page).await.text;
        for part in ["one-time-code", "autocomplete=\"username\"", ann.email.as_str()] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("role=\"alert\""), "no error is shown yet: {shown}");
        let pending = hidden_field(&shown, "pending");
        assert!(!is_signed_in(&phone).await);
        let submit_code = |client: Client, code: String, recovery: &'static str| {
            let (page, pending) = (page.clone(), pending.clone());
            async move {
                let fields = [("pending", pending.as_str()), ("code", &code), ("next", "/sell"), ("recovery", recovery)];
                client.form("/fn/accounts/finish_sign_in", &page, &fields).await
            }
        };
        for (form, typed) in [("false", wrong_code(app, &secret)), ("true", "no such code".to_owned())] {
            assert_eq!(redirect_target(&submit_code(phone.clone(), typed, form).await), page);
            let refused = phone.page(&page).await.text;
            assert!(refused.contains("That code is not right"), "{refused}");
            assert_eq!(hidden_field(&refused, "pending"), pending);
        }
        assert_eq!(redirect_target(&submit_code(phone.clone(), current_code(app, &secret), "false").await), "/sell");
        assert!(is_signed_in(&phone).await);
        let other = app.anonymous();
        assert_eq!(redirect_target(&submit_code(other.clone(), codes[0].clone(), "true").await), "/sell");
        assert!(is_signed_in(&other).await, "the pending sign-in accepts an unused code");
        // Reloaded without the pending sign-in, the page redirects to the password.
        assert_eq!(redirect_target(&app.anonymous().page(&page).await), "/signin?next=/sell");
        app.clock.advance(601);
        let late = app.anonymous();
        assert_eq!(redirect_target(&submit_code(late.clone(), codes[1].clone(), "true").await), "/signin?next=/sell");
        assert!(late.page("/signin?next=/sell").await.text.contains("That took too long."));
        assert!(!is_signed_in(&late).await);
    }

    async fn a_new_password_invalidates_pending_sign_ins(app) {
        let ann = app.user("ann").await;
        let (_, codes) = set_up_factor(app, &ann).await;
        let browser = app.anonymous();
        let fields = [("email", ann.email.as_str()), ("password", PASSWORD)];
        let page = redirect_target(&browser.form("/fn/accounts/sign_in", "/signin", &fields).await);
        let pending = hidden_field(&browser.page(&page).await.text, "pending");
        let body = json!({"currentPassword": PASSWORD, "newPassword": "a rather better one"});
        ann.put("/api/user/password", body).await.expect_2xx();
        for forged in [pending.as_str(), "", "SDS1.AAAA.AAAA"] {
            let fields = [("pending", forged), ("code", codes[0].as_str())];
            let answer = browser.form("/fn/accounts/finish_sign_in", &page, &fields).await;
            assert_eq!(redirect_target(&answer), "/signin", "{forged}");
        }
        assert!(!is_signed_in(&browser).await);
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
            let (ann, setup, code) = (ann.clone(), setup.clone(), current_code(app, &secret));
            async move {
                let fields = [("setup", setup.as_str()), ("password", password), ("code", &code), ("next", "/selling")];
                ann.form("/fn/accounts/enable_second_factor", page, &fields).await
            }
        };
        assert_eq!(redirect_target(&turn_on("not this one").await), page);
        let refused = ann.page(page).await.text;
        assert!(refused.contains("That is not your password."), "{refused}");
        assert_eq!(hidden_field(&refused, "setup"), setup, "the setup is kept");
        assert_eq!(redirect_target(&turn_on(PASSWORD).await), page);
        let done = ann.page(page).await.text;
        assert_eq!(done.matches("<li><code class=\"key\">").count(), 10, "{done}");
        assert!(done.contains("href=\"/selling\""), "{done}");
        let later = ann.page(page).await.text;
        assert!(!later.contains("<li><code") && later.contains("10 recovery codes left"), "{later}");
        assert!(ann.page("/account").await.text.contains("Recovery codes, or turn it off"));
    }

    async fn operators_without_a_required_second_factor_are_refused(app) {
        let strict = app.strict().await;
        let [seller, buyer, ann] = [app.user("seller").await, app.user("buyer").await, app.user("ann").await];
        app.make_operator(&ann).await;
        let (ticket, own) = (sell_ticket(&seller, &buyer).await, sell_ticket(&ann, &buyer).await);
        let listed = seller.ticket(&seller.event().await, 2500).await;
        let operator = ann.at(&strict.base);
        assert_eq!(get_state(&operator).await["required"], true);
        operator.refund(&[&ticket]).await.refused(403, "second_factor_setup_required");
        operator.delete(&crate::support::path("tickets", &listed)).await.refused(403, "second_factor_setup_required");
        let victim = json!({"email": buyer.email});
        let end_path = "/api/user/sessions/end";
        operator.post(end_path, victim.clone()).await.refused(403, "second_factor_setup_required");
        buyer.at(&strict.base).refund(&[&ticket]).await.refused(404, "not_found");
        operator.refund(&[&own]).await.expect(201);
        let form = [("ticket_id", ticket["id"].as_str().unwrap())];
        let answer = operator.form("/fn/refunds/ask", "/selling", &form).await;
        assert_eq!(redirect_target(&answer), "/account/second-factor?next=/selling");
        assert!(operator.page("/account").await.text.contains("Operators must turn this on"));

        set_up_factor(&strict, &operator).await;
        operator.refund(&[&ticket]).await.expect(201);
        operator.delete(&crate::support::path("tickets", &listed)).await.expect_2xx();
        operator.post(end_path, victim).await.expect_2xx();
        assert!(!is_signed_in(&buyer).await);
        operator.post(end_path, json!({"email": "nobody@example.com"})).await.invalid("email");
        seller.post(end_path, json!({"email": ann.email})).await.refused(403, "forbidden");
        app.assert_sound().await;
        strict.close().await;
    }

    async fn a_command_resets_the_second_factor_of_a_user(app) {
        let ann = app.user("ann").await;
        let sessions = DbSessions::new(app.db.clone(), app.clock.clone());
        let reset = |email: String| {
            let (db, clock, sessions) = (app.db.clone(), app.clock.clone(), sessions.clone());
            async move { reset_second_factor_of(&db, &*clock, &sessions, &email).await.unwrap() }
        };
        assert!(reset("nobody@example.com".to_owned()).await.is_none());
        assert!(!reset(ann.email.clone()).await.unwrap().1);
        assert!(is_signed_in(&ann).await, "nothing was reset");
        set_up_factor(app, &ann).await;
        assert!(reset(ann.email.to_uppercase()).await.unwrap().1);
        assert!(!is_signed_in(&ann).await);
        sign_in(&app.anonymous(), &ann.email, None).await.expect(200);
        assert_eq!((app.count("second_factors").await, app.count("recovery_codes").await), (0, 0));
        let mails = letters(app).await;
        assert!(mails.iter().any(|letter| letter.text.contains("Two-step sign-in was reset")));
    }

    async fn deleting_an_account_deletes_its_second_factor(app) {
        let ann = app.user("ann").await;
        set_up_factor(app, &ann).await;
        let body = json!({"password": "not this one"});
        let refused = ann.json("DELETE", "/api/user", &[], body).await;
        assert_eq!(refused.header("clear-site-data"), "", "the session has not ended");
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
        let setup = get_setup(&gus).await;
        let code = current_code(app, setup["secret"].as_str().unwrap());
        enable(&gus, &setup, "anything at all", &code).await.invalid("password");
    }

    async fn the_list_of_sessions_shows_their_networks(app) {
        let ann = Client::sign_up_from(&app.base, "ann", "127.0.7.9").await;
        let list = ann.get("/api/user/sessions").await.expect(200);
        assert_eq!(list["sessions"][0]["network"], "127.0.7.0/24");
        assert!(ann.page("/account").await.text.contains("from 127.0.7.0/24"));
    }
}
