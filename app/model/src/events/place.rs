//! The place fields of the event form, and proposals for them.

use crate::error::FieldError;

/// The fields as typed; empty if not filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaceFields {
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// IANA time zone.
    pub time_zone: String,
    /// ISO 4217.
    pub currency: String,
}

/// Proposals and doubts to confirm with the user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaceProposal {
    /// The fields, with proposals in empty ones where possible.
    pub place: PlaceFields,
    /// The proposed values, each at its field.
    pub proposed: Vec<FieldError>,
    /// Possible but unusual values.
    pub unusual: Vec<FieldError>,
}

impl PlaceProposal {
    pub fn has_questions(&self) -> bool {
        !self.proposed.is_empty() || !self.unusual.is_empty()
    }

    /// Proposals, then unusual values.
    pub fn questions(self) -> Vec<FieldError> {
        self.proposed.into_iter().chain(self.unusual).collect()
    }
}
