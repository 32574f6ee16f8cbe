//! Texts that other users see: the same rules for hidden characters in every field.

use crate::support::{
    App,
    client::{PASSWORD, event_body},
    on_both_engines, path,
};
use serde_json::json;

/// Invisible texts, and hidden or direction-changing characters in visible ones.
const INVALID: [&str; 8] = [
    "\u{200b}",
    "\u{3164}\u{115f}",
    "\u{2800}",
    "\u{ad}\u{2060}",
    "Late\u{200b}Show",
    "Late \u{202e}wohS",
    "Late\u{2066}Show",
    "Late\u{feff}",
];

const VALID: [&str; 4] = [
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
        for invalid in INVALID {
            for field in ["title", "venue", "city"] {
                let body = event_body(json!({ field: invalid }));
                user.post("/api/events", body).await.invalid(field);
                let body = json!({field: invalid, "version": 1});
                user.put(&path("events", &event), body).await.invalid(field);
            }
            for field in ["section", "row", "seat"] {
                let body = json!({"eventId": event["id"], "priceMinor": 2500, field: invalid});
                user.post("/api/tickets", body).await.invalid(field);
                let body = json!({field: invalid, "version": 1});
                user.put(&path("tickets", &ticket), body).await.invalid(field);
            }
            let body = json!({"eventId": event["id"], "priceMinor": 2500, "quantity": 2, "section": invalid});
            user.post("/api/tickets/batch", body).await.invalid("section");
            let body = json!({"email": "new@example.com", "password": PASSWORD, "name": invalid});
            app.anonymous().post("/api/user/signup", body).await.invalid("name");
            let answer = user.form("/fn/accounts/rename", "/account", &[("name", invalid)]).await;
            assert_eq!(answer.header("location"), "/account");
            let shown = user.page("/account").await.text;
            assert!(shown.contains("role=\"alert\""), "{invalid:?}: {shown}");
        }
    }

    async fn joiners_that_scripts_and_emoji_need_are_kept(app) {
        let user = app.user("ann").await;
        for valid in VALID {
            let event = user.event_with(json!({"title": valid, "venue": valid, "city": valid})).await;
            assert_eq!(event["title"], valid);
            let body = json!({"eventId": event["id"], "priceMinor": 2500, "section": valid});
            let ticket = user.post("/api/tickets", body).await.expect(201);
            assert_eq!(ticket["section"], valid);
            let answer = user.form("/fn/accounts/rename", "/account", &[("name", valid)]).await;
            assert_eq!(answer.header("location"), "/account");
            assert!(user.page("/account").await.text.contains(valid));
        }
    }

    async fn a_description_may_contain_word_breaks_but_no_direction_overrides(app) {
        let user = app.user("ann").await;
        user.event_with(json!({"description": "Do\u{ad}nau\u{200b}dampf\n\tDoors at 7"})).await;
        for invalid in ["a \u{202e} b", "a \u{2067} b"] {
            let body = event_body(json!({ "description": invalid }));
            user.post("/api/events", body).await.invalid("description");
        }
    }
}
