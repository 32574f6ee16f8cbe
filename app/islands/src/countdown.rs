//! Islands of an order's page: the countdown of its hold, and the reload while a payment is processed.

use crate::location::load_anew;
use leptos::prelude::*;

/// Below this many seconds the countdown looks urgent.
const URGENT_SECONDS: i64 = 60;

/// Below this many seconds an extension is offered, if available.
const OFFER_MORE_SECONDS: i64 = 120;

/// How long a page that was loaded after the end of the hold waits before it reloads.
const RELOAD_DELAY_SECONDS: f64 = 2.0;

/// The time that is left to pay. It counts from the seconds that were left when the server responded, regardless
/// of this device's clock. Offers an extension near the end, if available; reloads the page at the end.
#[island]
pub fn Countdown(
    /// Seconds left when the server rendered this.
    seconds_left: i64,
    /// The length of the whole hold in seconds, for the bar.
    of: i64,
    /// The length of the extension in seconds; 0 if none is available.
    more_seconds: i64,
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
                // A translator that replaces the text node would stop the updates.
                <strong class="countdown-clock" role="timer" translate="no">{clock}</strong>
            </p>
            <progress class="countdown-bar" max=of prop:value=move || to_f64(left.get()) value=seconds_left aria-hidden="true"></progress>
            <p class="sr-only" aria-live="polite">{move || announcement(left.get())}</p>
        </div>
        {(more_seconds > 0).then(|| extension_offer(order_id, more_seconds, left, ends_at))}
    }
}

/// The announcement for screen readers: at most three in a hold.
fn announcement(left: i64) -> &'static str {
    match left {
        ..=URGENT_SECONDS => "Less than a minute is left to pay.",
        61..=120 => "Two minutes are left to pay.",
        121..=300 => "Five minutes are left to pay.",
        _ => "",
    }
}

/// The offer of an extension. It does not take the focus, because the buyer may be typing a card number.
fn extension_offer(
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

/// `15 minutes`, or seconds if they are not whole minutes: `90 seconds`.
pub fn in_minutes(seconds: i64) -> String {
    match seconds {
        1 => "1 second".to_owned(),
        60 => "1 minute".to_owned(),
        whole if whole % 60 == 0 => format!("{} minutes", whole / 60),
        other => format!("{other} seconds"),
    }
}

/// Formats a countdown: `14:59`.
pub fn countdown_text(seconds: i64) -> String {
    let seconds = seconds.max(0);
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// The remaining time of a hold, on pages that do not depend on it.
#[island]
pub fn HoldClock(
    /// Seconds left when the server rendered this.
    seconds_left: i64,
) -> impl IntoView {
    let (left, set_left) = signal(seconds_left);
    let ends_at = StoredValue::new(0.0);
    Effect::new(move || {
        ends_at.set_value(end_time(seconds_left));
        tick_down(ends_at, set_left, || {});
    });
    view! {
        <strong class="hold-clock" role="timer" translate="no">{move || countdown_text(left.get())}</strong>
    }
}

/// Counts down, then reloads the page.
fn run(seconds_left: i64, ends_at: StoredValue<f64>, set_left: WriteSignal<i64>) {
    ends_at.set_value(end_time(seconds_left));
    // A payment that began in time has a grace period: reload at intervals until it ends.
    let not_before = if ends_at.get_value() > now() {
        0.0
    } else {
        now() + RELOAD_DELAY_SECONDS
    };
    let reloaded = StoredValue::new(false);
    tick_down(ends_at, set_left, move || {
        // Once: on a slow connection the reload takes longer than the next tick.
        if now() >= ends_at.get_value().max(not_before) && !reloaded.get_value() && !is_being_paid()
        {
            reloaded.set_value(true);
            load_anew();
        }
    });
}

/// The end of a hold on the clock of [`now`], from the seconds that were left when the server responded.
fn end_time(seconds_left: i64) -> f64 {
    let end = seconds_since_response().map(|since| now() - since + to_f64(seconds_left));
    end.unwrap_or_else(|| now() + to_f64(seconds_left))
}

/// Keeps `set_left` at the seconds until `ends_at`, and calls `on_tick`, four times a second.
fn tick_down(ends_at: StoredValue<f64>, set_left: WriteSignal<i64>, on_tick: impl Fn() + 'static) {
    let tick = move || {
        set_left.set(to_i64((ends_at.get_value() - now()).ceil()));
        on_tick();
    };
    tick();
    if let Ok(handle) = set_interval_with_handle(tick, std::time::Duration::from_millis(250)) {
        on_cleanup(move || handle.clear());
    }
}

/// Reloads the page after two seconds, while a payment is processed.
#[island]
pub fn Wait() -> impl IntoView {
    Effect::new(move || {
        set_timeout(load_anew, std::time::Duration::from_secs(2));
    });
    view! { <span class="spinner" aria-hidden="true"></span> }
}

/// Whether a payment is in progress, perhaps in the bank's dialog. It must not be interrupted, and loads the page
/// itself when it ends.
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

/// The time of a monotonic clock in seconds.
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

/// The seconds since the server's response began to arrive.
fn seconds_since_response() -> Option<f64> {
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
