//! Server functions of events.

use super::Facts;
use crate::error::AppError;
#[cfg(feature = "ssr")]
use crate::{
    error::{AppResult, FieldError},
    events::Category,
};
use leptos::{
    server,
    server_fn::codec::{MultipartData, MultipartFormData},
};

#[cfg(feature = "ssr")]
const NAMES: &[(&str, &str)] = &[("startsAt", "date"), ("timeZone", "time_zone")];

#[cfg(feature = "ssr")]
fn category_in(text: &str) -> Result<Category, FieldError> {
    if text.is_empty() {
        return Ok(Category::Other);
    }
    let unknown = |_| FieldError::new("category", "Choose one of the categories.");
    text.parse().map_err(unknown)
}

/// Creates an event from the words of a form, and goes on to its picture.
#[server(prefix = "/fn", endpoint = "events/create")]
pub async fn create(
    #[server(flatten)] facts: Facts,
    #[server(default)] currency: String,
) -> Result<(), AppError> {
    use crate::{
        context,
        events::{CreateEvent, Events, starts_at},
    };
    let events = context::port::<dyn Events>()?;
    let refuse = |error| {
        let values = facts.typed([("currency", currency.as_str())]);
        context::refuse(FACTS_FORM, context::at_fields(error, NAMES), &values)
    };
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return refuse(error),
    };
    let when = starts_at(&facts.date, &facts.time, &facts.time_zone);
    let money = currency
        .parse()
        .map_err(|_| FieldError::new("currency", "Choose one of the currencies."));
    let kind = category_in(&facts.category);
    let (starts_at, currency, category) = match (when, money, kind) {
        (Ok(when), Ok(money), Ok(kind)) => (when, money, kind),
        (when, money, kind) => {
            let wrong = [when.err(), money.err(), kind.err()];
            return refuse(AppError::Invalid(wrong.into_iter().flatten().collect()));
        }
    };
    let request = CreateEvent {
        title: facts.title.clone(),
        venue: facts.venue.clone(),
        city: facts.city.clone(),
        country: facts.country.clone(),
        starts_at,
        time_zone: facts.time_zone.clone(),
        currency,
        description: Some(facts.description.clone()),
        category,
    };
    // Whoever comes back to the form and sends it again wants no second one.
    let own = match events.created_by(&viewer).await {
        Ok(own) => own,
        Err(error) => return refuse(error),
    };
    if let Some(event) = own.iter().find(|event| event.is_as(&request)) {
        context::notice(format!("You have created {} already.", event.title));
        context::redirect(&format!("/sell?event={}", event.id));
        return Ok(());
    }
    match events.create(&viewer, request).await {
        Ok(event) => {
            context::notice(format!(
                "{} is created. You can add a picture, and then list your tickets.",
                event.title
            ));
            context::redirect(&format!("/events/{}/picture", event.id));
            Ok(())
        }
        Err(error) => refuse(error),
    }
}

/// Changes an event to the words of a form, and goes on to its page. `marks` are those of the form
/// as it was shown, at this `version` of the event.
#[server(prefix = "/fn", endpoint = "events/update")]
pub async fn update(
    #[server(default)] event: String,
    #[server(default)] version: String,
    #[server(default)] marks: String,
    #[server(flatten)] facts: Facts,
) -> Result<(), AppError> {
    use crate::{
        context,
        events::{Events, UpdateEvent, is_unchanged, starts_at},
    };
    let events = context::port::<dyn Events>()?;
    let refuse = |error| {
        let values = facts.typed([("version", version.as_str()), ("marks", &marks)]);
        context::refuse(FACTS_FORM, context::at_fields(error, NAMES), &values)
    };
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return refuse(error),
    };
    // The fields know no seconds: a start that nobody has touched stays as it is.
    let (date, time, time_zone) = (&facts.date, &facts.time, &facts.time_zone);
    let moves = [("date", date), ("time", time), ("time_zone", time_zone)]
        .iter()
        .any(|(name, text)| !is_unchanged(&marks, name, text));
    let when = moves.then(|| starts_at(date, time, time_zone)).transpose();
    let (starts_at, category) = match (when, category_in(&facts.category)) {
        (Ok(when), Ok(kind)) => (when, kind),
        (when, kind) => {
            let wrong = [when.err(), kind.err()].into_iter().flatten().collect();
            return refuse(AppError::Invalid(wrong));
        }
    };
    let request = UpdateEvent {
        title: Some(facts.title.clone()),
        venue: Some(facts.venue.clone()),
        city: Some(facts.city.clone()),
        country: Some(facts.country.clone()),
        starts_at,
        time_zone: Some(facts.time_zone.clone()),
        currency: None,
        description: Some(facts.description.clone()),
        category: Some(category),
        // No event has this version: who does not say which one they read has read none.
        version: version.parse().unwrap_or(0),
    };
    let Ok(id) = event.parse() else {
        return refuse(AppError::NotFound);
    };
    match events.update(&viewer, id, request).await {
        Ok(event) => {
            context::notice("Your changes are saved, and visitors see them.");
            context::redirect(&format!("/events/{}", event.id));
            Ok(())
        }
        Err(error) => refuse(error),
    }
}

