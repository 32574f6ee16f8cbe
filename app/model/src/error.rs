//! The public errors, as pages and the REST API return them.
//!
//! `AppError` is small, flat, serialisable and public: nothing in it may come from a driver, a
//! query or a stack trace. The server turns anything unexpected into `Internal` and logs the
//! cause once, under the same incident id.

use serde::{Deserialize, Serialize};
use server_fn::{
    codec::JsonEncoding,
    error::{FromServerFnError, ServerFnErrorErr},
};
use std::{borrow::Cow, fmt};

/// The result of everything that a browser can cause.
pub type AppResult<T> = Result<T, AppError>;

/// One thing that is wrong with one field of a form or a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field's name in the REST API; a form uses the same.
    pub field: String,
    /// What to do about it, as a sentence.
    pub message: String,
}

impl FieldError {
    /// An error at `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Why something that was possible a moment ago is not possible now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the field's own term for it")]
pub enum Conflict {
    /// Somebody holds the ticket while they pay.
    TicketReserved,
    /// The ticket has been bought.
    TicketSold,
    /// The seller took the listing back.
    TicketWithdrawn,
    /// Fewer tickets are for sale than were asked for.
    NotEnoughTickets,
    /// Nobody need wait for tickets of which there are enough.
    TicketsForSale,
    /// The buyer holds as many unpaid tickets for the event as one buyer may.
    HoldLimit,
    /// As many unpaid tickets for the event are held from the buyer's network address as may be.
    NetworkHoldLimit,
    /// The buyer has let several orders for the event go unpaid and has to wait a little.
    HoldPause,
    /// Sellers cannot buy from themselves.
    OwnTicket,
    /// The seller has listed as many tickets today as one seller may.
    ListingLimit,
    /// An earlier batch of the same seller's is still being listed.
    ListingInProgress,
    /// The seat is listed for this event, by whomever, or has been sold.
    SeatListed,
    /// Sales for the event have ended, or it is over: it neither lists nor sells.
    EventOver,
    /// It was changed since it was read.
    VersionConflict,
    /// The order's payment is under way.
    PaymentInProgress,
    /// The hold ran out.
    OrderExpired,
    /// The buyer cancelled it.
    OrderCancelled,
    /// It is paid.
    OrderComplete,
    /// It was paid back.
    OrderRefunded,
    /// More time can be had in the last part of the hold, and not yet.
    TooEarlyForMoreTime,
    /// The buyer has had more time already.
    NoMoreTime,
    /// Nobody has bought the ticket, or it has been paid back: there is nothing to refund.
    NotSold,
    /// The ticket's price is on its way back already.
    RefundInProgress,
    /// A part of the payment was paid back at the payment provider, by hand: there is not enough left.
    RefundedElsewhere,
    /// The cardholder has asked their bank for the money back: it is not the shop's to give.
    PaymentDisputed,
    /// The account cannot be deleted: an order of its owner's is open, or being paid.
    AccountOrderOpen,
    /// The account cannot be deleted: money is on its way back to its owner or their buyers.
    AccountRefundOpen,
    /// The account cannot be deleted: somebody is buying from its owner.
    AccountSaleOpen,
    /// The account cannot be deleted: its owner has sold tickets to events to come.
    AccountTicketsSold,
    /// The account cannot be deleted: somebody owes money to its owner.
    AccountMoneyOwed,
    /// The account has a second factor already.
    SecondFactorOn,
    /// The account has no second factor.
    SecondFactorOff,
    /// The same idempotency key came with another body.
    IdempotencyMismatch,
    /// The first request with this idempotency key has not been answered yet.
    IdempotencyInProgress,
}

impl Conflict {
    /// The machine-readable code of the REST API.
    pub fn code(self) -> &'static str {
        match self {
            Self::TicketReserved => "ticket_reserved",
            Self::TicketSold => "ticket_sold",
            Self::TicketWithdrawn => "ticket_withdrawn",
            Self::NotEnoughTickets => "not_enough_tickets",
            Self::TicketsForSale => "tickets_for_sale",
            Self::HoldLimit | Self::NetworkHoldLimit | Self::HoldPause => "hold_limit",
            Self::OwnTicket => "own_ticket",
            Self::ListingLimit => "listing_limit",
            Self::ListingInProgress => "listing_in_progress",
            Self::SeatListed => "seat_listed",
            Self::EventOver => "event_over",
            Self::VersionConflict => "version_conflict",
            Self::PaymentInProgress => "payment_in_progress",
            Self::OrderExpired => "order_expired",
            Self::OrderCancelled => "order_cancelled",
            Self::OrderComplete => "order_complete",
            Self::OrderRefunded => "order_refunded",
            Self::TooEarlyForMoreTime => "too_early_for_more_time",
            Self::NoMoreTime => "no_more_time",
            Self::NotSold => "not_sold",
            Self::RefundInProgress => "refund_in_progress",
            Self::RefundedElsewhere => "refunded_elsewhere",
            Self::PaymentDisputed => "payment_disputed",
            Self::AccountOrderOpen => "account_order_open",
            Self::AccountRefundOpen => "account_refund_open",
            Self::AccountSaleOpen => "account_sale_open",
            Self::AccountTicketsSold => "account_tickets_sold",
            Self::AccountMoneyOwed => "account_money_owed",
            Self::SecondFactorOn => "second_factor_on",
            Self::SecondFactorOff => "second_factor_off",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::IdempotencyInProgress => "idempotency_in_progress",
        }
    }

