//! The cover of an event: its picture, or a poster drawn from its title.

use crate::ui::poster;
use leptos::prelude::*;
use model::events::Event;

/// The place of a cover on a page. Determines its size and loading priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// At the top of the event's page.
    Head,
    /// In a card that is visible at once.
    Card,
    /// In a card further down.
    LaterCard,
    /// Above the lines of an order.
    Order,
    /// In the strip above a form.
    Strip,
}

impl Spot {
    /// The `sizes` attribute: the width for a browser that has not loaded the stylesheet yet.
    fn sizes(self) -> &'static str {
        match self {
            Self::Head => "(min-width: 72rem) 31rem, (min-width: 48rem) 43vw, 94vw",
            Self::Card | Self::LaterCard => "(min-width: 40rem) 20rem, 94vw",
            Self::Order => "(min-width: 56rem) 28rem, 94vw",
            Self::Strip => "6rem",
        }
    }
}

/// Decorative, so without alternative text: the event's title is always next to it.
pub fn cover(event: &Event, spot: Spot) -> AnyView {
    let Some(picture) = &event.picture else {
        return poster(&event.title).into_any();
    };
    let first = spot == Spot::Head;
    let later = matches!(spot, Spot::LaterCard | Spot::Strip);
    view! {
        <img
            class="poster"
            alt=""
            width=picture.width()
            height=picture.height()
            loading=later.then_some("lazy")
            fetchpriority=first.then_some("high")
            decoding="async"
            sizes=spot.sizes()
            srcset=picture.srcset()
            src=picture.to_string()
        />
    }
    .into_any()
}
