//! What an event looks like: its picture, or where it has none, the poster that its title draws.

use crate::ui::poster;
use leptos::prelude::*;
use model::events::Event;

/// Where on a page it stands, which says how wide it is and how soon it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// At the top of the event's page.
    Head,
    /// In a card that is seen at once.
    Card,
    /// In a card further down.
    LaterCard,
    /// Above the lines of an order.
    Order,
    /// In the strip above a form.
    Strip,
}

impl Spot {
    /// How wide, for a browser that does not know the stylesheet yet.
    fn sizes(self) -> &'static str {
        match self {
            Self::Head => "(min-width: 72rem) 31rem, (min-width: 48rem) 43vw, 94vw",
            Self::Card | Self::LaterCard => "(min-width: 40rem) 20rem, 94vw",
            Self::Order => "(min-width: 56rem) 28rem, 94vw",
            Self::Strip => "6rem",
        }
    }
}

/// Decoration: the event's title stands beside it.
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
