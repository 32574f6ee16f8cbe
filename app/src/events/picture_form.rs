//! The form for an event's picture: on the edit page, and at `/events/:id/picture` after an event is
//! created. It is separate from the event form, so that a refused picture does not lose typed text.

use super::{
    Spot,
    api::{PICTURE_FORM, PutPicture, RemovePicture},
    cover, find_own,
};
use crate::ui::{
    Choice, Form, Input, choose, field, flash_message, hidden, page_for, post_file_to, post_to,
    problem_at_top,
};
use context::{self, Flash};
use islands::PicturePreview;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;
use model::events::{Event, Fit, PICTURE_BYTES_MAX};

/// The page after a successful upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The edit page.
    Edit,
    /// The page for listing tickets.
    Sell,
}

impl After {
    /// The value of the form field.
    pub fn code(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Sell => "sell",
        }
    }

    /// The inverse of [`After::code`]; `Edit` for unknown values.
    pub fn parse(text: &str) -> Self {
        if text == Self::Sell.code() {
            Self::Sell
        } else {
            Self::Edit
        }
    }
}

/// The page that offers a picture for an event that has just been created.
#[component]
pub fn EventPicturePage() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("id").unwrap_or_default());
    page_for(|viewer| async move {
        let event = find_own(&viewer, &id).await?;
        let flash = context::take_flash();
        let over = event.span().is_over(context::now());
        let on = if event.picture.is_some() {
            "Go on to your tickets"
        } else {
            "Go on without a picture"
        };
        Ok(view! {
            <Title text=format!("Picture: {}", event.title)/>
            <section class="narrow">
                <div class="sale-head">
                    <h1 class="display">"Add a picture"</h1>
                    <p><a dir="auto" href=format!("/events/{}", event.id)>{event.title.clone()}</a></p>
                </div>
                {flash_message(flash.as_ref())}
                {picture_panel(&event, over, After::Sell, flash.as_ref())}
                <p><a class="button button-quiet" href=format!("/sell?event={}", event.id)>{on}</a></p>
            </section>
        }
        .into_any())
    })
}

/// The current picture, and the forms to replace and remove it.
pub fn picture_panel(event: &Event, over: bool, after: After, flash: Option<&Flash>) -> AnyView {
    let form = Form::new(PICTURE_FORM, flash);
    let id = event.id.to_string();
    let has_one = event.picture.is_some();
    let (shown, verb) = if has_one {
        ("This is how visitors see it.", "Replace the picture")
    } else {
        (
            "There is no picture yet. Visitors see this cover, drawn from the title.",
            "Upload the picture",
        )
    };
    let upload = (!over).then(|| upload(&form, id.clone(), verb, after));
    let remove = has_one.then(|| {
        post_to::<RemovePicture>(
            "",
            view! {
                {hidden("event", id.clone())}
                <button class="button button-quiet" type="submit">"Remove the picture"</button>
            },
        )
    });
    view! {
        <section class="panel stack" aria-labelledby="picture">
            <h2 class="title" id="picture">"Picture"</h2>
            <div class="picture-now">{cover(event, Spot::Head)}</div>
            <p class="quiet">{shown}</p>
            {upload}
            {remove}
        </section>
    }
    .into_any()
}

fn upload(form: &Form, event: String, verb: &'static str, after: After) -> AnyView {
    let hint = format!(
        "JPEG, PNG or WebP of up to {} MB, at least 480 by 300 pixels.",
        PICTURE_BYTES_MAX / 1024 / 1024
    );
    let parts = Fit::ALL
        .map(|fit| Choice::new(fit.code(), fit.label()))
        .into();
    post_file_to::<PutPicture>(
        "stack",
        view! {
            {problem_at_top(form)}
            {hidden("event", event)}
            {hidden("after", after.code())}
            {field(form, Input {
                name: "picture", label: "A picture of your own", kind: "file",
                accept: "image/jpeg,image/png,image/webp", hint: Some(hint), ..Input::default()
            })}
            {choose(form, Input {
                name: "fit", label: "Visible part", value: Fit::default().code().to_owned(),
                hint: Some("Pictures are shown in landscape format, 8 to 5.".to_owned()), ..Input::default()
            }, parts)}
            <PicturePreview field=format!("{PICTURE_FORM}-picture")/>
            <button class="button" type="submit">{verb}</button>
        },
    )
    .into_any()
}
