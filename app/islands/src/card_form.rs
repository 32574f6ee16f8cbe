//! Island: the card form. The card is sent from the browser directly to Stripe; the shop gets only a token.

use crate::location::{load_anew, load_from_bank};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The parameters of Stripe.js, or of its stand-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardSetup {
    /// The script's URL.
    pub script_url: String,
    pub publishable_key: String,
    pub order_id: String,
    /// The amount in Stripe's minor units.
    pub provider_amount: i64,
    /// The ISO 4217 code.
    pub currency: String,
    /// The amount as text, for the button.
    pub amount_text: String,
}

/// The state of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormState {
    /// Loading Stripe's script.
    Starting,
    /// Waiting for the buyer.
    Ready,
    Paying,
    /// The bank's dialog is open.
    AtBank,
    /// The response was lost: asking the server for the payment.
    Checking,
    /// Stripe's script did not load.
    Broken,
}

impl FormState {
    /// Whether a payment may be in progress, so that the page must not be reloaded.
    fn is_under_way(self) -> bool {
        matches!(self, Self::Paying | Self::AtBank | Self::Checking)
    }
}

/// The interval at which the server is asked for a payment whose response was lost.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Takes a card and pays with it.
#[island]
pub fn CardForm(setup: CardSetup) -> impl IntoView {
    let (state, set_state) = signal(FormState::Starting);
    let (problem, set_problem) = signal(None::<String>);
    let host = NodeRef::<leptos::html::Div>::new();
    let amount = setup.amount_text.clone();
    let setup = StoredValue::new(setup);
    Effect::new(move || {
        if host.get().is_some() {
            start(setup.get_value(), set_state, set_problem);
        }
    });
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if state.get_untracked() == FormState::Ready {
            set_problem.set(None);
            set_state.set(FormState::Paying);
            pay(setup.get_value(), set_state, set_problem);
        }
    };
    let words = move || match state.get() {
        FormState::Paying => "Paying…".to_owned(),
        FormState::AtBank => "Your bank is asking…".to_owned(),
        FormState::Checking => "Checking your payment…".to_owned(),
        _ => format!("Pay {amount}"),
    };
    view! {
        <form class="card-form stack" on:submit=submit data-paying=move || state.get().is_under_way().then_some("")>
            <div id="card" node_ref=host></div>
            <p class="quiet" class:hidden=move || state.get() != FormState::Starting>"Loading the card form…"</p>
            <p class="notice notice-bad" role="alert" class:hidden=move || problem.get().is_none()>
                {move || problem.get()}
            </p>
            <button
                class="button button-wide"
                type="submit"
                class:hidden=move || state.get() == FormState::Broken
                disabled=move || state.get() != FormState::Ready
            >
                {words}
            </button>
        </form>
    }
}

/// Continues a payment that needs 3-D Secure.
#[island]
pub fn BankButton(
    /// The URL of Stripe.js, or of its stand-in.
    script_url: String,
    publishable_key: String,
    /// Stripe's client secret of the payment.
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
                Ok(()) => stripe::authenticate(&secret).await,
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
    set_state: WriteSignal<FormState>,
    set_problem: WriteSignal<Option<String>>,
) {
    leptos::task::spawn_local(async move {
        match stripe::mount(&setup).await {
            Ok(()) => set_state.set(FormState::Ready),
            Err(error) => {
                set_problem.set(Some(error));
                set_state.set(FormState::Broken);
            }
        }
    });
}

fn pay(
    setup: CardSetup,
    set_state: WriteSignal<FormState>,
    set_problem: WriteSignal<Option<String>>,
) {
    leptos::task::spawn_local(async move {
        match attempt(&setup, set_state).await {
            // The server renders the result.
            Ok(load) => load(),
            Err(PayError::AnswerLost) => {
                set_problem.set(Some(RESPONSE_LOST.to_owned()));
                set_state.set(FormState::Checking);
                check(setup.order_id, set_state, set_problem);
            }
            Err(PayError::Failed(error)) => {
                set_problem.set(Some(error));
                set_state.set(FormState::Ready);
            }
        }
    });
}

const RESPONSE_LOST: &str = "The connection was lost while you were paying. We are checking whether your \
     payment arrived; you will be charged once at most. Keep this page open.";
const NOT_ARRIVED: &str = "The connection was lost before your payment reached us, and your card was \
     not charged. Your tickets are still held: try again.";

const NOT_ARRIVED_OR_DECLINED: &str = "The connection was lost while you were paying, and your card \
     was not charged. Your tickets are still held: try again or use another card.";

/// Asks the server, until it responds, for a payment whose response was lost.
fn check(
    order_id: String,
    set_state: WriteSignal<FormState>,
    set_problem: WriteSignal<Option<String>>,
) {
    use crate::functions;
    use model::{error::AppError, payments::PaymentStatus};
    leptos::task::spawn_local(async move {
        match functions::find_newest_payment(order_id.clone()).await {
            Err(AppError::AnswerLost | AppError::Unavailable) => {
                set_timeout(move || check(order_id, set_state, set_problem), CHECK_EVERY);
            }
            Ok(None) => {
                set_problem.set(Some(NOT_ARRIVED.to_owned()));
                set_state.set(FormState::Ready);
            }
            Ok(Some(payment)) if payment.status == PaymentStatus::Declined => {
                set_problem.set(Some(NOT_ARRIVED_OR_DECLINED.to_owned()));
                set_state.set(FormState::Ready);
            }
            // The payment arrived, or the order's state changed: its page shows the result.
            Ok(Some(_)) | Err(_) => load_anew(),
        }
    });
}

