//! `/help`: how buying, selling and refunds work here, in plain words. The numbers are those of this
//! installation.

use crate::{
    context,
    orders::{TICKETS_PER_ORDER_MAX, in_minutes},
    ui::page,
};
use leptos::prelude::*;
use leptos_meta::Title;

/// The page.
#[component]
pub fn HelpPage() -> impl IntoView {
    page(async move {
        let site = context::site()?;
        let (held, more) = (in_minutes(site.hold_seconds), in_minutes(site.more_seconds));
        Ok(view! {
            <Title text="Help"/>
            <article class="narrow help">
                <h1 class="display">"Help"</h1>
                {buying(&held, &more)}
                {paying()}
                {refunds()}
                {selling()}
                {terms()}
                <section class="panel stack" aria-labelledby="people">
                    <h2 class="title" id="people">"Something else?"</h2>
                    <p>
                        "Answer any mail that you had from us. Tell us the order's number, which is in "
                        "the mail and on the order's page, and a person will look."
                    </p>
                </section>
            </article>
        }
        .into_any())
    })
}

fn terms() -> impl IntoView {
    view! {
        <section class="panel stack" aria-labelledby="terms">
            <h2 class="title" id="terms">"Terms of sale"</h2>
            <p>
                "A ticket is sold by whoever is named beside it, at the price that they set. This shop "
                "holds it for you, takes the payment and keeps the books. With your payment the sale is "
                "made, and it is final, but for what is said under Refunds."
            </p>
            <p>
                "A ticket lets one person in, once. Whoever shows its code first is that person: pass it "
                "on only to whom you trust."
            </p>
            <p>
                "We keep your name and address to bring you your tickets, until you delete your account; "
                "the books stay, without them. You need no password to buy: as a guest, your address "
                "and name are enough."
            </p>
        </section>
    }
}

fn buying(held: &str, more: &str) -> impl IntoView + use<> {
    let held = format!(
        "When you reserve, the tickets are yours alone for {held}. Nobody else can take them, and \
         their price cannot change. Nearly out of time? Take {more} more, once."
    );
    view! {
        <section class="panel stack" aria-labelledby="buying">
            <h2 class="title" id="buying">"Buying"</h2>
            <p>{held}</p>
            <p>
                "What is not paid in time goes back on sale, and you are not charged. The price that you "
                "see is all you pay: no fees come later. One order holds up to "
                {TICKETS_PER_ORDER_MAX} " tickets."
            </p>
        </section>
    }
}

fn paying() -> impl IntoView {
    view! {
        <section class="panel stack" aria-labelledby="paying">
            <h2 class="title" id="paying">"Paying"</h2>
            <p>
                "You are charged only once the tickets are yours. Your card's details go straight from "
                "your browser to Stripe; we never see them."
            </p>
            <p>
                "Your bank may ask you to confirm, in its app or by a code: that is 3-D Secure, and it "
                "protects you. If a card is declined, nothing was charged and your tickets are still "
                "held: try again, try another card, or ask your bank, which alone knows why."
            </p>
        </section>
    }
}

fn refunds() -> impl IntoView {
    view! {
        <section class="panel stack" aria-labelledby="refunds">
            <h2 class="title" id="refunds">"Refunds"</h2>
            <p>
                "A sale is final for the buyer. The seller of a ticket, or we, can give your money back: "
                "when an event is called off, or a ticket turns out not to be what was promised. It goes "
                "to the card that paid, in 5 to 10 days, and the ticket is yours no longer."
            </p>
            <p>
                "Should your card ever be charged without your getting the tickets, the money goes back "
                "by itself. Your order's page always says what has happened."
            </p>
        </section>
    }
}

fn selling() -> impl IntoView {
    view! {
        <section class="panel stack" aria-labelledby="selling">
            <h2 class="title" id="selling">"Selling"</h2>
            <p>
                "Anybody can sell a ticket to an event that has not begun. You choose the price, and can "
                "change it or take the ticket off sale as long as nobody holds it. Once it is paid, the "
                "ticket is the buyer's."
            </p>
            <p>
                "A numbered seat can be listed once for an event. If somebody else has listed a seat that is "
                "yours, answer any mail that you had from us with a copy of your ticket: a person checks it "
                "and takes the other listing off sale."
            </p>
            <p><a href="/sell">"Sell a ticket"</a></p>
        </section>
    }
}
