//! Internal errors, and their conversion to what callers may see.
//!
//! Services return [`Fault`]: either a refusal meant for the caller, or an unexpected error. Unexpected
//! errors are logged here once, with all their causes and the request's id, and become an `AppError` that
//! contains only that id.

use crate::db::{is_transient, is_unstorable};
use model::error::{AppError, Conflict};
use std::error::Error as StdError;

/// The result of operations inside the server.
pub type FaultResult<T> = Result<T, Fault>;

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Meant for the caller, who can act on it.
    #[error("refused: {0}")]
    Refused(#[from] AppError),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Anything else: what failed, and the cause.
    #[error("{0}")]
    Unexpected(&'static str, #[source] Box<dyn StdError + Send + Sync>),
}

impl Fault {
    /// An error that should not happen. `what` names the operation that failed.
    pub fn unexpected(
        what: &'static str,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Unexpected(what, cause.into())
    }
}

impl From<Conflict> for Fault {
    fn from(conflict: Conflict) -> Self {
        Self::Refused(conflict.into())
    }
}

impl From<Fault> for AppError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => error,
            // Not a bug: the caller can retry.
            Fault::Database(error) if is_transient(&error) => {
                let incident = crate::request::id();
                tracing::warn!(
                    incident,
                    error = chain(&error),
                    "the database is busy or unavailable"
                );
                Self::Unavailable
            }
            Fault::Database(error) if is_unstorable(&error) => {
                Self::invalid("", "It has a character in it that cannot be kept.")
            }
            unexpected => {
                let incident = crate::request::id();
                tracing::error!(incident, error = chain(&unexpected), "unexpected error");
                Self::Internal { incident }
            }
        }
    }
}

/// The messages of an error and all its causes, joined by `: `.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
