//! Line icons in the text's colour, hidden from screen readers because a text is beside them.

use leptos::prelude::*;

#[derive(Debug, Clone, Copy)]
pub enum Icon {
    Search,
    Ticket,
    Clock,
    Place,
    Lock,
    Tag,
    Person,
    Receipt,
}

pub fn icon(which: Icon) -> impl IntoView {
    let path = match which {
        Icon::Search => "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm9 2-4-4",
        Icon::Ticket => "M4 6h16v4a2 2 0 0 0 0 4v4H4v-4a2 2 0 0 0 0-4V6Zm10 0v2m0 3v2m0 3v2",
        Icon::Clock => "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-14v5l3 2",
        Icon::Place => {
            "M12 21s7-6 7-11a7 7 0 1 0-14 0c0 5 7 11 7 11Zm0-9a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z"
        }
        Icon::Lock => "M6 11h12v9H6v-9Zm2 0V8a4 4 0 0 1 8 0v3",
        Icon::Tag => "M4 12V4h8l8 8-8 8-8-8Zm4-4h.01",
        Icon::Person => "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-8 9a8 8 0 0 1 16 0",
        Icon::Receipt => "M6 3h12v18l-3-2-3 2-3-2-3 2V3Zm3 5h6m-6 4h6",
    };
    view! {
        <svg
            class="icon"
            viewBox="0 0 24 24"
            fill="none"
            stroke="currentColor"
            stroke-width="1.75"
            stroke-linecap="round"
            stroke-linejoin="round"
            aria-hidden="true"
        >
            <path d=path></path>
        </svg>
    }
}
