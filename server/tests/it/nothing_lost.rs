//! Form input is kept without a Referer, after the session has ended and when a guest returns; without cookies
//! nothing is changed; all errors of a form are shown at once.

use crate::{
    mail::letters,
    support::{Answer, App, Client, client::PASSWORD, on_both_engines},
};
use serde_json::{Value, json};

const BROWSER_HEADERS: [(&str, &str); 3] = [
    ("accept", "text/html,application/xhtml+xml"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
];

#[track_caller]
fn expect_redirect(answer: &Answer) -> String {
    assert!(
        [302, 303].contains(&answer.status),
        "{} {}",
        answer.status,
        answer.text
    );
    answer.header("location").to_owned()
}

/// Finds the URL to which the page's form of this server function is posted.
#[track_caller]
fn find_form_url(page: &str, function: &str) -> String {
    let start = format!("action=\"{function}");
    let rest = page.split(&start).nth(1);
    let rest = rest.unwrap_or_else(|| panic!("{function}: {page}"));
    let url = format!("{function}{}", rest.split('"').next().unwrap());
    url.replace("&amp;", "&")
}

/// Posts a form with these headers.
async fn post_form(client: &Client, path: &str, headers: &[(&str, &str)], fields: &str) -> Answer {
    let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
    all.extend_from_slice(headers);
    client.send("POST", path, &all, fields).await
}

/// Chooses a ticket without signing in. Returns the checkout page and the id of the choice.
async fn choose_ticket(browser: &Client, event: &Value) -> (String, String) {
    let fields = [
        ("event_id", event["id"].as_str().unwrap()),
        ("quantity", "1"),
    ];
    let answer = browser.form("/fn/orders/reserve", "/", &fields).await;
    let page = expect_redirect(&answer);
    let choice = page.split('=').nth(1).unwrap().to_owned();
    (page, choice)
}

async fn create_event(app: &App, tickets: i64) -> Value {
    let seller = app.user("Sally").await;
    let event = seller.event().await;
    seller.batch(&event, tickets, 2500).await;
    event
}

on_both_engines! {
    async fn without_a_referer_a_refused_form_redirects_to_its_page_with_the_input(app) {
        let visitor = app.anonymous();
        let page = "/signup?next=/sell";
        let shown = visitor.page(page).await.text;
        let address = find_form_url(&shown, "/fn/accounts/sign_up");
        let fields = "email=ann%40example.com&password=short&name=Ann&next=%2Fsell";
        // Some browsers also send `Origin: null`.
        for origin in ["null", app.base.as_str()] {
            let headers = [&BROWSER_HEADERS[..], &[("origin", origin)]].concat();
            let answer = post_form(&visitor, &address, &headers, fields).await;
            assert_eq!(expect_redirect(&answer), page);
            let refused = visitor.page(page).await.text;
            for kept in ["value=\"ann@example.com\"", "value=\"Ann\"", "at least 8 characters"] {
                assert!(refused.contains(kept), "{kept}: {refused}");
            }
        }
        for elsewhere in ["//evil.example", "https://evil.example/", "/fn/accounts/sign_out", "/api/events"] {
            let encoded = elsewhere.replace(':', "%3A");
            let address = format!("/fn/accounts/sign_up?from={encoded}");
            let answer = post_form(&visitor, &address, &BROWSER_HEADERS, fields).await;
            assert_eq!(expect_redirect(&answer), "/", "{elsewhere}");
        }
        // The same if an argument cannot be parsed.
        let seller = app.user("seller").await;
        let account = seller.page("/account").await.text;
        let rename = find_form_url(&account, "/fn/accounts/rename");
        assert!(rename.starts_with("/fn/accounts/rename?from=/account&to="), "{rename}");
        let address = "/fn/accounts/end_session?from=/account";
        let fields = "session_id=nonsense";
        let answer = post_form(&seller, address, &BROWSER_HEADERS, fields).await;
        let location = expect_redirect(&answer);
        assert!(location.contains("/account"), "{location}");
    }

    async fn without_cookies_nothing_is_reserved_and_the_page_explains_it(app) {
        let event = create_event(app, 2).await;
        let (page, choice) = choose_ticket(&app.anonymous(), &event).await;
        let users = app.count("users").await;
        let guest = format!("choice={choice}&email=gus%40example.com&name=Gus");
        for (path, from, fields) in [
            ("/fn/orders/buy_as_guest", page.as_str(), guest.as_str()),
            ("/fn/accounts/sign_in", "/signin", "email=a%40example.com&password=whatever"),
            ("/fn/accounts/sign_up", "/signup?next=/sell", "email=a%40example.com&password=correct+horse+battery"),
        ] {
            let without_cookies = app.anonymous();
            let referer = without_cookies.url(from);
            let headers = [&BROWSER_HEADERS[..], &[("referer", referer.as_str())]].concat();
            let answer = post_form(&without_cookies, path, &headers, fields).await;
            let separator = if from.contains('?') { '&' } else { '?' };
            assert_eq!(expect_redirect(&answer), format!("{from}{separator}cookies=off"));
            assert_eq!(answer.header("set-cookie"), "");
            let shown = app.anonymous().page(&expect_redirect(&answer)).await.text;
            assert!(shown.contains("Your browser does not store cookies for this site"), "{shown}");
            // With cookies, the notice is not shown.
            let with_cookies = app.anonymous();
            with_cookies.page(from).await;
            let shown = with_cookies.page(&expect_redirect(&answer)).await.text;
            assert!(!shown.contains("does not store cookies"));
        }
        assert_eq!((app.count("users").await, app.count("orders").await), (users, 0));
        let with_cookies = app.anonymous();
        with_cookies.page(&page).await;
        let referer = with_cookies.url(&page);
        let headers = [&BROWSER_HEADERS[..], &[("referer", referer.as_str())]].concat();
        let bought = post_form(&with_cookies, "/fn/orders/buy_as_guest", &headers, &guest).await;
        assert!(expect_redirect(&bought).starts_with("/orders/"));
        app.assert_sound().await;
    }

    async fn input_is_kept_after_the_session_has_ended(app) {
        let ann = app.user("ann").await;
        let body = json!({"email": ann.email, "password": PASSWORD});
        for (path, from, fields, kept) in [
            ("/fn/accounts/rename", "/account", vec![("name", "Ann Other")], "Ann Other"),
            ("/fn/accounts/change_email", "/account", vec![("email", "new@example.com")], "new@example.com"),
            ("/fn/events/create", "/sell", vec![("title", "Late Show")], "Late Show"),
        ] {
            ann.post("/api/user/signout", Value::Null).await.expect_2xx();
            let sign_in = expect_redirect(&ann.form(path, from, &fields).await);
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
            let shown = ann.page(from).await.text;
            assert!(!shown.contains("nothing was saved"), "the notice is shown twice");
        }
    }

    async fn input_is_not_shown_to_another_user(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let page = "/account";
        let address = find_form_url(&ann.page(page).await.text, "/fn/accounts/change_email");
        let fields = "email=annas.other%40example.com&password=x";
        let sign_in = async |who: &Client| {
            let body = json!({"email": who.email, "password": PASSWORD});
            ann.post("/api/user/signin", body).await.expect(200);
        };
        for (next, shows) in [(&bob, false), (&ann, true)] {
            ann.post("/api/user/signout", Value::Null).await.expect_2xx();
            expect_redirect(&post_form(&ann, &address, &BROWSER_HEADERS, fields).await);
            sign_in(next).await;
            assert_eq!(ann.page(page).await.text.contains("annas.other@example.com"), shows);
            sign_in(&ann).await;
        }
        // Input is not shown after signing out.
        ann.post("/api/user/signout", Value::Null).await.expect_2xx();
        expect_redirect(&post_form(&ann, &address, &BROWSER_HEADERS, fields).await);
        sign_in(&ann).await;
        ann.form("/fn/accounts/sign_out", "/", &[]).await;
        sign_in(&ann).await;
        assert!(!ann.page(page).await.text.contains("annas.other@example.com"));
    }

    async fn a_returning_guest_is_mailed_a_link_to_continue(app) {
        let event = create_event(app, 4).await;
        let first = app.anonymous();
        let (page, choice) = choose_ticket(&first, &event).await;
        let fields = [("choice", choice.as_str()), ("email", "gus@example.com"), ("name", "Gus")];
        let order = expect_redirect(&first.form("/fn/orders/buy_as_guest", &page, &fields).await);
        assert!(order.starts_with("/orders/"), "{order}");

        let other = app.anonymous();
        let (page, choice) = choose_ticket(&other, &event).await;
        let fields = [("choice", choice.as_str()), ("email", "gus@example.com"), ("name", "Gus")];
        let answer = other.form("/fn/orders/buy_as_guest", &page, &fields).await;
        assert_eq!(expect_redirect(&answer), page);
        let shown = other.page(&page).await.text;
        for words in ["Welcome back", "gus@example.com", "Mail me another link"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(!shown.contains("Sign in instead"), "a guest has no password: {shown}");
        assert_eq!(app.count("orders").await, 1, "an order was created before the sign-in");
        let letters = letters(app).await;
        let token = letters.iter().find_map(|letter| letter.token("/reset")).unwrap();
        let token = token.as_str();
        let entered = other.form("/fn/accounts/enter", &format!("/reset?token={token}"), &[("token", token)]).await;
        assert_eq!(expect_redirect(&entered), page, "not redirected to the checkout page");
        let bought = other.form("/fn/orders/reserve_chosen", &page, &[("choice", &choice)]).await;
        assert!(expect_redirect(&bought).starts_with("/orders/"));

        // A member has a password, and gets no mail without asking.
        let ann = app.user("ann").await;
        let third = app.anonymous();
        let (page, choice) = choose_ticket(&third, &event).await;
        let fields = [("choice", choice.as_str()), ("email", ann.email.as_str()), ("name", "Ann")];
        third.form("/fn/orders/buy_as_guest", &page, &fields).await;
        assert!(third.page(&page).await.text.contains("Sign in instead"));
        assert_eq!(app.mails().await.iter().filter(|kind| *kind == "password_reset").count(), 1);
        app.assert_sound().await;
    }

    async fn all_errors_of_a_form_are_shown_at_once(app) {
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
