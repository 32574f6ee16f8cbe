//! The payment panel of an order's page: card form, demo cards, bank confirmation.

use super::api;
use crate::ui::{Choice, Form, Icon, Input, choose, hidden, icon, post_to, problem_at_top};
use context::{self, Flash, Site};
use islands::{BankButton, CardForm, CardSetup, Wait};
use leptos::prelude::*;
use model::{
    charges::to_provider,
    error::AppResult,
    orders::Order,
    payments::{Payment, PaymentStatus},
};

/// Test cards of the demo: Stripe's token and the label.
const DEMO_CARDS: &[(&str, &str)] = &[
    ("pm_card_visa", "4242 4242 4242 4242: paid"),
    (
        "pm_card_threeDSecure2Required",
        "4000 0000 0000 3220: the bank asks first",
    ),
    ("pm_card_chargeDeclined", "4000 0000 0000 0002: declined"),
    (
        "pm_card_chargeDeclinedInsufficientFunds",
        "4000 0000 0000 9995: not enough money",
    ),
];

/// The panel for the payment's status.
pub fn payment_panel(
    order: &Order,
    payment: Option<Payment>,
    flash: Option<&Flash>,
) -> AppResult<AnyView> {
    let site = context::site()?;
    let declined = payment
        .as_ref()
        .is_some_and(|payment| payment.status == PaymentStatus::Declined);
    match payment {
        Some(payment) if payment.status == PaymentStatus::RequiresAction => {
            Ok(bank_panel(&site, &payment, flash))
        }
        Some(payment) if payment.status == PaymentStatus::Processing => Ok(processing_panel()),
        _ => Ok(card_panel(&site, order, declined, flash)),
    }
}

fn card_panel(site: &Site, order: &Order, declined: bool, flash: Option<&Flash>) -> AnyView {
    let form = Form::new("pay", flash);
    // The form shows a refusal of this request itself.
    let declined = (declined && !form.was_refused()).then(|| {
        view! {
            <p class="notice notice-bad" role="alert" tabindex="-1" autofocus=true>
                "The last card was not charged: it was declined, or your bank did not confirm it. "
                "Your tickets are still held. Try again or use another card."
            </p>
        }
    });
    let setup = CardSetup {
        script_url: site.stripe_script_url.clone(),
        publishable_key: site.stripe_publishable_key.clone(),
        order_id: order.id.to_string(),
        provider_amount: to_provider(order.currency.code(), order.total_minor)
            .unwrap_or(order.total_minor),
        currency: order.currency.to_string(),
        amount_text: order.total().to_string(),
    };
    let without_script = if site.demo.is_some() {
        demo_cards(order, &form)
    } else {
        view! {
            <noscript>
                <p class="notice">
                    "Your card's details go from your browser straight to Stripe and never to us. "
                    "That needs JavaScript: switch it on for this page to pay."
                </p>
            </noscript>
        }
        .into_any()
    };
    view! {
        <section class="panel stack" aria-labelledby="pay">
            <h2 class="title" id="pay">"Pay by card"</h2>
            {declined}
            {problem_at_top(&form)}
            <div class="needs-script stack">
                <CardForm setup/>
                <p class="quiet fact">
                    {icon(Icon::Lock)}
                    "You are charged only once the tickets are yours."
                </p>
            </div>
            {without_script}
        </section>
    }
    .into_any()
}

/// A form with Stripe's test cards, in a demo shop; works without JavaScript.
fn demo_cards(order: &Order, form: &Form) -> AnyView {
    let cards = DEMO_CARDS
        .iter()
        .map(|(token, label)| Choice::new(*token, *label))
        .collect();
    view! {
        {post_to::<islands::Pay>("demo-cards stack", view! {
            {choose(form, Input {
                name: "token", label: "Pay with a test card", value: "pm_card_visa".to_owned(),
                hint: Some("No real card, no real money.".to_owned()), ..Input::default()
            }, cards)}
            {hidden("order_id", order.id.to_string())}
            <button class="button button-quiet" type="submit">"Pay with the test card"</button>
        })}
    }
    .into_any()
}

fn bank_panel(site: &Site, payment: &Payment, flash: Option<&Flash>) -> AnyView {
    let form = Form::new("pay", flash);
    view! {
        <section class="panel stack" aria-labelledby="bank">
            <h2 class="title" id="bank">"Your bank asks you to confirm"</h2>
            <p>"Confirm the payment with your bank. Nothing is charged before that."</p>
            {problem_at_top(&form)}
            {post_to::<api::FindBankPage>("", view! {
                {hidden("payment_id", payment.id.to_string())}
                <BankButton
                    script_url=site.stripe_script_url.clone()
                    publishable_key=site.stripe_publishable_key.clone()
                    client_secret=payment.client_secret.clone().unwrap_or_default()
                />
            })}
        </section>
    }
    .into_any()
}

/// Shown until Stripe has answered; the page reloads itself.
fn processing_panel() -> AnyView {
    view! {
        <div class="panel stack" role="status">
            <h2 class="title">"Your payment is under way"</h2>
            <p>
                "Your tickets are held until the payment has ended. You are charged once or not at all. "
                "You can leave this page: the payment continues."
            </p>
            <Wait/>
            <noscript>
                <meta http-equiv="refresh" content="3"/>
                <p class="quiet">"This page reloads every three seconds."</p>
            </noscript>
        </div>
    }
    .into_any()
}
