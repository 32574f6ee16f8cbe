//! Island: shows the payout while a price is typed.

use crate::typed::already_typed;
use leptos::prelude::*;
use model::{
    money::{Currency, Money},
    selling::payout_words,
};

/// Wraps the field of a price, and shows below it what the seller will be paid. The server renders the initial
/// text.
#[island]
pub fn PayoutWhileTyping(
    currency: Currency,
    /// The number of tickets.
    quantity: i64,
    /// The field's initial value.
    price: String,
    /// The field.
    children: Children,
) -> impl IntoView {
    let (price, set_price) = signal(price);
    let words = move || {
        Money::parse(&price.get(), currency)
            .ok()
            .and_then(|price| payout_words(price, quantity))
            .unwrap_or_else(|| {
                "You see what you will be paid before anything goes on sale.".to_owned()
            })
    };
    let around = NodeRef::<leptos::html::Div>::new();
    Effect::new(move || {
        if let Some(typed) = around.get().and_then(|around| already_typed(&around)) {
            set_price.set(typed);
        }
    });
    view! {
        <div
            class="stack"
            node_ref=around
            on:input=move |event| set_price.set(event_target_value(&event))
        >
            {children()}
            <p class="payout" aria-live="polite">{words}</p>
        </div>
    }
}
