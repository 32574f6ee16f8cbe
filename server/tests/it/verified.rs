//! Verifying an address by a mailed link, replacing a mistyped address, and the restrictions of unverified
//! addresses.

use crate::{
    mail::{letters, post::Letter},
    support::{Answer, App, Client, client::PASSWORD, on_both_engines},
};
use serde_json::{Value, json};
use shop::backfills;

const HOUR: i64 = 3600;

/// The token of the link to `path` that was mailed to this address.
#[track_caller]
fn token_to(letters: &[Letter], email: &str, path: &str) -> String {
    let mut to = letters
        .iter()
        .filter(|letter| letter.headers["to"].contains(email));
    to.find_map(|letter| letter.token(path))
        .expect("a mail with a link")
}

#[track_caller]
fn token_in(letters: &[Letter], email: &str) -> String {
    token_to(letters, email, "/verify")
}

async fn verify(client: &Client, token: &str) -> Answer {
    client
        .post("/api/user/verify", json!({"token": token}))
        .await
}

async fn is_verified(client: &Client) -> bool {
    let now = client.get("/api/user/currentuser").await.expect(200);
    now["currentUser"]["emailVerified"].as_bool().unwrap()
}

/// Signs up with this address, perhaps without owning it.
async fn sign_up_as(app: &App, email: &str, name: &str) -> Client {
    let mut client = app.anonymous();
    let body = json!({"email": email, "password": PASSWORD, "name": name});
    let user = client.post("/api/user/signup", body).await.expect(201);
    (client.id, client.email) = (user["id"].as_str().unwrap().to_owned(), email.to_owned());
    client
}

fn list_path(event: &Value) -> String {
    format!("/api/events/{}/waiting-list", event["id"].as_str().unwrap())
}

/// Puts the owner of an address, without an account, on the waiting list.
async fn join_list(app: &App, event: &Value, email: &str) {
    app.anonymous()
        .post(&list_path(event), json!({"email": email}))
        .await
        .expect(202);
    let letters = letters(app).await;
    let token = token_to(&letters, email, "/waiting-list");
    let body = json!({"token": token});
    app.anonymous()
        .post("/api/waiting-list/confirm", body)
        .await
        .expect(200);
}

