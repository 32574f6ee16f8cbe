//! What a form says of where an event is, and what follows from it.

use crate::error::FieldError;

/// Where an event is, as it is typed; empty where nothing was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaceAsked {
    /// The town.
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// IANA time zone.
    pub time_zone: String,
    /// What its tickets are priced in.
    pub currency: String,
}

/// What to ask whoever filled a form in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaceProposed {
    /// The same with proposals for what was empty, as far as there are any.
    pub place: PlaceAsked,
    /// What is proposed, at which field.
    pub proposed: Vec<FieldError>,
    /// What is possible, but not usual.
    pub unusual: Vec<FieldError>,
}

impl PlaceProposed {
    /// Whether there is anything to ask.
    pub fn has_questions(&self) -> bool {
        !self.proposed.is_empty() || !self.unusual.is_empty()
    }

    /// All of it.
    pub fn questions(self) -> Vec<FieldError> {
        self.proposed.into_iter().chain(self.unusual).collect()
    }
}
