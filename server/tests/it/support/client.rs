//! An HTTP client of one user: stores cookies, sends JSON, and asserts on responses.

use super::described::assert_described;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long a client retries requests to a busy server.
const PATIENCE: Duration = Duration::from_mins(1);

/// A response with its whole body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// Asserts the status and returns the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// Asserts success.
    #[track_caller]
    pub fn expect_2xx(self) {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.text
        );
    }

    /// Asserts a refusal: its status and its code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.text
        );
        assert!(
            self.body["requestId"]
                .as_str()
                .is_some_and(|id| !id.is_empty()),
            "{}",
            self.text
        );
        self.body
    }

    /// Asserts that the input was refused at `field`.
    #[track_caller]
    pub fn invalid(self, field: &str) {
        let text = self.text.clone();
        let body = self.refused(400, "invalid");
        let has_field = body["errors"].as_array().is_some_and(|errors| {
            errors.iter().any(|error| {
                error["field"] == field && error["message"].as_str().is_some_and(|m| !m.is_empty())
            })
        });
        assert!(has_field, "no error of the field {field}: {text}");
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The requested delay if the server was too busy. That is documented behaviour, so tests must not treat it as
    /// a failure.
    pub fn asks_to_wait(&self) -> Option<Duration> {
        if self.status != 503 || self.body["code"] != "unavailable" {
            return None;
        }
        let seconds = self.header("retry-after").parse().ok();
        seconds.filter(|s| *s > 0).map(Duration::from_secs)
    }
}

/// One user.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    patience: Duration,
    pub id: String,
    pub email: String,
}

pub const PASSWORD: &str = "correct horse battery staple";

impl Client {
    pub fn new(base: &str) -> Self {
        Self::new_from(base, None)
    }

    /// Sends requests from this local address.
    pub fn new_from(base: &str, address: Option<IpAddr>) -> Self {
        let http = reqwest::Client::builder()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .local_address(address)
            .build()
            .unwrap();
        Self {
            http,
            base: base.to_owned(),
            patience: PATIENCE,
            id: String::new(),
            email: String::new(),
        }
    }

    pub async fn sign_up(base: &str, name: &str) -> Self {
        Self::new(base).signed_up(name).await
    }

    /// Signs up, and sends all requests from `address`.
    pub async fn sign_up_from(base: &str, name: &str, address: &str) -> Self {
        let address = address.parse().unwrap();
        Self::new_from(base, Some(address)).signed_up(name).await
    }

    async fn signed_up(self, name: &str) -> Self {
        let mut client = self;
        client.email = format!("{name}-{}@example.com", uuid::Uuid::now_v7().simple());
        let body = json!({"email": client.email, "password": PASSWORD, "name": name});
        let user = client.post("/api/user/signup", body).await.expect(201);
        client.id = user["id"].as_str().unwrap().to_string();
        client
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The same user with the same cookies, with requests to another process.
    pub fn at(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            ..self.clone()
        }
    }

    /// The same user without retries.
    pub fn impatient(&self) -> Self {
        Self {
            patience: Duration::ZERO,
            ..self.clone()
        }
    }

