//! The card form: the card goes from the buyer's browser straight to Stripe, and only a token of
//! it comes to us. Island.

use crate::location::{load_anew, load_from_bank};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where Stripe.js (or its stand-in) is, and what it must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardSetup {
    /// The script's address.
    pub script_url: String,
    /// The publishable key.
    pub publishable_key: String,
    /// The order to pay.
    pub order_id: String,
    /// What is charged, in Stripe's minor units.
    pub provider_amount: i64,
    /// ISO code.
    pub currency: String,
    /// The amount as the button says it.
    pub amount_text: String,
}

/// What the form is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Loading Stripe's script.
    Starting,
    /// Waiting for the buyer.
    Ready,
    /// Paying.
    Paying,
    /// The buyer's bank is asking.
    AtBank,
    /// The answer was lost: asking whether the payment arrived.
    Checking,
    /// The script did not load.
    Broken,
}

impl Doing {
    /// Whether a payment may be on its way, so that the page must not be left.
    fn is_under_way(self) -> bool {
        matches!(self, Self::Paying | Self::AtBank | Self::Checking)
    }
}

/// How long the form waits between two questions for a payment whose answer was lost.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Takes a card and pays with it.
#[island]
pub fn CardForm(
    /// What is paid, and by whose script.
    setup: CardSetup,
) -> impl IntoView {
    let (doing, set_doing) = signal(Doing::Starting);
    let (problem, set_problem) = signal(None::<String>);
    let host = NodeRef::<leptos::html::Div>::new();
    let amount = setup.amount_text.clone();
    let setup = StoredValue::new(setup);
    Effect::new(move || {
        if host.get().is_some() {
            start(setup.get_value(), set_doing, set_problem);
        }
    });
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if doing.get_untracked() == Doing::Ready {
            set_problem.set(None);
            set_doing.set(Doing::Paying);
            pay(setup.get_value(), set_doing, set_problem);
        }
    };
    let words = move || match doing.get() {
        Doing::Paying => "Paying…".to_owned(),
        Doing::AtBank => "Your bank is asking…".to_owned(),
        Doing::Checking => "Checking your payment…".to_owned(),
        _ => format!("Pay {amount}"),
    };
    view! {
        <form class="card-form stack" on:submit=submit data-paying=move || doing.get().is_under_way().then_some("")>
            <div id="card" node_ref=host></div>
            <p class="quiet" class:hidden=move || doing.get() != Doing::Starting>"Loading the card form…"</p>
            <p class="notice notice-bad" role="alert" class:hidden=move || problem.get().is_none()>
                {move || problem.get()}
            </p>
            <button
                class="button button-wide"
                type="submit"
                class:hidden=move || doing.get() == Doing::Broken
                disabled=move || doing.get() != Doing::Ready
            >
                {words}
            </button>
        </form>
    }
}

/// Goes on with a payment that the buyer's bank wants to hear about.
#[island]
pub fn BankButton(
    /// Where Stripe.js (or its stand-in) is.
    script_url: String,
    /// The publishable key.
    publishable_key: String,
    /// What names the payment to Stripe.js.
    client_secret: String,
) -> impl IntoView {
    let (busy, set_busy) = signal(false);
    let (problem, set_problem) = signal(None::<String>);
    let go = move |event: leptos::ev::MouseEvent| {
        event.prevent_default();
        set_busy.set(true);
        let (script, key, secret) = (
            script_url.clone(),
            publishable_key.clone(),
            client_secret.clone(),
        );
        leptos::task::spawn_local(async move {
            let asked = stripe::load(&script, &key).await;
            let answered = match asked {
                Ok(()) => stripe::at_bank(&secret).await,
                Err(error) => Err(error),
            };
            set_problem.set(answered.err());
            set_busy.set(false);
            load_from_bank();
        });
    };
    view! {
        <button
            class="button"
            type="submit"
            on:click=go
            disabled=move || busy.get()
            data-paying=move || busy.get().then_some("")
        >
            {move || if busy.get() { "Your bank is asking…" } else { "Continue to your bank" }}
        </button>
        <p class="notice notice-bad" role="alert" class:hidden=move || problem.get().is_none()>
            {move || problem.get()}
        </p>
    }
}

fn start(
    setup: CardSetup,
    set_doing: WriteSignal<Doing>,
    set_problem: WriteSignal<Option<String>>,
) {
    leptos::task::spawn_local(async move {
        match stripe::mount(&setup).await {
            Ok(()) => set_doing.set(Doing::Ready),
            Err(error) => {
                set_problem.set(Some(error));
                set_doing.set(Doing::Broken);
            }
        }
    });
}

