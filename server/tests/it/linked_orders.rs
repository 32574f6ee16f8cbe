//! The link in the mail with the tickets: it opens them in any browser, cannot be forged, and changes
//! nothing.

use crate::{
    mail::{mailer, post::Postbox},
    support::{Answer, App, Client, client::PASSWORD, on_both_engines, path},
};
use serde_json::{Value, json};

/// Pays for an order of two tickets. Returns seller, buyer, order and the token of the link in the mail.
async fn buy_and_read_link(app: &App, fields: Value) -> (Client, Client, Value, String) {
    let (seller, buyer) = (app.user("Sally").await, app.user("Bea").await);
    let event = seller.event_with(fields).await;
    let tickets = [
        seller.ticket(&event, 2500).await,
        seller.ticket(&event, 1000).await,
    ];
    let order = buyer.reserve(&[&tickets[0], &tickets[1]]).await.expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect(201);
    let postbox = Postbox::failing(0);
    mailer(app, postbox.clone()).send_due().await.unwrap();
    let text = postbox.only().text;
    let link = text.split("/order?link=").nth(1).unwrap();
    let link = link.split_whitespace().next().unwrap().to_owned();
    (seller, buyer, order, link)
}

async fn open_link(app: &App, link: &str) -> Answer {
    app.anonymous().page(&format!("/order?link={link}")).await
}

async fn open_file(app: &App, name: &str, link: &str) -> Answer {
    let path = format!("/order/{name}?link={link}");
    app.anonymous().page(&path).await
}

fn count_codes(page: &Answer) -> usize {
    page.text.matches("class=\"qr\"").count()
}

#[track_caller]
fn assert_private(answer: &Answer) {
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("x-robots-tag"), "noindex, nofollow");
    assert_eq!(answer.header("cache-control"), "no-store");
}

/// Numbers of rows in the tables that opening the link could write to.
async fn row_counts(app: &App) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in [
        "users",
        "sessions",
        "orders",
        "payments",
        "outbox",
        "mails",
        "password_resets",
    ] {
        counts.push(app.count(table).await);
    }
    counts
}

on_both_engines! {
    async fn a_mailed_link_opens_the_tickets_repeatedly(app) {
        let (_, buyer, order, link) = buy_and_read_link(app, json!({})).await;
        let before = (row_counts(app).await, buyer.order(&order).await);
        for _ in 0..2 {
            let page = open_link(app, &link).await;
            assert_eq!((page.status, count_codes(&page)), (200, 2), "{}", page.text);
            assert_private(&page);
            assert_eq!(page.header("set-cookie"), "");
            assert!(page.text.contains("name=\"robots\" content=\"noindex, nofollow\""), "{}", page.text);
            for words in ["Late Show", "Old Hall", "Bea", "/order/tickets.pdf?link=SDL1."] {
                assert!(page.text.contains(words), "{words}: {}", page.text);
            }
            for hidden in [buyer.email.as_str(), "What happened", "You paid", "Cancel", order["id"].as_str().unwrap()] {
                assert!(!page.text.contains(hidden), "{hidden}: {}", page.text);
            }
            let pdf = open_file(app, "tickets.pdf", &link).await;
            assert_eq!((pdf.status, pdf.header("content-type")), (200, "application/pdf"));
            assert_eq!(pdf.text.matches("/Type /Page\n").count(), 2);
            let ics = open_file(app, "calendar.ics", &link).await;
            assert_eq!((ics.status, ics.header("content-type")), (200, "text/calendar; charset=utf-8"));
            assert_private(&pdf);
            assert_private(&ics);
        }
        assert_eq!((row_counts(app).await, buyer.order(&order).await), before, "opening the link changes nothing");
        // It does not sign in.
        let stranger = app.anonymous();
        stranger.page(&format!("/order?link={link}")).await;
        stranger.get(&path("orders", &order)).await.refused(401, "sign_in_required");
    }

    async fn a_forged_link_opens_nothing(app) {
        let (_, buyer, order, link) = buy_and_read_link(app, json!({})).await;
        let passes = buyer.get(&format!("{}/passes", path("orders", &order))).await.expect(200);
        let pass = passes["passes"][0]["pass"].as_str().unwrap();
        let (payload, signature) = link.rsplit_once('.').unwrap();
        let (_, signature_of_pass) = pass.rsplit_once('.').unwrap();
        for forged in [
            String::new(),
            order["id"].as_str().unwrap().to_owned(),
            payload.to_owned(),
            format!("{payload}."),
            format!("{payload}.{signature_of_pass}"),
            format!("{payload}A.{signature}"),
            pass.to_owned(),
            pass.replacen("SD1", "SDL1", 1),
            link.replacen("SDL1", "SD1", 1),
        ] {
            let page = open_link(app, &forged).await;
            assert_eq!((page.status, count_codes(&page)), (404, 0), "{forged}: {}", page.text);
            assert!(page.text.contains("This link shows no tickets"), "{forged}: {}", page.text);
            assert_private(&page);
            for name in ["tickets.pdf", "calendar.ics"] {
                assert_eq!(open_file(app, name, &forged).await.status, 404, "{name} {forged}");
            }
        }
        assert_eq!(app.anonymous().page("/order").await.status, 404);
        // A link is not a valid pass.
        let checked = buyer.post("/api/passes/check", json!({"pass": link})).await;
        checked.invalid("pass");
    }

    async fn a_link_shows_refunds(app) {
        let (seller, _, order, link) = buy_and_read_link(app, json!({})).await;
        seller.refund(&[&order["tickets"][0]]).await.expect(201);
        let page = open_link(app, &link).await;
        assert_eq!(count_codes(&page), 1);
        assert!(page.text.contains("1 ticket of this order was refunded"), "{}", page.text);
        seller.refund_order(&order).await.expect(201);
        let page = open_link(app, &link).await;
        assert_eq!((page.status, count_codes(&page)), (200, 0));
        assert!(page.text.contains("This order was refunded."), "{}", page.text);
        assert!(!page.text.contains("tickets.pdf"), "{}", page.text);
        for name in ["tickets.pdf", "calendar.ics"] {
            assert_eq!(open_file(app, name, &link).await.status, 404, "{name}");
        }
    }

    async fn a_link_ends_a_month_after_the_event(app) {
        let soon = jiff::Timestamp::from_second(app.clock_seconds() + 3600).unwrap();
        let (_, _, _, link) = buy_and_read_link(app, json!({"startsAt": soon.to_string()})).await;
        app.clock.advance(3600 + 30 * 24 * 3600);
        assert_eq!(count_codes(&open_link(app, &link).await), 2);
        app.clock.advance(1);
        assert_eq!(open_link(app, &link).await.status, 404);
        assert_eq!(open_file(app, "tickets.pdf", &link).await.status, 404);
    }

    async fn a_link_ends_with_the_account(app) {
        let (_, buyer, _, link) = buy_and_read_link(app, json!({})).await;
        let body = json!({"password": PASSWORD});
        buyer.json("DELETE", "/api/user", &[], body).await.expect_2xx();
        let page = open_link(app, &link).await;
        assert_eq!((page.status, count_codes(&page)), (404, 0));
        assert!(!page.text.contains("Bea"), "{}", page.text);
    }
}
