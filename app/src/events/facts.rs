//! The fields of the event form, the argument of its server functions.

use serde::{Deserialize, Serialize};

/// The values of the event form, as they were typed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    pub(super) title: String,
    pub(super) category: String,
    pub(super) venue: String,
    pub(super) city: String,
    pub(super) country: String,
    pub(super) date: String,
    pub(super) time: String,
    pub(super) time_zone: String,
    pub(super) description: String,
    pub(super) end_date: String,
    pub(super) end_time: String,
    pub(super) sales_date: String,
    pub(super) sales_time: String,
}