    /// The field that it is about, in the REST API's words.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::SeatListed => Some("seat"),
            _ => None,
        }
    }

    /// What a person is told.
    #[expect(clippy::too_many_lines, reason = "one sentence for each reason")]
    pub fn message(self) -> &'static str {
        match self {
            Self::TicketReserved => {
                "A buyer is paying for this ticket right now. If they don't finish, it goes back on sale."
            }
            Self::TicketSold => "This ticket has been sold.",
            Self::TicketWithdrawn => "The seller has taken this ticket off sale.",
            Self::NotEnoughTickets => "There aren't that many tickets on sale.",
            Self::TicketsForSale => {
                "There are tickets for sale right now: you need not wait for one."
            }
            Self::HoldLimit => {
                "You already hold as many tickets for this event as one person can hold at a time. Pay for them or cancel an order, then try again."
            }
            Self::NetworkHoldLimit => {
                "Too many tickets for this event are being held from your network without being paid for. Try again in a few minutes."
            }
            Self::HoldPause => {
                "Your last orders for this event were not paid in time, so there is a short wait before you can reserve again."
            }
            Self::OwnTicket => "You are selling this ticket, so you can't buy it.",
            Self::ListingLimit => {
                "You have reached the number of tickets that one seller can list per day. List fewer, continue tomorrow, or ask the shop to raise the limit."
            }
            Self::ListingInProgress => {
                "Your tickets from before are still being listed. Try again in a few seconds."
            }
            Self::SeatListed => {
                "This seat is already listed for this event. If it is yours, the shop can take the other listing off sale: see Help."
            }
            Self::EventOver => {
                "Sales for this event have ended, so its tickets are no longer traded."
            }
            Self::VersionConflict => {
                "This was changed in the meantime. Look at the newest version and try again."
            }
            Self::PaymentInProgress => {
                "This order is being paid, perhaps in another tab. It can't be changed until that ends."
            }
            Self::OrderExpired => {
                "The time to pay ran out and the tickets went back on sale. You were not charged."
            }
            Self::OrderCancelled => "This order was cancelled.",
            Self::OrderComplete => "This order is already paid.",
            Self::OrderRefunded => "This order was refunded.",
            Self::TooEarlyForMoreTime => {
                "There is enough time left. You can take more when it is nearly over."
            }
            Self::NoMoreTime => "You have already taken more time for this order.",
            Self::NotSold => "This ticket is not sold, so there is nothing to refund.",
            Self::RefundInProgress => "This ticket is being refunded already.",
            Self::RefundedElsewhere => {
                "A part of this payment was already paid back by hand, so its tickets can't be refunded here. An operator of the shop can pay back the rest."
            }
            Self::PaymentDisputed => {
                "The buyer has disputed this payment with their bank, so it can't be refunded. The bank decides."
            }
            Self::AccountOrderOpen => {
                "You have an order that is not finished. Pay it, cancel it or let its time run out, then delete the account."
            }
            Self::AccountRefundOpen => {
                "A refund of yours is still on its way. Delete the account once the money has arrived."
            }
            Self::AccountSaleOpen => {
                "A buyer is paying for one of your tickets right now. Try again in a few minutes."
            }
            Self::AccountTicketsSold => {
                "You have sold tickets to an event that is still to come, and its buyers may need you. Delete the account after the event, or refund the buyers first."
            }
            Self::AccountMoneyOwed => {
                "Money from your sales or orders has not been settled with you yet. Delete the account once it has."
            }
            Self::SecondFactorOn => {
                "Two-step sign-in is already on. Turn it off first to set up another app."
            }
            Self::SecondFactorOff => "Two-step sign-in is not on.",
            Self::IdempotencyMismatch => {
                "This Idempotency-Key was used before with a different body."
            }
            Self::IdempotencyInProgress => {
                "The first request with this Idempotency-Key is still running."
            }
        }
    }
}

