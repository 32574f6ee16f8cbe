//! Who may act as an operator. Owns the rule that operators may need a second factor; each feature checks
//! here before an operation that only operators may perform.

use super::store;
use model::{error::AppError, ids::UserId};
use sqlx::AnyExecutor;

/// The shop's rules for operators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Operators {
    /// Whether an operator without a second factor has no operator rights.
    pub need_second_factor: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorStatus {
    NotOperator,
    Operator,
    /// An operator who has to set up a second factor first.
    NeedsSecondFactor,
}

impl Operators {
    pub async fn status_of<'e>(
        self,
        on: impl AnyExecutor<'e>,
        user: UserId,
    ) -> Result<OperatorStatus, sqlx::Error> {
        Ok(match store::find_operator(on, user).await? {
            None => OperatorStatus::NotOperator,
            Some(has_factor) if has_factor || !self.need_second_factor => OperatorStatus::Operator,
            Some(_) => OperatorStatus::NeedsSecondFactor,
        })
    }
}

impl OperatorStatus {
    pub(crate) fn may_act(self) -> bool {
        self == Self::Operator
    }

    /// The error for someone who may not act: `SecondFactorSetupRequired` if only the second factor is
    /// missing, else `otherwise`.
    pub(crate) fn refusal(self, otherwise: AppError) -> AppError {
        match self {
            Self::NeedsSecondFactor => AppError::SecondFactorSetupRequired,
            Self::NotOperator | Self::Operator => otherwise,
        }
    }
}
