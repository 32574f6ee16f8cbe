//! The states of an order and the transitions between them. Pure: the UPDATE of each transition is in
//! `transitions.rs`.

use model::orders::OrderStatus;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// The state of an order, as stored. Buyers see [`OrderStatus`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, Display, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// The tickets are held.
    Created,
    /// A payment has begun.
    AwaitingPayment,
    /// The money is being captured; the hold cannot end.
    Capturing,
    /// Paid.
    Complete,
    /// Not paid in time.
    Expired,
    /// Cancelled by the buyer.
    Cancelled,
    /// Refunds of all its tickets are under way.
    Refunding,
    /// All money has been refunded.
    Refunded,
}

model::text_columns!(State);

impl State {
    /// The status that the buyer sees. An unpaid order whose hold has ended (`lapsed`) is reported as expired
    /// before its transition to `Expired`.
    pub(crate) fn status(self, lapsed: bool) -> OrderStatus {
        match self {
            Self::Created | Self::AwaitingPayment if lapsed => OrderStatus::Expired,
            Self::Created => OrderStatus::Created,
            Self::AwaitingPayment | Self::Capturing => OrderStatus::AwaitingPayment,
            Self::Complete | Self::Refunding => OrderStatus::Complete,
            Self::Expired => OrderStatus::Expired,
            Self::Cancelled => OrderStatus::Cancelled,
            Self::Refunded => OrderStatus::Refunded,
        }
    }
}

/// A change of an order's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, VariantArray)]
pub enum Transition {
    /// The first payment begins before the hold ends.
    BeginPayment,
    /// The card is authorised within the hold: the money may be captured.
    Fence,
    /// The card is authorised after the hold ended, and all tickets are still free and unchanged.
    Revive,
    /// The money was captured.
    Complete,
    /// The capture was given up.
    Unfence,
    /// The hold has ended.
    Expire,
    /// The buyer cancels.
    Cancel,
    /// Refunds of some tickets, or of all that are left, begin.
    BeginRefund,
    /// Some tickets, or all that are left, have been refunded.
    Refund,
    /// A refund failed, or was reversed after it had succeeded.
    Restore,
}

impl Transition {
    /// Pairs of the state before and after. Where a state also leads to itself, the order's tickets decide
    /// which edge is taken.
    pub const fn edges(self) -> &'static [(State, State)] {
        use State::{
            AwaitingPayment, Cancelled, Capturing, Complete, Created, Expired, Refunded, Refunding,
        };
        match self {
            Self::BeginPayment => &[(Created, AwaitingPayment)],
            Self::Fence => &[(AwaitingPayment, Capturing)],
            Self::Revive => &[(AwaitingPayment, Capturing), (Expired, Capturing)],
            Self::Complete => &[(Capturing, Complete)],
            Self::Unfence => &[(Capturing, AwaitingPayment)],
            Self::Expire => &[(Created, Expired), (AwaitingPayment, Expired)],
            Self::Cancel => &[(Created, Cancelled), (AwaitingPayment, Cancelled)],
            Self::BeginRefund => &[(Complete, Refunding), (Complete, Complete)],
            // From Complete to Refunded: the refund was made at the provider.
            Self::Refund => &[
                (Complete, Refunded),
                (Refunding, Refunded),
                (Complete, Complete),
                (Refunding, Refunding),
            ],
            Self::Restore => &[
                (Refunding, Complete),
                (Refunded, Complete),
                (Complete, Complete),
            ],
        }
    }

    pub fn has_edge(self, from: State, to: State) -> bool {
        self.edges().contains(&(from, to))
    }
}

pub fn has_transition(from: State, to: State) -> bool {
    Transition::VARIANTS
        .iter()
        .any(|transition| transition.has_edge(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{
        AwaitingPayment, Cancelled, Capturing, Complete, Created, Expired, Refunded, Refunding,
    };

    /// The states that `from` leads to in one transition, without itself.
    fn after(from: State) -> Vec<State> {
        let all = State::VARIANTS.iter().copied();
        all.filter(|to| *to != from && has_transition(from, *to))
            .collect()
    }

    #[test]
    fn each_state_leads_where_the_documentation_says() {
        for (from, to) in [
            (Created, vec![AwaitingPayment, Expired, Cancelled]),
            (AwaitingPayment, vec![Capturing, Expired, Cancelled]),
            (Capturing, vec![AwaitingPayment, Complete]),
            (Complete, vec![Refunding, Refunded]),
            (Expired, vec![Capturing]),
            (Cancelled, vec![]),
            (Refunding, vec![Complete, Refunded]),
            (Refunded, vec![Complete]),
        ] {
            assert_eq!(after(from), to, "{from}");
        }
    }

    #[test]
    fn an_order_is_complete_only_after_a_capture_or_a_failed_refund() {
        for transition in Transition::VARIANTS {
            for (from, to) in transition.edges() {
                if *to == Complete && *from != Complete {
                    let captured = *transition == Transition::Complete && *from == Capturing;
                    assert!(captured || *transition == Transition::Restore);
                }
                if *to == Capturing {
                    assert!(matches!(transition, Transition::Fence | Transition::Revive));
                }
            }
        }
    }

    #[test]
    fn an_ended_hold_is_reported_as_expired_unless_the_money_is_being_captured() {
        for state in State::VARIANTS {
            let expired = matches!(state, Created | AwaitingPayment | Expired);
            assert_eq!(
                state.status(true) == OrderStatus::Expired,
                expired,
                "{state}"
            );
        }
    }

    #[test]
    fn every_state_is_parsed_from_its_name() {
        for state in State::VARIANTS {
            assert_eq!(state.to_string().parse::<State>().unwrap(), *state);
        }
    }
}