/// Puts the picture of a form in the place of an event's, and goes on to where the form says.
#[server(prefix = "/fn", endpoint = "events/put_picture", input = MultipartFormData)]
pub async fn put_picture(form: MultipartData) -> Result<(), AppError> {
    use crate::{
        context,
        events::{Pictures, picture_form::After},
    };
    let pictures = context::port::<dyn Pictures>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse(PICTURE_FORM, error, &[]),
    };
    let sent = match read_picture(form).await {
        Ok(sent) => sent,
        Err(error) => return context::refuse(PICTURE_FORM, error, &[]),
    };
    let done = match sent.event.parse() {
        Ok(id) => {
            pictures
                .put(
                    &viewer,
                    id,
                    sent.bytes,
                    sent.fit.parse().unwrap_or_default(),
                    None,
                )
                .await
        }
        Err(_) => Err(AppError::NotFound),
    };
    let values = [("fit", sent.fit.as_str())];
    match done {
        Ok(event) => {
            let (notice, page) = match After::read(&sent.after) {
                After::Edit => (
                    "The picture is saved, and visitors see it.",
                    format!("/events/{}/edit", event.id),
                ),
                After::Sell => (
                    "The picture is saved. Now list your tickets.",
                    format!("/sell?event={}", event.id),
                ),
            };
            context::notice(notice);
            context::redirect(&page);
            Ok(())
        }
        Err(error) => context::refuse(PICTURE_FORM, error, &values),
    }
}

/// Takes an event's picture away, and goes back to the form.
#[server(prefix = "/fn", endpoint = "events/remove_picture")]
pub async fn remove_picture(#[server(default)] event: String) -> Result<(), AppError> {
    use crate::{context, events::Pictures};
    let pictures = context::port::<dyn Pictures>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse(PICTURE_FORM, error, &[]),
    };
    let done = match event.parse() {
        Ok(id) => pictures.remove(&viewer, id, None).await,
        Err(_) => Err(AppError::NotFound),
    };
    match done {
        Ok(event) => {
            context::notice("The picture is removed.");
            context::redirect_back(&format!("/events/{}/edit", event.id));
            Ok(())
        }
        Err(error) => context::refuse(PICTURE_FORM, error, &[]),
    }
}

/// The form of what is said of an event.
#[cfg(feature = "ssr")]
pub(crate) const FACTS_FORM: &str = "event";

/// What to do about a picture that has too many bytes.
#[cfg(feature = "ssr")]
pub fn too_large() -> String {
    let most = crate::events::PICTURE_BYTES_MAX / 1024 / 1024;
    format!("This file is too large. Use one of at most {most} MB.")
}

/// The form of an event's picture.
#[cfg(feature = "ssr")]
pub const PICTURE_FORM: &str = "event-picture";

/// What the form of a picture sends.
#[cfg(feature = "ssr")]
struct SentPicture {
    event: String,
    fit: String,
    after: String,
    bytes: Vec<u8>,
}

/// All of the form is read, so that whoever sent it hears what is wrong with it, but no more is kept
/// than a picture may have.
#[cfg(feature = "ssr")]
async fn read_picture(form: MultipartData) -> AppResult<SentPicture> {
    use crate::events::PICTURE_BYTES_MAX;
    const TEXT_BYTES_MAX: usize = 64;
    let broken = || {
        AppError::invalid(
            "picture",
            "The file did not arrive completely. Send it again.",
        )
    };
    let mut form = form.into_inner().ok_or_else(broken)?;
    let (mut event, mut fit, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let (mut picture, mut is_too_large) = (Vec::new(), false);
    while let Some(mut part) = form.next_field().await.map_err(|_| broken())? {
        let (into, most) = match part.name() {
            Some("event") => (&mut event, TEXT_BYTES_MAX),
            Some("fit") => (&mut fit, TEXT_BYTES_MAX),
            Some("after") => (&mut after, TEXT_BYTES_MAX),
            Some("picture") => (&mut picture, PICTURE_BYTES_MAX),
            _ => continue,
        };
        while let Some(chunk) = part.chunk().await.map_err(|_| broken())? {
            if into.len() + chunk.len() <= most {
                into.extend_from_slice(&chunk);
            } else {
                is_too_large = true;
            }
        }
    }
    if is_too_large {
        return Err(AppError::invalid("picture", too_large()));
    }
    if picture.is_empty() {
        return Err(AppError::invalid("picture", "Choose a picture first."));
    }
    let text = |bytes| String::from_utf8(bytes).unwrap_or_default();
    Ok(SentPicture {
        event: text(event),
        fit: text(fit),
        after: text(after),
        bytes: picture,
    })
}
