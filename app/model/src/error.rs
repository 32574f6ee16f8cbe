//! The public errors that pages and the REST API return.
//!
//! `AppError` is sent to browsers, so it must not contain text of drivers, queries or stack traces. The
//! server converts unexpected errors to `Internal` and logs the cause once, with the same incident id.

use serde::{Deserialize, Serialize};
use server_fn::{
    codec::JsonEncoding,
    error::{FromServerFnError, ServerFnErrorErr},
};
use std::{borrow::Cow, fmt};

/// The result of the operations of ports.
pub type AppResult<T> = Result<T, AppError>;

/// A validation error of one field of a form or a request body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field's name in the REST API and in forms.
    pub field: String,
    /// How to correct it, as a sentence.
    pub message: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Why a request conflicts with the current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the field's own term for it")]
pub enum Conflict {
    /// The ticket is held for another order.
    TicketReserved,
    TicketSold,
    /// The seller withdrew the listing.
    TicketWithdrawn,
    /// Fewer tickets are for sale than were asked for.
    NotEnoughTickets,
    /// A place on the waiting list is refused while tickets are for sale.
    TicketsForSale,
    /// The limit of unpaid tickets per buyer and event is reached.
    HoldLimit,
    /// The limit of unpaid tickets per network address and event is reached.
    NetworkHoldLimit,
    /// The buyer's last orders for the event expired unpaid; new ones are refused for a while.
    HoldPause,
    /// The ticket is the buyer's own listing.
    OwnTicket,
    /// The limit of listings per seller and day is reached.
    ListingLimit,
    /// Another batch of the same seller is still being listed.
    ListingInProgress,
    /// The seat is already listed for this event, by any seller, or sold.
    SeatListed,
    /// Sales for the event have ended: its tickets can be neither listed nor bought.
    EventOver,
    /// The object has a later version than the request.
    VersionConflict,
    /// The order's payment is in progress.
    PaymentInProgress,
    OrderExpired,
    OrderCancelled,
    /// The order is paid.
    OrderComplete,
    OrderRefunded,
    /// A hold can be extended only in its last part.
    TooEarlyForMoreTime,
    /// The hold was already extended.
    NoMoreTime,
    /// The ticket is not sold, or already refunded.
    NotSold,
    /// A refund of the ticket is in progress.
    RefundInProgress,
    /// Part of the payment was refunded at the payment provider, so the rest is less than the refund.
    RefundedElsewhere,
    /// The payment is disputed by the cardholder.
    PaymentDisputed,
    /// The account cannot be deleted: it has an open order.
    AccountOrderOpen,
    /// The account cannot be deleted: a refund to its owner or their buyers is in progress.
    AccountRefundOpen,
    /// The account cannot be deleted: a ticket of its owner is held for an order.
    AccountSaleOpen,
    /// The account cannot be deleted: its owner has sold tickets to future events.
    AccountTicketsSold,
    /// The account cannot be deleted: its owner is owed money.
    AccountMoneyOwed,
    /// The account already has a second factor.
    SecondFactorOn,
    /// The account has no second factor.
    SecondFactorOff,
    /// The idempotency key was used before with a different request.
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

    /// The field of the REST API that the conflict concerns.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::SeatListed => Some("seat"),
            _ => None,
        }
    }

    /// The message for people.
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

/// Message for a wrong code of a second factor.
pub const WRONG_CODE: &str =
    "That code is not right, or was used already. Wait for the next one, or use a recovery code.";

/// The errors of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AppError {
    /// There is no valid session.
    SignInRequired,
    /// Unknown e-mail or wrong password; the two are not distinguished.
    BadCredentials,
    /// The password is correct, and the account also requires a code.
    SecondFactorRequired {
        /// Whether a code was sent that is wrong, used or expired.
        wrong: bool,
    },
    /// Operators need a second factor, and this one has none.
    SecondFactorSetupRequired,
    /// The viewer is not permitted to do this.
    Forbidden,
    /// The object does not exist, or belongs to another user.
    NotFound,
    /// Validation errors. An empty field name concerns the whole request.
    Invalid(Vec<FieldError>),
    Conflict {
        conflict: Conflict,
        /// Seconds after which a retry may succeed.
        retry_after_seconds: Option<i64>,
    },
    /// `If-Match` named another version.
    PreconditionFailed,
    /// The card was declined; the tickets are still held.
    PaymentDeclined {
        /// Advice for the buyer, as a sentence.
        message: String,
    },
    /// The body exceeds the size limit.
    TooLarge,
    /// A rate limit is reached.
    TooManyRequests {
        /// Seconds after which a retry may succeed.
        retry_after_seconds: i64,
    },
    /// Temporary failure; the request may or may not have taken effect and can be retried.
    Unavailable,
    /// Unexpected error.
    Internal {
        /// The request id, under which the cause is logged.
        incident: String,
    },
    /// The request was malformed.
    Transport(String),
    /// The browser got no readable answer, so it is not known whether the request took effect. Created in the
    /// browser only.
    AnswerLost,
}

impl AppError {
    /// A validation error of one field.
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

    /// The errors of single fields, if any.
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

    /// Seconds after which a retry may succeed, if known.
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
    fn an_error_is_deserialised_as_it_was_sent() {
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
