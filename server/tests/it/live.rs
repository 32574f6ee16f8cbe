//! What happens to an event's tickets reaches whoever listens, as it happens.

use crate::support::{Answer, App, Client, Jobs, database::Database};
use serde_json::{Value, json};
use std::time::Duration;

/// This only ends a test that hangs: how fast a message comes is measured where it matters.
const COMES_WITHIN: Duration = Duration::from_mins(1);

/// Reads server-sent events from an open answer.
pub struct Listener {
    answer: reqwest::Response,
    text: String,
}

impl Listener {
    pub async fn open(base: &str, event: &Value, last: Option<&str>) -> Self {
        let url = format!("{base}/api/events/{}/stream", event["id"].as_str().unwrap());
        let mut request = reqwest::Client::new().get(url);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The next message: its id and its data.
    async fn next(&mut self) -> (String, Value) {
        let read = async {
            loop {
                if let Some((message, rest)) = self.text.split_once("\n\n") {
                    let field = |name: &str| {
                        message
                            .lines()
                            .find_map(|line| line.strip_prefix(name))
                            .map(str::trim)
                    };
                    let found = field("data:").map(|data| {
                        assert_eq!(field("event:"), Some("ticket"));
                        let id = field("id:").unwrap_or_default().to_owned();
                        (id, serde_json::from_str(data).unwrap())
                    });
                    self.text = rest.to_string();
                    if let Some(found) = found {
                        return found;
                    }
                    continue;
                }
                let chunk = self
                    .answer
                    .chunk()
                    .await
                    .unwrap()
                    .expect("the stream goes on");
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(COMES_WITHIN, read)
            .await
            .expect("a message comes")
    }

    /// The next message about this ticket with this status.
    pub async fn until(&mut self, ticket: &Value, status: &str) -> (String, Value) {
        loop {
            let (id, message) = self.next().await;
            if message["id"] == ticket["id"] && message["status"] == status {
                return (id, message);
            }
        }
    }
}

async fn story(database: Database) {
    let app = App::start_with(database, Jobs::InProcess).await;
    let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
    let event = seller.event().await;
    let other = seller.event().await;
    let mut listener = Listener::open(&app.base, &event, None).await;
    let elsewhere = seller.ticket(&other, 100).await;
    let ticket = seller.ticket(&event, 2500).await;
    let (_, told) = listener.until(&ticket, "available").await;
    assert_eq!(
        told,
        json!({"id": ticket["id"], "status": "available", "priceMinor": 2500, "version": 1})
    );
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    let (at, _) = listener.until(&ticket, "reserved").await;
    // Nobody pays: the hold ends by itself, and that is told too.
    listener.until(&ticket, "available").await;
    assert_eq!(buyer.order(&order).await["status"], "expired");

    let mut back = Listener::open(&app.base, &event, Some(&at)).await;
    let (_, missed) = back.next().await;
    assert_eq!(
        (&missed["id"], &missed["status"]),
        (&ticket["id"], &json!("available"))
    );
    let last = [("last-event-id", "no id of ours")];
    let nobodys: Answer = Client::new(&app.base)
        .send("GET", "/api/events/nothing/stream", &last, "")
        .await;
    assert_eq!(nobodys.status, 404);
    assert_eq!(seller.ticket_now(&elsewhere).await["status"], "available");
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    story(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    story(Database::postgres().await).await;
}
