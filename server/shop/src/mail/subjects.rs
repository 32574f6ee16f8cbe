//! The subjects of mails that are more than one id: how they are written when a mail is queued, and read
//! when it is composed. The subjects of mails about changed events are in `events/changes.rs`.

use super::{Kind, store::MailRow};
use model::{
    Moment,
    ids::{IncidentId, UserId},
};
use strum::{EnumString, IntoStaticStr};

/// Separates the parts of a subject.
const SEPARATOR: char = ':';
/// Between the first and the last incident, where a mail is about several.
const UP_TO: char = '~';

/// The subject of the mail about the password that began this epoch of a user's.
pub fn password_changed(user: UserId, epoch: i64) -> String {
    format!("{user}{SEPARATOR}{epoch}")
}

/// The id of the user in a subject that [`password_changed`] wrote.
pub(crate) fn read_password_changed(subject: &str) -> Option<&str> {
    subject.split_once(SEPARATOR).map(|(user, _)| user)
}

/// What has changed about a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FactorChange {
    /// It is on.
    On,
    /// Its owner has turned it off.
    Off,
    /// An operator's command has turned it off.
    Reset,
    /// There are new recovery codes.
    Codes,
    /// A recovery code was used.
    CodeUsed,
}

/// The subject of the mail about this change at this moment.
pub fn factor_changed(user: UserId, change: FactorChange, at: Moment) -> String {
    let change: &str = change.into();
    format!("{user}{SEPARATOR}{change}{SEPARATOR}{}", at.micros())
}

/// The id of the user and the change in a subject that [`factor_changed`] wrote.
pub(crate) fn read_factor_changed(subject: &str) -> Option<(&str, FactorChange)> {
    let mut parts = subject.split(SEPARATOR);
    Some((parts.next()?, parts.next()?.parse().ok()?))
}

/// Whether a mail is about an incident and not yet addressed to an operator.
pub(crate) fn is_unaddressed(mail: &MailRow) -> bool {
    mail.kind == Kind::Attention && !mail.subject.contains(SEPARATOR)
}

/// The subject of one operator's mail about incidents, whose ids are in order. None: there are none.
pub(crate) fn attention(incidents: &[IncidentId], operator: UserId) -> Option<String> {
    match incidents {
        [] => None,
        [only] => Some(format!("{only}{SEPARATOR}{operator}")),
        [first, .., last] => Some(format!("{first}{UP_TO}{last}{SEPARATOR}{operator}")),
    }
}

/// The ids of the first incident, the last one and the operator in a subject that [`attention`] wrote.
pub(crate) fn read_attention(subject: &str) -> Option<(&str, &str, &str)> {
    let (incidents, operator) = subject.split_once(SEPARATOR)?;
    let (first, last) = incidents
        .split_once(UP_TO)
        .unwrap_or((incidents, incidents));
    Some((first, last, operator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::MailId;
    use uuid::Uuid;

    #[test]
    fn an_operators_mail_names_the_incident_and_the_operator() {
        let mut mail = MailRow {
            id: MailId(Uuid::nil()),
            kind: Kind::Attention,
            subject: "i-1".to_owned(),
            tries: 1,
            created_at: Moment::EPOCH,
        };
        assert!(is_unaddressed(&mail));
        let operator = UserId(Uuid::nil());
        let (first, last) = (
            IncidentId(Uuid::from_u128(1)),
            IncidentId(Uuid::from_u128(2)),
        );
        for (incidents, end) in [(vec![first], first), (vec![first, last], last)] {
            mail.subject = attention(&incidents, operator).unwrap();
            assert!(!is_unaddressed(&mail));
            let (first, end, operator) = (first.to_string(), end.to_string(), operator.to_string());
            let read = read_attention(&mail.subject);
            assert_eq!(read, Some((&*first, &*end, &*operator)));
        }
    }

    #[test]
    fn the_subject_about_a_second_factor_names_the_user_and_the_change() {
        let user = UserId(Uuid::nil());
        for change in [
            FactorChange::On,
            FactorChange::Off,
            FactorChange::Reset,
            FactorChange::Codes,
            FactorChange::CodeUsed,
        ] {
            let subject = factor_changed(user, change, Moment::EPOCH);
            let read = read_factor_changed(&subject);
            assert_eq!(read, Some((user.to_string().as_str(), change)));
        }
    }
}
