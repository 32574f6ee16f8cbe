//! Single-line texts that other users see: the same rule for every field.

use crate::support::{
    App,
    client::{PASSWORD, event_body},
    on_both_engines, path,
};
use serde_json::json;

/// Invisible texts, and hidden or direction-changing characters in visible ones.
const BAD: [&str; 8] = [
    "\u{200b}",
    "\u{3164}\u{115f}",
    "\u{2800}",
    "\u{ad}\u{2060}",
    "Late\u{200b}Show",
    "Late \u{202e}wohS",
    "Late\u{2066}Show",
    "Late\u{feff}",
];

const GOOD: [&str; 4] = [
    "می\u{200c}خواهم",
    "Family 👨\u{200d}👩\u{200d}👧",
    "ශ්\u{200d}රී",
    "Zürich – 東京",
];

on_both_engines! {
    async fn hidden_characters_are_refused_in_every_field(app) {
        let user = app.user("ann").await;
        let event = user.event().await;
        let ticket = user.ticket(&event, 2500).await;
        for bad in BAD {
            for field in ["title", "venue", "city"] {
                let body = event_body(json!({ field: bad }));
                user.post("/api/events", body).await.invalid(field);
                let body = json!({field: bad, "version": 1});
                user.put(&path("events", &event), body).await.invalid(field);
            }
            for field in ["section", "row", "seat"] {
                let body = json!({"eventId": event["id"], "priceMinor": 2500, field: bad});
                user.post("/api/tickets", body).await.invalid(field);
                let body = json!({field: bad, "version": 1});
                user.put(&path("tickets", &ticket), body).await.invalid(field);
            }
            let body = json!({"eventId": event["id"], "priceMinor": 2500, "quantity": 2, "section": bad});
            user.post("/api/tickets/batch", body).await.invalid("section");
            let body = json!({"email": "new@example.com", "password": PASSWORD, "name": bad});
            app.anonymous().post("/api/user/signup", body).await.invalid("name");
            let answer = user.form("/fn/accounts/rename", "/account", &[("name", bad)]).await;
            assert_eq!(answer.header("location"), "/account");
            let shown = user.page("/account").await.text;
            assert!(shown.contains("role=\"alert\""), "{bad:?}: {shown}");
        }
    }

    async fn joiners_that_scripts_and_emoji_need_are_kept(app) {
        let user = app.user("ann").await;
        for good in GOOD {
            let event = user.event_with(json!({"title": good, "venue": good, "city": good})).await;
            assert_eq!(event["title"], good);
            let body = json!({"eventId": event["id"], "priceMinor": 2500, "section": good});
            let ticket = user.post("/api/tickets", body).await.expect(201);
            assert_eq!(ticket["section"], good);
            let answer = user.form("/fn/accounts/rename", "/account", &[("name", good)]).await;
            assert_eq!(answer.header("location"), "/account");
            assert!(user.page("/account").await.text.contains(good));
        }
    }

    async fn a_description_may_contain_word_breaks_but_no_direction_overrides(app) {
        let user = app.user("ann").await;
        user.event_with(json!({"description": "Do\u{ad}nau\u{200b}dampf\n\tDoors at 7"})).await;
        for bad in ["a \u{202e} b", "a \u{2067} b"] {
            let body = event_body(json!({ "description": bad }));
            user.post("/api/events", body).await.invalid("description");
        }
    }
}
