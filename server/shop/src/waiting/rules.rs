//! Validates requests to join, and selects the entries to notify. Pure.

use crate::accounts::{check_email, email_key};
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, FieldError},
    orders::TICKETS_PER_ORDER_MAX,
    waiting::{JoinWaitingList, WaitingToken},
};
use sqlx_macros::FromRow;
use std::time::Duration;

/// The minimum time between two confirmation mails, and between two notifications, to an address about one
/// event; also the time for which notified entries can buy before the same tickets are announced to others.
pub(crate) const MAIL_INTERVAL: Duration = Duration::from_hours(1);
/// The validity of a confirmation link.
pub(crate) const CONFIRM_WITHIN: Duration = Duration::from_hours(48);
/// How long an entry is kept after the end of sales.
pub(crate) const KEEP_FOR: Duration = Duration::from_hours(72);
/// Generated tokens have 64.
const TOKEN_CHARS_MAX: usize = 256;

/// A validated request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Trimmed.
    pub email: String,
    /// The address in lower case.
    pub email_key: String,
    /// Number of tickets.
    pub quantity: i64,
    /// Whether the address is the viewer's own and verified.
    pub own: bool,
}

/// Checks a request. Errors: all invalid fields.
pub(crate) fn check(
    viewer: Option<&Viewer>,
    request: &JoinWaitingList,
) -> Result<Checked, AppError> {
    let given = request.email.as_deref().map(str::trim);
    let own = viewer.map(|viewer| viewer.user.email.as_str());
    let email = given
        .filter(|email| !email.is_empty())
        .or(own)
        .unwrap_or_default();
    let mut errors = Vec::new();
    if let Err(AppError::Invalid(wrong)) = check_email(email) {
        errors.extend(wrong);
    }
    let quantity = request.quantity.unwrap_or(1);
    let most = i64::try_from(TICKETS_PER_ORDER_MAX).unwrap_or(i64::MAX);
    if !(1..=most).contains(&quantity) {
        let message = format!("Choose 1 to {most} tickets.");
        errors.push(FieldError::new("quantity", message));
    }
    if !errors.is_empty() {
        return Err(AppError::Invalid(errors));
    }
    let key = email_key(email);
    let is_verified = viewer.is_some_and(|viewer| viewer.user.email_verified);
    Ok(Checked {
        email: email.to_owned(),
        own: is_verified && own.is_some_and(|own| email_key(own) == key),
        email_key: key,
        quantity,
    })
}

/// Refuses a token that is too long, before the database is queried.
pub(crate) fn check_token(token: &WaitingToken) -> Result<(), AppError> {
    if token.0.chars().count() <= TOKEN_CHARS_MAX {
        Ok(())
    } else {
        Err(dead_link())
    }
}

/// The error for a link that is unknown or no longer valid.
pub(crate) fn dead_link() -> AppError {
    AppError::invalid(
        "token",
        "This link leads to nothing any more. Ask on the event's page to be told.",
    )
}

/// Available tickets of an event, and what its last round announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct RoundState {
    /// Tickets for sale.
    pub free: i64,
    /// Tickets that have been announced to notified entries.
    pub told_of: i64,
    /// Time of the last announcement.
    pub told_at: Moment,
}

/// The number of free tickets that have been announced and that the notified entries still have time to
/// buy: 0 after [`MAIL_INTERVAL`].
pub(crate) fn count_announced(state: RoundState, now: Moment) -> i64 {
    if state.told_at <= now - MAIL_INTERVAL {
        return 0;
    }
    state.told_of.min(state.free)
}

/// Selects entries for `new` tickets in the order of the queue, skipping those that want more than are left.
/// Returns them and the total of their tickets. `queue` has the quantity of each entry.
pub(crate) fn select_entries<T: Copy>(queue: &[(T, i64)], new: i64) -> (Vec<T>, i64) {
    let mut left = new;
    let mut selected = Vec::new();
    for (entry, quantity) in queue {
        if *quantity <= left {
            left -= quantity;
            selected.push(*entry);
        }
    }
    (selected, new - left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{accounts::User, ids::UserId};
    use uuid::Uuid;

    fn ann() -> Viewer {
        Viewer {
            user: User {
                id: UserId(Uuid::nil()),
                email: "Ann@example.com".to_owned(),
                name: "Ann".to_owned(),
                email_verified: true,
                version: 1,
            },
        }
    }

    fn ask(email: Option<&str>, quantity: Option<i64>) -> JoinWaitingList {
        JoinWaitingList {
            email: email.map(str::to_owned),
            quantity,
        }
    }

    #[test]
    fn the_viewers_own_address_is_recognized_in_any_spelling() {
        for email in [None, Some(" "), Some("ann@EXAMPLE.com ")] {
            let checked = check(Some(&ann()), &ask(email, None)).unwrap();
            assert!(checked.own, "{email:?}");
            assert_eq!(
                (checked.email_key.as_str(), checked.quantity),
                ("ann@example.com", 1)
            );
        }
        let mut unverified = ann();
        unverified.user.email_verified = false;
        assert!(!check(Some(&unverified), &ask(None, None)).unwrap().own);
        let other = check(Some(&ann()), &ask(Some("bob@example.com"), Some(8))).unwrap();
        assert_eq!((other.own, other.quantity), (false, 8));
        assert!(
            !check(None, &ask(Some("ann@example.com"), None))
                .unwrap()
                .own
        );
    }

    #[test]
    fn all_invalid_fields_are_reported() {
        let refused = check(None, &ask(Some("nonsense"), Some(9))).unwrap_err();
        let fields = refused.fields();
        let fields: Vec<&str> = fields.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["email", "quantity"]);
        assert!(check(None, &ask(None, None)).is_err());
        assert!(check(None, &ask(Some("a@example.com"), Some(0))).is_err());
    }

    #[test]
    fn announced_tickets_count_for_an_hour_or_until_they_are_sold() {
        let state = |free, told_at| RoundState {
            free,
            told_of: 3,
            told_at: Moment::from_micros(told_at),
        };
        let now = Moment::EPOCH + Duration::from_hours(1);
        assert_eq!(count_announced(state(5, 1), now), 3);
        assert_eq!(count_announced(state(5, 0), now), 0);
        assert_eq!(count_announced(state(2, 1), now), 2);
        assert_eq!(count_announced(state(0, 1), now), 0);
    }

    #[test]
    fn entries_are_selected_in_order_and_larger_ones_are_skipped() {
        let queue = [('a', 2), ('b', 4), ('c', 1), ('d', 1), ('e', 1)];
        assert_eq!(select_entries(&queue, 4), (vec!['a', 'c', 'd'], 4));
        assert_eq!(select_entries(&queue, 1), (vec!['c'], 1));
        assert_eq!(
            select_entries(&queue, 100),
            (vec!['a', 'b', 'c', 'd', 'e'], 9)
        );
        assert_eq!(select_entries(&queue[..2], 1), (vec![], 0));
    }
}
