//! What moves on an order's page: the countdown, and the wait for a payment that is under way.

use crate::location::load_anew;
use leptos::prelude::*;

/// Below this many seconds the countdown looks urgent.
const URGENT_SECONDS: i64 = 60;

/// Below this many seconds more time is offered, if there is more to have.
const OFFER_MORE_SECONDS: i64 = 120;

/// How long a page that was loaded after the end waits before it asks again.
const ASK_AGAIN_SECONDS: f64 = 2.0;

/// The time that is left to pay, by the server's clock: it starts from the seconds that the server
/// saw left when it answered, not from this device's idea of the time. Near its end it offers more,
/// if there is more to have; at its end the page asks the server how the order stands.
#[island]
pub fn Countdown(
    /// Seconds left when the server rendered this.
    seconds_left: i64,
    /// Seconds that the whole hold lasts, for the bar.
    of: i64,
    /// Seconds that can be had once more; 0 if none.
    more_seconds: i64,
    /// Whose time it is.
    order_id: String,
) -> impl IntoView {
    let (left, set_left) = signal(seconds_left);
    let ends_at = StoredValue::new(0.0);
    Effect::new(move || run(seconds_left, ends_at, set_left));
    let clock = move || countdown_text(left.get());
    let urgent = move || left.get() <= URGENT_SECONDS;
    view! {
        <div class="countdown" class:urgent=urgent>
            <p class="countdown-text">
                <span>"Your tickets are held for "</span>
                // A translator that wraps the text would stop the clock.
                <strong class="countdown-clock" role="timer" translate="no">{clock}</strong>
            </p>
            <progress class="countdown-bar" max=of prop:value=move || to_f64(left.get()) value=seconds_left aria-hidden="true"></progress>
            <p class="sr-only" aria-live="polite">{move || said(left.get())}</p>
        </div>
        {(more_seconds > 0).then(|| more_time(order_id, more_seconds, left, ends_at))}
    }
}

/// What who listens hears of the time: three times at most in a whole hold, and nothing of seconds.
fn said(left: i64) -> &'static str {
    match left {
        ..=URGENT_SECONDS => "Less than a minute is left to pay.",
        61..=120 => "Two minutes are left to pay.",
        121..=300 => "Five minutes are left to pay.",
        _ => "",
    }
}

/// The offer of more time. It does not take the keyboard from whoever is typing a card's number.
fn more_time(
    order_id: String,
    more_seconds: i64,
    left: ReadSignal<i64>,
    ends_at: StoredValue<f64>,
) -> impl IntoView {
    let (had, set_had) = signal(false);
    let (busy, set_busy) = signal(false);
    let (problem, set_problem) = signal(None::<String>);
    let offer_at = more_seconds.min(OFFER_MORE_SECONDS);
    let offered = move || !had.get() && (1..=offer_at).contains(&left.get());
    let order = StoredValue::new(order_id.clone());
    let take = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        set_busy.set(true);
        leptos::task::spawn_local(async move {
            match crate::functions::extend_hold(order.get_value()).await {
                Ok(seconds) => {
                    ends_at.set_value(now() + to_f64(seconds));
                    set_had.set(true);
                }
                Err(error) => set_problem.set(Some(error.to_string())),
            }
            set_busy.set(false);
        });
    };
    let how_much = in_minutes(more_seconds);
    view! {
        <div
            class="more-time needs-script panel"
            role="dialog"
            aria-labelledby="more-time"
            class:hidden=move || !offered()
        >
            <p class="title" id="more-time">"Do you need longer?"</p>
            <p>{format!("You can have {how_much} more, once. Your card's details stay as they are.")}</p>
            <form method="post" action="/fn/orders/more_time" on:submit=take>
                <input type="hidden" name="order_id" value=order_id/>
                <button class="button" type="submit" disabled=move || busy.get()>"More time"</button>
            </form>
            <p class="error" role="alert">{move || problem.get()}</p>
        </div>
        <p class="sr-only" aria-live="polite">
            {move || had.get().then(|| format!("You have {how_much} more."))}
        </p>
    }
}

/// `15 minutes`; seconds where those are no whole minutes: `90 seconds`.
pub fn in_minutes(seconds: i64) -> String {
    match seconds {
        1 => "1 second".to_owned(),
        60 => "1 minute".to_owned(),
        whole if whole % 60 == 0 => format!("{} minutes", whole / 60),
        other => format!("{other} seconds"),
    }
}

/// `14:59`
pub fn countdown_text(seconds: i64) -> String {
    let seconds = seconds.max(0);
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// The time that is left of a hold, on a page that goes on without it.
#[island]
pub fn HoldClock(
    /// Seconds left when the server rendered this.
    seconds_left: i64,
) -> impl IntoView {
    let (left, set_left) = signal(seconds_left);
    let ends_at = StoredValue::new(0.0);
    Effect::new(move || {
        ends_at.set_value(end_of(seconds_left));
        tick_down(ends_at, set_left, || {});
    });
    view! {
        <strong class="hold-clock" role="timer" translate="no">{move || countdown_text(left.get())}</strong>
    }
}

/// Ticks until the end, then asks the server.
fn run(seconds_left: i64, ends_at: StoredValue<f64>, set_left: WriteSignal<i64>) {
    ends_at.set_value(end_of(seconds_left));
    // A payment that began in time has a grace: until that is over the page is asked for calmly.
    let not_before = if ends_at.get_value() > now() {
        0.0
    } else {
        now() + ASK_AGAIN_SECONDS
    };
    let asked = StoredValue::new(false);
    tick_down(ends_at, set_left, move || {
        // Once: on a slow line the next page takes longer than the next tick.
        if now() >= ends_at.get_value().max(not_before) && !asked.get_value() && !is_being_paid() {
            asked.set_value(true);
            load_anew();
        }
    });
}

/// When a hold ends on [this page's clock](now), of which the server saw so many seconds left when it
/// answered.
fn end_of(seconds_left: i64) -> f64 {
    let end = seconds_since_answer_began().map(|since| now() - since + to_f64(seconds_left));
    end.unwrap_or_else(|| now() + to_f64(seconds_left))
}

/// Keeps `set_left` at the seconds until `ends_at`, and calls `each_time`, four times a second.
fn tick_down(
    ends_at: StoredValue<f64>,
    set_left: WriteSignal<i64>,
    each_time: impl Fn() + 'static,
) {
    let tick = move || {
        set_left.set(to_i64((ends_at.get_value() - now()).ceil()));
        each_time();
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
