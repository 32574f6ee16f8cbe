//! Mails to users and operators: a mail that a transaction queues is sent once despite failures, and its text is
//! correct at the time of sending.

mod commands;
pub mod post;

use crate::support::{App, Client, on_both_engines};
use base64::{Engine, prelude::BASE64_STANDARD};
use model::Moment;
use platform::{clock::Clock, db::Db, trust::Trust};
use post::{Letter, MailServer, Postbox, mail_server};
use serde_json::{Value, json};
use shop::{
    incidents,
    letters::Mailer,
    mail::{self, Folder, Kind, Letterhead, Outgoing, SendError, Smtp, Transport},
};
use sqlx::{AssertSqlSafe, Row};
use std::{collections::HashMap, path::Path, sync::Arc};
use tokio::sync::Notify;
use uuid::Uuid;

const SHOP: &str = "https://tickets.example";

// Test data.

fn head() -> Letterhead {
    Letterhead::new(mail::default_sender(SHOP).unwrap(), SHOP)
}

pub fn mailer(app: &App, transport: Arc<dyn Transport>) -> Mailer {
    Mailer::new(app.db.clone(), app.clock.clone(), transport, head())
}

/// Sends all due mails, and returns them as parsed.
pub async fn letters(app: &App) -> Vec<Letter> {
    let postbox = Postbox::failing(0);
    mailer(app, postbox.clone()).send_due().await.unwrap();
    postbox.letters()
}

async fn queue(app: &App, kind: Kind, subject: &str) {
    let (subject, now) = (subject.to_owned(), app.clock.now());
    app.db
        .write(move |conn| Box::pin(async move { mail::queue(conn, kind, subject, now).await }))
        .await
        .unwrap();
}

async fn run_sql(app: &App, sql: String) {
    app.db
        .write(move |conn| {
            Box::pin(async move {
                sqlx::query(AssertSqlSafe(sql)).execute(conn).await?;
                Ok::<_, sqlx::Error>(())
            })
        })
        .await
        .unwrap();
}

/// State, attempts and last error of a mail.
async fn row(app: &App, kind: Kind, subject: &str) -> (String, i64, Option<String>) {
    let row =
        sqlx::query("SELECT state, tries, last_error FROM mails WHERE kind = $1 AND subject = $2")
            .bind(kind.name().to_owned())
            .bind(subject.to_owned())
            .fetch_one(app.db.reads())
            .await
            .unwrap();
    (row.get("state"), row.get("tries"), row.get("last_error"))
}

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

/// A buyer and their paid order of two tickets.
async fn paid_order(app: &App, title: &str) -> (Client, Value) {
    let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
    let event = seller.event_with(json!({"title": title})).await;
    let seat = json!({"eventId": event["id"], "priceMinor": 2500, "section": "Stalls", "row": "C", "seat": "12"});
    let seat = seller.post("/api/tickets", seat).await.expect(201);
    let order = buyer
        .reserve(&[&seat, &seller.ticket(&event, 1000).await])
        .await
        .expect(201);
    buyer.pay(&order, "pm_card_visa").await.expect_2xx();
    let order = buyer.order(&order).await;
    assert_eq!(order["status"], "complete");
    (buyer, order)
}

async fn incident(db: &Db, about: String, now: Moment) {
    db.write(move |conn| {
        Box::pin(async move {
            let kind = incidents::Kind::CaptureSlow;
            incidents::open(conn, kind, about, None, "Stripe has not <answered>", now).await
        })
    })
    .await
    .unwrap();
}

async fn operator(app: &App, user: &Client) {
    run_sql(
        app,
        format!("UPDATE users SET is_operator = 1 WHERE id = '{}'", user.id),
    )
    .await;
}

