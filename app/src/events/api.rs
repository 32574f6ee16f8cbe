//! Server functions of events.

#![expect(
    clippy::too_many_arguments,
    reason = "a form's fields are its function's arguments"
)]

use crate::error::AppError;
use leptos::server;

/// Creates an event from the words of a form, and goes on to listing tickets for it.
#[server(prefix = "/fn", endpoint = "events/create")]
pub async fn create(
    #[server(default)] title: String,
    #[server(default)] venue: String,
    #[server(default)] city: String,
    #[server(default)] country: String,
    #[server(default)] date: String,
    #[server(default)] time: String,
    #[server(default)] time_zone: String,
    #[server(default)] currency: String,
    #[server(default)] description: String,
    #[server(default)] category: String,
) -> Result<(), AppError> {
    use crate::{
        context,
        error::FieldError,
        events::{Category, CreateEvent, Events, starts_at},
    };
    let values = [
        ("title", title.as_str()),
        ("venue", &venue),
        ("city", &city),
        ("country", &country),
        ("date", &date),
        ("time", &time),
        ("time_zone", &time_zone),
        ("currency", &currency),
        ("description", &description),
        ("category", &category),
    ];
    let events = context::port::<dyn Events>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse("event", error, &values),
    };
    let when = starts_at(&date, &time, &time_zone);
    let money = currency
        .parse()
        .map_err(|_| FieldError::new("currency", "Choose one of the currencies."));
    let kind = match category.as_str() {
        "" => Ok(Category::Other),
        code => code
            .parse()
            .map_err(|_| FieldError::new("category", "Choose one of the categories.")),
    };
    let (when, money, kind) = match (when, money, kind) {
        (Ok(when), Ok(money), Ok(kind)) => (when, money, kind),
        (when, money, kind) => {
            let wrong = [when.err(), money.err(), kind.err()];
            let wrong = wrong.into_iter().flatten().collect();
            return context::refuse("event", AppError::Invalid(wrong), &values);
        }
    };
    let request = CreateEvent {
        title: title.clone(),
        venue: venue.clone(),
        city: city.clone(),
        country: country.clone(),
        starts_at: when,
        time_zone: time_zone.clone(),
        currency: money,
        description: Some(description.clone()),
        category: kind,
    };
    match events.create(&viewer, request).await {
        Ok(event) => {
            context::notice(format!(
                "{} is on. Now list your tickets for it.",
                event.title
            ));
            context::redirect(&format!("/sell?event={}", event.id));
            Ok(())
        }
        Err(error) => {
            let names = [("startsAt", "date"), ("timeZone", "time_zone")];
            context::refuse("event", context::at_fields(error, &names), &values)
        }
    }
}
