//! Formats and parses the subjects of mails that are more than one id. The subjects of mails about changed
//! events are in `events/changes.rs`.

use super::{Kind, store::MailRow};
use model::{
    Moment,
    ids::{IncidentId, UserId},
};
use strum::{EnumString, IntoStaticStr};

/// Separates the parts of a subject.
const SEPARATOR: char = ':';
/// Separates the first and the last incident of a mail about several.
const RANGE: char = '~';

/// The subject of the mail about the password change that began this session epoch of a user: `USER:EPOCH`.
pub(crate) fn format_password_changed(user: UserId, epoch: i64) -> String {
    format!("{user}{SEPARATOR}{epoch}")
}

/// The user's id in a subject of [`format_password_changed`].
pub(crate) fn parse_password_changed(subject: &str) -> Option<&str> {
    subject.split_once(SEPARATOR).map(|(user, _)| user)
}

/// A change of a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum FactorChange {
    On,
    /// Turned off by its owner.
    Off,
    /// Turned off by an operator's command.
    Reset,
    /// The recovery codes were replaced.
    Codes,
    /// A recovery code was used.
    CodeUsed,
}

/// The subject of the mail about a change of a second factor: `USER:CHANGE:MICROSECONDS`.
pub(crate) fn format_factor_changed(user: UserId, change: FactorChange, at: Moment) -> String {
    let change: &str = change.into();
    format!("{user}{SEPARATOR}{change}{SEPARATOR}{}", at.micros())
}

/// The user's id and the change in a subject of [`format_factor_changed`].
pub(crate) fn parse_factor_changed(subject: &str) -> Option<(&str, FactorChange)> {
    let mut parts = subject.split(SEPARATOR);
    Some((parts.next()?, parts.next()?.parse().ok()?))
}

/// Whether this is a mail about an incident that is not yet addressed to an operator.
pub(crate) fn is_unaddressed(mail: &MailRow) -> bool {
    mail.kind == Kind::Attention && !mail.subject.contains(SEPARATOR)
}

/// The subject of one operator's mail about incidents: `FIRST~LAST:OPERATOR`, or `INCIDENT:OPERATOR`.
/// `incidents` is sorted; returns `None` if it is empty.
pub(crate) fn format_attention(incidents: &[IncidentId], operator: UserId) -> Option<String> {
    match incidents {
        [] => None,
        [only] => Some(format!("{only}{SEPARATOR}{operator}")),
        [first, .., last] => Some(format!("{first}{RANGE}{last}{SEPARATOR}{operator}")),
    }
}

/// The ids of the first and last incident and of the operator in a subject of [`format_attention`].
pub(crate) fn parse_attention(subject: &str) -> Option<(&str, &str, &str)> {
    let (incidents, operator) = subject.split_once(SEPARATOR)?;
    let (first, last) = incidents
        .split_once(RANGE)
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
            mail.subject = format_attention(&incidents, operator).unwrap();
            assert!(!is_unaddressed(&mail));
            let (first, end, operator) = (first.to_string(), end.to_string(), operator.to_string());
            let read = parse_attention(&mail.subject);
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
            let subject = format_factor_changed(user, change, Moment::EPOCH);
            let read = parse_factor_changed(&subject);
            assert_eq!(read, Some((user.to_string().as_str(), change)));
        }
    }
}