fn files(folder: &Path) -> Vec<String> {
    let found = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = found
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

on_both_engines! {
    async fn a_paid_order_gets_one_mail(app) {
        let (buyer, order) = paid_order(app, "Candle & \"Strings\" <b>").await;
        queue(app, Kind::OrderComplete, id(&order)).await;
        queue(app, Kind::OrderComplete, id(&order)).await;
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("mail");
        let mailer = mailer(app, Arc::new(Folder::new(folder.clone())));
        assert_eq!(mailer.send_due().await.unwrap(), 1);
        assert_eq!(mailer.send_due().await.unwrap(), 0);
        assert_eq!(row(app, Kind::OrderComplete, id(&order)).await, ("sent".to_owned(), 1, None));

        let names = files(&folder);
        assert_eq!(names.len(), 1, "{names:?}");
        let name = names[0].strip_suffix(".eml").unwrap();
        let (rest, mail_id) = name.split_at(name.len() - 36);
        assert!(rest.ends_with("Z-order_complete-"), "{name}");
        let letter = Letter::read(&std::fs::read(folder.join(&names[0])).unwrap());
        assert_eq!(letter.headers["message-id"], format!("<{mail_id}@tickets.example>"));
        assert_eq!(letter.headers["from"], "Stagedoor <tickets@tickets.example>");
        assert_eq!(letter.headers["to"], format!("buyer <{}>", buyer.email));
        let subject = "Your 2 tickets for Candle & \"Strings\" <b>, 1 May";
        assert_eq!(letter.headers["subject"], subject);
        letter.says(&[
            "Stalls, Row C, Seat 12", "£25.00", "General admission", "£10.00", "£35.00",
            "Thursday 1 May 2031, 8:30 pm BST", "Old Hall, Leeds",
            &format!("{SHOP}/orders/{}", id(&order)), &format!("{SHOP}/order?link=SDL1."),
        ]);
        assert!(letter.text.contains("Candle & \"Strings\" <b>"));
        assert!(letter.html.contains("Candle &amp; &quot;Strings&quot; &lt;b&gt;"));
        assert!(!letter.html.contains("<b>"));
        let kinds: Vec<&str> = letter.enclosed.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["application/pdf", "text/calendar; charset=utf-8; method=PUBLISH"]);
        assert!(letter.enclosed[0].1.starts_with(b"%PDF-"));
        assert!(letter.enclosed[1].1.starts_with(b"BEGIN:VCALENDAR\r\n"));
    }

    async fn a_mail_that_cannot_be_sent_is_retried_for_three_days(app) {
        let (_, order) = paid_order(app, "Late Show").await;
        queue(app, Kind::OrderComplete, id(&order)).await;
        let failing = Postbox::failing(usize::MAX);
        let mailer = mailer(app, failing.clone());
        for (tries, minutes) in [1, 5, 30, 120, 360, 720, 1440, 1440].into_iter().enumerate() {
            assert_eq!(mailer.send_due().await.unwrap(), 0);
            assert_eq!(failing.calls(), tries + 1);
            let (state, counted, error) = row(app, Kind::OrderComplete, id(&order)).await;
            assert_eq!((state.as_str(), usize::try_from(counted).unwrap()), ("pending", tries + 1));
            assert!(error.unwrap().contains("on fire"));
            app.clock.advance(minutes * 60 - 1);
            mailer.send_due().await.unwrap();
            assert_eq!(failing.calls(), tries + 1, "retried too early");
            app.clock.advance(1);
        }
        mailer.send_due().await.unwrap();
        let (state, tries, error) = row(app, Kind::OrderComplete, id(&order)).await;
        assert_eq!((state.as_str(), tries), ("failed", 9));
        assert!(error.unwrap().contains("on fire"));
        app.clock.advance(7 * 24 * 3600);
        mailer.send_due().await.unwrap();
        assert_eq!(failing.calls(), 9);
    }

    async fn a_mail_is_sent_once_the_server_is_back(app) {
        let (_, order) = paid_order(app, "Late Show").await;
        queue(app, Kind::OrderComplete, id(&order)).await;
        let post = Postbox::failing(1);
        let mailer = mailer(app, post.clone());
        assert_eq!(mailer.send_due().await.unwrap(), 0);
        app.clock.advance(60);
        assert_eq!(mailer.send_due().await.unwrap(), 1);
        assert_eq!(post.only().headers["subject"], "Your 2 tickets for Late Show, 1 May");
        assert_eq!(row(app, Kind::OrderComplete, id(&order)).await, ("sent".to_owned(), 2, None));
    }

    async fn another_mailer_sends_the_mail_of_a_killed_one(app) {
        struct Panics;
        #[async_trait::async_trait]
        impl Transport for Panics {
            async fn send(&self, _: &Outgoing) -> Result<(), SendError> {
                panic!("the process dies here");
            }
        }
        let (_, order) = paid_order(app, "Late Show").await;
        queue(app, Kind::OrderComplete, id(&order)).await;
        let killed = mailer(app, Arc::new(Panics));
        assert!(tokio::spawn(async move { killed.send_due().await }).await.unwrap_err().is_panic());
        let post = Postbox::failing(0);
        let next = mailer(app, post.clone());
        assert_eq!(next.send_due().await.unwrap(), 0, "claimed before the lease had ended");
        app.clock.advance(120);
        assert_eq!(next.send_due().await.unwrap(), 1);
        post.only();
    }

    /// If it did not finish, an accepted mail would be sent again after its lease.
    async fn a_closing_mailer_finishes_its_mail_and_claims_no_more(app) {
        struct WaitsForRelease(Notify, Notify);
        #[async_trait::async_trait]
        impl Transport for WaitsForRelease {
            async fn send(&self, _: &Outgoing) -> Result<(), SendError> {
                self.0.notify_one();
                self.1.notified().await;
                Ok(())
            }
        }
        let (_, order) = paid_order(app, "Late Show").await;
        queue(app, Kind::OrderComplete, id(&order)).await;
        let server = Arc::new(WaitsForRelease(Notify::new(), Notify::new()));
        let closing = Arc::new(mailer(app, server.clone()));
        let sender = closing.clone();
        let sending = tokio::spawn(async move { sender.send_due().await.unwrap() });
        server.0.notified().await;
        let mut closed = std::pin::pin!(closing.close());
        assert!(futures::poll!(&mut closed).is_pending(), "closed while a mail was being sent");
        server.1.notify_one();
        closed.await;
        assert_eq!(row(app, Kind::OrderComplete, id(&order)).await, ("sent".to_owned(), 1, None));
        assert_eq!(sending.await.unwrap(), 1);
        queue(app, Kind::OrderExpired, id(&order)).await;
        assert_eq!(closing.send_due().await.unwrap(), 0);
        assert_eq!(row(app, Kind::OrderExpired, id(&order)).await, ("pending".to_owned(), 0, None));
    }

    async fn two_mailers_at_once_send_each_mail_once_to_each_operator(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        operator(app, &ann).await;
        operator(app, &bob).await;
        app.user("nobody").await;
        for number in 0..10 {
            incident(&app.db, format!("payment {number}"), app.clock.now()).await;
        }
        app.clock.advance(30);
        let post = Postbox::failing(0);
        let (one, two) = (mailer(app, post.clone()), mailer(app, post.clone()));
        let (a, b) = futures::future::join(one.send_due(), two.send_due()).await;
        // One mailer may find nothing due just before the other has queued the operators' mails.
        let late = one.send_due().await.unwrap();
        assert_eq!(a.unwrap() + b.unwrap() + late, 2);
        let letters = post.letters();
        let mut ids: Vec<&String> = letters.iter().map(|letter| &letter.headers["message-id"]).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((letters.len(), ids.len()), (2, 2));
        for user in [&ann, &bob] {
            let to = format!("<{}>", user.email);
            let theirs = letters.iter().filter(|letter| letter.headers["to"].ends_with(&to));
            assert_eq!(theirs.count(), 1);
        }
        let subject = "Attention: 10 things to look at";
        assert!(letters.iter().all(|letter| letter.headers["subject"] == subject));
        letters[0].says(&["stagedoor incidents", "payment 0: ", "payment 9: ", "too long"]);
        assert!(letters[0].html.contains("&lt;answered&gt;"));
    }

    async fn many_incidents_make_one_mail(app) {
        operator(app, &app.user("ann").await).await;
        let post = Postbox::failing(0);
        let mailer = mailer(app, post.clone());
        // Hundreds within half a minute, as after a restore.
        for number in 0..300 {
            incident(&app.db, format!("payment {number}"), app.clock.now()).await;
            if number % 20 == 0 {
                app.clock.advance(1);
                assert_eq!(mailer.send_due().await.unwrap(), 0);
            }
        }
        app.clock.advance(30);
        assert_eq!(mailer.send_due().await.unwrap(), 1);
        let letter = post.only();
        assert_eq!(letter.headers["subject"], "Attention: 300 things to look at");
        letter.says(&["money has been on its way for too long", "300", "payment 0: "]);
        assert!(letter.text.len() < 5_000, "{}", letter.text);

        // Incidents soon afterwards are delayed, and share one mail too.
        for number in 300..303 {
            incident(&app.db, format!("payment {number}"), app.clock.now()).await;
            app.clock.advance(60);
            assert_eq!(mailer.send_due().await.unwrap(), 0);
        }
        app.clock.advance(7 * 60);
        assert_eq!(mailer.send_due().await.unwrap(), 1);
        let letters = post.letters();
        assert_eq!(letters[1].headers["subject"], "Attention: 3 things to look at");
        // After a pause, a single incident is mailed within a minute.
        app.clock.advance(11 * 60);
        incident(&app.db, "payment 303".to_owned(), app.clock.now()).await;
        app.clock.advance(30);
        assert_eq!(mailer.send_due().await.unwrap(), 1);
        let subject = &post.letters()[2].headers["subject"];
        assert_eq!(subject, "Attention: money has been on its way for too long");
    }

    async fn a_permanent_refusal_ends_the_mail_and_opens_an_incident(app) {
        let (buyer, order) = paid_order(app, "Late Show").await;
        let server = MailServer::start().await;
        let mailer = mailer(app, Arc::new(server.smtp()));
        for (reply, state) in [
            ("450 4.2.0 come again in five minutes", "pending"),
            // These concern the sender: password, address, policy.
            ("535 5.7.8 authentication failed", "pending"),
            ("550 5.7.1 relaying denied", "pending"),
        ] {
            server.answers("RCPT", reply);
            assert_eq!(mailer.send_due().await.unwrap(), 0);
            assert_eq!(row(app, Kind::OrderComplete, id(&order)).await.0, state, "{reply}");
            app.clock.advance(3600);
        }
        assert_eq!(app.incidents().await, [""; 0]);
        server.answers("RCPT", &format!("550 5.1.1 <{}>: no such user", buyer.email));
        assert_eq!(mailer.send_due().await.unwrap(), 0);
        let (state, tries, error) = row(app, Kind::OrderComplete, id(&order)).await;
        assert_eq!((state.as_str(), tries), ("failed", 4));
        let error = error.unwrap();
        assert!(error.contains("no such user") && !error.contains('@'), "{error}");
        assert_eq!(app.incidents().await, ["mail_undelivered"]);
        let open = incidents::list_open(app.db.reads()).await.unwrap();
        assert_eq!(open[0].order_id.unwrap().to_string(), id(&order));
        assert!(!open[0].detail.contains('@'), "{}", open[0].detail);
        app.clock.advance(3600);
        let attempts = server.received("RCPT");
        assert_eq!(mailer.send_due().await.unwrap(), 0);
        assert_eq!(server.received("RCPT"), attempts, "a permanent refusal is retried");
    }

    async fn a_server_that_refuses_all_connections_loses_no_mail(app) {
        let (_, order) = paid_order(app, "Late Show").await;
        let server = MailServer::start().await;
        let mailer = mailer(app, Arc::new(server.smtp()));
        // Instead of a greeting, as from a server that blocks the client.
        server.answers("", "554 go away");
        assert_eq!(mailer.send_due().await.unwrap(), 0);
        assert_eq!(row(app, Kind::OrderComplete, id(&order)).await.0, "pending");
        server.answers("", "220 mail.example");
        app.clock.advance(61);
        assert_eq!(mailer.send_due().await.unwrap(), 1);
        assert_eq!(app.incidents().await, [""; 0]);
    }

    async fn an_operators_invalid_address_does_not_stop_the_others_mails(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        operator(app, &ann).await;
        operator(app, &bob).await;
        run_sql(app, format!("UPDATE users SET email = 'not an address' WHERE id = '{}'", ann.id)).await;
        incident(&app.db, "payment".to_owned(), app.clock.now()).await;
        app.clock.advance(30);
        let post = Postbox::failing(0);
        assert_eq!(mailer(app, post.clone()).send_due().await.unwrap(), 1);
        assert!(post.only().headers["to"].contains(&bob.email));
        assert_eq!(app.count_where("mails", "state", "failed").await, 1);
        assert_eq!(app.count_where("mails", "state", "pending").await, 0);
    }

    async fn an_incident_without_operators_is_only_logged(app) {
        app.user("nobody").await;
        incident(&app.db, "payment".to_owned(), app.clock.now()).await;
        app.clock.advance(30);
        let post = Postbox::failing(0);
        assert_eq!(mailer(app, post.clone()).send_due().await.unwrap(), 0);
        assert_eq!((app.count("mails").await, app.count_where("mails", "state", "sent").await), (1, 1));
        assert_eq!(post.calls(), 0);
    }

    async fn a_settled_incident_is_not_mailed(app) {
        operator(app, &app.user("ann").await).await;
        incident(&app.db, "payment".to_owned(), app.clock.now()).await;
        app.clock.advance(30);
        let open = incidents::list_open(app.db.reads()).await.unwrap();
        assert!(incidents::settle(&app.db, open[0].id, app.clock.now()).await.unwrap());
        let post = Postbox::failing(0);
        assert_eq!(mailer(app, post.clone()).send_due().await.unwrap(), 0);
        assert_eq!(app.count_where("mails", "state", "failed").await, 1);
    }

    async fn a_mail_without_its_subject_is_not_retried(app) {
        let unknown = Uuid::now_v7().to_string();
        let post = Postbox::failing(0);
        let mailer = mailer(app, post.clone());
        for kind in [Kind::OrderComplete, Kind::OrderExpired, Kind::OrderRefunded, Kind::RefundFailed] {
            queue(app, kind, &unknown).await;
            queue(app, kind, "nonsense").await;
        }
        assert_eq!(mailer.send_due().await.unwrap(), 0);
        let (state, tries, error) = row(app, Kind::OrderComplete, &unknown).await;
        assert_eq!((state.as_str(), tries, error.as_deref()), ("failed", 1, Some("the order does not exist")));
        let (_, _, error) = row(app, Kind::RefundFailed, "nonsense").await;
        assert_eq!(error.as_deref(), Some("\"nonsense\" is not an id"));
        assert_eq!(app.count_where("mails", "state", "failed").await, 8);
        assert_eq!(post.calls(), 0);
    }

    async fn no_mail_says_that_nothing_was_charged_before_it_is_certain(app) {
        let (seller, ann, bob) = (app.user("seller").await, app.user("ann").await, app.user("bob").await);
        let event = seller.event().await;
        let (one, two) = (seller.ticket(&event, 2500).await, seller.ticket(&event, 3500).await);
        let (late, lost) = (ann.reserve(&[&one]).await.expect(201), bob.reserve(&[&two]).await.expect(201));
        let begun = ann.pay(&late, "pm_card_threeDSecure2Required").await.expect(202);
        bob.pay(&lost, "pm_card_threeDSecure2Required").await.expect(202);
        app.stripe_is_away();
        app.clock.advance(1500);
        assert_eq!(app.sweep().await, 2);
        for order in [&late, &lost] {
            queue(app, Kind::OrderExpired, id(order)).await;
        }
        let post = Postbox::failing(0);
        let mailer = mailer(app, post.clone());
        for _ in 0..20 {
            assert_eq!(mailer.send_due().await.unwrap(), 0);
            app.clock.advance(30);
        }
        let (state, tries, _) = row(app, Kind::OrderExpired, id(&late)).await;
        assert_eq!((state.as_str(), tries), ("pending", 0), "a postponed mail counts as an attempt");

        app.stripe_is_back();
        app.approve_at_bank(&begun);
        app.webhooks_arrive().await;
        app.settle().await;
        assert_eq!(ann.order(&late).await["status"], "complete");
        app.clock.advance(30);
        mailer.send_due().await.unwrap();
        let (state, _, error) = row(app, Kind::OrderExpired, id(&late)).await;
        assert_eq!((state.as_str(), error.as_deref()), ("failed", Some("the order is complete now")));
        let expired: Vec<Letter> = post.letters().into_iter()
            .filter(|letter| letter.headers["subject"].starts_with("Not charged"))
            .collect();
        assert_eq!(expired.len(), 1);
        assert!(expired[0].headers["to"].contains(&bob.email));
        expired[0].says(&["nothing was charged", "pending authorisation of £35.00"]);
        app.assert_sound().await;
    }

    async fn a_refunds_mail_states_its_result(app) {
        let (_, order) = paid_order(app, "Late Show").await;
        let now = app.clock.now().micros();
        let (succeeded, failed) = (Uuid::now_v7(), Uuid::now_v7());
        let tickets: Vec<&str> = order["tickets"].as_array().unwrap().iter().map(id).collect();
        let payment = order["paymentId"].as_str().unwrap();
        let order = id(&order);
        let prices = [1000, 2500].map(|price| {
            format!("SELECT ticket_id FROM order_lines WHERE order_id = '{order}' AND price_minor = {price}")
        });
        assert_eq!(tickets.len(), 2);
        for (refund, state, amount, ticket, live) in
            [(succeeded, "succeeded", 1000, &prices[0], 1), (failed, "failed", 2500, &prices[1], 0)]
        {
            run_sql(app, format!(
                "INSERT INTO refunds (id, payment_id, order_id, amount_minor, currency, reason, state, \
                 created_at) VALUES ('{refund}', '{payment}', '{order}', {amount}, 'GBP', 'seller', \
                 '{state}', {now})"
            )).await;
            run_sql(app, format!(
                "INSERT INTO refund_lines (refund_id, order_id, ticket_id, amount_minor, live) \
                 VALUES ('{refund}', '{order}', ({ticket}), {amount}, {live})"
            )).await;
        }
        queue(app, Kind::OrderRefunded, &succeeded.to_string()).await;
        queue(app, Kind::RefundFailed, &failed.to_string()).await;
        // Not sent: the refund's state does not match the mail.
        queue(app, Kind::OrderRefunded, &failed.to_string()).await;
        queue(app, Kind::RefundFailed, &succeeded.to_string()).await;
        queue(app, Kind::OrderComplete, order).await;
        let post = Postbox::failing(0);
        assert_eq!(mailer(app, post.clone()).send_due().await.unwrap(), 3);
        let by_subject: HashMap<String, Letter> = post.letters().into_iter()
            .map(|letter| (letter.headers["subject"].clone(), letter))
            .collect();
        // A subject with a pound sign is encoded.
        let refunded = by_subject.iter().find(|(subject, _)| subject.starts_with("Refund of ")).unwrap().1;
        refunded.says(&["£10.00", "General admission", "5–10 days"]);
        assert!(!refunded.text.contains("Stalls"));
        by_subject["Your refund for Late Show, 1 May did not get through"].says(&["£25.00", "Stalls, Row C, Seat 12"]);
        let complete = &by_subject["Your ticket for Late Show, 1 May"];
        complete.says(&["Stalls, Row C, Seat 12", "One ticket of this order has been refunded since"]);
        assert!(!complete.text.contains("General admission"));
        let (state, _, error) = row(app, Kind::OrderRefunded, &failed.to_string()).await;
        assert_eq!((state.as_str(), error.as_deref()), ("failed", Some("the refund is failed now")));
    }

    async fn a_mail_server_receives_the_whole_mail(app) {
        let (buyer, order) = paid_order(app, "Late Show").await;
        queue(app, Kind::OrderComplete, id(&order)).await;
        let (port, received) = mail_server("AUTH PLAIN").await;
        let smtp = Smtp::new(&format!("smtp://shop:pass%40word@127.0.0.1:{port}"), "tickets.example", &Trust::default()).unwrap();
        assert_eq!(mailer(app, Arc::new(smtp)).send_due().await.unwrap(), 1);
        let (commands, message) = received.await.unwrap();
        assert_eq!(commands[0], "EHLO tickets.example");
        let login = BASE64_STANDARD.encode("\0shop\0pass@word");
        assert_eq!(commands[1], format!("AUTH PLAIN {login}"));
        assert_eq!(commands[2], "MAIL FROM:<tickets@tickets.example>");
        assert_eq!(commands[3], format!("RCPT TO:<{}>", buyer.email));
        let letter = Letter::read(message.as_bytes());
        assert_eq!(letter.headers["subject"], "Your 2 tickets for Late Show, 1 May");
        letter.says(&["Stalls, Row C, Seat 12", "£35.00"]);
    }

    async fn nothing_is_sent_unencrypted_if_tls_is_required(app) {
        let (_, order) = paid_order(app, "Late Show").await;
        queue(app, Kind::OrderComplete, id(&order)).await;
        let (port, received) = mail_server("AUTH PLAIN").await;
        let url = format!("smtp://shop:password@127.0.0.1:{port}?tls=required");
        let smtp = Smtp::new(&url, "tickets.example", &Trust::default()).unwrap();
        assert_eq!(mailer(app, Arc::new(smtp)).send_due().await.unwrap(), 0);
        let (commands, _) = received.await.unwrap();
        assert!(commands.iter().all(|command| !command.starts_with("AUTH") && !command.starts_with("MAIL")), "{commands:?}");
        assert_eq!(row(app, Kind::OrderComplete, id(&order)).await.0, "pending");
    }
}
