//! Server functions of tickets.

#![expect(
    clippy::too_many_arguments,
    reason = "a form's fields are its function's arguments"
)]

use leptos::server;
use model::error::AppError;

/// The names of fields in the API and in the forms.
pub(crate) const FIELD_NAMES: &[(&str, &str)] =
    &[("priceMinor", "price"), ("faceValueMinor", "face_value")];

/// Puts tickets on sale.
#[server(prefix = "/fn", endpoint = "tickets/put_on_sale")]
pub async fn put_on_sale(
    #[server(default)] event_id: String,
    #[server(default)] quantity: String,
    #[server(default)] price: String,
    #[server(default)] face_value: String,
    #[server(default)] section: String,
    #[server(default)] row: String,
    #[server(default)] seat: String,
    #[server(default)] attempt: String,
) -> Result<(), AppError> {
    use crate::ui::hash;
    use model::{
        events::Events,
        tickets::{ListTicket, Tickets},
    };
    let values = [
        ("quantity", quantity.as_str()),
        ("price", &price),
        ("face_value", &face_value),
        ("section", &section),
        ("row", &row),
        ("seat", &seat),
        ("attempt", &attempt),
    ];
    let refuse = |error| context::refuse("list", context::at_fields(error, FIELD_NAMES), &values);
    // The key includes the values: a changed form lists more tickets, a repeated one does not.
    let attempt =
        non_empty(&attempt).map(|attempt| format!("{attempt}-{:x}", hash(&format!("{values:?}"))));
    let (events, tickets) = (
        context::port::<dyn Events>()?,
        context::port::<dyn Tickets>()?,
    );
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return refuse(error),
    };
    let Ok(event_id) = event_id.parse() else {
        return refuse(AppError::NotFound);
    };
    let event = match events.get(event_id).await {
        Ok(event) => event,
        Err(error) => return refuse(error),
    };
    let request = |price_minor, face_value_minor| ListTicket {
        event_id,
        price_minor,
        face_value_minor,
        section: non_empty(&section),
        row: non_empty(&row),
        seat: non_empty(&seat),
    };
    let amounts = parse_amounts(event.currency, &quantity, &price, &face_value);
    let (quantity, price_minor, face_value_minor) = match amounts {
        Ok(amounts) => amounts,
        Err(wrong) => {
            let many = parse_quantity(&quantity).unwrap_or(1);
            let others = tickets
                .check_listing(&viewer, &request(1, None), many)
                .await;
            return refuse(context::merge_errors(wrong, others, FIELD_NAMES));
        }
    };
    let request = request(price_minor, face_value_minor);
    let listed = tickets.put_on_sale(&viewer, request, quantity, attempt.as_deref());
    match listed.await {
        Ok(listed) => {
            let text = match listed.created {
                1 => "Your ticket is on sale.".to_owned(),
                many => format!("Your {many} tickets are on sale."),
            };
            context::notice(text);
            context::redirect(&format!("/sell?event={event_id}&step=done"));
            Ok(())
        }
        Err(error) => refuse(error),
    }
}

