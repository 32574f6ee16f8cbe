//! What moves on an order's page: the countdown, and the wait for a payment that is under way.

use crate::ui::load_anew;
use leptos::prelude::*;

/// Below this many seconds the countdown looks urgent, and says so once to those who listen.
const URGENT_SECONDS: i64 = 60;

/// How long a page that was loaded after the end waits before it asks again.
const ASK_AGAIN_SECONDS: f64 = 2.0;

/// The time that is left to pay, by the server's clock: it starts from the seconds that the server
/// saw left when it answered, not from this device's idea of the time. At its end the page asks
/// the server how the order stands.
#[island]
pub fn Countdown(
    /// Seconds left when the server rendered this.
    seconds_left: i64,
    /// Seconds that the whole hold lasts, for the bar.
    of: i64,
) -> impl IntoView {
    let (left, set_left) = signal(seconds_left);
    Effect::new(move || run(seconds_left, set_left));
    let clock = move || countdown_text(left.get());
    let urgent = move || left.get() <= URGENT_SECONDS;
    view! {
        <div class="countdown" class:urgent=urgent>
            <p class="countdown-text">
                <span>"Your tickets are held for "</span>
                <strong class="countdown-clock" role="timer">{clock}</strong>
            </p>
            <progress class="countdown-bar" max=of prop:value=move || left.get() value=seconds_left aria-hidden="true"></progress>
            <p class="sr-only" aria-live="polite">
                {move || urgent().then_some("Less than a minute is left to pay.")}
            </p>
        </div>
    }
}

/// `14:59`
pub fn countdown_text(seconds: i64) -> String {
    let seconds = seconds.max(0);
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Ticks until the end, then asks the server.
fn run(seconds_left: i64, set_left: WriteSignal<i64>) {
    let ends_at = seconds_since_answer_began().map(|since| now() - since + to_f64(seconds_left));
    let ends_at = ends_at.unwrap_or_else(|| now() + to_f64(seconds_left));
    // A payment that began in time has a grace: until that is over the page is asked for calmly.
    let ask_at = if ends_at > now() {
        ends_at
    } else {
        now() + ASK_AGAIN_SECONDS
    };
    let asked = StoredValue::new(false);
    let tick = move || {
        set_left.set(to_i64((ends_at - now()).ceil()));
        // Once: on a slow line the next page takes longer than the next tick.
        if now() >= ask_at && !asked.get_value() && !is_being_paid() {
            asked.set_value(true);
            load_anew();
        }
    };
    tick();
    if let Ok(handle) = set_interval_with_handle(tick, std::time::Duration::from_millis(250)) {
        on_cleanup(move || handle.clear());
    }
}

/// Asks the server every few seconds how a payment stands, by loading the page again.
#[island]
pub fn Wait() -> impl IntoView {
    Effect::new(move || {
        set_timeout(load_anew, std::time::Duration::from_secs(2));
    });
    view! { <span class="spinner" aria-hidden="true"></span> }
}

/// Whether the buyer is paying this moment, at their bank perhaps: not to be interrupted. The
/// payment itself leads on to what has become of it.
fn is_being_paid() -> bool {
    #[cfg(target_arch = "wasm32")]
    {
        document()
            .query_selector("[data-paying]")
            .ok()
            .flatten()
            .is_some()
    }
    #[cfg(not(target_arch = "wasm32"))]
    false
}

/// Seconds on a clock that only runs forward.
fn now() -> f64 {
    #[cfg(target_arch = "wasm32")]
    {
        window()
            .performance()
            .map_or(0.0, |performance| performance.now() / 1000.0)
    }
    #[cfg(not(target_arch = "wasm32"))]
    0.0
}

/// How long ago the server's answer began to arrive.
fn seconds_since_answer_began() -> Option<f64> {
    #[cfg(target_arch = "wasm32")]
    {
        use wasm_bindgen::JsCast;
        let entries = window().performance()?.get_entries_by_type("navigation");
        let page = entries
            .get(0)
            .dyn_into::<web_sys::PerformanceNavigationTiming>()
            .ok()?;
        let since = now() - page.response_start() / 1000.0;
        (since >= 0.0).then_some(since)
    }
    #[cfg(not(target_arch = "wasm32"))]
    None
}

#[expect(clippy::cast_precision_loss, reason = "a hold lasts a day at most")]
fn to_f64(seconds: i64) -> f64 {
    seconds as f64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "whole seconds, a day at most"
)]
fn to_i64(seconds: f64) -> i64 {
    seconds as i64
}
