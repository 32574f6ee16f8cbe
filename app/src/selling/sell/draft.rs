//! What has been typed so far in the steps of a listing, and which step to show.

use super::SellContext;
use crate::{
    tickets::api::{FIELD_NAMES, non_empty, parse_face_value, parse_price, parse_quantity},
    ui::Form,
};
use context::{self, Flash, percent_encode};
use model::{
    error::{AppError, AppResult, FieldError},
    events::Event,
    ids::EventId,
    tickets::ListTicket,
};
use std::fmt::Write;

/// The name of the form, the same in all steps.
pub const FORM: &str = "list";

/// The steps, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Choose or create the event.
    Event,
    /// Quantity, place and face value.
    Tickets,
    Price,
    /// Review, and put on sale.
    Check,
    /// Confirmation.
    Done,
}

impl Step {
    /// All steps with their names in the address and on the page.
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Event, "event", "Event"),
        (Self::Tickets, "tickets", "Tickets"),
        (Self::Price, "price", "Price"),
        (Self::Check, "check", "Check"),
        (Self::Done, "done", "On sale"),
    ];

    /// The step with this name in the address; at least `Tickets`, since the event is known.
    pub fn from_name(name: &str) -> Self {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == name);
        found
            .map_or(Self::Tickets, |(step, ..)| *step)
            .max(Self::Tickets)
    }

    /// The name in the address.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(step, ..)| *step == self);
        found.map_or("", |(_, name, _)| name)
    }

    /// The first step with a field that has an error.
    pub fn with_error(errors: &Flash) -> Self {
        let has_error = |name: &str| errors.fields.iter().any(|wrong| wrong.field == name);
        if ["quantity", "section", "row", "seat", "face_value"]
            .into_iter()
            .any(has_error)
        {
            Self::Tickets
        } else if has_error("price") {
            Self::Price
        } else {
            Self::Check
        }
    }
}

/// The fields as typed, not validated.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    pub quantity: String,
    pub section: String,
    pub row: String,
    pub seat: String,
    pub face_value: String,
    pub price: String,
    /// The idempotency key of this pass through the steps: submitting twice lists once.
    pub attempt: String,
}

