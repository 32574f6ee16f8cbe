//! The gallery's colours, type and notices.

use super::part;
use leptos::prelude::*;

/// The name and class of each colour. Class names are written in full because Tailwind searches the source for
/// them.
const COLOURS: &[(&str, &str)] = &[
    ("paper", "bg-(--paper)"),
    ("surface", "bg-(--surface)"),
    ("sunken", "bg-(--sunken)"),
    ("line", "bg-(--line)"),
    ("control", "bg-(--control)"),
    ("quiet", "bg-(--quiet)"),
    ("ink", "bg-(--ink)"),
    ("accent", "bg-(--accent)"),
    ("accent-strong", "bg-(--accent-strong)"),
    ("on-accent", "bg-(--on-accent)"),
    ("good", "bg-(--good)"),
    ("good-ground", "bg-(--good-ground)"),
    ("bad", "bg-(--bad)"),
    ("bad-ground", "bg-(--bad-ground)"),
    ("open", "bg-(--open)"),
    ("open-ground", "bg-(--open-ground)"),
];

/// All colours of the light and dark themes, side by side.
pub fn colours() -> AnyView {
    let side = |theme: &'static str| {
        let swatches = COLOURS
            .iter()
            .map(|(name, class)| {
                view! {
                    <li class="swatch">
                        <span class=format!("swatch-colour {class}")></span>
                        {*name}
                    </li>
                }
            })
            .collect_view();
        view! { <ul class="swatches" data-theme=theme>{swatches}</ul> }
    };
    let both = view! { <div class="gallery-pair">{side("light")} {side("dark")}</div> };
    part("colours", "Colours", both.into_any())
}

/// The steps of the type scale, and the classes that use them.
pub fn type_scale() -> AnyView {
    let steps = view! {
        <div class="panel stack">
            <p class="display">"Display: the house lights go down"</p>
            <p class="section-title">"Section title: on this week"</p>
            <p class="card-title">"Card title: The Lamplighter"</p>
            <p class="title">"Title: your tickets are held for you"</p>
            <p class="lead">"Lead: what a page is about, in one or two quiet lines below its title."</p>
            <p>
                "Body: every price is the full price, and a ticket is sold once. "
                <a href="#type">"A link"</a> " stands in the text like this."
            </p>
            <p class="quiet">"Quiet: Thu 12 March 2026, 19:30 · Theatre Royal, Leeds"</p>
            <p class="hint">"Hint: what a field would like to have."</p>
            <p class="error">"Error: choose a day that is still to come."</p>
            <ul class="bullets">
                <li>"One thing of a short list"</li>
                <li>"and another"</li>
            </ul>
        </div>
    };
    part("type", "Type", steps.into_any())
}

/// Notices and badges.
pub fn notices() -> AnyView {
    let said = view! {
        <p class="notice">"This event has begun. Its tickets are no longer traded."</p>
        <p class="notice notice-good">"Your ticket is for sale."</p>
        <p class="notice notice-bad">
            "Another buyer was faster. " <a href="#notices">"See what else there is"</a>
        </p>
        <p class="refund refund-open">"£42.00 are on their way back to you."</p>
        <p class="refund refund-good">"£42.00 were refunded."</p>
        <p class="refund refund-bad">"The refund did not go through. We are looking into it."</p>
        <p class="row">
            <span class="badge">"Cancelled"</span>
            <span class="badge badge-good">"Paid"</span>
            <span class="badge badge-open">"To pay"</span>
        </p>
    };
    part("notices", "Notices and badges", said.into_any())
}
