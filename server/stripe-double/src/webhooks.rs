//! Sends webhooks, signed as Stripe signs them, again and again until they are taken.

use crate::Double;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{fmt::Write, time::Duration};

const TRY_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Stripe-Signature of `payload`, sent at `at`.
pub fn signature(secret: &str, at: i64, payload: &str) -> String {
    let mut hex = String::with_capacity(64);
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(format!("{at}.{payload}").as_bytes());
        for byte in mac.finalize().into_bytes() {
            let _ = write!(hex, "{byte:02x}");
        }
    }
    format!("t={at},v1={hex}")
}

pub async fn run(double: Double) {
    let http = reqwest::Client::new();
    let mut pause = PAUSE_FIRST;
    loop {
        let woken = double.inner.webhooks_wake.notified();
        let (target, events) = {
            let state = double.state();
            (state.webhooks.clone(), state.undelivered())
        };
        let mut failed = false;
        if let Some(target) = target {
            for event in events {
                let header = signature(&target.secret, double.now(), &event.payload);
                let sent = http
                    .post(&target.url)
                    .header("stripe-signature", header)
                    .header("content-type", "application/json")
                    .timeout(TRY_TIMEOUT)
                    .body(event.payload)
                    .send()
                    .await;
                if sent.is_ok_and(|answer| answer.status().is_success()) {
                    double.state().event_taken(&event.id);
                } else {
                    failed = true;
                }
            }
        }
        double.inner.webhooks_quiet.notify_waiters();
        if failed {
            tracing::debug!(?pause, "webhooks were not taken; they are sent again");
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        } else {
            pause = PAUSE_FIRST;
            woken.await;
        }
    }
}