/// Why an attempt to pay did not load the order's page.
enum PayError {
    /// A message for the buyer.
    Failed(String),
    /// The server's response was lost; the payment may have succeeded.
    AnswerLost,
}

impl From<String> for PayError {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// Creates the token and the payment, and opens the bank's dialog if required. Returns the function that loads
/// the order's page.
async fn attempt(setup: &CardSetup, set_state: WriteSignal<FormState>) -> Result<fn(), PayError> {
    use crate::functions;
    use model::{error::AppError, payments::PaymentStatus};
    let token = stripe::create_token().await?;
    let payment = match functions::pay(setup.order_id.clone(), token).await {
        Ok(payment) => payment,
        // The order's state changed, in another tab or because its hold ended: its page shows it.
        Err(AppError::Conflict { .. } | AppError::NotFound | AppError::SignInRequired) => {
            return Ok(load_anew);
        }
        Err(AppError::AnswerLost | AppError::Unavailable | AppError::Internal { .. }) => {
            return Err(PayError::AnswerLost);
        }
        Err(error) => return Err(error.to_string().into()),
    };
    match payment {
        Some(payment) if payment.status == PaymentStatus::RequiresAction => {
            set_state.set(FormState::AtBank);
            // Approved or refused: for the order's page, the server asks Stripe.
            let _ = stripe::authenticate(&payment.client_secret.unwrap_or_default()).await;
            Ok(load_from_bank)
        }
        _ => Ok(load_anew),
    }
}

/// Bindings to Stripe.js.
#[cfg(target_arch = "wasm32")]
mod stripe {
    use super::CardSetup;
    use js_sys::{Function, Object, Promise, Reflect};
    use leptos::prelude::{document, window};
    use std::cell::RefCell;
    use wasm_bindgen::{JsCast, JsValue, closure::Closure};
    use wasm_bindgen_futures::JsFuture;

    const NOT_LOADED: &str =
        "The card form could not be loaded. Are you online? Load the page again.";

    thread_local! {
        /// The objects `Stripe` and `Elements`, once loaded.
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
        called().map_err(|_| NOT_LOADED.to_owned())
    }

    async fn wait(promise: JsValue) -> Result<JsValue, String> {
        let promise: Promise = promise.dyn_into().map_err(|_| NOT_LOADED.to_owned())?;
        JsFuture::from(promise)
            .await
            .map_err(|_| NOT_LOADED.to_owned())
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

    /// Returns the error message in a result of Stripe.js, if any.
    fn check_result(answer: &JsValue) -> Result<(), String> {
        let error = field(answer, "error");
        if error.is_undefined() || error.is_null() {
            return Ok(());
        }
        let message = field(&error, "message").as_string();
        Err(message.unwrap_or_else(|| "The card could not be used. Try another.".to_owned()))
    }

    /// Loads the script once, and creates the object `Stripe`.
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
            JsFuture::from(loading)
                .await
                .map_err(|_| NOT_LOADED.to_owned())?;
        }
        let stripe = call(&window, "Stripe", &[&publishable_key.into()])?;
        LOADED.set(Some((stripe, JsValue::UNDEFINED)));
        Ok(())
    }

    /// Mounts the card's fields. Returns once they are ready.
    pub async fn mount(setup: &CardSetup) -> Result<(), String> {
        load(&setup.script_url, &setup.publishable_key).await?;
        let stripe = LOADED.with_borrow(|loaded| loaded.as_ref().map(|(stripe, _)| stripe.clone()));
        let stripe = stripe.ok_or(NOT_LOADED)?;
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
        JsFuture::from(ready)
            .await
            .map_err(|_| NOT_LOADED.to_owned())?;
        LOADED.set(Some((stripe, elements)));
        Ok(())
    }

    /// Creates a ConfirmationToken. Errors: Stripe's message about the card.
    pub async fn create_token() -> Result<String, String> {
        let loaded = LOADED.with_borrow(Clone::clone);
        let (stripe, elements) = loaded.ok_or(NOT_LOADED)?;
        check_result(&wait(call(&elements, "submit", &[])?).await?)?;
        let options = object(&[("elements", elements)]);
        let answer = wait(call(&stripe, "createConfirmationToken", &[&options])?).await?;
        check_result(&answer)?;
        field(&field(&answer, "confirmationToken"), "id")
            .as_string()
            .ok_or_else(|| NOT_LOADED.to_owned())
    }

    /// Runs 3-D Secure. Errors: Stripe's message.
    pub async fn authenticate(client_secret: &str) -> Result<(), String> {
        let stripe = LOADED.with_borrow(|loaded| loaded.as_ref().map(|(stripe, _)| stripe.clone()));
        let options = object(&[("clientSecret", client_secret.into())]);
        let answer = wait(call(
            &stripe.ok_or(NOT_LOADED)?,
            "handleNextAction",
            &[&options],
        )?)
        .await?;
        check_result(&answer)
    }
}

/// On the server the form is only rendered.
#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::unused_async, reason = "the same signatures as in the browser")]
mod stripe {
    use super::CardSetup;

    pub async fn load(_: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    pub async fn mount(_: &CardSetup) -> Result<(), String> {
        Ok(())
    }

    pub async fn create_token() -> Result<String, String> {
        Ok(String::new())
    }

    pub async fn authenticate(_: &str) -> Result<(), String> {
        Ok(())
    }
}
