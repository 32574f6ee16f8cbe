//! User input is escaped on every page, and is unchanged when it is edited again.

use crate::support::{Answer, App, Client, on_both_engines};
use serde_json::json;

/// Closes the elements whose content is plain text, followed by markup.
const MARKUP: &str = "</textarea></title></noscript><script>document.title='x'</script> &lt;A&gt; \
    &amp;copy; \"quoted\" <!-- ' -->";

/// The content of the page's text area as browsers show it: without the first newline, and with character
/// references resolved.
#[track_caller]
fn text_area(page: &Answer) -> String {
    assert_eq!(page.status, 200, "{}", page.text);
    let (_, rest) = page.text.split_once("<textarea").unwrap();
    let (_, rest) = rest.split_once('>').unwrap();
    let (content, _) = rest.split_once("</textarea>").unwrap();
    let content = content.strip_prefix('\n').unwrap_or(content);
    content
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

async fn submit_invalid_event(seller: &Client, description: &str) {
    let fields = [
        ("title", MARKUP),
        ("venue", "Old Hall"),
        ("city", "Leeds"),
        ("country", "GB"),
        ("date", "soon"),
        ("time", "20:30"),
        ("time_zone", "Europe/London"),
        ("currency", "GBP"),
        ("description", description),
    ];
    let answer = seller.form("/fn/events/create", "/sell", &fields).await;
    assert_eq!(answer.header("location"), "/sell", "{}", answer.text);
}

on_both_engines! {
    async fn a_description_is_edited_as_it_was_typed(app) {
        let seller = app.user("seller").await;
        let event = seller.event_with(json!({"title": "Late </title><script>", "description": MARKUP})).await;
        let page = format!("/events/{}", event["id"].as_str().unwrap());
        let edit = seller.page(&format!("{page}/edit")).await;
        assert_eq!(text_area(&edit), MARKUP);
        for page in [page.as_str(), &format!("{page}/edit"), "/", "/selling"] {
            let shown = seller.page(page).await.text;
            assert!(!shown.contains("<script>document.title"), "{page}: {shown}");
            assert!(!shown.contains("Late </title>"), "{page}: {shown}");
        }
    }

    async fn a_refused_form_shows_what_was_typed(app) {
        let seller = app.user("seller").await;
        for description in [MARKUP, "\n\nbelow two empty lines", "&lt;A&gt;", "a < b && c > d", ""] {
            submit_invalid_event(&seller, description).await;
            let page = seller.page("/sell").await;
            assert_eq!(text_area(&page), description);
            assert!(!page.text.contains("<script>document.title"), "{}", page.text);
        }
    }
}
