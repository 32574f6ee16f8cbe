//! A QR code as SVG. Does not encode it.

use leptos::prelude::*;
use model::qr::Qr;

/// A code, black on white in both themes. `label` is its accessible name.
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