/// Said of a code that is not right.
pub const WRONG_CODE: &str =
    "That code is not right, or was used already. Wait for the next one, or use a recovery code.";

/// Everything that a request can be refused with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AppError {
    /// Nobody is signed in.
    SignInRequired,
    /// Unknown e-mail and wrong password alike.
    BadCredentials,
    /// The password is right, and the account asks for a code besides.
    SecondFactorRequired {
        /// Whether one was sent that is wrong, was used or is over.
        wrong: bool,
    },
    /// Operators of this shop need a second factor, and this one has none yet.
    SecondFactorSetupRequired,
    /// Signed in, but this isn't theirs to do.
    Forbidden,
    /// Unknown, or somebody else's.
    NotFound,
    /// The input is wrong, field by field.
    Invalid(Vec<FieldError>),
    /// The world has moved on.
    Conflict {
        /// Why.
        conflict: Conflict,
        /// When trying again may help, in seconds.
        retry_after_seconds: Option<i64>,
    },
    /// `If-Match` named another version.
    PreconditionFailed,
    /// The card was refused; the tickets are still held.
    PaymentDeclined {
        /// What the buyer can do, as a sentence.
        message: String,
    },
    /// The body is larger than this server reads.
    TooLarge,
    /// Too often.
    TooManyRequests {
        /// Seconds until it is worth trying again.
        retry_after_seconds: i64,
    },
    /// The server cannot do it just now, or cannot say whether it did: it may be asked again.
    Unavailable,
    /// Our fault. The log has the cause under this id.
    Internal {
        /// The request's id.
        incident: String,
    },
    /// The request never became a call: it was malformed.
    Transport(String),
    /// The browser got no answer that it can read: whether the server acted is not known. Never sent by
    /// the server itself.
    AnswerLost,
}

