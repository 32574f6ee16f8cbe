//! Changing and resetting passwords, listing and ending sessions, and deleting an account.

use crate::{
    mail::letters,
    support::{Answer, App, Client, client::PASSWORD, on_both_engines, path},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};

const NEW_PASSWORD: &str = "a rather better one";
const FIREFOX: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Signs the user in in another browser.
async fn sign_in_again(app: &App, user: &Client, password: &str) -> Client {
    let mut client = app.anonymous();
    let body = json!({"email": user.email, "password": password});
    client.post("/api/user/signin", body).await.expect(200);
    (client.id, client.email) = (user.id.clone(), user.email.clone());
    client
}

async fn change_password(client: &Client, from: &str, to: &str) -> Answer {
    let body = json!({"currentPassword": from, "newPassword": to});
    client.json("PUT", "/api/user/password", &[], body).await
}

async fn request_reset(app: &App, email: &str) -> Answer {
    app.anonymous()
        .post("/api/user/forgot", json!({"email": email}))
        .await
}

async fn reset_password(client: &Client, token: &str, password: &str) -> Answer {
    let body = json!({"token": token, "password": password});
    client.post("/api/user/reset", body).await
}

async fn delete_account(client: &Client, password: &str) -> Answer {
    let body = json!({"password": password});
    client.json("DELETE", "/api/user", &[], body).await
}

/// Requests a reset link and reads its token in the mail.
async fn request_token(app: &App, email: &str) -> String {
    assert_eq!(request_reset(app, email).await.status, 204);
    let letters = letters(app).await;
    // Mails queued at the same moment are sent in any order.
    let with_link = letters
        .iter()
        .rev()
        .find_map(|letter| Some((letter, letter.token("/reset")?)));
    let (letter, token) = with_link.expect("a mail with a link");
    assert!(letter.headers["to"].contains(email), "{letter:?}");
    letter.says(&["If it was not you", "30 minutes"]);
    token
}

async fn is_signed_in(client: &Client) -> bool {
    client.get("/api/orders").await.status == 200
}

async fn can_sign_in(app: &App, email: &str, password: &str) -> bool {
    let body = json!({"email": email, "password": password});
    app.anonymous().post("/api/user/signin", body).await.status == 200
}

async fn list_sessions(client: &Client) -> Vec<Value> {
    let list = client.get("/api/user/sessions").await.expect(200);
    list["sessions"].as_array().unwrap().clone()
}

async fn sell_ticket(seller: &Client, buyer: &Client) -> (Value, Value) {
    let ticket = seller.ticket(&seller.event().await, 2500).await;
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect(201);
    (ticket, order)
}

/// All values of these columns in the database, joined.
async fn read_texts(app: &App) -> String {
    let mut all = String::new();
    for sql in [
        "SELECT email || email_key || name || password_hash AS t FROM users",
        "SELECT data AS t FROM outbox",
        "SELECT COALESCE(last_error, '') AS t FROM mails",
        "SELECT COALESCE(body, '') AS t FROM idempotency_keys",
        "SELECT record || COALESCE(device, '') AS t FROM sessions",
    ] {
        for row in sqlx::query(AssertSqlSafe(sql.to_owned()))
            .fetch_all(app.db.reads())
            .await
            .unwrap()
        {
            all.push_str(&row.get::<String, _>("t"));
            all.push('\n');
        }
    }
    all
}

