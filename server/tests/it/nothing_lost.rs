//! Form entries are kept without cookies, without a Referer, after the session has ended and when a guest returns;
//! and all errors of a form are shown at once.

use crate::{
    mail::letters,
    support::{Answer, App, Client, client::PASSWORD, on_both_engines},
};
use serde_json::{Value, json};

const BROWSER: [(&str, &str); 3] = [
    ("accept", "text/html,application/xhtml+xml"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
];

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

/// The URL of a page's form of this server function.
#[track_caller]
fn form_url(page: &str, of: &str) -> String {
    let begins = format!("action=\"{of}");
    let behind = page.split(&begins).nth(1);
    let behind = behind.unwrap_or_else(|| panic!("{of}: {page}"));
    let address = format!("{of}{}", behind.split('"').next().unwrap());
    address.replace("&amp;", "&")
}

/// Posts a form with these headers.
async fn post(client: &Client, path: &str, headers: &[(&str, &str)], fields: &str) -> Answer {
    let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
    all.extend_from_slice(headers);
    client.send("POST", path, &all, fields).await
}

/// Chooses a ticket without signing in. Returns the checkout page and the id of the choice.
async fn chosen(browser: &Client, event: &Value) -> (String, String) {
    let fields = [
        ("event_id", event["id"].as_str().unwrap()),
        ("quantity", "1"),
    ];
    let answer = browser.form("/fn/orders/reserve", "/", &fields).await;
    let page = leads_to(&answer);
    let choice = page.split('=').nth(1).unwrap().to_owned();
    (page, choice)
}

async fn event(app: &App, tickets: i64) -> Value {
    let seller = app.user("Sally").await;
    let event = seller.event().await;
    seller.batch(&event, tickets, 2500).await;
    event
}

on_both_engines! {
    async fn without_a_referer_a_refused_form_leads_back_to_its_page_with_what_was_typed(app) {
        let visitor = app.anonymous();
        let page = "/signup?next=/sell";
        let shown = visitor.page(page).await.text;
        let address = form_url(&shown, "/fn/accounts/sign_up");
        let fields = "email=ann%40example.com&password=short&name=Ann&next=%2Fsell";
        // Some browsers hide the origin too.
        for origin in ["null", app.base.as_str()] {
            let headers = [&BROWSER[..], &[("origin", origin)]].concat();
            assert_eq!(leads_to(&post(&visitor, &address, &headers, fields).await), page);
            let refused = visitor.page(page).await.text;
            for kept in ["value=\"ann@example.com\"", "value=\"Ann\"", "at least 8 characters"] {
                assert!(refused.contains(kept), "{kept}: {refused}");
            }
        }
        for elsewhere in ["//evil.example", "https://evil.example/", "/fn/accounts/sign_out", "/api/events"] {
            let encoded = elsewhere.replace(':', "%3A");
            let address = format!("/fn/accounts/sign_up?from={encoded}");
            assert_eq!(leads_to(&post(&visitor, &address, &BROWSER, fields).await), "/", "{elsewhere}");
        }
        // Also if an argument cannot be parsed.
        let seller = app.user("seller").await;
        let account = seller.page("/account").await.text;
        let rename = form_url(&account, "/fn/accounts/rename");
        assert!(rename.starts_with("/fn/accounts/rename?from=/account&to="), "{rename}");
        let address = "/fn/accounts/end_session?from=/account";
        let location = leads_to(&post(&seller, address, &BROWSER, "session_id=nonsense").await);
        assert!(location.contains("/account"), "{location}");
    }

    async fn without_cookies_nothing_is_held_and_the_page_says_why(app) {
        let event = event(app, 2).await;
        let (page, choice) = chosen(&app.anonymous(), &event).await;
        let users = app.count("users").await;
        let guest = format!("choice={choice}&email=gus%40example.com&name=Gus");
        for (path, from, fields) in [
            ("/fn/orders/buy_as_guest", page.as_str(), guest.as_str()),
            ("/fn/accounts/sign_in", "/signin", "email=a%40example.com&password=whatever"),
            ("/fn/accounts/sign_up", "/signup?next=/sell", "email=a%40example.com&password=correct+horse+battery"),
        ] {
            let none = app.anonymous();
            let referer = none.url(from);
            let headers = [&BROWSER[..], &[("referer", referer.as_str())]].concat();
            let answer = post(&none, path, &headers, fields).await;
            let sign = if from.contains('?') { '&' } else { '?' };
            assert_eq!(leads_to(&answer), format!("{from}{sign}cookies=off"));
            assert_eq!(answer.header("set-cookie"), "");
            let said = app.anonymous().page(&leads_to(&answer)).await.text;
            assert!(said.contains("Your browser does not store cookies for this site"), "{said}");
            // With cookies after all, the notice is gone.
            let back = app.anonymous();
            back.page(from).await;
            assert!(!back.page(&leads_to(&answer)).await.text.contains("does not store cookies"));
        }
        assert_eq!((app.count("users").await, app.count("orders").await), (users, 0));
        let kept = app.anonymous();
        kept.page(&page).await;
        let referer = kept.url(&page);
        let headers = [&BROWSER[..], &[("referer", referer.as_str())]].concat();
        let bought = post(&kept, "/fn/orders/buy_as_guest", &headers, &guest).await;
        assert!(leads_to(&bought).starts_with("/orders/"));
        app.assert_sound().await;
    }

    async fn what_was_typed_outlives_the_session(app) {
        let ann = app.user("ann").await;
        let body = json!({"email": ann.email, "password": PASSWORD});
        for (path, from, fields, kept) in [
            ("/fn/accounts/rename", "/account", vec![("name", "Ann Other")], "Ann Other"),
            ("/fn/accounts/change_email", "/account", vec![("email", "new@example.com")], "new@example.com"),
            ("/fn/events/create", "/sell", vec![("title", "Late Show")], "Late Show"),
        ] {
            ann.post("/api/user/signout", Value::Null).await.expect_2xx();
            let sign_in = leads_to(&ann.form(path, from, &fields).await);
            assert!(sign_in.starts_with("/signin?next="), "{sign_in}");
            ann.page(&sign_in).await;
            // Not visible without signing in.
            assert!(!ann.page(from).await.text.contains(kept));
            ann.post("/api/user/signin", body.clone()).await.expect(200);
            assert!(!ann.page("/help").await.text.contains(kept));
            let shown = ann.page(from).await.text;
            for words in [kept, "You were signed out, so nothing was saved."] {
                assert!(shown.contains(words), "{path}: {words}: {shown}");
            }
            assert!(!ann.page(from).await.text.contains("nothing was saved"), "said once");
        }
    }

    async fn what_was_typed_is_shown_to_nobody_else(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let page = "/account";
        let address = form_url(&ann.page(page).await.text, "/fn/accounts/change_email");
        let fields = "email=annas.other%40example.com&password=x";
        let sign_in = async |who: &Client| {
            let body = json!({"email": who.email, "password": PASSWORD});
            ann.post("/api/user/signin", body).await.expect(200);
        };
        for (next, shows) in [(&bob, false), (&ann, true)] {
            ann.post("/api/user/signout", Value::Null).await.expect_2xx();
            leads_to(&post(&ann, &address, &BROWSER, fields).await);
            sign_in(next).await;
            assert_eq!(ann.page(page).await.text.contains("annas.other@example.com"), shows);
            sign_in(&ann).await;
        }
        // Nor is it after signing out.
        ann.post("/api/user/signout", Value::Null).await.expect_2xx();
        leads_to(&post(&ann, &address, &BROWSER, fields).await);
        sign_in(&ann).await;
        ann.form("/fn/accounts/sign_out", "/", &[]).await;
        sign_in(&ann).await;
        assert!(!ann.page(page).await.text.contains("annas.other@example.com"));
    }

    async fn a_guest_who_comes_back_is_mailed_the_way_on(app) {
        let event = event(app, 4).await;
        let first = app.anonymous();
        let (page, choice) = chosen(&first, &event).await;
        let fields = [("choice", choice.as_str()), ("email", "gus@example.com"), ("name", "Gus")];
        let order = leads_to(&first.form("/fn/orders/buy_as_guest", &page, &fields).await);
        assert!(order.starts_with("/orders/"), "{order}");

        let other = app.anonymous();
        let (page, choice) = chosen(&other, &event).await;
        let fields = [("choice", choice.as_str()), ("email", "gus@example.com"), ("name", "Gus")];
        assert_eq!(leads_to(&other.form("/fn/orders/buy_as_guest", &page, &fields).await), page);
        let said = other.page(&page).await.text;
        for words in ["Welcome back", "gus@example.com", "Mail me another link"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(!said.contains("Sign in instead"), "there is no password: {said}");
        assert_eq!(app.count("orders").await, 1, "nothing is held yet");
        let letters = letters(app).await;
        let token = letters.iter().find_map(|letter| letter.token("/reset")).unwrap();
        let token = token.as_str();
        let entered = other.form("/fn/accounts/enter", &format!("/reset?token={token}"), &[("token", token)]).await;
        assert_eq!(leads_to(&entered), page, "back to the tickets");
        let bought = other.form("/fn/orders/reserve_chosen", &page, &[("choice", &choice)]).await;
        assert!(leads_to(&bought).starts_with("/orders/"));

        // A member has a password, and gets no mail without asking.
        let ann = app.user("ann").await;
        let third = app.anonymous();
        let (page, choice) = chosen(&third, &event).await;
        let fields = [("choice", choice.as_str()), ("email", ann.email.as_str()), ("name", "Ann")];
        third.form("/fn/orders/buy_as_guest", &page, &fields).await;
        assert!(third.page(&page).await.text.contains("Sign in instead"));
        assert_eq!(app.mails().await.iter().filter(|kind| *kind == "password_reset").count(), 1);
        app.assert_sound().await;
    }

    async fn all_that_is_wrong_with_a_form_is_said_at_once(app) {
        let ann = app.user("ann").await;
        let event = ann.event().await;
        let id = event["id"].as_str().unwrap();
        let sell = format!("/sell?event={id}");
        for (path, from, fields, wrong) in [
            ("/fn/events/create", "/sell", vec![],
                vec!["event-title", "event-venue", "event-city", "event-country", "event-date", "event-time", "event-time_zone", "event-currency"]),
            ("/fn/tickets/put_on_sale", sell.as_str(),
                vec![("event_id", id), ("quantity", "two"), ("price", "dear"), ("seat", "far too long for a seat")],
                vec!["list-quantity", "list-price", "list-seat"]),
            ("/fn/accounts/change_email", "/account", vec![("email", "nonsense")], vec!["address-email", "address-password"]),
            ("/fn/accounts/change_password", "/account", vec![], vec!["password-current_password", "password-new_password"]),
        ] {
            ann.form(path, from, &fields).await;
            let shown = ann.page(from).await.text;
            for field in wrong {
                assert!(shown.contains(&format!("href=\"#{field}\"")), "{path}: {field}: {shown}");
            }
        }
        assert_eq!(app.count("events").await, 1);
    }
}
