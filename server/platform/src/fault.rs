//! From what went wrong inside to what is said outside.
//!
//! Services return [`Fault`]: either a refusal that the caller is meant to read, or something
//! unexpected. The unexpected is logged here once, with its whole chain of causes and the
//! request's id, and leaves as an `AppError` that carries nothing but that id.

use crate::db::{is_passing, is_unstorable};
use model::error::{AppError, Conflict};
use std::error::Error as StdError;

/// The result of everything inside the server.
pub type FaultResult<T> = Result<T, Fault>;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The caller is meant to know, and can do something about it.
    #[error("refused: {0}")]
    Refused(#[from] AppError),
    /// The database failed us.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Anything else.
    #[error("{0}")]
    Unexpected(&'static str, #[source] Box<dyn StdError + Send + Sync>),
}

impl Fault {
    /// Something that must not happen, with its cause.
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
            // Not our bug: the caller may simply try again.
            Fault::Database(error) if is_passing(&error) => {
                let incident = crate::request::id();
                tracing::warn!(
                    incident,
                    error = chain(&error),
                    "the database is busy or away"
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

/// An error and all its causes on one line.
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
