//! Keeps what an event's page offers true while somebody looks at it. Island: it listens to what
//! happens to the event's tickets, and when something does, reads this page once more and makes the
//! part that shows what is for sale equal to it. What the visitor has chosen stays, unless it is
//! gone, which is said. Without JavaScript the page is as it was when it was loaded.

use leptos::prelude::*;

/// What the island says: that it has lost the server, and what has happened to what was chosen.
#[island]
pub fn LiveSale(
    /// The event's id.
    event_id: String,
) -> impl IntoView {
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
    //! The connection, and what is done on each message.

    use crate::{location::page_at, morph::morph};
    use leptos::{leptos_dom::helpers::TimeoutHandle, prelude::*};
    use std::{
        cell::{Cell, RefCell},
        rc::Rc,
        time::Duration,
    };
    use wasm_bindgen::{JsCast, prelude::Closure};
    use web_sys::{Element, EventSource, HtmlElement, HtmlInputElement, HtmlSelectElement};

    /// The part of the page that is kept true.
    const PART: &str = "for-sale";
    /// After the first message others may follow at once: one order has eight tickets.
    const GATHER: Duration = Duration::from_millis(150);
    /// However much happens, the page is not read more often; and where the server takes its time
    /// over it, for everybody looks, only after so many times as long as the last reading took.
    const APART: f64 = 500.0;
    const APART_MAX: f64 = 10_000.0;
    const TIMES_AS_LONG: f64 = 2.0;
    /// How long after a failure it is tried again.
    const AFTER_FAILURE: Duration = Duration::from_secs(3);
    /// How long a form that was sent may take to lead away.
    const LEAVING: f64 = 8_000.0;

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Doing {
        Nothing,
        Gathering,
        Reading,
        /// Something has happened while the page was being read.
        ReadingOld,
    }

    struct Sale {
        stream: String,
        source: RefCell<Option<EventSource>>,
        opened: Cell<bool>,
        doing: Cell<Doing>,
        read_at: Cell<f64>,
        apart: Cell<f64>,
        sent_at: Cell<Option<f64>>,
        clock: Cell<Option<TimeoutHandle>>,
        set_away: WriteSignal<bool>,
        set_said: WriteSignal<String>,
    }

    /// Begins to listen, until the page is left.
    pub fn watch(event_id: &str, set_away: WriteSignal<bool>, set_said: WriteSignal<String>) {
        let sale = Rc::new(Sale {
            stream: format!("/api/events/{event_id}/stream"),
            source: RefCell::new(None),
            opened: Cell::new(false),
            doing: Cell::new(Doing::Nothing),
            read_at: Cell::new(0.0),
            apart: Cell::new(APART),
            sent_at: Cell::new(None),
            clock: Cell::new(None),
            set_away,
            set_said,
        });
        let on = |name: &'static str, does: fn(&Rc<Sale>)| {
            let sale = Rc::clone(&sale);
            window_event_listener_untyped(name, move |_| does(&sale));
        };
        on("offline", |sale| sale.set_away.set(true));
        on("online", Sale::listen_and_read);
        // A page that nobody sees holds no connection: a browser has few of them. This is also
        // where a device that slept goes on.
        on("visibilitychange", |sale| {
            if document().hidden() {
                sale.hang_up();
            } else {
                sale.listen_and_read();
            }
        });
        // The order takes what was chosen: that is not somebody else's doing.
        on("submit", |sale| sale.sent_at.set(Some(now())));
        sale.mind_the_clock();
        if !document().hidden() {
            sale.listen();
        }
    }

    impl Sale {
        fn listen_and_read(self: &Rc<Self>) {
            self.listen();
            self.soon(Duration::ZERO);
        }

        fn hang_up(&self) {
            if let Some(source) = self.source.take() {
                source.close();
            }
        }

        fn listen(self: &Rc<Self>) {
            self.hang_up();
            // What has happened since this page was made is told first.
            let since = (now() / 1000.0).ceil() + 2.0;
            let Ok(source) = EventSource::new(&format!("{}?sinceSeconds={since}", self.stream))
            else {
                return;
            };
            let hear = |does: fn(&Rc<Self>)| {
                let sale = Rc::clone(self);
                Closure::<dyn Fn()>::new(move || does(&sale))
                    .into_js_value()
                    .unchecked_into::<js_sys::Function>()
            };
            let happened = hear(|sale| sale.soon(GATHER));
            // `reread`: more than is told one by one.
            for kind in ["ticket", "reread"] {
                let _ = source.add_event_listener_with_callback(kind, &happened);
            }
            source.set_onopen(Some(&hear(Self::on_open)));
            source.set_onerror(Some(&hear(Self::on_error)));
            self.source.replace(Some(source));
        }

        fn on_open(self: &Rc<Self>) {
            if self.opened.replace(true) {
                self.soon(Duration::ZERO);
            } else if self.doing.get() == Doing::Nothing {
                // The page may have been read while the first connection was still on its way.
                self.set_away.set(false);
            }
        }

        /// The browser connects again by itself, unless the server has answered with an error.
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
                            sale.listen();
                        }
                    },
                    AFTER_FAILURE,
                );
            }
        }

        fn is_connected(&self) -> bool {
            self.source
                .borrow()
                .as_ref()
                .is_some_and(|source| source.ready_state() == EventSource::OPEN)
        }

        /// Reads the page after a while, once for all that happens until then.
        fn soon(self: &Rc<Self>, after: Duration) {
            match self.doing.get() {
                Doing::Nothing => {}
                Doing::Gathering | Doing::ReadingOld => return,
                Doing::Reading => return self.doing.set(Doing::ReadingOld),
            }
            self.doing.set(Doing::Gathering);
            let apart = (self.apart.get() - (now() - self.read_at.get())).max(0.0);
            let sale = Rc::clone(self);
            set_timeout(
                move || {
                    sale.doing.set(Doing::Reading);
                    leptos::task::spawn_local(async move { sale.read().await });
                },
                after.max(Duration::from_secs_f64(apart / 1000.0)),
            );
        }

        async fn read(self: Rc<Self>) {
            let address = window().location().href().unwrap_or_default();
            let asked = now();
            let page = page_at(&address).await;
            self.read_at.set(now());
            let took = now() - asked;
            self.apart
                .set((TIMES_AS_LONG * took).clamp(APART, APART_MAX));
            let leaving = self.sent_at.get().is_some_and(|at| now() - at < LEAVING);
            let fresh = page.ok().and_then(|page| page.get_element_by_id(PART));
            let read = fresh.is_some();
            if let (Some(fresh), Some(here), false) = (fresh, part(), leaving) {
                let words = show(&here, &fresh);
                if !words.is_empty() {
                    self.set_said.set(words);
                }
            }
            self.mind_the_clock();
            self.set_away.set(!read || !self.is_connected());
            let again = self.doing.replace(Doing::Nothing) == Doing::ReadingOld;
            if !read {
                self.soon(AFTER_FAILURE);
            } else if leaving {
                self.soon(Duration::from_secs_f64(LEAVING / 1000.0));
            } else if again {
                self.soon(GATHER);
            }
        }

        /// Holds end by the clock, and nobody need tell of it: the page is read again then.
        fn mind_the_clock(self: &Rc<Self>) {
            if let Some(before) = self.clock.take() {
                before.clear();
            }
            let seconds = part().and_then(|part| part.get_attribute("data-hold-ends-in"));
            let Some(seconds) = seconds.and_then(|seconds| seconds.parse().ok()) else {
                return;
            };
            let sale = Rc::clone(self);
            let ended = set_timeout_with_handle(
                move || sale.soon(Duration::ZERO),
                Duration::from_secs(seconds),
            );
            self.clock.set(ended.ok());
        }
    }

    fn part() -> Option<Element> {
        document().get_element_by_id(PART)
    }

    /// Milliseconds on a clock that only runs forward, from the moment this page was asked for.
    fn now() -> f64 {
        window()
            .performance()
            .map_or(0.0, |performance| performance.now())
    }

    fn all<T: JsCast>(of: &Element, which: &str) -> Vec<T> {
        let Ok(found) = of.query_selector_all(which) else {
            return Vec::new();
        };
        (0..found.length())
            .filter_map(|at| found.item(at)?.dyn_into().ok())
            .collect()
    }

    /// Makes the part equal to the fresh one. Returns what there is to say of it.
    fn show(part: &Element, fresh: &Element) -> String {
        let ticked: Vec<HtmlInputElement> = all(part, "input:checked");
        let chosen: Vec<(HtmlSelectElement, i32)> = all(part, "select")
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
            // Fewer are left than were chosen: as many as there are.
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
