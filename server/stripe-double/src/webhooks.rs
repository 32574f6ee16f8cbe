//! Sends webhooks, signed like Stripe's, until they are accepted. Each event has its own exponential
//! back-off and delays no other. Events survive a restart, numbers of tries do not.

use crate::{
    Double, WebhookTarget,
    state::{Delivery, Manner},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

const TRY_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Interval of checks for due refunds; the double's clock may be moved by tests.
const LOOK: Duration = Duration::from_millis(200);

/// The header `Stripe-Signature` of `payload`, sent at `at`.
pub fn signature(secret: &str, at: i64, payload: &str) -> String {
    // HMAC takes keys of any length.
    let hex = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(format!("{at}.{payload}").as_bytes());
            hex::encode(mac.finalize().into_bytes())
        },
    );
    format!("t={at},v1={hex}")
}

pub(crate) async fn run(double: Double) {
    let mut courier = Courier::default();
    loop {
        let woken = double.inner.webhooks_wake.notified();
        courier.round(&double).await;
        double.inner.webhooks_quiet.notify_waiters();
        match courier.pause(&double) {
            None => woken.await,
            Some(pause) => tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
            },
        }
    }
}

#[derive(Default)]
struct Courier {
    http: reqwest::Client,
    /// The last receiver.
    url: String,
    /// Events that were not accepted.
    waits: HashMap<String, Wait>,
}

struct Wait {
    until: Instant,
    next: Duration,
}

impl Courier {
    /// Tries every event whose back-off has ended, oldest first.
    async fn round(&mut self, double: &Double) {
        let now = double.step(|state, _| (state.webhooks.clone(), state.undelivered()));
        let Some((Some(target), events)) = now else {
            return;
        };
        if self.url != target.url {
            self.waits.clear();
            self.url.clone_from(&target.url);
        }
        let mut queue = VecDeque::from(events);
        while let Some(id) = queue.pop_front() {
            let wait = self.waits.get(&id);
            if wait.is_some_and(|wait| wait.until > Instant::now()) {
                continue;
            }
            let delivery = double.step(|state, _| state.delivery(&id)).flatten();
            let Some(delivery) = delivery else { continue };
            if self.deliver(double, &target, &id, &delivery).await {
                self.waits.remove(&id);
                let released = double.step(|state, _| state.event_taken(&id));
                for id in released.unwrap_or_default().into_iter().rev() {
                    queue.push_front(id);
                }
            } else {
                self.put_off(&id);
            }
        }
    }

    /// Returns whether the event was accepted.
    async fn deliver(
        &self,
        double: &Double,
        target: &WebhookTarget,
        id: &str,
        delivery: &Delivery,
    ) -> bool {
        let payload = &delivery.payload;
        match delivery.manner {
            Manner::Lost => true,
            // If one of the two is not accepted, both are repeated.
            Manner::Twice => {
                self.send(double, target, &target.secret, payload).await
                    && self.send(double, target, &target.secret, payload).await
            }
            Manner::Forged => {
                let wrong = format!("{} forged", target.secret);
                self.send(double, target, &wrong, payload).await;
                double.step(|state, _| state.deliver_plainly(id));
                false
            }
            Manner::Plain | Manner::Held => {
                self.send(double, target, &target.secret, payload).await
            }
        }
    }

    async fn send(
        &self,
        double: &Double,
        target: &WebhookTarget,
        secret: &str,
        payload: &str,
    ) -> bool {
        let sent = self
            .http
            .post(&target.url)
            .header("stripe-signature", signature(secret, double.now(), payload))
            .header("content-type", "application/json")
            .timeout(TRY_TIMEOUT)
            .body(payload.to_owned())
            .send()
            .await;
        sent.is_ok_and(|answer| answer.status().is_success())
    }

    fn put_off(&mut self, id: &str) {
        let pause = self.waits.get(id).map_or(PAUSE_FIRST, |wait| wait.next);
        tracing::debug!(id, ?pause, "a webhook was not taken; it is sent again");
        let wait = Wait {
            until: Instant::now() + pause,
            next: (pause * 2).min(PAUSE_MAX),
        };
        self.waits.insert(id.to_owned(), wait);
    }

    /// The time until the next work, unless woken.
    fn pause(&self, double: &Double) -> Option<Duration> {
        let look = double.state().has_unsettled().then_some(LOOK);
        let retry = self.waits.values().map(|wait| wait.until).min();
        let retry = retry.map(|until| until.saturating_duration_since(Instant::now()));
        look.into_iter().chain(retry).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_never_taken_waits_longer_up_to_a_minute() {
        let mut courier = Courier::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            courier.put_off("evt_1");
            pauses.push(courier.waits["evt_1"].next.as_millis());
        }
        let grow = [
            1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000,
        ];
        assert_eq!(pauses, grow);
    }
}