impl Draft {
    /// Reads the address, or the values of a refused submission.
    pub fn read(get: impl Fn(&'static str) -> String, flash: Option<&Flash>) -> Self {
        let form = Form::new(FORM, flash);
        let value = |name| form.value(name, get(name));
        Self {
            quantity: Some(value("quantity"))
                .filter(|quantity| !quantity.trim().is_empty())
                .unwrap_or_else(|| "1".to_owned()),
            section: value("section"),
            row: value("row"),
            seat: value("seat"),
            face_value: value("face_value"),
            price: value("price"),
            attempt: Some(value("attempt"))
                .filter(|attempt| !attempt.is_empty())
                .unwrap_or_else(context::new_attempt),
        }
    }

    /// Each field with its value.
    pub fn fields(&self) -> [(&'static str, &str); 7] {
        [
            ("quantity", &self.quantity),
            ("section", &self.section),
            ("row", &self.row),
            ("seat", &self.seat),
            ("face_value", &self.face_value),
            ("price", &self.price),
            ("attempt", &self.attempt),
        ]
    }

    /// The address of a step with everything typed so far.
    pub fn href(&self, event: EventId, step: Step) -> String {
        if step == Step::Event {
            return "/sell".to_owned();
        }
        let mut href = format!("/sell?event={event}&step={}", step.name());
        for (name, value) in self.fields() {
            if !value.is_empty() {
                let _ = write!(href, "&{name}={}", percent_encode(value));
            }
        }
        href
    }

    /// The quantity; 1 if it is not a number.
    pub fn count(&self) -> i64 {
        parse_quantity(&self.quantity).unwrap_or(1)
    }
}

/// Returns the requested step, or the first one before it that has errors, with the errors.
pub async fn resolve_step(
    sell: &SellContext,
    event: &Event,
    draft: &Draft,
    requested: Step,
) -> AppResult<(Step, Option<Flash>)> {
    if requested <= Step::Tickets {
        return Ok((Step::Tickets, None));
    }
    if let Some(wrong) = check_tickets(sell, event, draft).await? {
        return Ok((Step::Tickets, Some(wrong)));
    }
    if requested >= Step::Check
        && let Err(wrong) = parse_price(event.currency, "price", &draft.price)
    {
        return Ok((Step::Price, Some(to_flash(&AppError::Invalid(vec![wrong])))));
    }
    Ok((requested, None))
}

async fn check_tickets(
    sell: &SellContext,
    event: &Event,
    draft: &Draft,
) -> AppResult<Option<Flash>> {
    let quantity = parse_quantity(&draft.quantity);
    let face_value = non_empty(&draft.face_value)
        .map(|text| parse_face_value(event.currency, "face_value", &text))
        .transpose();
    let request = ListTicket {
        event_id: event.id,
        // The price is entered in a later step; any valid one will do here.
        price_minor: event
            .currency
            .charge_range()
            .map_or(1, |(least, _)| least.minor),
        face_value_minor: face_value.clone().ok().flatten(),
        section: non_empty(&draft.section),
        row: non_empty(&draft.row),
        seat: non_empty(&draft.seat),
    };
    let count = quantity.clone().unwrap_or(1);
    let checked = sell
        .tickets
        .check_listing(&sell.viewer, &request, count)
        .await;
    let mut wrong: Vec<FieldError> = [quantity.err(), face_value.err()]
        .into_iter()
        .flatten()
        .collect();
    match checked.map_err(|error| context::at_fields(error, FIELD_NAMES)) {
        Err(AppError::Invalid(fields)) => wrong.extend(fields),
        Err(error @ AppError::Conflict { .. }) => return Ok(Some(to_flash(&error))),
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    Ok((!wrong.is_empty()).then(|| to_flash(&AppError::Invalid(wrong))))
}

/// The error as the form displays it.
fn to_flash(error: &AppError) -> Flash {
    Flash {
        form: FORM.to_owned(),
        message: error.to_string(),
        fields: error.fields().into_owned(),
        ..Flash::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_step_is_found_by_its_name_and_is_never_before_the_second() {
        for (step, name, _) in &Step::ALL[1..] {
            assert_eq!(Step::from_name(name), *step);
        }
        for other in ["", "event", "six"] {
            assert_eq!(Step::from_name(other), Step::Tickets);
        }
    }

    #[test]
    fn errors_lead_to_the_step_with_the_field() {
        let refused = |fields: &[&str]| {
            let fields = fields.iter().map(|field| FieldError::new(*field, "No."));
            Step::with_error(&to_flash(&AppError::Invalid(fields.collect())))
        };
        assert_eq!(refused(&["price"]), Step::Price);
        assert_eq!(refused(&["price", "seat"]), Step::Tickets);
        assert_eq!(refused(&[]), Step::Check);
    }

    #[test]
    fn an_address_contains_everything_typed() {
        let typed = [
            ("quantity", "2"),
            ("section", "Gallery & Gods"),
            ("price", "25,50"),
            ("attempt", "one"),
        ];
        let get = |name| {
            let found = typed.iter().find(|(known, _)| *known == name);
            found.map_or_else(String::new, |(_, value)| (*value).to_owned())
        };
        let draft = Draft::read(get, None);
        let event = EventId(Uuid::nil());
        assert_eq!(
            draft.href(event, Step::Check),
            format!(
                "/sell?event={event}&step=check&quantity=2&section=Gallery%20%26%20Gods&price=25%2C50&attempt=one"
            )
        );
        let blank = || Draft::read(|_| String::new(), None);
        assert_eq!(blank().count(), 1);
        assert_ne!(blank().attempt, blank().attempt);
    }
}