on_both_engines! {
    async fn a_new_password_ends_every_other_session(app) {
        let ann = app.user("ann").await;
        let other = sign_in_again(app, &ann, PASSWORD).await;
        assert_eq!(change_password(&ann, PASSWORD, NEW_PASSWORD).await.status, 204);
        assert!(is_signed_in(&ann).await, "the session that changed it continues");
        other.get("/api/orders").await.refused(401, "sign_in_required");
        assert!(!can_sign_in(app, &ann.email, PASSWORD).await);
        assert!(can_sign_in(app, &ann.email, NEW_PASSWORD).await);
        assert_eq!(app.count("sessions").await, 2);
        let letters = letters(app).await;
        letters[0].says(&["password of your account is a new one", "/forgot"]);
        assert!(!letters[0].text.contains(NEW_PASSWORD));
    }

    async fn a_password_change_requires_the_current_password_and_eight_characters(app) {
        let ann = app.user("ann").await;
        change_password(&ann, "not this one", NEW_PASSWORD).await.invalid("currentPassword");
        change_password(&ann, "", NEW_PASSWORD).await.invalid("currentPassword");
        change_password(&ann, PASSWORD, "1234567").await.invalid("newPassword");
        let both = change_password(&ann, "", "").await;
        both.clone().invalid("currentPassword");
        both.invalid("newPassword");
        change_password(&app.anonymous(), PASSWORD, NEW_PASSWORD).await.refused(401, "sign_in_required");
        assert!(can_sign_in(app, &ann.email, PASSWORD).await);
        assert_eq!(app.count("mails").await, 0);
        for common in ["12345678", "Password1", &ann.email] {
            change_password(&ann, PASSWORD, common).await.invalid("newPassword");
        }
        assert_eq!(change_password(&ann, PASSWORD, "zwei esel").await.status, 204, "no special characters are required");
    }

    async fn of_two_concurrent_password_changes_one_succeeds(app) {
        let ann = app.user("ann").await;
        let other = sign_in_again(app, &ann, PASSWORD).await;
        let (one, two) = tokio::join!(
            change_password(&ann, PASSWORD, "the first of them"),
            change_password(&other, PASSWORD, "the second of them"),
        );
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        // The other had the wrong password by then, or its session had ended.
        assert_eq!(statuses[0], 204);
        assert!([400, 401].contains(&statuses[1]), "{statuses:?}");
        let first = can_sign_in(app, &ann.email, "the first of them").await;
        assert_ne!(first, can_sign_in(app, &ann.email, "the second of them").await);
    }

    async fn wrong_current_passwords_in_a_session_are_limited(app) {
        app.limits_on();
        let ann = app.user("ann").await;
        for _ in 0..10 {
            change_password(&ann, "not this one", NEW_PASSWORD).await.invalid("currentPassword");
        }
        change_password(&ann, PASSWORD, NEW_PASSWORD).await.refused(429, "too_many_requests");
        delete_account(&ann, PASSWORD).await.refused(429, "too_many_requests");
        app.clock.advance(601);
        assert_eq!(change_password(&ann, PASSWORD, NEW_PASSWORD).await.status, 204);
    }

    async fn a_user_can_list_and_end_their_sessions(app) {
        let ann = app.user("ann").await;
        app.clock.advance(60);
        let firefox = app.anonymous();
        let body = json!({"email": ann.email, "password": PASSWORD}).to_string();
        let headers = [("content-type", "application/json"), ("user-agent", FIREFOX)];
        firefox.send("POST", "/api/user/signin", &headers, body).await.expect(200);
        let bob = app.user("bob").await;

        let seen = list_sessions(&ann).await;
        assert_eq!(seen.len(), 2, "only the user's own sessions: {seen:?}");
        assert_eq!((&seen[0]["current"], &seen[0]["device"]), (&json!(true), &json!("An unknown device")));
        assert_eq!((&seen[1]["current"], &seen[1]["device"]), (&json!(false), &json!("Firefox on Windows")));
        assert!(seen[1]["begunAt"].is_string() && seen[1]["seenAt"].is_string());

        let id = seen[1]["id"].as_str().unwrap();
        let path = format!("/api/user/sessions/{id}");
        bob.delete(&path).await.refused(404, "not_found");
        assert!(is_signed_in(&firefox).await, "another user cannot end it");
        assert_eq!(ann.delete(&path).await.status, 204);
        assert!(!is_signed_in(&firefox).await && is_signed_in(&ann).await);
        ann.delete(&path).await.refused(404, "not_found");
        ann.delete("/api/user/sessions/nonsense").await.refused(404, "not_found");
        let own = format!("/api/user/sessions/{}", seen[0]["id"].as_str().unwrap());
        assert_eq!(ann.delete(&own).await.status, 204);
        assert!(!is_signed_in(&ann).await, "ending the current session signs out");
    }

    async fn signing_out_everywhere_else_leaves_one_session(app) {
        let ann = app.user("ann").await;
        let others = [sign_in_again(app, &ann, PASSWORD).await, sign_in_again(app, &ann, PASSWORD).await];
        let before = list_sessions(&ann).await;
        assert_eq!(ann.delete("/api/user/sessions").await.status, 204);
        for other in &others {
            assert!(!is_signed_in(other).await);
        }
        let after = list_sessions(&ann).await;
        assert_eq!(after.len(), 1);
        assert_ne!(after[0]["id"], before[0]["id"], "the session has a new id");
        assert!(can_sign_in(app, &ann.email, PASSWORD).await);
    }

    async fn a_session_in_use_is_extended_and_a_failed_extension_fails_no_request(app) {
        let ann = app.user("ann").await;
        let first = list_sessions(&ann).await[0].clone();
        app.clock.advance(3599);
        assert_eq!(ann.get("/api/orders").await.header("set-cookie"), "");
        app.clock.advance(2);
        let prolonged = ann.get("/api/orders").await;
        let cookie = prolonged.header("set-cookie").to_owned();
        assert!(cookie.contains("Max-Age=2592000") && cookie.contains("HttpOnly"), "{cookie}");
        let now = list_sessions(&ann).await[0].clone();
        assert_eq!((&now["id"], &now["begunAt"]), (&first["id"], &first["begunAt"]));
        assert!(now["seenAt"].as_str() > first["seenAt"].as_str());

        // Writes to sessions fail from here on.
        app.clock.advance(3601);
        app.run_sql("ALTER TABLE sessions RENAME COLUMN seen_at TO seen_once").await;
        app.run_sql("ALTER TABLE sessions ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0 CHECK (seen_at = 0)").await;
        let event = ann.event().await;
        assert!(event["id"].is_string(), "the request succeeds");
    }

    async fn signing_out_of_a_session_due_for_extension_ends_it(app) {
        let ann = app.user("ann").await;
        app.clock.advance(3601);
        let out = ann.post("/api/user/signout", json!({})).await;
        assert_eq!(out.status, 204);
        assert_eq!(out.headers.get_all("set-cookie").iter().count(), 1, "the cookie is removed, not renewed");
        assert!(!is_signed_in(&ann).await);
    }

    async fn a_reset_link_sets_a_new_password_once(app) {
        let ann = app.user("ann").await;
        let token = request_token(app, &ann.email.to_uppercase().to_lowercase()).await;
        assert_eq!(app.count_where("password_resets", "token_hash", &token).await, 0, "only its hash is stored");

        let page = app.anonymous().page(&format!("/reset?token={token}")).await;
        assert!(page.text.contains("New password"), "{}", page.text);
        let again = app.anonymous().page(&format!("/reset?token={token}")).await;
        assert!(again.text.contains("New password"), "opening the page does not use up the token");

        let browser = app.anonymous();
        reset_password(&browser, &token, "short").await.invalid("password");
        reset_password(&browser, &token, "password123").await.invalid("password");
        let user = reset_password(&browser, &token, NEW_PASSWORD).await.expect(200);
        assert_eq!(user["email"], ann.email);
        assert!(is_signed_in(&browser).await, "signed in");
        assert!(!is_signed_in(&ann).await, "all sessions end");
        assert!(can_sign_in(app, &ann.email, NEW_PASSWORD).await && !can_sign_in(app, &ann.email, PASSWORD).await);
        reset_password(&app.anonymous(), &token, "yet another one").await.invalid("token");
        let page = app.anonymous().page(&format!("/reset?token={token}")).await;
        assert!(page.text.contains("Ask for a new link"), "{}", page.text);
    }

    async fn concurrent_uses_of_a_reset_link_set_one_password(app) {
        let ann = app.user("ann").await;
        let token = request_token(app, &ann.email).await;
        let clients: Vec<Client> = (0..6).map(|_| app.anonymous()).collect();
        let passwords: Vec<String> = (0..6).map(|n| format!("password number {n}")).collect();
        let tries = clients.iter().zip(&passwords).map(|(client, password)| reset_password(client, &token, password));
        let answers = futures::future::join_all(tries).await;
        let mut work = Vec::new();
        for (answer, password) in answers.into_iter().zip(&passwords) {
            if answer.status == 200 {
                work.push(password);
            } else {
                answer.invalid("token");
            }
        }
        assert_eq!(work.len(), 1);
        assert!(can_sign_in(app, &ann.email, work[0]).await);
    }

    async fn a_reset_link_ends_by_time_or_by_a_password_change(app) {
        let ann = app.user("ann").await;
        let late = request_token(app, &ann.email).await;
        app.clock.advance(1799);
        let page = app.anonymous().page(&format!("/reset?token={late}")).await;
        assert!(page.text.contains("New password"));
        app.clock.advance(1);
        reset_password(&app.anonymous(), &late, NEW_PASSWORD).await.invalid("token");

        let (one, two) = (request_token(app, &ann.email).await, request_token(app, &ann.email).await);
        reset_password(&app.anonymous(), &two, NEW_PASSWORD).await.expect(200);
        reset_password(&app.anonymous(), &one, "yet another one").await.invalid("token");
        let three = request_token(app, &ann.email).await;
        let ann = sign_in_again(app, &ann, NEW_PASSWORD).await;
        assert_eq!(change_password(&ann, NEW_PASSWORD, PASSWORD).await.status, 204);
        reset_password(&app.anonymous(), &three, NEW_PASSWORD).await.invalid("token");
        for nonsense in ["", "x", "' OR 1 = 1 --", &"x".repeat(5000)] {
            reset_password(&app.anonymous(), nonsense, NEW_PASSWORD).await.invalid("token");
        }
    }

    async fn a_reset_request_does_not_reveal_whether_an_account_exists(app) {
        let ann = app.user("ann").await;
        let (known, unknown) = (request_reset(app, &ann.email).await, request_reset(app, "nobody@example.com").await);
        assert_eq!((known.status, &known.text), (unknown.status, &unknown.text));
        assert_eq!(app.count("mails").await, 1);
        request_reset(app, "nonsense").await.invalid("email");
        let fields = [("email", "nobody@example.com")];
        let visitor = app.anonymous();
        let answer = visitor.form("/fn/accounts/forgot", "/forgot", &fields).await;
        assert_eq!(answer.header("location"), "/forgot");
        assert!(visitor.page("/forgot").await.text.contains("If there is an account"));
    }

    async fn the_deletion_page_warns_of_tickets_for_upcoming_events(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let page = ann.page("/account/delete").await.text;
        assert!(!page.contains("for events to come"), "{page}");
        sell_ticket(&seller, &ann).await;
        let page = ann.page("/account/delete").await.text;
        assert!(page.contains("1 ticket") && page.contains("for events to come") && page.contains("Late Show"), "{page}");
    }

    async fn a_reset_mail_is_not_sent_after_its_link_has_expired(app) {
        let ann = app.user("ann").await;
        assert_eq!(request_reset(app, &ann.email).await.status, 204);
        app.clock.advance(1801);
        assert_eq!(letters(app).await.len(), 0);
    }

    async fn reset_requests_are_limited(app) {
        app.limits_on();
        let ann = app.user("ann").await;
        for _ in 0..5 {
            assert_eq!(request_reset(app, &ann.email).await.status, 204);
        }
        request_reset(app, &ann.email).await.refused(429, "too_many_requests");
        for n in 0..24 {
            assert_eq!(request_reset(app, &format!("n{n}@example.com")).await.status, 204);
        }
        request_reset(app, "n99@example.com").await.refused(429, "too_many_requests");
    }

    async fn deleting_an_account_removes_all_personal_data(app) {
        let ann = app.user("annabel").await;
        let other = sign_in_again(app, &ann, PASSWORD).await;
        let event = ann.event().await;
        let listed = ann.ticket(&event, 2500).await;
        let seller = app.user("seller").await;
        let (_, order) = sell_ticket(&seller, &ann).await;
        request_reset(app, &ann.email).await;
        delete_account(&ann, "").await.invalid("password");
        delete_account(&ann, "not this one").await.invalid("password");
        assert_eq!(delete_account(&ann, PASSWORD).await.status, 204);

        assert!(!is_signed_in(&ann).await && !is_signed_in(&other).await);
        assert!(!can_sign_in(app, &ann.email, PASSWORD).await);
        assert!(!can_sign_in(app, &ann.id, "").await);
        let texts = read_texts(app).await;
        assert!(!texts.contains("annabel"), "{texts}");
        assert_eq!(app.count_where("mails", "state", "pending").await, 0);
        assert_eq!(app.count("password_resets").await, 0);
        let ticket = seller.get(&path("tickets", &listed)).await.expect(200);
        assert_eq!(ticket["status"], "withdrawn");
        let events = app.events_of(&json!({"id": ann.id})).await;
        assert_eq!(events, [("UserCreated".to_owned(), 1), ("UserUpdated".to_owned(), 2)]);
        let row = app.number(&format!("SELECT COUNT(*) AS n FROM orders WHERE id = '{}' AND status = 'complete'",
            order["id"].as_str().unwrap())).await;
        assert_eq!(row, 1, "the order remains");

        let body = json!({"email": ann.email, "password": PASSWORD});
        let again = app.anonymous().post("/api/user/signup", body).await.expect(201);
        assert_ne!(again["id"], ann.id, "it is a new account");
        app.assert_sound().await;
    }

    async fn an_account_with_open_orders_or_sales_is_not_deleted(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let event = ann.event().await;
        let ticket = ann.ticket(&event, 2500).await;
        let order = bob.reserve(&[&ticket]).await.expect(201);
        delete_account(&bob, PASSWORD).await.refused(409, "account_order_open");
        delete_account(&ann, PASSWORD).await.refused(409, "account_sale_open");
        assert_eq!(ann.ticket_now(&ticket).await["status"], "reserved", "a refusal writes nothing");
        bob.pay(&order, "pm_card_visa").await.expect(201);
        let spare = ann.ticket(&event, 2500).await;
        delete_account(&ann, PASSWORD).await.refused(409, "account_tickets_sold");
        assert_eq!(ann.ticket_now(&spare).await["status"], "available");
        app.run_sql("UPDATE events SET starts_at = 1").await;
        delete_account(&ann, PASSWORD).await.refused(409, "account_money_owed");
        assert!(is_signed_in(&ann).await && is_signed_in(&bob).await);
        assert_eq!(delete_account(&bob, PASSWORD).await.status, 204, "a paid order of a past event does not prevent the deletion");
        ann.refund(&[&ticket]).await.expect(201);
        app.settle().await;
        assert_eq!(delete_account(&ann, PASSWORD).await.status, 204);
        assert_eq!(letters(app).await.len(), 0, "no mail is sent");
        app.assert_sound().await;
    }

    async fn an_export_has_the_users_own_data_only(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let (ticket, order) = sell_ticket(&ann, &bob).await;
        let file = bob.get("/account/data.json").await;
        assert!(file.header("content-disposition").contains("stagedoor-data.json"));
        assert_eq!(file.header("cache-control"), "no-store");
        let data = file.expect(200);
        assert_eq!((&data["user"]["email"], &data["complete"]), (&json!(bob.email), &json!(true)));
        assert_eq!(data["orders"][0]["id"], order["id"]);
        assert!(!data.to_string().contains(&ann.email));
        let data = ann.get("/account/data.json").await.expect(200);
        assert_eq!((&data["listings"][0]["id"], &data["owed"][0]["amountMinor"]), (&ticket["id"], &json!(2500)));
        app.anonymous().get("/account/data.json").await.refused(401, "sign_in_required");
    }

    async fn a_buyer_with_a_payment_at_the_bank_cannot_delete_the_account(app) {
        let (seller, bob) = (app.user("seller").await, app.user("bob").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = bob.reserve(&[&ticket]).await.expect(201);
        bob.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        app.clock.advance(3600);
        delete_account(&bob, PASSWORD).await.refused(409, "account_order_open");
        app.sweep().await;
        app.settle().await;
        assert_eq!(delete_account(&bob, PASSWORD).await.status, 204);
        app.assert_sound().await;
    }

    async fn a_deleted_account_has_no_tickets_that_were_listed_concurrently(app) {
        for _ in 0..8 {
            let ann = app.user("ann").await;
            let event = ann.event().await;
            let other = sign_in_again(app, &ann, PASSWORD).await;
            let body = json!({"eventId": event["id"], "priceMinor": 2500, "quantity": 5});
            let (left, listed) = tokio::join!(
                delete_account(&ann, PASSWORD),
                other.post("/api/tickets/batch", body),
            );
            let on_sale = app.number(&format!(
                "SELECT COUNT(*) AS n FROM tickets WHERE seller_id = '{}' AND state = 'listed'", ann.id)).await;
            match left.status {
                204 => assert_eq!(on_sale, 0, "listed with {}", listed.status),
                // Listed before the deletion, which is refused and can be repeated.
                409 => assert_eq!((listed.status, on_sale), (201, 5)),
                other => panic!("{other} {}", left.text),
            }
        }
    }
}
