//! Checks of a reservation, and why an order in a given state refuses a change. Pure.

use crate::tickets::check_section;
use model::{
    charges::NotChargeable,
    error::{AppError, Conflict, FieldError},
    ids::TicketId,
    money::{Currency, MinorUnits},
    orders::{OrderStatus, Reserve, TICKETS_PER_ORDER_MAX},
};

/// Why an order in this state cannot be paid or cancelled.
pub(crate) fn refusal(status: OrderStatus) -> Conflict {
    match status {
        OrderStatus::Created | OrderStatus::AwaitingPayment => Conflict::PaymentInProgress,
        OrderStatus::Complete => Conflict::OrderComplete,
        OrderStatus::Expired => Conflict::OrderExpired,
        OrderStatus::Cancelled => Conflict::OrderCancelled,
        OrderStatus::Refunded => Conflict::OrderRefunded,
    }
}

/// Checks the request alone; the state of the tickets is checked in the transaction. Returns named tickets
/// sorted by id and a trimmed section.
pub(crate) fn check(request: Reserve) -> Result<Reserve, AppError> {
    match request {
        Reserve::Named(mut named) => {
            named.ticket_ids = check_ids(named.ticket_ids)?;
            Ok(Reserve::Named(named))
        }
        Reserve::Any(mut any) => {
            let mut errors = Vec::new();
            if !(1..=max_per_order()).contains(&any.quantity) {
                let message = format!("Choose 1 to {TICKETS_PER_ORDER_MAX} tickets.");
                errors.push(FieldError::new("quantity", message));
            }
            if any.max_price_minor.is_some_and(|price| price < 1) {
                errors.push(FieldError::new("maxPriceMinor", "Must be 1 or more."));
            }
            any.section = any
                .section
                .map(|section| section.trim().to_owned())
                .filter(|section| !section.is_empty());
            errors.extend(check_section(any.section.as_deref()).err());
            if errors.is_empty() {
                Ok(Reserve::Any(any))
            } else {
                Err(AppError::Invalid(errors))
            }
        }
    }
}

/// Checks that a card can be charged the order's total. The error is at the field that sets the number of
/// tickets.
pub(crate) fn check_total(
    request: &Reserve,
    total_minor: MinorUnits,
    currency: Currency,
) -> Result<(), AppError> {
    let total = total_minor.of(currency);
    let Err(wrong) = total.check_chargeable() else {
        return Ok(());
    };
    let field = quantity_field(request);
    let message = match wrong {
        NotChargeable::OutOfRange(least, _) if total.minor < least.minor => format!(
            "No card can be charged less than {least}, and these come to {total}. Take more tickets."
        ),
        NotChargeable::OutOfRange(_, most) => {
            format!("No card can be charged more than {most} at once. Take fewer tickets.")
        }
        NotChargeable::BetweenSteps(..) => {
            format!("No card can be charged {total}: the last digit must be 0. Take other tickets.")
        }
        NotChargeable::Currency(currency) => {
            format!("Cards can no longer be charged in {currency}, so this cannot be bought.")
        }
    };
    Err(AppError::invalid(field, message))
}

/// The request field that sets the number of tickets.
pub(crate) fn quantity_field(request: &Reserve) -> &'static str {
    match request {
        Reserve::Named(_) => "ticketIds",
        Reserve::Any(_) => "quantity",
    }
}

fn max_per_order() -> i64 {
    i64::try_from(TICKETS_PER_ORDER_MAX).unwrap_or(i64::MAX)
}

fn check_ids(mut ids: Vec<TicketId>) -> Result<Vec<TicketId>, AppError> {
    let asked = ids.len();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != asked {
        return Err(AppError::invalid(
            "ticketIds",
            "Each ticket can be named once.",
        ));
    }
    if ids.is_empty() || ids.len() > TICKETS_PER_ORDER_MAX {
        let message = format!("Name 1 to {TICKETS_PER_ORDER_MAX} tickets.");
        return Err(AppError::invalid("ticketIds", message));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{
        ids::EventId,
        orders::{ReserveAny, ReserveNamed},
    };
    use uuid::Uuid;

    fn named(ids: Vec<u128>) -> Reserve {
        let ticket_ids = ids
            .into_iter()
            .map(|id| TicketId(Uuid::from_u128(id)))
            .collect();
        Reserve::Named(ReserveNamed { ticket_ids })
    }

    fn any(quantity: i64) -> Reserve {
        Reserve::Any(ReserveAny {
            event_id: EventId(Uuid::nil()),
            quantity,
            section: Some("  ".to_owned()),
            max_price_minor: None,
            offer: None,
        })
    }

    #[test]
    fn an_order_is_for_one_to_eight_different_tickets() {
        assert!(check(named(vec![])).is_err());
        assert!(check(named((0..9).collect())).is_err());
        assert!(check(named(vec![1, 1])).is_err());
        assert_eq!(check(named(vec![2, 1])).unwrap(), named(vec![1, 2]));
        for quantity in [i64::MIN, -1, 0, 9, i64::MAX] {
            assert!(check(any(quantity)).is_err());
        }
        let Reserve::Any(checked) = check(any(8)).unwrap() else {
            panic!("not Any")
        };
        assert_eq!(checked.section, None);
    }

    #[test]
    fn an_order_comes_to_no_more_than_a_card_can_be_charged() {
        let pounds: Currency = "GBP".parse().unwrap();
        let (most, too_much) = (MinorUnits::new(99_999_999), MinorUnits::new(100_000_000));
        assert!(check_total(&any(2), most, pounds).is_ok());
        let wrong = check_total(&any(2), too_much, pounds).unwrap_err();
        assert_eq!(wrong.fields()[0].field, "quantity");
        let wrong = check_total(&named(vec![1]), too_much, pounds).unwrap_err();
        assert_eq!(wrong.fields()[0].field, "ticketIds");
    }

    #[test]
    fn an_order_of_old_listings_comes_to_an_amount_that_can_be_charged() {
        let wrong = |code: &str, total| {
            let refused =
                check_total(&any(1), MinorUnits::new(total), code.parse().unwrap()).unwrap_err();
            refused.fields()[0].message.clone()
        };
        let euros = "EUR".parse().unwrap();
        assert!(check_total(&any(2), MinorUnits::new(50), euros).is_ok());
        assert!(wrong("EUR", 25).contains("less than €0.50"));
        assert!(wrong("KWD", 1_005).contains("must be 0"));
        assert!(wrong("BGN", 2_500).contains("no longer"));
    }

    #[test]
    fn a_section_with_a_null_character_is_refused() {
        let Reserve::Any(checked) = any(1) else {
            panic!("not Any")
        };
        let section = Some("Stalls\u{0}".to_owned());
        let wrong = check(Reserve::Any(ReserveAny { section, ..checked })).unwrap_err();
        assert_eq!(wrong.fields()[0].field, "section");
    }
}
