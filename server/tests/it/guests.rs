//! Buying without a password: a guest enters address and name, cannot access other accounts, returns by a
//! mailed link, and can become a member or delete the account.

use crate::{
    mail::{letters, post::Letter},
    support::{Answer, App, Client, client::PASSWORD, on_both_engines},
};
use serde_json::{Value, json};
use uuid::Uuid;

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
    let after = page
        .split(&field)
        .nth(1)
        .unwrap_or_else(|| panic!("{name}: {page}"));
    after.split('"').next().unwrap().to_owned()
}

/// An anonymous browser that has chosen tickets.
struct Guest {
    browser: Client,
    /// The page that asks for address and name.
    page: String,
}

impl Guest {
    /// Chooses `quantity` tickets of this event.
    async fn choose(app: &App, event: &Value, quantity: &str) -> Self {
        let browser = app.anonymous();
        let from = format!("/events/{}", event["id"].as_str().unwrap());
        let attempt = Uuid::new_v4().to_string();
        let fields = [
            ("event_id", event["id"].as_str().unwrap()),
            ("quantity", quantity),
            ("attempt", &attempt),
        ];
        let answer = browser.form("/fn/orders/reserve", &from, &fields).await;
        let page = redirect_target(&answer);
        assert!(page.starts_with("/checkout?choice="), "{page}");
        Self { browser, page }
    }

    /// The same page in another browser.
    fn in_another_browser(&self, app: &App) -> Self {
        Self {
            browser: app.anonymous(),
            page: self.page.clone(),
        }
    }

    async fn form_token(&self) -> String {
        hidden_field(&self.browser.page(&self.page).await.text, "once")
    }

    async fn buy(&self, email: &str, name: &str, token: &str) -> Answer {
        let choice = self.page.split('=').nth(1).unwrap();
        let fields = [
            ("choice", choice),
            ("email", email),
            ("name", name),
            ("once", token),
        ];
        let path = "/fn/orders/buy_as_guest";
        self.browser.form(path, &self.page, &fields).await
    }

    /// Buys with a new form. Returns the page of the order.
    async fn buy_with_new_form(self, email: &str) -> (Client, String) {
        let token = self.form_token().await;
        let order = redirect_target(&self.buy(email, "Gus", &token).await);
        assert!(order.starts_with("/orders/"), "{order}");
        (self.browser, order)
    }

    async fn is_signed_in(&self) -> bool {
        is_signed_in(&self.browser).await
    }
}

async fn is_signed_in(client: &Client) -> bool {
    client.get("/api/orders").await.status == 200
}

/// An event with this number of tickets.
async fn create_event(app: &App, tickets: i64) -> Value {
    let seller = app.user("Sally").await;
    let event = seller.event().await;
    seller.batch(&event, tickets, 2500).await;
    event
}

/// Requests a reset link with `next`, and reads the token in the mail.
async fn request_link(app: &App, email: &str, next: &str) -> (Letter, String) {
    let fields = [("email", email), ("next", next)];
    let asked = app
        .anonymous()
        .form("/fn/accounts/forgot", "/forgot", &fields)
        .await;
    assert!(redirect_target(&asked).starts_with("/forgot"));
    let letters = letters(app).await;
    let mut newest_first = letters.into_iter().rev();
    let with_link =
        newest_first.find_map(|letter| letter.token("/reset").map(|token| (letter, token)));
    with_link.expect("a mail with a link")
}

async fn sign_in(app: &App, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    app.anonymous().post("/api/user/signin", body).await
}

