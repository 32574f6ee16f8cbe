//! `/help`: explains buying, selling and refunds, with the settings of this installation.

use crate::ui::{LinkPreview, link_preview, page};
use islands::in_minutes;
use leptos::prelude::*;
use model::orders::TICKETS_PER_ORDER_MAX;

/// The page.
#[component]
pub fn HelpPage() -> impl IntoView {
    page(async move {
        let site = context::site()?;
        let (held, more) = (in_minutes(site.hold_seconds), in_minutes(site.more_seconds));
        Ok(view! {
            {link_preview(LinkPreview {
                title: "Help".to_owned(),
                text: "How buying, paying, refunds and selling work, and the terms of sale.".to_owned(),
                path: "/help".to_owned(),
                image: None,
            })}
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
                        "Reply to any mail from us with the order's number, which is in the mail and on "
                        "the order's page. We will look into it."
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
                "A ticket is sold by the person named beside it, at the price that they set. This shop "
                "holds it for you and takes the payment. The sale is made with your payment and is final, "
                "except as described under Refunds."
            </p>
            <p>
                "A ticket admits one person, once: the first who shows its code. Share the code only with "
                "people you trust."
            </p>
            <p>
                "We keep your name and e-mail address, to send you your tickets, until you delete your "
                "account; records of payments stay without them. You can buy without a password: a guest "
                "gives only an address and a name."
            </p>
        </section>
    }
}

fn buying(held: &str, more: &str) -> impl IntoView + use<> {
    let held = format!(
        "When you reserve, the tickets are yours alone for {held}. Nobody else can take them, and \
         their price cannot change. If that is not enough, you can take {more} more, once."
    );
    view! {
        <section class="panel stack" aria-labelledby="buying">
            <h2 class="title" id="buying">"Buying"</h2>
            <p>{held}</p>
            <p>
                "Tickets that are not paid for in time go back on sale, and you are not charged. The price "
                "you see is all you pay: no fees are added. One order holds up to "
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
                "held: try again, try another card, or ask your bank for the reason."
            </p>
        </section>
    }
}

fn refunds() -> impl IntoView {
    view! {
        <section class="panel stack" aria-labelledby="refunds">
            <h2 class="title" id="refunds">"Refunds"</h2>
            <p>
                "A sale is final for the buyer. The seller of a ticket, or we, can refund you, for example "
                "if an event is cancelled or a ticket is not as described. The money goes back to the card "
                "that paid, in 5 to 10 days, and the ticket is no longer valid."
            </p>
            <p>
                "If your card is charged and you do not get the tickets, the money is refunded "
                "automatically. Your order's page always shows what has happened."
            </p>
        </section>
    }
}

fn selling() -> impl IntoView {
    view! {
        <section class="panel stack" aria-labelledby="selling">
            <h2 class="title" id="selling">"Selling"</h2>
            <p>
                "Anyone can sell a ticket to an event until its sales end. You choose the price, and can "
                "change it or take the ticket off sale as long as no buyer is paying for it. Once it is "
                "paid for, the ticket belongs to the buyer."
            </p>
            <p>
                "A numbered seat can be listed once for an event. If another seller has listed your seat, "
                "reply to any mail from us with a copy of your ticket. We check it and take the other "
                "listing off sale."
            </p>
            <p><a href="/sell">"Sell a ticket"</a></p>
        </section>
    }
}
