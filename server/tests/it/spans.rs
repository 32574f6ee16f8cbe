//! Events with an end: the end of sales and of the tickets' validity, and how pages and files show them.

use crate::support::{App, Client, on_both_engines, path};
use jiff::Timestamp;
use model::events::{EventQuery, When};
use platform::{clock::Clock, limits::Limits};
use serde_json::{Value, json};
use shop::{events::listing::Filter, waiting::WaitingService};
use std::sync::Arc;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

/// The time this number of seconds from now, as in JSON.
fn time_in(app: &App, seconds: i64) -> String {
    let now = app.clock_seconds();
    Timestamp::from_second(now + seconds).unwrap().to_string()
}

/// Creates an event that begins in an hour and lasts 50 hours. Sales end 40 hours after the start.
async fn create_festival(app: &App, creator: &Client) -> Value {
    let times = json!({"title": "Festival", "startsAt": time_in(app, HOUR), "endsAt": time_in(app, 51 * HOUR),
        "salesUntil": time_in(app, 41 * HOUR)});
    creator.event_with(times).await
}

async fn list_titles(client: &Client, query: &str) -> Vec<String> {
    let found = client
        .get(&format!("/api/events?{query}"))
        .await
        .expect(200);
    let events = found["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["title"].as_str().unwrap().to_owned())
        .collect()
}

fn count_codes(page: &str) -> usize {
    page.matches("class=\"qr\"").count()
}

on_both_engines! {
    async fn tickets_are_sold_until_the_end_of_sales_and_valid_until_the_end_of_the_event(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = create_festival(app, &seller).await;
        assert!(event["endsAt"].is_string() && event["salesUntil"].is_string(), "{event}");
        let first = buyer.reserve(&[&seller.ticket(&event, 2500).await]).await.expect(201);
        buyer.pay(&first, "pm_card_visa").await.expect(201);

        // The second day.
        app.clock.advance(30 * HOUR);
        let ticket = seller.ticket(&event, 2500).await;
        let edited = json!({"priceMinor": 2600, "version": 1});
        seller.put(&path("tickets", &ticket), edited).await.expect(200);
        assert_eq!(list_titles(&buyer, "").await, ["Festival"]);
        assert_eq!(list_titles(&buyer, "q=fest&city=leeds&category=other").await, ["Festival"]);
        let now = buyer.get(&path("events", &event)).await.expect(200);
        assert_eq!(now["ticketsAvailable"], 1);
        let page = buyer.page(&format!("/events/{}", id(&event))).await.text;
        assert!(page.contains("On sale until") && !page.contains("no longer traded"), "{page}");
        assert!(app.anonymous().page("/").await.text.contains("Festival"));
        assert!(app.anonymous().get("/sitemap.xml").await.text.contains(id(&event)));
        let late = buyer.reserve_any(&event, 1).await.expect(201);
        buyer.pay(&late, "pm_card_visa").await.expect(201);
        assert_eq!(count_codes(&buyer.page("/tickets").await.text), 2);
        let body = json!({"password": crate::support::client::PASSWORD});
        seller.json("DELETE", "/api/user", &[], body).await.refused(409, "account_tickets_sold");

        // Sales have ended, the event has not.
        let rest = seller.ticket(&event, 2500).await;
        app.clock.advance(11 * HOUR);
        buyer.reserve(&[&rest]).await.refused(409, "event_over");
        buyer.reserve_any(&event, 1).await.refused(409, "event_over");
        let listed = json!({"eventId": event["id"], "priceMinor": 2500});
        seller.post("/api/tickets", listed).await.refused(409, "event_over");
        let edited = json!({"priceMinor": 2700, "version": 1});
        seller.put(&path("tickets", &rest), edited).await.refused(409, "event_over");
        assert!(list_titles(&buyer, "").await.is_empty());
        assert!(!app.anonymous().get("/sitemap.xml").await.text.contains(id(&event)));
        let page = buyer.page(&format!("/events/{}", id(&event))).await.text;
        assert!(page.contains("This event has begun. Its tickets are no longer traded."), "{page}");
        assert_eq!(count_codes(&buyer.page("/tickets").await.text), 2);

        // One second before the end, and after it.
        app.clock.advance(10 * HOUR - 1);
        assert_eq!(count_codes(&buyer.page("/tickets").await.text), 2);
        app.clock.advance(1);
        let tickets = buyer.page("/tickets").await.text;
        assert!(count_codes(&tickets) == 0 && tickets.contains("Past (2)"), "{tickets}");
        let page = buyer.page(&format!("/events/{}", id(&event))).await.text;
        assert!(page.contains("This event is over. Its tickets are no longer traded."), "{page}");
        app.assert_sound().await;
    }

    async fn an_event_without_an_end_is_sold_until_its_start(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event_with(json!({"startsAt": time_in(app, HOUR)})).await;
        assert_eq!((&event["endsAt"], &event["salesUntil"]), (&Value::Null, &Value::Null));
        let ticket = seller.ticket(&event, 2500).await;
        app.clock.advance(HOUR);
        buyer.reserve(&[&ticket]).await.refused(409, "event_over");
        assert!(list_titles(&buyer, "").await.is_empty());
        let change = json!({"title": "Later", "version": 1});
        seller.put(&path("events", &event), change).await.refused(409, "event_over");
    }

    async fn a_payment_authorised_on_the_second_day_completes(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = create_festival(app, &seller).await;
        let ticket = seller.ticket(&event, 2500).await;
        app.clock.advance(30 * HOUR);
        let order = buyer.reserve(&[&ticket]).await.expect(201);
        let payment = buyer.pay(&order, "pm_card_threeDSecure2Required").await.expect(202);
        app.clock.advance(2 * HOUR);
        assert!(app.expire(&order).await);
        app.approve_at_bank(&payment);
        app.webhooks_arrive().await;
        app.settle().await;
        assert_eq!(buyer.order(&order).await["status"], "complete");
        app.assert_sound().await;
    }

    async fn invalid_times_are_refused_at_their_field(app) {
        let seller = app.user("seller").await;
        let with = |changes: Value| {
            let mut body = json!({"startsAt": "2031-05-01T10:00:00Z"});
            crate::support::client::merge(&mut body, changes);
            crate::support::client::event_body(body)
        };
        for (field, changes) in [
            ("endsAt", json!({"endsAt": "2031-05-01T10:00:00Z"})),
            ("endsAt", json!({"endsAt": "2031-04-30T10:00:00Z"})),
            ("endsAt", json!({"endsAt": "2032-06-01T10:00:00Z"})),
            ("endsAt", json!({"endsAt": "soon"})),
            ("salesUntil", json!({"salesUntil": "2031-05-01T10:00:00Z"})),
            ("salesUntil", json!({"salesUntil": "2031-05-01T22:00:01Z"})),
            ("salesUntil", json!({"endsAt": "2031-05-01T12:00:00Z", "salesUntil": "2031-05-01T12:00:01Z"})),
        ] {
            seller.post("/api/events", with(changes)).await.invalid(field);
        }
        let event = seller.event_with(json!({"startsAt": "2031-05-01T10:00:00Z",
            "endsAt": "2031-05-03T18:00:00Z", "salesUntil": "2031-05-03T12:00:00Z"})).await;
        let event_path = path("events", &event);
        let moved = json!({"version": 1, "startsAt": "2031-05-04T10:00:00Z"});
        seller.put(&event_path, moved).await.invalid("endsAt");
        let kept = seller.put(&event_path, json!({"version": 1, "title": "Later"})).await.expect(200);
        assert_eq!(kept["endsAt"], "2031-05-03T18:00:00Z");
        let cleared = json!({"version": 2, "endsAt": null, "salesUntil": null});
        let cleared = seller.put(&event_path, cleared).await.expect(200);
        assert_eq!((&cleared["endsAt"], &cleared["salesUntil"]), (&Value::Null, &Value::Null));
        app.assert_tables().await;
    }

    async fn a_running_events_end_can_be_postponed_but_not_its_start(app) {
        let seller = app.user("seller").await;
        let event = create_festival(app, &seller).await;
        app.clock.advance(30 * HOUR);
        let event_path = path("events", &event);
        let longer = json!({"version": 1, "endsAt": time_in(app, 60 * HOUR), "salesUntil": time_in(app, 50 * HOUR)});
        let longer = seller.put(&event_path, longer).await.expect(200);
        assert_eq!(longer["startsAt"], event["startsAt"]);
        let earlier = json!({"version": 2, "startsAt": time_in(app, -HOUR)});
        seller.put(&event_path, earlier).await.invalid("startsAt");
        let past = json!({"version": 2, "endsAt": time_in(app, -HOUR), "salesUntil": null});
        seller.put(&event_path, past).await.invalid("endsAt");
        // An end in the past is refused, because it could not be corrected.
        let none = json!({"version": 2, "endsAt": null, "salesUntil": null});
        seller.put(&event_path, none).await.invalid("endsAt");
        let sold_late = json!({"endsAt": null, "startsAt": time_in(app, HOUR), "salesUntil": time_in(app, 3 * HOUR)});
        let sold_late = seller.event_with(sold_late).await;
        app.clock.advance(2 * HOUR);
        let none = json!({"version": 1, "salesUntil": null});
        seller.put(&path("events", &sold_late), none).await.invalid("salesUntil");
        app.clock.advance(60 * HOUR);
        let late = json!({"version": 2, "endsAt": time_in(app, HOUR)});
        seller.put(&event_path, late).await.refused(409, "event_over");
    }

    async fn the_forms_can_set_and_clear_the_end(app) {
        let seller = app.user("seller").await;
        let form = |changes: &[(&'static str, &'static str)]| {
            let mut fields = vec![("title", "Festival"), ("venue", "Old Hall"), ("city", "Leeds"),
                ("country", "GB"), ("date", "2031-05-01"), ("time", "11:00"), ("time_zone", "Europe/London"),
                ("currency", "GBP"), ("description", "")];
            fields.extend_from_slice(changes);
            fields
        };
        for (field, changes) in [
            ("end_time", &[("end_date", "2031-05-03")][..]),
            ("end_date", &[("end_date", "soon"), ("end_time", "18:00")]),
            ("end_time", &[("end_time", "10:00")]),
            ("sales_time", &[("sales_date", "2031-05-02")]),
            ("sales_time", &[("sales_date", "2031-05-02"), ("sales_time", "12:00")]),
            ("end_time", &[("end_date", "2032-03-28"), ("end_time", "01:30")]),
        ] {
            let answer = seller.form("/fn/events/create", "/sell", &form(changes)).await;
            let page = seller.page(answer.header("location")).await.text;
            assert!(page.contains(&format!("id=\"event-{field}-error\"")), "{field}: {page}");
            assert!(page.contains(&format!("value=\"{}\"", changes[0].1)), "the entered value is kept");
        }
        let changes = [("end_date", "2031-05-03"), ("end_time", "18:00"), ("sales_date", "2031-05-03"), ("sales_time", "12:30")];
        let answer = seller.form("/fn/events/create", "/sell", &form(&changes)).await;
        let event = answer.header("location").trim_start_matches("/events/").trim_end_matches("/picture").to_owned();
        let event = seller.get(&format!("/api/events/{event}")).await.expect(200);
        assert_eq!(event["endsAt"], "2031-05-03T17:00:00Z");
        assert_eq!(event["salesUntil"], "2031-05-03T11:30:00Z");
        let page = seller.page(&format!("/events/{}", id(&event))).await.text;
        for text in ["Thursday 1 May 2031, 11:00 am – Saturday 3 May 2031, 6:00 pm BST",
            "Saturday 3 May 2031, 12:30 pm BST", "\"endDate\":\"2031-05-03T18:00:00+01:00\"",
            "data-end=\"2031-05-03T17:00:00Z\""]
        {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(seller.page("/").await.text.contains("Thu 1 May, 11:00 am – Sat 3 May 2031"));

        let edit = format!("/events/{}/edit", id(&event));
        let shown = seller.page(&edit).await.text;
        assert!(shown.contains("value=\"2031-05-03\"") && shown.contains("value=\"18:00\""), "{shown}");
        let hidden = |name: &str| {
            let from = shown.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
            from.split('"').next().unwrap().to_owned()
        };
        let (version, marks) = (hidden("version"), hidden("marks"));
        let mut fields = form(&[("end_date", ""), ("end_time", ""), ("sales_date", ""), ("sales_time", "")]);
        fields.extend([("event", id(&event)), ("version", &version), ("marks", &marks)]);
        seller.form("/fn/events/update", &edit, &fields).await;
        let now = seller.get(&path("events", &event)).await.expect(200);
        assert_eq!((&now["endsAt"], &now["salesUntil"]), (&Value::Null, &Value::Null), "{now}");
        assert_eq!(now["startsAt"], event["startsAt"]);
        let page = seller.page(&format!("/events/{}", id(&event))).await.text;
        assert!(page.contains("Everybody who has bought a ticket gets a mail about it in a few minutes."), "{page}");
    }

    async fn lists_have_running_events_before_upcoming_ones(app) {
        let (seller, visitor) = (app.user("seller").await, app.anonymous());
        for (title, starts, sales) in [("one", HOUR, Some(80 * HOUR)), ("two", 2 * HOUR, Some(30 * HOUR)),
            ("gone", 3 * HOUR, None), ("three", 60 * HOUR, Some(90 * HOUR)), ("four", 61 * HOUR, None)]
        {
            let mut times = json!({"title": title, "startsAt": time_in(app, starts), "city": "Ulm"});
            if let Some(sales) = sales {
                times["endsAt"] = json!(time_in(app, sales));
                times["salesUntil"] = json!(time_in(app, sales));
            }
            seller.event_with(times).await;
        }
        app.clock.advance(10 * HOUR);
        assert_eq!(list_titles(&visitor, "").await, ["one", "two", "three", "four"]);
        let mut cursor = String::new();
        for title in ["one", "two", "three", "four"] {
            let page = visitor.get(&format!("/api/events?limit=1{cursor}")).await.expect(200);
            assert_eq!(page["events"][0]["title"], title);
            cursor = page["next"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
        }
        assert!(cursor.is_empty());
        let home = visitor.page("/?city=Ulm").await.text;
        assert!(home.contains("4 events") && home.contains("Ulm"), "{home}");
        // On sale until that moment.
        assert_eq!(list_titles(&visitor, &format!("from={}", time_in(app, 25 * HOUR))).await, ["one", "three", "four"]);
        assert_eq!(list_titles(&visitor, &format!("to={}", time_in(app, 25 * HOUR))).await, ["one", "two"]);
        app.clock.advance(25 * HOUR);
        let found = app.api.events.list(EventQuery { when: Some(When::Today), ..EventQuery::default() });
        let found = found.await.unwrap().events;
        assert!(found.iter().any(|event| event.title == "one"), "its sales continue today");
        assert!(found.iter().all(|event| event.title != "two"), "its sales have ended");
    }

    async fn a_list_reads_running_events_by_an_index(app) {
        let filter = Filter { now: app.clock.now(), limit: 5, ..Filter::default() };
        let mut page = filter.page(app.db.engine(), "id");
        let explain = match app.db.engine() {
            platform::db::Engine::Sqlite => "EXPLAIN QUERY PLAN ",
            platform::db::Engine::Postgres => "EXPLAIN ",
        };
        page.sql.insert_str(0, explain);
        let rows = page.query().fetch_all(app.db.reads()).await.unwrap();
        let column = if explain == "EXPLAIN " { "QUERY PLAN" } else { "detail" };
        let plan: String = rows.iter().map(|row| sqlx::Row::get::<String, _>(row, column) + "\n").collect();
        assert!(plan.contains("events_sold_on"), "{plan}");
    }

    async fn the_waiting_list_ends_with_the_sale(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let event = create_festival(app, &seller).await;
        app.clock.advance(30 * HOUR);
        let list = format!("/api/events/{}/waiting-list", id(&event));
        ann.post(&list, json!({})).await.expect_2xx();
        let notifier = shop::waiting::WaitingListNotifier::new(app.db.clone(), app.clock.clone());
        seller.ticket(&event, 2500).await;
        assert_eq!(notifier.notify_due().await.unwrap(), 1);
        app.clock.advance(11 * HOUR);
        let bob = app.user("bob").await;
        bob.post(&list, json!({})).await.refused(409, "event_over");
        let limits = Arc::new(Limits::new(app.clock.clone(), false, None));
        let waiting = WaitingService::new(app.db.clone(), app.clock.clone(), limits);
        app.clock.advance(3 * DAY - HOUR);
        assert_eq!(waiting.delete_old().await.unwrap(), 0);
        app.clock.advance(HOUR);
        assert_eq!(waiting.delete_old().await.unwrap(), 1);
    }

    async fn the_calendar_has_the_end(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let event = seller.event_with(json!({"startsAt": "2031-05-01T10:00:00Z", "endsAt": "2031-05-03T17:00:00Z"})).await;
        let order = buyer.reserve(&[&seller.ticket(&event, 2500).await]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        let file = buyer.get(&format!("/orders/{}/calendar.ics", id(&order))).await.text;
        assert!(file.contains("DTSTART:20310501T100000Z\r\nDTEND:20310503T170000Z\r\n"), "{file}");
        assert!(!file.contains("assumed"), "{file}");
        let page = buyer.page(&format!("/orders/{}/tickets", id(&order))).await.text;
        assert!(page.contains("Thursday 1 May 2031, 11:00 am – Saturday 3 May 2031, 6:00 pm BST"), "{page}");
    }
}
