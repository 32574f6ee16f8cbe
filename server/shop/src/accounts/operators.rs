//! Who may act as an operator. Owns the rule that operators may need a second factor, and no route:
//! each feature asks here before it does what only operators may.

use super::store;
use model::{error::AppError, ids::UserId};
use sqlx::AnyExecutor;

/// How operators are recognised in this shop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Operators {
    /// Whether an operator without a second factor is treated like anybody else.
    pub need_second_factor: bool,
}

/// What somebody is in this respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No operator.
    Member,
    /// An operator.
    Operator,
    /// An operator who has to set up a second factor first.
    SetUpFirst,
}

impl Operators {
    /// What this user is.
    pub async fn standing<'e>(
        self,
        on: impl AnyExecutor<'e>,
        user: UserId,
    ) -> Result<Standing, sqlx::Error> {
        Ok(match store::operator_find(on, user).await? {
            None => Standing::Member,
            Some(has) if has || !self.need_second_factor => Standing::Operator,
            Some(_) => Standing::SetUpFirst,
        })
    }
}

impl Standing {
    /// Whether they may do what only operators may.
    pub(crate) fn may_act(self) -> bool {
        self == Self::Operator
    }

    /// The error for someone who may not act: `SecondFactorSetupRequired` if only the second factor is
    /// missing, else `otherwise`.
    pub(crate) fn refusal(self, otherwise: AppError) -> AppError {
        match self {
            Self::SetUpFirst => AppError::SecondFactorSetupRequired,
            Self::Member | Self::Operator => otherwise,
        }
    }
}