/// The trimmed text; `None` if empty.
pub(crate) fn non_empty(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Parses a price that a card can be charged, in minor units. The error is at `field`.
pub(crate) fn parse_price(
    currency: model::money::Currency,
    field: &str,
    text: &str,
) -> Result<i64, model::error::FieldError> {
    use model::{error::FieldError, money::Money};
    let price =
        Money::parse(text, currency).map_err(|error| FieldError::new(field, error.to_string()))?;
    price
        .check_chargeable()
        .map_err(|wrong| FieldError::new(field, wrong.of_a_ticket()))?;
    Ok(price.minor)
}

/// Parses a face value, in minor units: any amount, whether or not a card can be charged it. The error
/// is at `field`.
pub(crate) fn parse_face_value(
    currency: model::money::Currency,
    field: &str,
    text: &str,
) -> Result<i64, model::error::FieldError> {
    use model::{error::FieldError, money::Money};
    Money::parse(text, currency)
        .map(|face_value| face_value.minor)
        .map_err(|error| FieldError::new(field, error.to_string()))
}

/// Parses a quantity; empty is 1.
pub(crate) fn parse_quantity(text: &str) -> Result<i64, model::error::FieldError> {
    match text.trim() {
        "" => Ok(1),
        text => text
            .parse()
            .map_err(|_| model::error::FieldError::new("quantity", "Write a number, like 2.")),
    }
}

/// Parses quantity, price and face value. Returns the errors of all invalid fields.
fn parse_amounts(
    currency: model::money::Currency,
    quantity: &str,
    price: &str,
    face_value: &str,
) -> Result<(i64, i64, Option<i64>), Vec<model::error::FieldError>> {
    let quantity = parse_quantity(quantity);
    let price = parse_price(currency, "price", price);
    let face_value = non_empty(face_value)
        .map(|text| parse_face_value(currency, "face_value", &text))
        .transpose();
    match (quantity, price, face_value) {
        (Ok(quantity), Ok(price), Ok(face_value)) => Ok((quantity, price, face_value)),
        (quantity, price, face_value) => Err([quantity.err(), price.err(), face_value.err()]
            .into_iter()
            .flatten()
            .collect()),
    }
}

/// Changes price and seat of a listing.
#[server(prefix = "/fn", endpoint = "tickets/edit")]
pub async fn edit(
    #[server(default)] ticket_id: String,
    #[server(default)] version: String,
    #[server(default)] price: String,
    #[server(default)] section: String,
    #[server(default)] row: String,
    #[server(default)] seat: String,
) -> Result<(), AppError> {
    use crate::tickets::form_name;
    use model::{
        ids::TicketId,
        tickets::{EditTicket, Tickets},
    };
    let values = [
        ("price", price.as_str()),
        ("section", &section),
        ("row", &row),
        ("seat", &seat),
    ];
    let form = form_name(&ticket_id);
    let refuse = |error| context::refuse(&form, context::at_fields(error, FIELD_NAMES), &values);
    let tickets = context::port::<dyn Tickets>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return refuse(error),
    };
    let (Ok(id), Ok(version)) = (ticket_id.parse::<TicketId>(), version.parse()) else {
        return refuse(AppError::NotFound);
    };
    let ticket = match tickets.get(id).await {
        Ok(ticket) => ticket,
        Err(error) => return refuse(error),
    };
    // An unchanged price may predate today's limits.
    let is_unchanged = model::money::Money::parse(&price, ticket.currency)
        .is_ok_and(|typed| typed.minor == ticket.price_minor);
    let price_minor = match parse_price(ticket.currency, "price", &price) {
        Ok(price_minor) => price_minor,
        Err(_) if is_unchanged => ticket.price_minor,
        Err(error) => return refuse(AppError::Invalid(vec![error])),
    };
    let request = EditTicket {
        price_minor: Some(price_minor),
        section: Some(section.clone()),
        row: Some(row.clone()),
        seat: Some(seat.clone()),
        version,
    };
    match tickets.edit(&viewer, id, request, None).await {
        Ok(ticket) => {
            context::notice(format!("{} is now {}.", ticket.label, ticket.price()));
            context::redirect_back("/selling");
            Ok(())
        }
        Err(error) => refuse(error),
    }
}

/// Takes a listing off sale.
#[server(prefix = "/fn", endpoint = "tickets/withdraw")]
pub async fn withdraw(#[server(default)] ticket_id: String) -> Result<(), AppError> {
    use crate::tickets::form_name;
    use model::tickets::Tickets;
    let form = form_name(&ticket_id);
    let tickets = context::port::<dyn Tickets>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse(&form, error, &[]),
    };
    let Ok(id) = ticket_id.parse() else {
        return context::refuse(&form, AppError::NotFound, &[]);
    };
    match tickets.withdraw(&viewer, id, None).await {
        Ok(()) => {
            context::notice("The ticket is off sale.");
            context::redirect_back("/selling");
            Ok(())
        }
        Err(error) => context::refuse(&form, error, &[]),
    }
}