fn pay(setup: CardSetup, set_doing: WriteSignal<Doing>, set_problem: WriteSignal<Option<String>>) {
    leptos::task::spawn_local(async move {
        match attempt(&setup, set_doing).await {
            // The server renders what has become of it.
            Ok(load) => load(),
            Err(NotPaid::AnswerLost) => {
                set_problem.set(Some(LOST.to_owned()));
                set_doing.set(Doing::Checking);
                check(setup.order_id, set_doing, set_problem);
            }
            Err(NotPaid::Because(error)) => {
                set_problem.set(Some(error));
                set_doing.set(Doing::Ready);
            }
        }
    });
}

const LOST: &str = "The connection was lost while you were paying. We are checking whether your \
     payment arrived; you will be charged once at most. Keep this page open.";
const NOT_ARRIVED: &str = "The connection was lost before your payment reached us, and your card was \
     not charged. Your tickets are still held: try again.";

const NOT_ARRIVED_OR_DECLINED: &str = "The connection was lost while you were paying, and your card \
     was not charged. Your tickets are still held: try again or use another card.";

/// Asks the server, until it answers, what has become of a payment whose answer was lost.
fn check(
    order_id: String,
    set_doing: WriteSignal<Doing>,
    set_problem: WriteSignal<Option<String>>,
) {
    use crate::functions;
    use model::{error::AppError, payments::PaymentStatus};
    leptos::task::spawn_local(async move {
        match functions::find_newest_payment(order_id.clone()).await {
            Err(AppError::AnswerLost | AppError::Unavailable) => {
                set_timeout(move || check(order_id, set_doing, set_problem), CHECK_EVERY);
            }
            Ok(None) => {
                set_problem.set(Some(NOT_ARRIVED.to_owned()));
                set_doing.set(Doing::Ready);
            }
            Ok(Some(payment)) if payment.status == PaymentStatus::Declined => {
                set_problem.set(Some(NOT_ARRIVED_OR_DECLINED.to_owned()));
                set_doing.set(Doing::Ready);
            }
            // It arrived, or the order has moved on: its page says how it stands.
            Ok(Some(_)) | Err(_) => load_anew(),
        }
    });
}

/// Why an attempt to pay did not end on the order's page.
enum NotPaid {
    /// A sentence for the buyer.
    Because(String),
    /// The server may have the payment, and its answer did not arrive.
    AnswerLost,
}

impl From<String> for NotPaid {
    fn from(reason: String) -> Self {
        Self::Because(reason)
    }
}

/// Makes the token and the payment, and opens the bank's dialog if it is required. Returns the function
/// that loads the order's page.
async fn attempt(setup: &CardSetup, set_doing: WriteSignal<Doing>) -> Result<fn(), NotPaid> {
    use crate::functions;
    use model::{error::AppError, payments::PaymentStatus};
    let token = stripe::token().await?;
    let payment = match functions::pay(setup.order_id.clone(), token).await {
        Ok(payment) => payment,
        // The order has moved on, in another tab or by the clock: its page says how it stands.
        Err(AppError::Conflict { .. } | AppError::NotFound | AppError::SignInRequired) => {
            return Ok(load_anew);
        }
        Err(AppError::AnswerLost | AppError::Unavailable | AppError::Internal { .. }) => {
            return Err(NotPaid::AnswerLost);
        }
        Err(error) => return Err(error.to_string().into()),
    };
    match payment {
        Some(payment) if payment.status == PaymentStatus::RequiresAction => {
            set_doing.set(Doing::AtBank);
            // Approved or refused: the order's page asks Stripe and says how it stands.
            let _ = stripe::at_bank(&payment.client_secret.unwrap_or_default()).await;
            Ok(load_from_bank)
        }
        _ => Ok(load_anew),
    }
}

/// Stripe.js, as far as we call it.
#[cfg(target_arch = "wasm32")]
mod stripe {
    use super::CardSetup;
    use js_sys::{Function, Object, Promise, Reflect};
    use leptos::prelude::{document, window};
    use std::cell::RefCell;
    use wasm_bindgen::{JsCast, JsValue, closure::Closure};
    use wasm_bindgen_futures::JsFuture;

    const AWAY: &str = "The card form could not be loaded. Are you online? Load the page again.";

    thread_local! {
        /// Stripe's object and its elements, once they are there.
        static LOADED: RefCell<Option<(JsValue, JsValue)>> = const { RefCell::new(None) };
    }

    fn call(on: &JsValue, method: &str, arguments: &[&JsValue]) -> Result<JsValue, String> {
        let called = || -> Result<JsValue, JsValue> {
            let method: Function = Reflect::get(on, &method.into())?.dyn_into()?;
            let list = js_sys::Array::new();
            for argument in arguments {
                list.push(argument);
            }
            method.apply(on, &list)
        };
        called().map_err(|_| AWAY.to_owned())
    }

    async fn wait(promise: JsValue) -> Result<JsValue, String> {
        let promise: Promise = promise.dyn_into().map_err(|_| AWAY.to_owned())?;
        JsFuture::from(promise).await.map_err(|_| AWAY.to_owned())
    }

