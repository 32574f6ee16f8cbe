//! A QR code as an image.

use leptos::prelude::*;
use model::qr::Qr;

/// A code, black on white in either light. `label` says to whoever does not see it what it is.
pub fn qr_code(qr: &Qr, label: String) -> impl IntoView + use<> {
    let side = qr.side;
    view! {
        <svg
            class="qr"
            viewBox=format!("0 0 {side} {side}")
            role="img"
            aria-label=label
            shape-rendering="crispEdges"
        >
            <rect width=side height=side fill="#fff"></rect>
            <path d=qr.path.clone() fill="#000"></path>
        </svg>
    }
}
