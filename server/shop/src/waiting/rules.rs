//! Who may wait for what, and who is told. Pure.

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

/// An address gets no second mail of its asking about the same event for so long, nor is it told of
/// tickets twice; and for so long those who were told of tickets are given time before others are
/// told of the same ones.
pub(crate) const APART: Duration = Duration::from_hours(1);
/// How long an address can be confirmed.
pub(crate) const CONFIRM_WITHIN: Duration = Duration::from_hours(48);
/// How long after the sales for its event have ended an entry is kept.
pub(crate) const KEPT: Duration = Duration::from_hours(72);
/// Ours have 64.
const TOKEN_CHARS_MAX: usize = 256;

/// What may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Where to write to, trimmed.
    pub email: String,
    /// The same in small letters.
    pub email_key: String,
    /// So many tickets.
    pub quantity: i64,
    /// Whether the address is the viewer's own, and they have proved that.
    pub own: bool,
}

/// Checks what was asked; all that is wrong is said at once.
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
    let proved = viewer.is_some_and(|viewer| viewer.user.email_verified);
    Ok(Checked {
        email: email.to_owned(),
        own: proved && own.is_some_and(|own| email_key(own) == key),
        email_key: key,
        quantity,
    })
}

/// Refuses what is too long for the token of a link, before anything is looked up.
pub(crate) fn check_token(token: &WaitingToken) -> Result<(), AppError> {
    if token.0.chars().count() <= TOKEN_CHARS_MAX {
        Ok(())
    } else {
        Err(dead_link())
    }
}

/// The link leads to nothing, or to nothing any more.
pub(crate) fn dead_link() -> AppError {
    AppError::invalid(
        "token",
        "This link leads to nothing any more. Ask on the event's page to be told.",
    )
}

/// How an event's tickets and the telling of them stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Stand {
    /// So many are for sale.
    pub free: i64,
    /// People were told of so many.
    pub told_of: i64,
    /// When they last were.
    pub told_at: Moment,
}

/// Of how many of the free tickets people have been told and may still be on their way to buy them.
/// What has been sold since was theirs; what is left after an hour is for the next in line.
pub(crate) fn still_told_of(stand: Stand, now: Moment) -> i64 {
    if stand.told_at <= now - APART {
        return 0;
    }
    stand.told_of.min(stand.free)
}

/// Whom to tell of `fresh` tickets: in line, each who wants no more than are left for them. `line`
/// has what each wants.
pub(crate) fn suited<T: Copy>(line: &[(T, i64)], fresh: i64) -> (Vec<T>, i64) {
    let mut left = fresh;
    let mut told = Vec::new();
    for (who, wants) in line {
        if *wants <= left {
            left -= wants;
            told.push(*who);
        }
    }
    (told, fresh - left)
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
    fn ones_own_address_is_known_however_it_is_written() {
        for email in [None, Some(" "), Some("ann@EXAMPLE.com ")] {
            let checked = check(Some(&ann()), &ask(email, None)).unwrap();
            assert!(checked.own, "{email:?}");
            assert_eq!(
                (checked.email_key.as_str(), checked.quantity),
                ("ann@example.com", 1)
            );
        }
        let mut claimed = ann();
        claimed.user.email_verified = false;
        assert!(!check(Some(&claimed), &ask(None, None)).unwrap().own);
        let other = check(Some(&ann()), &ask(Some("bob@example.com"), Some(8))).unwrap();
        assert_eq!((other.own, other.quantity), (false, 8));
        assert!(
            !check(None, &ask(Some("ann@example.com"), None))
                .unwrap()
                .own
        );
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let refused = check(None, &ask(Some("nonsense"), Some(9))).unwrap_err();
        let fields = refused.fields();
        let fields: Vec<&str> = fields.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["email", "quantity"]);
        assert!(check(None, &ask(None, None)).is_err());
        assert!(check(None, &ask(Some("a@example.com"), Some(0))).is_err());
    }

    #[test]
    fn who_was_told_has_an_hour_or_until_the_tickets_are_gone() {
        let stand = |free, told_at| Stand {
            free,
            told_of: 3,
            told_at: Moment::from_micros(told_at),
        };
        let now = Moment::EPOCH + Duration::from_hours(1);
        assert_eq!(still_told_of(stand(5, 1), now), 3);
        assert_eq!(still_told_of(stand(5, 0), now), 0);
        assert_eq!(still_told_of(stand(2, 1), now), 2);
        assert_eq!(still_told_of(stand(0, 1), now), 0);
    }

    #[test]
    fn as_many_are_told_as_tickets_suit_and_who_wants_more_keeps_their_place() {
        let line = [('a', 2), ('b', 4), ('c', 1), ('d', 1), ('e', 1)];
        assert_eq!(suited(&line, 4), (vec!['a', 'c', 'd'], 4));
        assert_eq!(suited(&line, 1), (vec!['c'], 1));
        assert_eq!(suited(&line, 100), (vec!['a', 'b', 'c', 'd', 'e'], 9));
        assert_eq!(suited(&line[..2], 1), (vec![], 0));
    }
}
