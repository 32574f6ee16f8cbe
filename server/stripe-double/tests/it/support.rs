//! A double on loopback with a clock that tests move, and a receiver for its webhooks.

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use serde_json::Value;
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};
use stripe_double::{Double, Fault, FaultKind, WebhookTarget};

pub const START: i64 = 1_800_000_000;
const SECRET: &str = "whsec_of_the_tests";

pub struct Stripe {
    pub double: Double,
    pub clock: Arc<AtomicI64>,
    pub url: String,
}

/// What a call came to.
pub struct Answered {
    pub status: u16,
    pub is_replay: bool,
    pub body: Value,
}

impl Stripe {
    pub async fn start(data_dir: Option<PathBuf>) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let told = clock.clone();
        let now = Arc::new(move || told.load(Ordering::SeqCst));
        let double = Double::open(data_dir, now).unwrap();
        let url = serve(double.api_router()).await;
        Self { double, clock, url }
    }

    pub fn listen(&self, receiver: &Receiver) {
        self.double.set_webhooks(WebhookTarget {
            url: receiver.url.clone(),
            secret: SECRET.to_owned(),
        });
    }

    pub fn fault(&self, call: &str, kind: FaultKind) {
        let call = call.to_owned();
        self.double.add_fault(Fault {
            call,
            kind,
            times: 1,
        });
    }

    /// `Err`: the line broke.
    pub async fn post(
        &self,
        path: &str,
        key: &str,
        form: &[(&str, &str)],
    ) -> Result<Answered, reqwest::Error> {
        let sent = reqwest::Client::new()
            .post(format!("{}{path}", self.url))
            .header("authorization", "Bearer sk_test_double")
            .header("idempotency-key", key)
            .form(form)
            .send()
            .await?;
        let is_replay = sent
            .headers()
            .get("idempotent-replayed")
            .is_some_and(|it| it == "true");
        Ok(Answered {
            status: sent.status().as_u16(),
            is_replay,
            body: sent.json().await?,
        })
    }

    pub async fn get(&self, path: &str) -> Value {
        let sent = reqwest::Client::new()
            .get(format!("{}{path}", self.url))
            .header("authorization", "Bearer sk_test_double")
            .send();
        sent.await.unwrap().json().await.unwrap()
    }

    /// Makes an intent whose money is taken at once. Its id.
    pub async fn pay(&self, card: &str) -> String {
        static KEYS: AtomicU32 = AtomicU32::new(0);
        let key = format!("pay-{}", KEYS.fetch_add(1, Ordering::SeqCst));
        let form = [
            ("amount", "2500"),
            ("currency", "gbp"),
            ("confirm", "true"),
            ("payment_method", card),
        ];
        let made = self.post("/v1/payment_intents", &key, &form).await.unwrap();
        assert_eq!(made.body["status"], "succeeded");
        made.body["id"].as_str().unwrap().to_owned()
    }

    /// Delivers until everything is taken that can be.
    pub async fn deliver(&self) {
        tokio::select! {
            () = self.double.clone().run_webhooks() => {}
            () = self.double.webhooks_taken() => {}
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("webhooks were not taken"),
        }
    }
}

/// What was delivered, and whether its signature was right.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    pub id: String,
    pub kind: String,
    pub object: Value,
    pub is_genuine: bool,
}

#[derive(Clone, Default)]
struct Inbox {
    delivered: Arc<Mutex<Vec<Delivered>>>,
    /// What the next deliveries are answered; 200 after that.
    answers: Arc<Mutex<VecDeque<u16>>>,
}

pub struct Receiver {
    pub url: String,
    inbox: Inbox,
}

impl Receiver {
    /// Genuine deliveries are answered with these, then with 200; forged ones always with 400.
    pub async fn start(answers: &[u16]) -> Self {
        let inbox = Inbox::default();
        inbox.answers.lock().unwrap().extend(answers);
        let app = Router::new()
            .route("/", post(receive))
            .with_state(inbox.clone());
        let url = serve(app).await;
        Self { url, inbox }
    }

    pub fn delivered(&self) -> Vec<Delivered> {
        self.inbox.delivered.lock().unwrap().clone()
    }
}

async fn receive(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let event: Value = serde_json::from_slice(&body).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let is_genuine = headers["stripe-signature"] == signature(&body).as_str();
    inbox.delivered.lock().unwrap().push(Delivered {
        id: text(&event["id"]),
        kind: text(&event["type"]),
        object: event["data"]["object"].clone(),
        is_genuine,
    });
    if !is_genuine {
        return StatusCode::BAD_REQUEST;
    }
    let answer = inbox.answers.lock().unwrap().pop_front();
    StatusCode::from_u16(answer.unwrap_or(200)).unwrap()
}

/// As the receiver computes it, at the clock's start: no test delivers later.
fn signature(body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{START}.").as_bytes());
    mac.update(body);
    format!("t={START},v1={}", hex::encode(mac.finalize().into_bytes()))
}

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
    url
}

/// A folder that is gone when its test is over.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
