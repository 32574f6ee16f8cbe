//! Island: keeps the offers on an event's page current. It listens to changes of the event's tickets, fetches the
//! page again after a change, and updates the part with the offers. The visitor's selection stays, unless it is
//! no longer available, which is announced. Without JavaScript the page does not change.

use leptos::prelude::*;

/// Shows that the connection is lost, and changes of the selection.
#[island]
pub fn LiveSale(event_id: String) -> impl IntoView {
    let (away, set_away) = signal(false);
    let (said, set_said) = signal(String::new());
    #[cfg(target_arch = "wasm32")]
    Effect::new(move || browser::watch(&event_id, set_away, set_said));
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (event_id, set_away, set_said);
    view! {
        <p class="live-away" role="status">{move || away.get().then_some("Reconnecting…")}</p>
        <p class="live-said" role="status">{move || Some(said.get()).filter(|said| !said.is_empty())}</p>
    }
}

#[cfg(target_arch = "wasm32")]
mod browser {
    //! The connection, and the reaction to its messages.

    use crate::{location::fetch_page, morph::morph};
    use leptos::{leptos_dom::helpers::TimeoutHandle, prelude::*};
    use std::{
        cell::{Cell, RefCell},
        rc::Rc,
        time::Duration,
    };
    use wasm_bindgen::{JsCast, prelude::Closure};
    use web_sys::{Element, EventSource, HtmlElement, HtmlInputElement, HtmlSelectElement};

    /// The id of the part of the page that is updated.
    const PART: &str = "for-sale";
    /// Collects messages that follow each other closely: one order has up to eight tickets.
    const DEBOUNCE: Duration = Duration::from_millis(150);
    /// The shortest interval between fetches in milliseconds. It grows with the duration of the last fetch, to
    /// relieve a busy server.
    const INTERVAL_MIN: f64 = 500.0;
    const INTERVAL_MAX: f64 = 10_000.0;
    const INTERVAL_FACTOR: f64 = 2.0;
    /// The delay of a retry after a failure.
    const RETRY_DELAY: Duration = Duration::from_secs(3);
    /// How long after sending a form the page is not changed, in milliseconds: a new page is expected.
    const LEAVING: f64 = 8_000.0;

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum FetchState {
        Idle,
        Scheduled,
        Fetching,
        /// Fetching, and another change has arrived meanwhile.
        FetchingStale,
    }

    struct Sale {
        stream: String,
        source: RefCell<Option<EventSource>>,
        opened: Cell<bool>,
        state: Cell<FetchState>,
        fetched_at: Cell<f64>,
        interval: Cell<f64>,
        sent_at: Cell<Option<f64>>,
        hold_timer: Cell<Option<TimeoutHandle>>,
        set_away: WriteSignal<bool>,
        set_said: WriteSignal<String>,
    }