    /// Sends any request, and retries it while the server is busy.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    /// As [`Client::send`], to a server that may be down.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> reqwest::Result<Answer> {
        let body = body.into();
        let began = Instant::now();
        loop {
            let answer = self.send_once(method, path, headers, body.clone()).await?;
            match answer.asks_to_wait() {
                Some(wait) if began.elapsed() + wait < self.patience => {
                    tokio::time::sleep(wait).await;
                }
                _ => return Ok(answer),
            }
        }
    }

    /// As [`Client::try_send`], without retries.
    pub async fn send_once(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> reqwest::Result<Answer> {
        let parsed: Method = method.parse().unwrap();
        let mut request = self
            .http
            .request(parsed, format!("{}{path}", self.base))
            .body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = read(request.send().await?).await?;
        assert_described(method, path, &answer);
        Ok(answer)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("accept", "application/json")], "")
            .await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.json("POST", path, &[], body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.json("PUT", path, &[], body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    pub async fn json(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(method, path, &all, body.to_string()).await
    }

    /// Posts a form of the page `from` like a browser without JavaScript.
    pub async fn form(&self, path: &str, from: &str, fields: &[(&str, &str)]) -> Answer {
        let referer = format!("{}{from}", self.base);
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("origin", &self.base)
            .header("sec-fetch-site", "same-origin")
            .header("referer", referer)
            .form(fields);
        read(request.send().await.unwrap()).await.unwrap()
    }

    /// Requests a page like a browser.
    pub async fn page(&self, path: &str) -> Answer {
        self.send("GET", path, &[("accept", "text/html")], "").await
    }

    pub async fn event(&self) -> Value {
        self.event_with(json!({})).await
    }

    pub async fn event_with(&self, over: Value) -> Value {
        self.post("/api/events", event_body(over)).await.expect(201)
    }

    pub async fn ticket(&self, event: &Value, price_minor: i64) -> Value {
        let body = json!({"eventId": event["id"], "priceMinor": price_minor});
        self.post("/api/tickets", body).await.expect(201)
    }

    pub async fn batch(&self, event: &Value, quantity: i64, price_minor: i64) -> Vec<String> {
        let body = json!({"eventId": event["id"], "priceMinor": price_minor, "quantity": quantity});
        let listed = self.post("/api/tickets/batch", body).await.expect(201);
        assert_eq!(listed["created"], quantity);
        let ids = listed["ticketIds"].as_array().unwrap();
        ids.iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect()
    }

    pub async fn reserve(&self, tickets: &[&Value]) -> Answer {
        let ids: Vec<&Value> = tickets.iter().map(|ticket| &ticket["id"]).collect();
        self.post("/api/orders", json!({"ticketIds": ids})).await
    }

    pub async fn reserve_any(&self, event: &Value, quantity: i64) -> Answer {
        self.post(
            "/api/orders",
            json!({"eventId": event["id"], "quantity": quantity}),
        )
        .await
    }

    pub async fn pay(&self, order: &Value, token: &str) -> Answer {
        self.post(
            "/api/payments",
            json!({"orderId": order["id"], "token": token}),
        )
        .await
    }

    /// Pays with a valid card, and waits until the payment is captured.
    pub async fn pay_to_the_end(&self, order: &Value) -> Value {
        let answer = self.pay(order, "pm_card_visa").await;
        self.until_paid(answer).await
    }

    /// Waits until a payment is captured.
    pub async fn until_paid(&self, answer: Answer) -> Value {
        let mut payment = match answer.status {
            202 => answer.expect(202),
            _ => answer.expect(201),
        };
        let began = Instant::now();
        while payment["status"] == "processing" {
            assert!(
                began.elapsed() < PATIENCE,
                "the payment is still processing: {payment}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
            payment = self.get(&path("payments", &payment)).await.expect(200);
        }
        assert_eq!(payment["status"], "captured", "{payment}");
        payment
    }

    pub async fn refund(&self, tickets: &[&Value]) -> Answer {
        let ids: Vec<&Value> = tickets.iter().map(|ticket| &ticket["id"]).collect();
        self.post("/api/refunds", json!({"ticketIds": ids})).await
    }

    pub async fn refund_order(&self, order: &Value) -> Answer {
        self.post("/api/refunds", json!({"orderId": order["id"]}))
            .await
    }

    /// The entries of an order's timeline.
    pub async fn timeline(&self, order: &Value) -> Vec<String> {
        let answer = self
            .get(&format!("{}/timeline", path("orders", order)))
            .await;
        let moments = answer.expect(200)["moments"].as_array().unwrap().clone();
        moments
            .iter()
            .map(|moment| moment["what"].as_str().unwrap().to_owned())
            .collect()
    }

    pub async fn order(&self, order: &Value) -> Value {
        self.get(&path("orders", order)).await.expect(200)
    }

    pub async fn ticket_now(&self, ticket: &Value) -> Value {
        self.get(&path("tickets", ticket)).await.expect(200)
    }

    pub async fn more_time(&self, order: &Value) -> Answer {
        let more = format!("{}/more-time", path("orders", order));
        self.post(&more, Value::Null).await
    }

    pub async fn cancel(&self, order: &Value) -> Answer {
        self.delete(&path("orders", order)).await
    }
}

pub fn path(resource: &str, of: &Value) -> String {
    format!("/api/{resource}/{}", of["id"].as_str().unwrap())
}

pub fn event_body(over: Value) -> Value {
    let mut body = json!({
        "title": "Late Show", "venue": "Old Hall", "city": "Leeds", "country": "GB",
        "startsAt": "2031-05-01T19:30:00Z", "timeZone": "Europe/London", "currency": "GBP",
    });
    merge(&mut body, over);
    body
}

/// Overwrites fields of `body`; null removes a field.
pub fn merge(body: &mut Value, over: Value) {
    let (Value::Object(body), Value::Object(over)) = (body, over) else {
        panic!("two objects")
    };
    for (field, value) in over {
        if value.is_null() {
            body.remove(&field);
        } else {
            body.insert(field, value);
        }
    }
}

async fn read(response: reqwest::Response) -> reqwest::Result<Answer> {
    let status: StatusCode = response.status();
    let headers = response.headers().clone();
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer {
        status: status.as_u16(),
        headers,
        body,
        text,
    })
}
