//! Renders a page once all of its data is there. An error becomes an error page with its status.

use leptos::prelude::*;
use leptos_meta::Title;
use model::{
    accounts::Viewer,
    error::{AppError, AppResult},
};

/// A page for all visitors.
pub fn page(content: impl Future<Output = AppResult<AnyView>> + Send + 'static) -> impl IntoView {
    view! {
        <Suspense>
            {Suspend::new(async move { content.await.unwrap_or_else(|error| problem(&error)) })}
        </Suspense>
    }
}

/// A page for signed-in users. Others are redirected to the sign-in page, which leads back.
pub fn page_for<F>(content: impl FnOnce(Viewer) -> F) -> AnyView
where
    F: Future<Output = AppResult<AnyView>> + Send + 'static,
{
    if let Some(viewer) = context::viewer() {
        return page(content(viewer)).into_any();
    }
    context::sign_in_first(&context::here());
    view! { <h1>"Sign in first"</h1> <p><a href="/signin">"Sign in"</a></p> }.into_any()
}

/// The error page.
pub fn problem(error: &AppError) -> AnyView {
    context::page_status(error.status());
    if *error == AppError::SecondFactorSetupRequired {
        return set_up_first(error).into_any();
    }
    let (title, text) = match error {
        AppError::NotFound => (
            "There is nothing here",
            "The page may have moved, or you may not have access to it.".to_owned(),
        ),
        AppError::Internal { .. } | AppError::Unavailable => {
            ("That is our fault", error.to_string())
        }
        other => ("That did not work", other.to_string()),
    };
    view! {
        <Title text=title/>
        <section class="empty">
            <p class="empty-code">{error.status().as_u16()}</p>
            <h1 class="display">{title}</h1>
            <p>{text}</p>
            <p><a class="button" href="/">"See what is on"</a></p>
        </section>
    }
    .into_any()
}

/// The page for an operator who has to set up a second factor first; its link leads back here.
fn set_up_first(error: &AppError) -> impl IntoView + use<> {
    let to = context::with_next("/account/second-factor", &context::here());
    let text = error.to_string();
    view! {
        <Title text="Set up a second factor first"/>
        <section class="empty">
            <h1 class="display">"Set up a second factor first"</h1>
            <p>{text}</p>
            <p><a class="button" href=to>"Set it up"</a></p>
        </section>
    }
}
