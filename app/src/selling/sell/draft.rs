//! What has been typed so far on the way to a listing, and which step that leads to.

use super::Desk;
use crate::{
    tickets::api::{NAMES, face_value_in, given, price_in, quantity_in},
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

/// The name of the form, whichever of its steps.
pub const FORM: &str = "list";

/// The steps, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// For which event.
    Event,
    /// How many, and where.
    Tickets,
    /// For how much.
    Price,
    /// Everything once more.
    Check,
    /// On sale.
    Done,
}

impl Step {
    /// All of them, with what they are called in the address and on the page.
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Event, "event", "Event"),
        (Self::Tickets, "tickets", "Tickets"),
        (Self::Price, "price", "Price"),
        (Self::Check, "check", "Check"),
        (Self::Done, "done", "On sale"),
    ];

    /// The step that an address names, once the event is known.
    pub fn named(name: &str) -> Self {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == name);
        found
            .map_or(Self::Tickets, |(step, ..)| *step)
            .max(Self::Tickets)
    }

    /// What it is called in the address.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(step, ..)| *step == self);
        found.map_or("", |(_, name, _)| name)
    }

    /// Where what was refused can be mended.
    pub fn of_refusal(refused: &Flash) -> Self {
        let named = |name: &str| refused.fields.iter().any(|wrong| wrong.field == name);
        if ["quantity", "section", "row", "seat", "face_value"]
            .into_iter()
            .any(named)
        {
            Self::Tickets
        } else if named("price") {
            Self::Price
        } else {
            Self::Check
        }
    }
}

/// What was typed, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// How many.
    pub quantity: String,
    /// Stalls, Balcony.
    pub section: String,
    /// Row in the section.
    pub row: String,
    /// Seat in the row.
    pub seat: String,
    /// What was first paid for each.
    pub face_value: String,
    /// What each is to cost.
    pub price: String,
    /// Names this way through the steps: who comes back to its end and presses again has put no more
    /// on sale.
    pub attempt: String,
}

impl Draft {
    /// From the address, or from what a refused listing carries back.
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

    /// The address of a step, with all that was typed.
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

    /// How many, if it is a number.
    pub fn count(&self) -> i64 {
        quantity_in(&self.quantity).unwrap_or(1)
    }
}

/// The step that is shown for the one asked for: it, or the first before it that has something
/// wrong, with what is wrong.
pub async fn judge(
    desk: &Desk,
    event: &Event,
    draft: &Draft,
    asked: Step,
) -> AppResult<(Step, Option<Flash>)> {
    if asked <= Step::Tickets {
        return Ok((Step::Tickets, None));
    }
    if let Some(wrong) = wrong_with_tickets(desk, event, draft).await? {
        return Ok((Step::Tickets, Some(wrong)));
    }
    if asked >= Step::Check
        && let Err(wrong) = price_in(event.currency, "price", &draft.price)
    {
        return Ok((Step::Price, Some(said(&AppError::Invalid(vec![wrong])))));
    }
    Ok((asked, None))
}

async fn wrong_with_tickets(desk: &Desk, event: &Event, draft: &Draft) -> AppResult<Option<Flash>> {
    let quantity = quantity_in(&draft.quantity);
    let face_value = given(&draft.face_value)
        .map(|text| face_value_in(event.currency, "face_value", &text))
        .transpose();
    let request = ListTicket {
        event_id: event.id,
        // The price is not asked for yet, and any that can be charged will do.
        price_minor: event
            .currency
            .charge_range()
            .map_or(1, |(least, _)| least.minor),
        face_value_minor: face_value.clone().ok().flatten(),
        section: given(&draft.section),
        row: given(&draft.row),
        seat: given(&draft.seat),
    };
    let count = quantity.clone().unwrap_or(1);
    let checked = desk
        .tickets
        .check_listing(&desk.viewer, &request, count)
        .await;
    let mut wrong: Vec<FieldError> = [quantity.err(), face_value.err()]
        .into_iter()
        .flatten()
        .collect();
    match checked.map_err(|error| context::at_fields(error, NAMES)) {
        Err(AppError::Invalid(fields)) => wrong.extend(fields),
        Err(error @ AppError::Conflict { .. }) => return Ok(Some(said(&error))),
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    Ok((!wrong.is_empty()).then(|| said(&AppError::Invalid(wrong))))
}

/// An error as a form shows it.
fn said(error: &AppError) -> Flash {
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
    fn a_step_is_found_by_its_name_and_none_comes_before_the_event_is_known() {
        for (step, name, _) in &Step::ALL[1..] {
            assert_eq!(Step::named(name), *step);
        }
        for other in ["", "event", "six"] {
            assert_eq!(Step::named(other), Step::Tickets);
        }
    }

    #[test]
    fn what_is_refused_is_mended_where_it_was_typed() {
        let refused = |fields: &[&str]| {
            let fields = fields.iter().map(|field| FieldError::new(*field, "No."));
            Step::of_refusal(&said(&AppError::Invalid(fields.collect())))
        };
        assert_eq!(refused(&["price"]), Step::Price);
        assert_eq!(refused(&["price", "seat"]), Step::Tickets);
        assert_eq!(refused(&[]), Step::Check);
    }

    #[test]
    fn an_address_carries_all_that_was_typed() {
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