impl AppError {
    /// An error at one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, message)])
    }

    /// The HTTP status.
    pub fn status(&self) -> http::StatusCode {
        use http::StatusCode as S;
        match self {
            Self::SignInRequired | Self::BadCredentials | Self::SecondFactorRequired { .. } => {
                S::UNAUTHORIZED
            }
            Self::Forbidden | Self::SecondFactorSetupRequired => S::FORBIDDEN,
            Self::NotFound => S::NOT_FOUND,
            Self::Invalid(_) | Self::Transport(_) => S::BAD_REQUEST,
            Self::Conflict { .. } => S::CONFLICT,
            Self::PreconditionFailed => S::PRECONDITION_FAILED,
            Self::PaymentDeclined { .. } => S::PAYMENT_REQUIRED,
            Self::TooLarge => S::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests { .. } => S::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::AnswerLost => S::SERVICE_UNAVAILABLE,
            Self::Internal { .. } => S::INTERNAL_SERVER_ERROR,
        }
    }

    /// The machine-readable code of the REST API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SignInRequired => "sign_in_required",
            Self::BadCredentials => "bad_credentials",
            Self::SecondFactorRequired { .. } => "second_factor_required",
            Self::SecondFactorSetupRequired => "second_factor_setup_required",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Invalid(_) | Self::Transport(_) => "invalid",
            Self::Conflict { conflict, .. } => conflict.code(),
            Self::PreconditionFailed => "precondition_failed",
            Self::PaymentDeclined { .. } => "card_declined",
            Self::TooLarge => "too_large",
            Self::TooManyRequests { .. } => "too_many_requests",
            Self::Unavailable | Self::AnswerLost => "unavailable",
            Self::Internal { .. } => "internal",
        }
    }

    /// The errors at fields, if there are any.
    pub fn fields(&self) -> Cow<'_, [FieldError]> {
        match self {
            Self::Invalid(fields) => fields.into(),
            Self::Conflict { conflict, .. } => {
                let field = conflict.field();
                let at = field.map(|field| FieldError::new(field, conflict.message()));
                at.into_iter().collect::<Vec<_>>().into()
            }
            Self::SecondFactorRequired { .. } => {
                vec![FieldError::new("code", self.to_string())].into()
            }
            _ => Cow::Borrowed(&[]),
        }
    }

    /// Seconds until it is worth trying again, where that is known.
    pub fn retry_after_seconds(&self) -> Option<i64> {
        match self {
            Self::Conflict {
                retry_after_seconds,
                ..
            } => *retry_after_seconds,
            Self::TooManyRequests {
                retry_after_seconds,
            } => Some(*retry_after_seconds),
            Self::Unavailable => Some(1),
            _ => None,
        }
    }
}

impl From<Conflict> for AppError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict {
            conflict,
            retry_after_seconds: None,
        }
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignInRequired => f.write_str("Sign in to do this."),
            Self::BadCredentials => f.write_str("That e-mail and password don't match an account."),
            Self::SecondFactorRequired { wrong: false } => {
                f.write_str("Enter the code that your authenticator app shows.")
            }
            Self::SecondFactorRequired { wrong: true } => f.write_str(WRONG_CODE),
            Self::SecondFactorSetupRequired => f.write_str(
                "Operators must use two-step sign-in. Set it up on your account page, then try again.",
            ),
            Self::Forbidden => f.write_str("You are not allowed to do this."),
            Self::NotFound => f.write_str("There is nothing here, or it isn't yours."),
            Self::Invalid(fields) => match fields.as_slice() {
                [only] => f.write_str(&only.message),
                _ => f.write_str("Some of what you entered is not valid."),
            },
            Self::Conflict { conflict, .. } => f.write_str(conflict.message()),
            Self::PreconditionFailed => f.write_str(Conflict::VersionConflict.message()),
            Self::PaymentDeclined { message } => f.write_str(message),
            Self::TooLarge => f.write_str("The request is too large."),
            Self::TooManyRequests {
                retry_after_seconds,
            } => {
                write!(
                    f,
                    "Too many attempts. Try again in {retry_after_seconds} seconds."
                )
            }
            Self::Unavailable => f.write_str("The server is busy just now. Try again in a moment."),
            Self::Internal { incident } => write!(
                f,
                "Something went wrong on our side. Nothing was lost. If you write to us, mention {incident}."
            ),
            Self::Transport(_) => f.write_str("The request could not be understood. Try again."),
            Self::AnswerLost => f.write_str(
                "The connection was lost before an answer came. Check that you are online, and load the page again to see whether it was done.",
            ),
        }
    }
}

impl FromServerFnError for AppError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Request(_)
            | ServerFnErrorErr::Response(_)
            | ServerFnErrorErr::Deserialization(_) => Self::AnswerLost,
            other => Self::Transport(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_back_as_it_was_sent() {
        for error in [
            AppError::AnswerLost,
            AppError::Transport("x".to_owned()),
            AppError::invalid("seat", "x"),
            Conflict::SeatListed.into(),
        ] {
            let sent = serde_json::to_vec(&error).unwrap();
            assert_eq!(serde_json::from_slice::<AppError>(&sent).unwrap(), error);
        }
    }
}