on_both_engines! {
    async fn a_guest_needs_an_address_and_a_name(app) {
        let event = create_event(app, 2).await;
        let guest = Guest::choose(app, &event, "2").await;
        let page = guest.browser.page(&guest.page).await.text;
        for words in ["Buy as a guest", "Late Show", "2 × General admission", "15 minutes", "/signin?next=/checkout"] {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(!page.contains("type=\"password\""), "{page}");
        assert_eq!(app.count("orders").await, 0, "nothing is held yet");

        let answer = guest.buy("nonsense", " ", "").await;
        assert_eq!(redirect_target(&answer), guest.page);
        let page = guest.browser.page(&guest.page).await.text;
        for field in ["guest-email-error", "guest-name-error", "value=\"nonsense\""] {
            assert!(page.contains(field), "{field}: {page}");
        }
        assert_eq!(app.count("orders").await, 0);

        let (gus, order) = guest.buy_with_new_form("gus@example.com").await;
        let user = gus.get("/api/user/currentuser").await.expect(200)["currentUser"].clone();
        assert_eq!((&user["email"], &user["name"]), (&json!("gus@example.com"), &json!("Gus")));
        let id = order.strip_prefix("/orders/").unwrap();
        let fields = [("order_id", id), ("token", "pm_card_visa")];
        assert_eq!(redirect_target(&gus.form("/fn/payments/pay", &order, &fields).await), order);
        let page = gus.page(&order).await.text;
        for words in ["Paid. The tickets are yours.", "from Sally", "Gus"] {
            assert!(page.contains(words), "{words}: {page}");
        }
        let created = sqlx::query("SELECT 1 FROM outbox WHERE type = 'UserCreated' AND aggregate_id = $1")
            .bind(user["id"].as_str().unwrap().to_owned());
        assert_eq!(created.fetch_all(app.db.reads()).await.unwrap().len(), 1);
        app.assert_sound().await;
    }

    async fn chosen_seats_are_kept(app) {
        let seller = app.user("Sally").await;
        let event = seller.event().await;
        let mut fields = vec![("attempt".to_owned(), "one".to_owned())];
        for (number, seat) in ["7", "8"].into_iter().enumerate() {
            let body = json!({"eventId": event["id"], "priceMinor": 2500, "section": "Stalls", "row": "A", "seat": seat});
            let seat = seller.post("/api/tickets", body).await.expect(201);
            fields.push((format!("ticket_ids[{number}]"), seat["id"].as_str().unwrap().to_owned()));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let browser = app.anonymous();
        let page = redirect_target(&browser.form("/fn/orders/reserve_seats", "/", &fields).await);
        let shown = browser.page(&page).await.text;
        assert!(shown.contains("Stalls, Row A, Seat 7; Stalls, Row A, Seat 8 from Sally · £50.00 in all"), "{shown}");

        // After signing in, a member continues with the same choice.
        let member = app.user("Bea").await;
        let shown = member.page(&page).await.text;
        assert!(shown.contains("Reserve 2 tickets and pay") && !shown.contains("Buy as a guest"), "{shown}");
        let choice = hidden_field(&shown, "choice");
        let answer = member.form("/fn/orders/reserve_chosen", &page, &[("choice", &choice)]).await;
        assert!(redirect_target(&answer).starts_with("/orders/"));

        // If the tickets were sold in the meantime, the page says so and keeps what was typed.
        let late = Guest { browser, page };
        let answer = late.buy("late@example.com", "Lara", "").await;
        assert_eq!(redirect_target(&answer), late.page);
        let shown = late.browser.page(&late.page).await.text;
        assert!(shown.contains("role=\"alert\"") && shown.contains("Try again"), "{shown}");
        assert!(late.is_signed_in().await);
        assert_eq!(app.count("orders").await, 1);
        app.assert_sound().await;
    }

    async fn two_guests_with_one_address_make_one_account(app) {
        let event = create_event(app, 8).await;
        let before = app.count("users").await;
        let (one, two) = (Guest::choose(app, &event, "1").await, Guest::choose(app, &event, "1").await);
        let (token_of_one, token_of_two) = (one.form_token().await, two.form_token().await);
        let (first, second) = tokio::join!(
            one.buy("twin@example.com", "Tina", &token_of_one),
            two.buy("Twin@Example.com", "Tom", &token_of_two)
        );
        let mut won = 0;
        for (guest, answer) in [(&one, &first), (&two, &second)] {
            if redirect_target(answer).starts_with("/orders/") {
                won += 1;
                assert!(guest.is_signed_in().await);
                continue;
            }
            assert_eq!(redirect_target(answer), guest.page);
            assert!(!guest.is_signed_in().await, "the refused guest is not signed in");
            let page = guest.browser.page(&guest.page).await.text;
            for words in ["Welcome back", "Mail me another link"] {
                assert!(page.contains(words), "{words}: {page}");
            }
        }
        assert_eq!(won, 1);
        assert_eq!((app.count("users").await, app.count("orders").await), (before + 1, 1));
        app.assert_sound().await;
    }

    async fn a_guest_form_can_be_repeated_for_ten_minutes_and_creates_one_guest(app) {
        let event = create_event(app, 8).await;
        let guest = Guest::choose(app, &event, "2").await;
        let token = guest.form_token().await;
        let again = guest.in_another_browser(app);
        let (first, second) = tokio::join!(
            guest.buy("gus@example.com", "Gus", &token),
            again.buy("gus@example.com", "Gus", &token)
        );
        assert_eq!(redirect_target(&first), redirect_target(&second), "one order");
        assert!(guest.is_signed_in().await && again.is_signed_in().await);
        assert_eq!(app.count("orders").await, 1);

        let other = guest.in_another_browser(app);
        for other_token in ["", "nonsense", &Uuid::new_v4().to_string()] {
            let answer = other.buy("gus@example.com", "Gus", other_token).await;
            assert_eq!(redirect_target(&answer), other.page);
        }
        app.clock.advance(10 * 60);
        let late = guest.in_another_browser(app);
        assert_eq!(redirect_target(&late.buy("gus@example.com", "Gus", &token).await), late.page);
        assert!(!other.is_signed_in().await && !late.is_signed_in().await);
        app.assert_sound().await;
    }

    async fn a_form_does_not_sign_in_after_the_guest_ended_other_sessions(app) {
        let event = create_event(app, 8).await;
        let guest = Guest::choose(app, &event, "1").await;
        let token = guest.form_token().await;
        guest.buy("gus@example.com", "Gus", &token).await;
        guest.browser.delete("/api/user/sessions").await.expect_2xx();
        let again = guest.in_another_browser(app);
        assert_eq!(redirect_target(&again.buy("gus@example.com", "Gus", &token).await), again.page);
        assert!(guest.is_signed_in().await && !again.is_signed_in().await);
    }

    async fn a_guest_cannot_access_existing_accounts(app) {
        let event = create_event(app, 8).await;
        let ann = app.user("Ann").await;
        let (_, _) = Guest::choose(app, &event, "1").await.buy_with_new_form("gus@example.com").await;
        for taken in [ann.email.to_uppercase(), format!(" {} ", ann.email), "GUS@example.com".to_owned()] {
            let other = Guest::choose(app, &event, "1").await;
            let token = other.form_token().await;
            assert_eq!(redirect_target(&other.buy(&taken, "Fox", &token).await), other.page, "{taken}");
            assert!(!other.is_signed_in().await, "{taken}");
        }
        assert_eq!(app.count("orders").await, 1);
        let user = ann.get("/api/user/currentuser").await.expect(200);
        assert_eq!(user["currentUser"]["name"], "Ann");
        // No password is correct for an account without one.
        for password in ["anything at all", "no account has this password"] {
            sign_in(app, "gus@example.com", password).await.refused(401, "bad_credentials");
        }
        sign_in(app, "gus@example.com", "").await.invalid("password");
    }

    async fn a_guest_signs_in_by_a_mailed_link_and_continues(app) {
        let event = create_event(app, 8).await;
        let (gus, _) = Guest::choose(app, &event, "1").await.buy_with_new_form("gus@example.com").await;
        let chosen = Guest::choose(app, &event, "2").await;
        let (letter, token) = request_link(app, "gus@example.com", &chosen.page).await;
        letter.says(&["bought as a guest", "without a password", "once, for 30 minutes"]);
        let page = format!("/reset?token={token}");
        for _ in 0..2 {
            let shown = chosen.browser.page(&page).await.text;
            assert!(shown.contains("Welcome back") && shown.contains("Or set a password"), "{shown}");
        }
        assert!(is_signed_in(&gus).await, "opening the page changes nothing");
        let fields = [("token", token.as_str())];
        let answer = chosen.browser.form("/fn/accounts/enter", &page, &fields).await;
        assert_eq!(redirect_target(&answer), chosen.page, "back to the choice of tickets");
        assert!(chosen.is_signed_in().await);
        assert!(!is_signed_in(&gus).await, "earlier sessions have ended");
        let twice = app.anonymous();
        assert_eq!(redirect_target(&twice.form("/fn/accounts/enter", &page, &fields).await), page);
        assert!(!is_signed_in(&twice).await);
    }

    async fn a_members_link_asks_for_a_new_password(app) {
        let event = create_event(app, 8).await;
        let ann = app.user("Ann").await;
        let chosen = Guest::choose(app, &event, "2").await;
        let (letter, token) = request_link(app, &ann.email, &chosen.page).await;
        letter.says(&["forgot the password"]);
        let page = format!("/reset?token={token}");
        let fields = [("token", token.as_str())];
        assert_eq!(redirect_target(&chosen.browser.form("/fn/accounts/enter", &page, &fields).await), page);
        assert!(!chosen.is_signed_in().await && is_signed_in(&ann).await, "a member needs a new password");
        let fields = [("token", token.as_str()), ("password", "a rather better one")];
        let answer = chosen.browser.form("/fn/accounts/reset", &page, &fields).await;
        assert_eq!(redirect_target(&answer), chosen.page);
        let (_, token) = request_link(app, &ann.email, "//evil.example").await;
        let fields = [("token", token.as_str()), ("password", PASSWORD)];
        let answer = chosen.browser.form("/fn/accounts/reset", "/reset", &fields).await;
        assert_eq!(redirect_target(&answer), "/account", "only paths of this site are followed");
    }

    async fn a_guest_sets_a_password_once(app) {
        let event = create_event(app, 8).await;
        let (gus, _) = Guest::choose(app, &event, "1").await.buy_with_new_form("gus@example.com").await;
        let account = gus.page("/account").await.text;
        assert!(account.contains("Set a password") && !account.contains("current_password"), "{account}");
        let set = |password: &'static str| {
            let body = json!({"currentPassword": "", "newPassword": password});
            let gus = &gus;
            async move { gus.json("PUT", "/api/user/password", &[], body).await }
        };
        set("short").await.invalid("newPassword");
        let (one, two) = tokio::join!(set("the first of two"), set("the second of two"));
        assert_eq!([one.status, two.status].iter().filter(|status| **status == 204).count(), 1, "{one:?} {two:?}");
        let password = if one.status == 204 { "the first of two" } else { "the second of two" };
        sign_in(app, "gus@example.com", password).await.expect(200);
        set("yet another one").await.invalid("currentPassword");
        assert!(letters(app).await.iter().any(|letter| letter.text.contains("password of your account")));
    }

    async fn deleting_a_guest_account_requires_a_recent_sign_in(app) {
        let event = create_event(app, 8).await;
        let (gus, order) = Guest::choose(app, &event, "1").await.buy_with_new_form("gus@example.com").await;
        gus.delete(&order.replace("/orders/", "/api/orders/")).await.expect_2xx();
        let now = app.clock_seconds() * 1_000_000;
        app.sessions_began(now - 31 * 60 * 1_000_000, now).await;
        let page = gus.page("/account/delete").await.text;
        assert!(page.contains("Mail me the link") && !page.contains("for good"), "{page}");
        gus.json("DELETE", "/api/user", &[], json!({"password": ""})).await.invalid("password");
        assert!(is_signed_in(&gus).await);
        app.sessions_began(now - 29 * 60 * 1_000_000, now).await;
        let answer = gus.json("DELETE", "/api/user", &[], json!({"password": ""})).await;
        assert_eq!(answer.status, 204);
    }

    async fn deleting_a_guest_account_removes_all_personal_data(app) {
        let event = create_event(app, 8).await;
        let (gus, order) = Guest::choose(app, &event, "1").await.buy_with_new_form("gus@example.com").await;
        let order = order.replace("/orders/", "/api/orders/");
        gus.delete(&order).await.expect_2xx();
        let page = gus.page("/account/delete").await.text;
        assert!(!page.contains("type=\"password\""), "{page}");
        let answer = gus.form("/fn/accounts/delete", "/account/delete", &[]).await;
        assert_eq!(redirect_target(&answer), "/");
        assert!(!is_signed_in(&gus).await);
        let left = sqlx::query("SELECT 1 FROM users WHERE email_key = 'gus@example.com' OR name = 'Gus'");
        assert!(left.fetch_all(app.db.reads()).await.unwrap().is_empty());
        let keys = sqlx::query("SELECT 1 FROM users WHERE guest_key IS NOT NULL");
        assert!(keys.fetch_all(app.db.reads()).await.unwrap().is_empty());
        // The address is free, and does not open the deleted account.
        let (again, _) = Guest::choose(app, &event, "1").await.buy_with_new_form("gus@example.com").await;
        again.get(&order).await.refused(404, "not_found");
        app.assert_sound().await;
    }

    async fn guests_count_towards_the_limit_of_sign_ups(app) {
        let event = create_event(app, 8).await;
        let guest = Guest::choose(app, &event, "1").await;
        app.limits_on();
        for _ in 0..120 {
            guest.buy("nonsense", "Gus", "").await;
        }
        let body = json!({"email": "new@example.com", "password": PASSWORD});
        app.anonymous().post("/api/user/signup", body).await.refused(429, "too_many_requests");
        assert_eq!(redirect_target(&guest.buy("gus@example.com", "Gus", "").await), guest.page);
        assert!(!guest.is_signed_in().await);
        app.clock.advance(600);
        assert!(redirect_target(&guest.buy("gus@example.com", "Gus", "").await).starts_with("/orders/"));
    }

    async fn an_invalid_choice_is_refused(app) {
        let event = create_event(app, 20).await;
        for page in ["/checkout", "/checkout?choice=nonsense"] {
            assert_eq!(app.anonymous().page(page).await.status, 404, "{page}");
        }
        let browser = app.anonymous();
        let from = format!("/events/{}", event["id"].as_str().unwrap());
        let nine = [("event_id", event["id"].as_str().unwrap()), ("quantity", "9")];
        let answer = browser.form("/fn/orders/reserve", &from, &nine).await;
        assert_eq!(redirect_target(&answer), from, "back to the page of the event");
        let shown = browser.page(&from).await;
        assert!(shown.text.contains("An order is for 1 to 8 tickets."), "{}", shown.text);
        let guest = Guest::choose(app, &event, "1").await;
        for path in ["/fn/orders/buy_as_guest", "/fn/orders/reserve_chosen"] {
            let fields = [("choice", "nonsense"), ("email", "gus@example.com"), ("name", "Gus")];
            assert_eq!(redirect_target(&guest.browser.form(path, "/", &fields).await), "/");
        }
        assert!(!guest.is_signed_in().await, "an invalid choice creates no guest");
        // A script gets an error instead of a page.
        let fields = format!("event_id={}&quantity=1", event["id"].as_str().unwrap());
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
        let asked = app.anonymous().send("POST", "/fn/orders/reserve", &headers, fields).await;
        assert_eq!(asked.status, 401, "{}", asked.text);
    }
}