    fn field(of: &JsValue, name: &str) -> JsValue {
        Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
    }

    fn object(fields: &[(&str, JsValue)]) -> JsValue {
        let object = Object::new();
        for (name, value) in fields {
            let _ = Reflect::set(&object, &(*name).into(), value);
        }
        object.into()
    }

    /// What an answer of Stripe.js complains about, in its words.
    fn complaint(answer: &JsValue) -> Result<(), String> {
        let error = field(answer, "error");
        if error.is_undefined() || error.is_null() {
            return Ok(());
        }
        let message = field(&error, "message").as_string();
        Err(message.unwrap_or_else(|| "The card could not be used. Try another.".to_owned()))
    }

    /// Loads the script, once, and makes Stripe's object.
    pub async fn load(script_url: &str, publishable_key: &str) -> Result<(), String> {
        if LOADED.with_borrow(Option::is_some) {
            return Ok(());
        }
        let (url, window) = (script_url.to_owned(), window());
        if field(&window, "Stripe").is_undefined() {
            let loading = Promise::new(&mut |resolve, reject| {
                let script = document().create_element("script").ok();
                let script =
                    script.and_then(|script| script.dyn_into::<web_sys::HtmlScriptElement>().ok());
                if let (Some(script), Some(head)) = (script, document().head()) {
                    script.set_src(&url);
                    script.set_onload(Some(&resolve));
                    script.set_onerror(Some(&reject));
                    let _ = head.append_child(&script);
                }
            });
            JsFuture::from(loading).await.map_err(|_| AWAY.to_owned())?;
        }
        let stripe = call(&window, "Stripe", &[&publishable_key.into()])?;
        LOADED.set(Some((stripe, JsValue::UNDEFINED)));
        Ok(())
    }

    /// Puts the card's fields on the page. Returns once they can be used.
    pub async fn mount(setup: &CardSetup) -> Result<(), String> {
        load(&setup.script_url, &setup.publishable_key).await?;
        let stripe = LOADED.with_borrow(|loaded| loaded.as_ref().map(|(stripe, _)| stripe.clone()));
        let stripe = stripe.ok_or(AWAY)?;
        #[expect(clippy::cast_precision_loss, reason = "eight digits at most")]
        let amount = setup.provider_amount as f64;
        let options = object(&[
            ("mode", "payment".into()),
            ("amount", amount.into()),
            ("currency", setup.currency.to_lowercase().into()),
            ("captureMethod", "manual".into()),
            (
                "paymentMethodTypes",
                js_sys::Array::of1(&"card".into()).into(),
            ),
        ]);
        let elements = call(&stripe, "elements", &[&options])?;
        let element = call(&elements, "create", &[&"payment".into()])?;
        let ready = Promise::new(&mut |resolve, _| {
            let done = Closure::once_into_js(move || {
                let _ = resolve.call0(&JsValue::NULL);
            });
            let _ = call(&element, "on", &[&"ready".into(), &done]);
        });
        call(&element, "mount", &[&"#card".into()])?;
        JsFuture::from(ready).await.map_err(|_| AWAY.to_owned())?;
        LOADED.set(Some((stripe, elements)));
        Ok(())
    }

    /// The card as a ConfirmationToken. Errors: what is wrong with the card.
    pub async fn token() -> Result<String, String> {
        let loaded = LOADED.with_borrow(Clone::clone);
        let (stripe, elements) = loaded.ok_or(AWAY)?;
        complaint(&wait(call(&elements, "submit", &[])?).await?)?;
        let options = object(&[("elements", elements)]);
        let answer = wait(call(&stripe, "createConfirmationToken", &[&options])?).await?;
        complaint(&answer)?;
        field(&field(&answer, "confirmationToken"), "id")
            .as_string()
            .ok_or_else(|| AWAY.to_owned())
    }

    /// Brings the buyer to their bank and back. Errors: what the bank said.
    pub async fn at_bank(client_secret: &str) -> Result<(), String> {
        let stripe = LOADED.with_borrow(|loaded| loaded.as_ref().map(|(stripe, _)| stripe.clone()));
        let options = object(&[("clientSecret", client_secret.into())]);
        let answer = wait(call(&stripe.ok_or(AWAY)?, "handleNextAction", &[&options])?).await?;
        complaint(&answer)
    }
}

/// On the server the form is only drawn.
#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::unused_async, reason = "the same shapes as in the browser")]
mod stripe {
    use super::CardSetup;

    pub async fn load(_: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    pub async fn mount(_: &CardSetup) -> Result<(), String> {
        Ok(())
    }

    pub async fn token() -> Result<String, String> {
        Ok(String::new())
    }

    pub async fn at_bank(_: &str) -> Result<(), String> {
        Ok(())
    }
}