on_both_engines! {
    async fn an_address_is_verified_by_the_button_on_the_linked_page_once(app) {
        let ann = app.newcomer("Archer").await;
        assert!(!is_verified(&ann).await);
        let letters = letters(app).await;
        assert_eq!(letters.len(), 1, "{letters:?}");
        letters[0].says(&["Confirm your address", "If it was not you"]);
        assert!(!letters[0].text.contains("Archer"), "{}", letters[0].text);
        let token = token_in(&letters, &ann.email);
        for _ in 0..2 {
            let page = ann.page(&format!("/verify?token={token}")).await.text;
            assert!(page.contains("Yes, confirm it") && page.contains(&ann.email), "{page}");
        }
        assert!(!is_verified(&ann).await, "opening the page does not verify the address");
        let from = format!("/verify?token={token}");
        let answer = ann.form("/fn/accounts/verify", &from, &[("token", &token)]).await;
        assert_eq!(answer.header("location"), "/account");
        assert!(is_verified(&ann).await);
        verify(&app.anonymous(), &token).await.invalid("token");
        verify(&app.anonymous(), "made-up").await.invalid("token");
        assert_eq!(app.events_of(&json!({"id": ann.id})).await,
            [("UserCreated".to_owned(), 1), ("UserUpdated".to_owned(), 2)]);
    }

    async fn a_reset_link_verifies_the_address_too(app) {
        let ann = app.newcomer("ann").await;
        let body = json!({"email": ann.email});
        assert_eq!(app.anonymous().post("/api/user/forgot", body).await.status, 204);
        let letters = letters(app).await;
        let token = token_to(&letters, &ann.email, "/reset");
        let owner = app.anonymous();
        let body = json!({"token": token, "password": "a rather better one"});
        assert_eq!(owner.post("/api/user/reset", body).await.expect(200)["emailVerified"], true);
        assert!(is_verified(&owner).await);
    }

    async fn signing_up_with_the_address_of_another_gives_no_access_to_their_entries(app) {
        let event = app.user("seller").await.event().await;
        join_list(app, &event, "victim@example.com").await;
        let thief = sign_up_as(app, "Victim@example.com", "thief").await;
        let joined = thief.post(&list_path(&event), json!({})).await.expect(202);
        assert_eq!(joined, json!({"confirmed": false}));
        let data = thief.get("/account/data.json").await.expect(200);
        assert_eq!(data["waiting"], json!([]));
        thief.delete(&list_path(&event)).await.refused(404, "not_found");
        let gone = thief.json("DELETE", "/api/user", &[], json!({"password": PASSWORD})).await;
        assert_eq!(gone.status, 204);
        assert_eq!(app.count_where("waiting", "state", "waiting").await, 1, "the entry of the owner remains");
    }

    async fn verifying_an_address_claims_its_waiting_list_entries(app) {
        let event = app.user("seller").await.event().await;
        join_list(app, &event, "ann@example.com").await;
        let ann = sign_up_as(app, "ann@example.com", "ann").await;
        let token = token_in(&letters(app).await, "ann@example.com");
        verify(&ann, &token).await.expect(200);
        let data = ann.get("/account/data.json").await.expect(200);
        assert_eq!(data["waiting"].as_array().unwrap().len(), 1);
        assert_eq!(ann.delete(&list_path(&event)).await.status, 204);
        let joined = ann.post(&list_path(&event), json!({})).await.expect(202);
        assert_eq!(joined, json!({"confirmed": true}));
    }

    async fn a_confirmed_entry_does_not_verify_an_account_with_its_address(app) {
        let event = app.user("seller").await.event().await;
        let thief = sign_up_as(app, "victim@example.com", "thief").await;
        join_list(app, &event, "victim@example.com").await;
        assert!(!is_verified(&thief).await);
        assert_eq!(thief.get("/account/data.json").await.expect(200)["waiting"], json!([]));
    }

    async fn an_unverified_address_gets_few_mails_without_text_of_other_users(app) {
        let seller = app.user("seller").await;
        let event = seller.event_with(json!({"title": "Your account is LOCKED"})).await;
        seller.batch(&event, 20, 2500).await;
        let name = "LOCKED, verify now at evil.example";
        let guest = sign_up_as(app, "stranger@example.com", name).await;
        for _ in 0..8 {
            let order = guest.reserve_any(&event, 1).await.expect(201);
            guest.pay(&order, "pm_card_chargeDeclined").await.expect(402);
            app.clock.advance(901);
            app.settle().await;
            app.sweep().await;
            app.clock.advance(1);
            app.anonymous().post("/api/user/forgot", json!({"email": guest.email})).await;
            let body = json!({"currentPassword": PASSWORD, "newPassword": PASSWORD});
            guest.json("PUT", "/api/user/password", &[], body).await.expect_2xx();
        }
        let letters = letters(app).await;
        let mut subjects: Vec<&str> = letters.iter().map(|letter| letter.headers["subject"].as_str()).collect();
        subjects.sort_unstable();
        let of = |subject: &str| subjects.iter().filter(|one| **one == subject).count();
        // Eight rounds take two hours.
        assert!(of("You have not been charged") <= 3, "{subjects:?}");
        assert!(of("Set a new password") <= 3 && of("Your password was changed") <= 3, "{subjects:?}");
        assert_eq!(of("Confirm your address"), 1, "{subjects:?}");
        for letter in letters {
            assert!(!format!("{:?}{}", letter.headers, letter.text).contains("LOCKED"), "{letter:?}");
        }
    }

    async fn joining_many_lists_mails_an_address_once_an_hour(app) {
        let seller = app.user("seller").await;
        for title in ["Win a phone at evil.example", "Second", "Third"] {
            let event = seller.event_with(json!({"title": title})).await;
            app.anonymous().post(&list_path(&event), json!({"email": "stranger@example.com"})).await.expect(202);
        }
        let mut sent = letters(app).await;
        assert_eq!(sent.len(), 1, "{sent:?}");
        app.clock.advance(HOUR);
        sent.extend(letters(app).await);
        assert_eq!(sent.len(), 2, "{sent:?}");
        for letter in &sent {
            assert!(!letter.text.contains("evil") && !letter.headers["subject"].contains("evil"), "{letter:?}");
        }
    }

    async fn mail_about_a_paid_order_is_always_sent_and_its_link_verifies_the_address(app) {
        let (seller, guest) = (app.user("seller").await, app.newcomer("gus").await);
        let event = seller.event().await;
        letters(app).await;
        let mut links = Vec::new();
        for _ in 0..2 {
            let ticket = seller.ticket(&event, 2500).await;
            let order = guest.reserve(&[&ticket]).await.expect(201);
            guest.pay(&order, "pm_card_visa").await.expect(201);
            let letters = letters(app).await;
            assert_eq!(letters.len(), 1);
            let after = letters[0].text.split("/order?link=").nth(1).unwrap();
            links.push(after.split_whitespace().next().unwrap().to_owned());
        }
        let page = format!("/order?link={}", links[0]);
        // Others, such as programs that load links, do not verify it.
        app.anonymous().page(&page).await;
        app.user("other").await.page(&page).await;
        assert!(!is_verified(&guest).await);
        guest.page(&page).await;
        assert!(is_verified(&guest).await);
    }

    async fn a_new_address_replaces_the_old_one_once_verified_and_the_old_one_is_notified(app) {
        let (seller, ann) = (app.user("seller").await, app.user("ann").await);
        let ticket = seller.ticket(&seller.event().await, 2500).await;
        let order = ann.reserve(&[&ticket]).await.expect(201);
        let page = ann.page(&format!("/orders/{}", order["id"].as_str().unwrap())).await.text;
        assert!(page.contains(&ann.email) && page.contains("Not your address?"), "{page}");
        ann.pay(&order, "pm_card_visa").await.expect(201);
        letters(app).await;
        let change = |email: &str, password: &str| {
            let (client, body) = (ann.clone(), json!({"email": email, "password": password}));
            async move { client.put("/api/user/email", body).await }
        };
        change("new@example.com", "not this one").await.invalid("password");
        change("nonsense", PASSWORD).await.invalid("email");
        change(&seller.email, PASSWORD).await.invalid("email");
        change(&ann.email.to_uppercase(), PASSWORD).await.invalid("email");
        assert_eq!(change("new@example.com", PASSWORD).await.status, 204);
        let sent = letters(app).await;
        let token = token_in(&sent, "new@example.com");
        let now = ann.get("/api/user/currentuser").await.expect(200);
        assert_eq!(now["currentUser"]["email"], ann.email, "unchanged until the new address is verified");
        verify(&app.anonymous(), &token).await.expect(200);
        let now = ann.get("/api/user/currentuser").await.expect(200);
        assert_eq!((&now["currentUser"]["email"], &now["currentUser"]["emailVerified"]),
            (&json!("new@example.com"), &json!(true)));
        let sent = letters(app).await;
        let notice = sent.iter().find(|letter| letter.headers["to"].contains(&ann.email)).unwrap();
        notice.says(&["has another address"]);
        assert!(!notice.text.contains("new@example.com"), "{}", notice.text);
        let tickets = sent.iter().find(|letter| letter.headers["to"].contains("new@example.com")).unwrap();
        tickets.says(&["Late Show"]);
        let body = json!({"email": "new@example.com", "password": PASSWORD});
        app.anonymous().post("/api/user/signin", body).await.expect(200);
    }

    async fn of_two_accounts_with_one_new_address_the_second_is_refused(app) {
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let mut tokens = Vec::new();
        for client in [&ann, &bob] {
            let body = json!({"email": "both@example.com", "password": PASSWORD});
            assert_eq!(client.put("/api/user/email", body).await.status, 204);
            tokens.push(token_in(&letters(app).await, "both@example.com"));
            app.clock.advance(HOUR);
        }
        let (one, two) = tokio::join!(verify(&ann, &tokens[0]), verify(&bob, &tokens[1]));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400]);
        assert_eq!(app.count_where("users", "email_key", "both@example.com").await, 1);
    }

    async fn all_spellings_of_a_domain_lead_to_one_account(app) {
        let ann = sign_up_as(app, "ann@münchen.example", "ann").await;
        let sent = letters(app).await;
        assert!(sent[0].headers["to"].contains("ann@xn--mnchen-3ya.example"), "{sent:?}");
        let body = json!({"email": "Ann@xn--mnchen-3ya.example", "password": PASSWORD});
        app.anonymous().post("/api/user/signup", body.clone()).await.invalid("email");
        let user = app.anonymous().post("/api/user/signin", body).await.expect(200);
        assert_eq!(user["id"], ann.id.as_str());
    }

    async fn old_keys_are_recomputed_and_the_older_account_keeps_its_address(app) {
        let old = sign_up_as(app, "ann@xn--mnchen-3ya.example", "ann").await;
        let alone = sign_up_as(app, "bob@zürich.example", "bob").await;
        app.set_email(&old, "ann@münchen.example", "ann@münchen.example").await;
        app.set_email(&alone, "bob@zürich.example", "bob@zürich.example").await;
        let young = sign_up_as(app, "Ann@xn--mnchen-3ya.example", "young").await;
        // Two processes start at once; each step runs in one of them.
        let (one, two) = tokio::join!(
            backfills::run(&app.db, &*app.clock),
            backfills::run(&app.db, &*app.clock)
        );
        assert!(one.unwrap() + two.unwrap() > 0);
        assert_eq!(backfills::run(&app.db, &*app.clock).await.unwrap(), 0, "nothing is left to backfill");
        let sign_in = |email: &'static str| {
            let (client, body) = (app.anonymous(), json!({"email": email, "password": PASSWORD}));
            async move { client.post("/api/user/signin", body).await.expect(200)["id"].clone() }
        };
        assert_eq!(sign_in("ann@münchen.example").await, old.id.as_str());
        assert_eq!(sign_in("bob@xn--zrich-kva.example").await, alone.id.as_str());
        young.get("/api/orders").await.expect(200);
        assert_eq!(app.incidents().await, ["same_address"]);
    }
}
