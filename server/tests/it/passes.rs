//! Passes: who gets them, how they are checked, and the PDF and calendar files.

#[path = "../../ticket-pdf/tests/reading/mod.rs"]
mod reading;

use crate::{
    mail::{mailer, post::Letter},
    support::{App, Client, on_both_engines, path},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use shop::mail::Folder;
use std::sync::Arc;

/// Returns a seller, a buyer, and an order of two tickets paid with this card.
async fn buy(app: &App, card: &str) -> (Client, Client, Value) {
    let (seller, buyer) = (app.user("Sally").await, app.user("Bea").await);
    let event = seller
        .event_with(json!({"title": "Лебединое озеро; Swan Lake"}))
        .await;
    let seat = json!({"eventId": event["id"], "priceMinor": 2500, "section": "Stalls", "row": "C", "seat": "12"});
    let seat = seller.post("/api/tickets", seat).await.expect(201);
    let order = buyer
        .reserve(&[&seat, &seller.ticket(&event, 1000).await])
        .await
        .expect(201);
    buyer.pay(&order, card).await.expect(201);
    (seller, buyer, order)
}

async fn list_passes(buyer: &Client, order: &Value) -> Vec<Value> {
    let found = buyer
        .get(&format!("{}/passes", path("orders", order)))
        .await;
    found.expect(200)["passes"].as_array().unwrap().clone()
}

async fn check_pass(checker: &Client, pass: &Value) -> Value {
    let body = json!({"pass": pass["pass"]});
    checker.post("/api/passes/check", body).await.expect(200)
}

fn file_path(order: &Value, name: &str) -> String {
    format!("/orders/{}/{name}", order["id"].as_str().unwrap())
}

on_both_engines! {
    async fn a_pass_can_be_verified_offline_with_the_public_key(app) {
        let (_, buyer, order) = buy(app, "pm_card_visa").await;
        let passes = list_passes(&buyer, &order).await;
        assert_eq!(passes.len(), 2);
        let keys = app.anonymous().get("/api/passes/keys").await.expect(200);
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
        let key = &keys["keys"][0];
        assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
        let public = BASE64.decode(key["x"].as_str().unwrap()).unwrap();
        for pass in &passes {
            let text = pass["pass"].as_str().unwrap();
            let (signed, signature) = text.rsplit_once('.').unwrap();
            let signature = BASE64.decode(signature).unwrap();
            let key_of_shop = UnparsedPublicKey::new(&ED25519, &public);
            key_of_shop.verify(signed.as_bytes(), &signature).unwrap();
            let payload = BASE64.decode(signed.strip_prefix("SD1.").unwrap()).unwrap();
            let id = |from: usize| uuid::Uuid::from_slice(&payload[from..from + 16]).unwrap();
            assert_eq!(key["kid"], format!("{:08x}", u32::from_be_bytes(payload[..4].try_into().unwrap())));
            assert_eq!(pass["ticketId"], id(4).to_string());
            assert_eq!(order["tickets"][0]["eventId"], id(20).to_string());
            assert_eq!(order["id"], id(36).to_string());
        }
        assert!(!keys.to_string().contains("private"));
        assert_eq!(app.count("pass_keys").await, 1);
    }

    async fn the_seller_the_events_creator_and_operators_can_check_a_pass(app) {
        let (ann, bob, buyer) = (app.user("ann").await, app.user("bob").await, app.user("buyer").await);
        let event = ann.event().await;
        let order = buyer.reserve(&[&bob.ticket(&event, 2500).await]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        let pass = list_passes(&buyer, &order).await.remove(0);
        for checker in [&ann, &bob] {
            let checked = check_pass(checker, &pass).await;
            assert_eq!(checked["status"], "valid");
            assert_eq!(checked["label"], "General admission");
            assert_eq!((&checked["ticketId"], &checked["orderId"]), (&pass["ticketId"], &order["id"]));
        }
        let stranger = app.user("stranger").await;
        let body = json!({"pass": pass["pass"]});
        for other in [&buyer, &stranger] {
            other.post("/api/passes/check", body.clone()).await.refused(403, "forbidden");
        }
        app.anonymous().post("/api/passes/check", body).await.refused(401, "sign_in_required");
        app.make_operator(&stranger).await;
        assert_eq!(check_pass(&stranger, &pass).await["status"], "valid");
    }

    async fn a_changed_pass_is_unknown(app) {
        let (seller, buyer, order) = buy(app, "pm_card_visa").await;
        let passes = list_passes(&buyer, &order).await;
        let text = passes[0]["pass"].as_str().unwrap();
        let other = passes[1]["pass"].as_str().unwrap();
        let (signed, _) = text.rsplit_once('.').unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        let swapped = json!({"pass": format!("{signed}.{signature}")});
        let checked = check_pass(&seller, &swapped).await;
        assert_eq!(checked, json!({"status": "unknown", "ticketId": null, "eventId": null, "orderId": null, "label": null}));
        for nonsense in ["", "SD1.x.y", "https://example.com"] {
            seller.post("/api/passes/check", json!({"pass": nonsense})).await.invalid("pass");
        }
        seller.post("/api/passes/check", json!({})).await.invalid("pass");
    }

    async fn a_refund_invalidates_the_pass(app) {
        let (seller, buyer, order) = buy(app, "pm_card_visa").await;
        let old = list_passes(&buyer, &order).await;
        let first = json!({"id": old[0]["ticketId"]});
        seller.refund(&[&first]).await.expect(201);
        assert_eq!(check_pass(&seller, &old[0]).await["status"], "refunded");
        assert_eq!(check_pass(&seller, &old[1]).await["status"], "valid");
        assert_eq!(list_passes(&buyer, &order).await, old[1..], "the other is unchanged");
        let page = buyer.page(&file_path(&order, "tickets")).await;
        assert_eq!(page.text.matches("class=\"qr\"").count(), 1);
        seller.refund_order(&order).await.expect(201);
        assert!(list_passes(&buyer, &order).await.is_empty());
        for name in ["tickets", "tickets.pdf", "calendar.ics"] {
            assert_eq!(buyer.page(&file_path(&order, name)).await.status, 404, "{name}");
        }
    }

    /// A printed pass is valid again once the bank has returned the refund.
    async fn a_refund_that_fails_leaves_the_pass_valid(app) {
        let (seller, buyer, order) = buy(app, "pm_card_refundFail").await;
        let before = list_passes(&buyer, &order).await;
        seller.refund_order(&order).await.expect(201);
        assert_eq!(check_pass(&seller, &before[0]).await["status"], "refunded");
        app.clock.advance(3 * 24 * 3600);
        app.webhooks_arrive().await;
        assert_eq!(check_pass(&seller, &before[0]).await["status"], "valid");
        assert_eq!(list_passes(&buyer, &order).await.len(), 2);
    }

    async fn unpaid_orders_and_other_users_get_no_passes(app) {
        let (seller, buyer, order) = buy(app, "pm_card_visa").await;
        let stranger = app.user("stranger").await;
        let open = buyer.reserve(&[&seller.ticket(&seller.event().await, 100).await]).await.expect(201);
        assert!(list_passes(&buyer, &open).await.is_empty());
        for name in ["tickets", "tickets.pdf", "calendar.ics"] {
            assert_eq!(buyer.page(&file_path(&open, name)).await.status, 404, "{name}");
            for other in [&seller, &stranger] {
                assert_eq!(other.page(&file_path(&order, name)).await.status, 404, "{name}");
            }
            let asked = app.anonymous().page(&file_path(&order, name)).await;
            assert!([302, 303].contains(&asked.status), "{name}: {}", asked.status);
            assert!(asked.header("location").starts_with("/signin?next=/orders/"), "{name}");
        }
        assert_eq!(buyer.page("/orders/nonsense/tickets.pdf").await.status, 404);
        let others = format!("{}/passes", path("orders", &order));
        stranger.get(&others).await.refused(404, "not_found");
    }

    async fn an_order_has_a_pdf_and_a_calendar_file(app) {
        let (_, buyer, order) = buy(app, "pm_card_visa").await;
        let pdf = buyer.page(&file_path(&order, "tickets.pdf")).await;
        assert_eq!((pdf.status, pdf.header("content-type")), (200, "application/pdf"));
        assert!(pdf.header("content-disposition").starts_with("attachment; filename=\"tickets-"));
        assert_eq!(pdf.header("cache-control"), "no-store");
        assert!(pdf.text.starts_with("%PDF-"));
        assert_eq!(pdf.text.matches("/Type /Page\n").count(), 2);

        let ics = buyer.page(&file_path(&order, "calendar.ics")).await;
        assert_eq!((ics.status, ics.header("content-type")), (200, "text/calendar; charset=utf-8"));
        assert!(ics.text.split("\r\n").all(|line| line.len() <= 75), "{}", ics.text);
        let unfolded = ics.text.replace("\r\n ", "");
        let lines: Vec<&str> = unfolded.lines().collect();
        assert_eq!((lines[0], lines[lines.len() - 1]), ("BEGIN:VCALENDAR", "END:VCALENDAR"));
        let value = |name: &str| {
            let line = lines.iter().find_map(|line| line.strip_prefix(&format!("{name}:")));
            line.unwrap_or_else(|| panic!("{name}: {unfolded}")).to_owned()
        };
        assert_eq!(value("DTSTART"), "20310501T193000Z");
        assert_eq!(value("SUMMARY"), "Лебединое озеро\\; Swan Lake");
        assert!(value("DESCRIPTION").contains("Stalls\\, Row C\\, Seat 12"));
        assert!(value("URL").ends_with(&path("orders", &order)["/api".len()..]));
        app.assert_sound().await;
    }

    async fn text_in_any_script_is_in_the_pdf_and_in_the_mail(app) {
        let (seller, buyer) = (app.user("Sally").await, app.user("buyer").await);
        let name = "UPDATE users SET name = '山田 太郎' WHERE id = $1";
        app.write_sql(name, buyer.id.clone()).await;
        let title = "東京 राष्ट्रीय โรงละคร น้ำ 🎻 שלום";
        let event = seller.event_with(json!({"title": title, "country": "JP", "venue": "دار"})).await;
        let seat = json!({"eventId": event["id"], "priceMinor": 2500, "section": "楼座", "seat": "12"});
        let seat = seller.post("/api/tickets", seat).await.expect(201);
        let order = buyer.reserve(&[&seat]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect(201);

        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("mail");
        mailer(app, Arc::new(Folder::new(folder.clone()))).send_due().await.unwrap();
        let files = std::fs::read_dir(&folder).unwrap();
        let letters = files.map(|file| Letter::read(&std::fs::read(file.unwrap().path()).unwrap()));
        let letter = letters.into_iter().find(|letter| !letter.enclosed.is_empty()).unwrap();
        assert!(letter.text.contains(title) && letter.html.contains(title), "{}", letter.html);
        assert!(letter.html.contains(&format!(">{title}</p>")), "{}", letter.html);

        let pages = reading::pages(&letter.enclosed[0].1);
        assert_eq!(pages.len(), 1);
        let letters = pages[0].letters();
        // Right-to-left letters are in visual order.
        for words in ["東京राष्ट्रीयโรงละครน้ำ🎻", "םולש", "راد", "楼座", "山田太郎", "Sally"] {
            assert!(letters.contains(words), "{words}: {letters}");
        }
        let code = pages[0].code.unwrap();
        assert!(code[0] > 0.0 && code[1] > 0.0 && code[2] < 595.0 && code[3] < 842.0, "{code:?}");
    }

    async fn the_pages_show_the_passes(app) {
        let (_, buyer, order) = buy(app, "pm_card_visa").await;
        let code = &order["id"].as_str().unwrap()[28..].to_uppercase();
        let page = buyer.page(&format!("/orders/{}", order["id"].as_str().unwrap())).await;
        assert_eq!(page.text.matches("class=\"qr\"").count(), 2);
        for text in [&format!("{}-{}", &code[..4], &code[4..]), "Sally", "tickets.pdf", "calendar.ics", "BST"] {
            assert!(page.text.contains(text), "{text}");
        }
        let tickets = buyer.page("/tickets").await.text;
        assert_eq!(tickets.matches("class=\"qr\"").count(), 2);
        assert!(!tickets.contains("Past ("));
    }

    async fn past_tickets_are_collapsed_and_have_no_code(app) {
        let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
        let soon = jiff::Timestamp::from_second(app.clock_seconds() + 3600).unwrap();
        let event = seller.event_with(json!({"startsAt": soon.to_string()})).await;
        let order = buyer.reserve(&[&seller.ticket(&event, 2500).await]).await.expect(201);
        buyer.pay(&order, "pm_card_visa").await.expect(201);
        app.clock.advance(12 * 3600);
        assert_eq!(buyer.page("/tickets").await.text.matches("class=\"qr\"").count(), 1);
        app.clock.advance(3600);
        let tickets = buyer.page("/tickets").await.text;
        assert_eq!(tickets.matches("class=\"qr\"").count(), 0);
        assert!(tickets.contains("Past (1)"), "{tickets}");
    }
}