    /// Listens until the page is left.
    pub fn watch(event_id: &str, set_away: WriteSignal<bool>, set_said: WriteSignal<String>) {
        let sale = Rc::new(Sale {
            stream: format!("/api/events/{event_id}/stream"),
            source: RefCell::new(None),
            opened: Cell::new(false),
            state: Cell::new(FetchState::Idle),
            fetched_at: Cell::new(0.0),
            interval: Cell::new(INTERVAL_MIN),
            sent_at: Cell::new(None),
            hold_timer: Cell::new(None),
            set_away,
            set_said,
        });
        let on = |name: &'static str, does: fn(&Rc<Sale>)| {
            let sale = Rc::clone(&sale);
            window_event_listener_untyped(name, move |_| does(&sale));
        };
        on("offline", |sale| sale.set_away.set(true));
        on("online", Sale::connect_and_fetch);
        // A hidden page keeps no connection, because browsers limit their number. This also reconnects after the
        // device has slept.
        on("visibilitychange", |sale| {
            if document().hidden() {
                sale.disconnect();
            } else {
                sale.connect_and_fetch();
            }
        });
        // The visitor's own order takes the selected tickets: do not announce that.
        on("submit", |sale| sale.sent_at.set(Some(now())));
        sale.schedule_hold_end();
        if !document().hidden() {
            sale.connect();
        }
    }

    impl Sale {
        fn connect_and_fetch(self: &Rc<Self>) {
            self.connect();
            self.schedule_fetch(Duration::ZERO);
        }

        fn disconnect(&self) {
            if let Some(source) = self.source.take() {
                source.close();
            }
        }

        fn connect(self: &Rc<Self>) {
            self.disconnect();
            // The server first sends the changes since this page was rendered.
            let since = (now() / 1000.0).ceil() + 2.0;
            let Ok(source) = EventSource::new(&format!("{}?sinceSeconds={since}", self.stream))
            else {
                return;
            };
            let handler = |does: fn(&Rc<Self>)| {
                let sale = Rc::clone(self);
                Closure::<dyn Fn()>::new(move || does(&sale))
                    .into_js_value()
                    .unchecked_into::<js_sys::Function>()
            };
            let changed = handler(|sale| sale.schedule_fetch(DEBOUNCE));
            // `reread`: too many changes to send one by one.
            for kind in ["ticket", "reread"] {
                let _ = source.add_event_listener_with_callback(kind, &changed);
            }
            source.set_onopen(Some(&handler(Self::on_open)));
            source.set_onerror(Some(&handler(Self::on_error)));
            self.source.replace(Some(source));
        }

        fn on_open(self: &Rc<Self>) {
            if self.opened.replace(true) {
                self.schedule_fetch(Duration::ZERO);
            } else if self.state.get() == FetchState::Idle {
                // The page may have been fetched before the first connection was open.
                self.set_away.set(false);
            }
        }

        /// The browser reconnects automatically, unless the server responded with an error.
        fn on_error(self: &Rc<Self>) {
            self.set_away.set(true);
            let given_up = self
                .source
                .borrow()
                .as_ref()
                .is_some_and(|source| source.ready_state() == EventSource::CLOSED);
            if given_up {
                let sale = Rc::clone(self);
                set_timeout(
                    move || {
                        if !document().hidden() {
                            sale.connect();
                        }
                    },
                    RETRY_DELAY,
                );
            }
        }

        fn is_connected(&self) -> bool {
            self.source
                .borrow()
                .as_ref()
                .is_some_and(|source| source.ready_state() == EventSource::OPEN)
        }

        /// Fetches the page after a delay, once for all changes until then.
        fn schedule_fetch(self: &Rc<Self>, after: Duration) {
            match self.state.get() {
                FetchState::Idle => {}
                FetchState::Scheduled | FetchState::FetchingStale => return,
                FetchState::Fetching => return self.state.set(FetchState::FetchingStale),
            }
            self.state.set(FetchState::Scheduled);
            let wait = (self.interval.get() - (now() - self.fetched_at.get())).max(0.0);
            let sale = Rc::clone(self);
            set_timeout(
                move || {
                    sale.state.set(FetchState::Fetching);
                    leptos::task::spawn_local(async move { sale.fetch().await });
                },
                after.max(Duration::from_secs_f64(wait / 1000.0)),
            );
        }

        async fn fetch(self: Rc<Self>) {
            let address = window().location().href().unwrap_or_default();
            let began = now();
            let page = fetch_page(&address).await;
            self.fetched_at.set(now());
            let took = now() - began;
            self.interval
                .set((INTERVAL_FACTOR * took).clamp(INTERVAL_MIN, INTERVAL_MAX));
            let leaving = self.sent_at.get().is_some_and(|at| now() - at < LEAVING);
            let fresh = page.ok().and_then(|page| page.get_element_by_id(PART));
            let succeeded = fresh.is_some();
            if let (Some(fresh), Some(here), false) = (fresh, part(), leaving) {
                let words = update(&here, &fresh);
                if !words.is_empty() {
                    self.set_said.set(words);
                }
            }
            self.schedule_hold_end();
            self.set_away.set(!succeeded || !self.is_connected());
            let again = self.state.replace(FetchState::Idle) == FetchState::FetchingStale;
            if !succeeded {
                self.schedule_fetch(RETRY_DELAY);
            } else if leaving {
                self.schedule_fetch(Duration::from_secs_f64(LEAVING / 1000.0));
            } else if again {
                self.schedule_fetch(DEBOUNCE);
            }
        }

        /// Schedules a fetch for the end of the next hold, which causes no message.
        fn schedule_hold_end(self: &Rc<Self>) {
            if let Some(previous) = self.hold_timer.take() {
                previous.clear();
            }
            let seconds = part().and_then(|part| part.get_attribute("data-hold-ends-in"));
            let Some(seconds) = seconds.and_then(|seconds| seconds.parse().ok()) else {
                return;
            };
            let sale = Rc::clone(self);
            let ended = set_timeout_with_handle(
                move || sale.schedule_fetch(Duration::ZERO),
                Duration::from_secs(seconds),
            );
            self.hold_timer.set(ended.ok());
        }
    }

    fn part() -> Option<Element> {
        document().get_element_by_id(PART)
    }

    /// Milliseconds since this page was requested, by a monotonic clock.
    fn now() -> f64 {
        window()
            .performance()
            .map_or(0.0, |performance| performance.now())
    }

    fn select_all<T: JsCast>(of: &Element, which: &str) -> Vec<T> {
        let Ok(found) = of.query_selector_all(which) else {
            return Vec::new();
        };
        (0..found.length())
            .filter_map(|at| found.item(at)?.dyn_into().ok())
            .collect()
    }

    /// Updates the part. Returns the text to announce.
    fn update(part: &Element, fresh: &Element) -> String {
        let ticked: Vec<HtmlInputElement> = select_all(part, "input:checked");
        let chosen: Vec<(HtmlSelectElement, i32)> = select_all(part, "select")
            .into_iter()
            .map(|select: HtmlSelectElement| {
                let index = select.selected_index();
                (select, index)
            })
            .collect();
        let focused = document()
            .active_element()
            .filter(|focused| part.contains(Some(focused)));
        let summed_up = part.get_attribute("data-say");
        morph(part, fresh);
        let mut words = Vec::new();
        for seat in ticked {
            if !seat.is_connected() || seat.disabled() {
                seat.set_checked(false);
                let label = seat.get_attribute("data-label").unwrap_or_default();
                words.push(format!("{label} has just been taken."));
            }
        }
        for (select, index) in chosen {
            // Fewer are left than were selected: select all of them.
            let last = i32::try_from(select.length()).unwrap_or(i32::MAX) - 1;
            if select.is_connected() && select.selected_index() != index && last >= 0 {
                select.set_selected_index(last.min(index));
            }
        }
        if focused.is_some_and(|focused| !focused.is_connected())
            && let Some(heading) = document().get_element_by_id("tickets")
            && let Ok(heading) = heading.dyn_into::<HtmlElement>()
        {
            let _ = heading.focus();
        }
        let sum = part.get_attribute("data-say");
        if sum != summed_up {
            words.extend(sum);
        }
        words.join(" ")
    }
}
