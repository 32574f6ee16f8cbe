//! Changes of an event's tickets are streamed to listeners.

use crate::support::{
    Answer, App, Client, Jobs, LISTENERS_PER_NETWORK, database::Database, on_both_engines,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Ends a test that hangs; speed is measured in other tests.
const ARRIVES_WITHIN: Duration = Duration::from_mins(1);

/// Reads server-sent events from an open response.
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
                    .expect("the stream stays open");
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(ARRIVES_WITHIN, read)
            .await
            .expect("a message arrives")
    }

    /// Reads until a `reread` message.
    pub async fn until_reread(&mut self) {
        const REREAD: &str = "event: reread\ndata: {}\n\n";
        let read = async {
            loop {
                if let Some((_, rest)) = self.text.split_once(REREAD) {
                    self.text = rest.to_string();
                    return;
                }
                let chunk = self.answer.chunk().await.unwrap();
                let chunk = chunk.expect("the stream stays open");
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(ARRIVES_WITHIN, read)
            .await
            .expect("a message arrives");
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

async fn check_stream(database: Database) {
    let app = App::start_with(database, Jobs::InProcess).await;
    let (seller, buyer) = (app.user("seller").await, app.user("buyer").await);
    let event = seller.event().await;
    let other = seller.event().await;
    let mut listener = Listener::open(&app.base, &event, None).await;
    let of_other_event = seller.ticket(&other, 100).await;
    let ticket = seller.ticket(&event, 2500).await;
    let (_, message) = listener.until(&ticket, "available").await;
    assert_eq!(
        message,
        json!({"id": ticket["id"], "status": "available", "priceMinor": 2500, "version": 1})
    );
    let order = buyer.reserve(&[&ticket]).await.expect(201);
    let (at, _) = listener.until(&ticket, "reserved").await;
    // The order is not paid: the hold ends, which is streamed as well.
    listener.until(&ticket, "available").await;
    assert_eq!(buyer.order(&order).await["status"], "expired");

    let mut reconnected = Listener::open(&app.base, &event, Some(&at)).await;
    let (_, missed) = reconnected.next().await;
    assert_eq!(
        (&missed["id"], &missed["status"]),
        (&ticket["id"], &json!("available"))
    );
    let last = [("last-event-id", "no id of ours")];
    let missing: Answer = Client::new(&app.base)
        .send("GET", "/api/events/nothing/stream", &last, "")
        .await;
    assert_eq!(missing.status, 404);
    assert_eq!(
        seller.ticket_now(&of_other_event).await["status"],
        "available"
    );
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticket_changes_are_streamed_sqlite() {
    check_stream(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticket_changes_are_streamed_postgres() {
    check_stream(Database::postgres().await).await;
}

/// Opens a stream. Returns its status, `Retry-After` and first chunk.
async fn open_stream(base: &str, event: &Value, last: Option<&str>) -> (u16, String, String) {
    // Without `Last-Event-ID`, no message is expected.
    let within = Duration::from_millis(if last.is_some() { 10_000 } else { 500 });
    let url = format!("{base}/api/events/{}/stream", event["id"].as_str().unwrap());
    let mut request = reqwest::Client::new().get(url);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut answer = request.send().await.unwrap();
    let retry = answer.headers().get("retry-after");
    let retry = retry.map_or_else(String::new, |after| after.to_str().unwrap().to_owned());
    let first = tokio::time::timeout(within, answer.chunk()).await;
    let first = first.map(|chunk| chunk.unwrap().unwrap_or_default());
    let text = String::from_utf8(first.unwrap_or_default().to_vec()).unwrap();
    (answer.status().as_u16(), retry, text)
}

on_both_engines! {
    /// Missed changes are replayed only after a short absence, and for known ids.
    async fn a_listener_that_missed_too_much_is_sent_reread(app) {
        let seller = app.user("seller").await;
        let event = seller.event().await;
        // Tickets of larger batches have no messages of their own.
        for _ in 0..12 {
            seller.batch(&event, 100, 2500).await;
        }
        let ids = sqlx::query("SELECT id FROM outbox WHERE aggregate_type = 'ticket' ORDER BY id");
        let ids = ids.fetch_all(app.db.reads()).await.unwrap();
        let id = |at: usize| sqlx::Row::get::<String, _>(&ids[at], "id");
        let recent = uuid::Uuid::now_v7().to_string();
        for last in [
            "00000000-0000-0000-0000-000000000000",
            "00000000-0000-7000-8000-000000000000",
            "0",
            "",
            "' OR 1=1 --",
            "ffffffff-ffff-7fff-bfff-ffffffffffff",
            recent.as_str(),
            id(0).as_str(),
            id(0).to_uppercase().as_str(),
        ] {
            let (status, _, text) = open_stream(&app.base, &event, Some(last)).await;
            assert_eq!(status, 200, "{last}");
            assert_eq!(text, "event: reread\ndata: {}\n\n", "{last}");
        }
        let (_, _, replayed) = open_stream(&app.base, &event, Some(&id(1198))).await;
        assert_eq!(replayed.matches("event: ticket").count(), 1, "{replayed}");
        let (_, _, nothing) = open_stream(&app.base, &event, None).await;
        assert_eq!(nothing, "");
    }

    async fn streams_of_one_address_are_limited(app) {
        let event = app.user("seller").await.event().await;
        app.limits_on();
        let mut open = Vec::new();
        for _ in 0..LISTENERS_PER_NETWORK {
            open.push(Listener::open(&app.base, &event, None).await);
        }
        let (status, retry, text) = open_stream(&app.base, &event, None).await;
        assert_eq!((status, retry.as_str()), (429, "30"), "{text}");
        assert!(text.contains("too_many_requests"), "{text}");
        open.pop();
        let began = std::time::Instant::now();
        while open_stream(&app.base, &event, None).await.0 != 200 {
            assert!(began.elapsed() < Duration::from_secs(10), "no slot was released");
        }
    }
}
