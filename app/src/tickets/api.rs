//! Server functions of tickets.

#![expect(
    clippy::too_many_arguments,
    reason = "a form's fields are its function's arguments"
)]

use leptos::server;
use model::error::AppError;

/// What the API calls a field, and what the forms call it.
pub(crate) const NAMES: &[(&str, &str)] =
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
    let refuse = |error| context::refuse("list", context::at_fields(error, NAMES), &values);
    // Who goes back and changes something sells that as well; the same once more is the same.
    let attempt =
        given(&attempt).map(|attempt| format!("{attempt}-{:x}", hash(&format!("{values:?}"))));
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
    let placed = |price_minor, face_value_minor| ListTicket {
        event_id,
        price_minor,
        face_value_minor,
        section: given(&section),
        row: given(&row),
        seat: given(&seat),
    };
    let amounts = read_amounts(event.currency, &quantity, &price, &face_value);
    let (quantity, price_minor, face_value_minor) = match amounts {
        Ok(amounts) => amounts,
        Err(wrong) => {
            let many = quantity_in(&quantity).unwrap_or(1);
            let others = tickets.check_listing(&viewer, &placed(1, None), many).await;
            return refuse(context::merge_errors(wrong, others, NAMES));
        }
    };
    let request = placed(price_minor, face_value_minor);
    let listed = tickets.put_on_sale(&viewer, request, quantity, attempt.as_deref());
    match listed.await {
        Ok(listed) => {
            let words = match listed.created {
                1 => "Your ticket is on sale.".to_owned(),
                many => format!("Your {many} tickets are on sale."),
            };
            context::notice(words);
            context::redirect(&format!("/sell?event={event_id}&step=done"));
            Ok(())
        }
        Err(error) => refuse(error),
    }
}

pub(crate) fn given(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What a ticket can cost, as it is typed at `field`, in minor units.
pub(crate) fn price_in(
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

/// What was first paid for a ticket, as it is typed at `field`, in minor units. It need not be an
/// amount that a card can be charged.
pub(crate) fn face_value_in(
    currency: model::money::Currency,
    field: &str,
    text: &str,
) -> Result<i64, model::error::FieldError> {
    use model::{error::FieldError, money::Money};
    Money::parse(text, currency)
        .map(|face_value| face_value.minor)
        .map_err(|error| FieldError::new(field, error.to_string()))
}

/// How many, as it is typed; one where nothing is.
pub(crate) fn quantity_in(text: &str) -> Result<i64, model::error::FieldError> {
    match text.trim() {
        "" => Ok(1),
        text => text
            .parse()
            .map_err(|_| model::error::FieldError::new("quantity", "Write a number, like 2.")),
    }
}

/// Quantity, price and face value. Errors: every field that is no number.
fn read_amounts(
    currency: model::money::Currency,
    quantity: &str,
    price: &str,
    face_value: &str,
) -> Result<(i64, i64, Option<i64>), Vec<model::error::FieldError>> {
    let quantity = quantity_in(quantity);
    let price = price_in(currency, "price", price);
    let face_value = given(face_value)
        .map(|text| face_value_in(currency, "face_value", &text))
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
    use crate::tickets::form_of;
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
    let form = form_of(&ticket_id);
    let refuse = |error| context::refuse(&form, context::at_fields(error, NAMES), &values);
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
    // A listing from before today's rules keeps the price that it has.
    let is_unchanged = model::money::Money::parse(&price, ticket.currency)
        .is_ok_and(|typed| typed.minor == ticket.price_minor);
    let price_minor = match price_in(ticket.currency, "price", &price) {
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
    match tickets.edit(&viewer, id, request).await {
        Ok(ticket) => {
            context::notice(format!("{} is now {}.", ticket.label, ticket.price()));
            context::redirect_back("/selling");
            Ok(())
        }
        Err(error) => refuse(error),
    }
}

/// Takes a listing back.
#[server(prefix = "/fn", endpoint = "tickets/withdraw")]
pub async fn withdraw(#[server(default)] ticket_id: String) -> Result<(), AppError> {
    use crate::tickets::form_of;
    use model::tickets::Tickets;
    let form = form_of(&ticket_id);
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
