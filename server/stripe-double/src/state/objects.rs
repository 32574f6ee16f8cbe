//! The objects, rebuilt from the records of all steps. The journal is made from them. Enforces no rules.

use crate::{
    JournalLine,
    model::{Answered, Card, Dispute, Event, Intent, Record, Refund},
    store,
};
use serde_json::json;
use std::{collections::HashMap, path::Path};

#[derive(Default)]
pub(super) struct Objects {
    pub intents: InOrder<Intent>,
    pub refunds: InOrder<Refund>,
    pub disputes: InOrder<Dispute>,
    pub cards: HashMap<String, Card>,
    pub answered: HashMap<String, Answered>,
    /// Those that have not been accepted, oldest first.
    pub events: Vec<Event>,
    /// Ids of the refunds with a scheduled end, oldest first.
    pub unsettled: Vec<String>,
}

impl Objects {
    pub(super) fn of(records: Vec<Record>) -> Self {
        let mut objects = Self::default();
        for record in records {
            objects.put(record);
        }
        objects
    }

    /// Stores an object's newest version.
    pub(super) fn put(&mut self, record: Record) {
        match record {
            Record::Intent(intent) => self.intents.put(intent.id.clone(), *intent),
            Record::Card(card) => {
                self.cards.insert(card.id.clone(), card);
            }
            Record::Refund(refund) => {
                self.unsettled.retain(|id| *id != refund.id);
                if refund.ending.is_some() {
                    self.unsettled.push(refund.id.clone());
                }
                self.refunds.put(refund.id.clone(), refund);
            }
            Record::Dispute(dispute) => self.disputes.put(dispute.id.clone(), dispute),
            Record::Answered(answered) => {
                self.answered.insert(answered.key.clone(), answered);
            }
            Record::Event(event) if event.taken => {
                // Fast, because it is mostly the oldest.
                if let Some(place) = self.events.iter().position(|known| known.id == event.id) {
                    self.events.remove(place);
                }
            }
            Record::Event(event) => self.events.push(event),
        }
    }

    /// Every payment, oldest first.
    pub(super) fn journal(&self) -> Vec<JournalLine> {
        let line = |intent: &Intent| JournalLine {
            id: intent.id.clone(),
            status: json!(intent.status).as_str().unwrap_or_default().to_owned(),
            amount: intent.amount,
            amount_received: intent.amount_received,
            amount_refunded: intent.amount_refunded,
            currency: intent.currency.clone(),
            metadata: intent.metadata.clone(),
        };
        self.intents.oldest_first().map(line).collect()
    }
}

/// The journal from the file; the double may be running.
pub(crate) fn recorded_journal(data_dir: &Path) -> std::io::Result<Vec<JournalLine>> {
    let read = store::read(data_dir)?;
    Ok(Objects::of(read.records).journal())
}

/// Objects by id, in the order of their creation.
pub(super) struct InOrder<T> {
    by_id: HashMap<String, T>,
    order: Vec<String>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self {
            by_id: HashMap::new(),
            order: Vec::new(),
        }
    }
}

impl<T> InOrder<T> {
    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.by_id.get(id)
    }

    pub(super) fn oldest_first(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.order.iter().filter_map(|id| self.by_id.get(id))
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &T> {
        self.oldest_first().rev()
    }

    fn put(&mut self, id: String, object: T) {
        if self.by_id.insert(id.clone(), object).is_none() {
            self.order.push(id);
        }
    }
}
