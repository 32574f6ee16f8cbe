//! The state of the double and the calls that change it. Each call is one synchronous step under one lock.
//!
//! Invariant: a step changes objects only by [`State::keep`], and [`State::commit`] writes the changes as one
//! line before the step is answered. `Double::step` ensures the latter.

mod dashboard;
mod disputes;
mod events;
mod idempotency;
mod intents;
mod objects;
mod refunds;
#[cfg(test)]
mod tests;
mod tokens;

use crate::{
    WebhookTarget,
    faults::Faults,
    model::Record,
    reply::{Answer, Reply},
    store::Store,
};
use objects::Objects;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
};

pub(crate) use events::{Delivery, Manner};
pub(crate) use idempotency::KeyState;
pub(crate) use intents::FORCED;
pub(crate) use objects::recorded_journal;

/// Stripe's maximum amount in any currency.
const AMOUNT_MAX: i64 = 999_999_999_999;

pub(crate) struct State {
    store: Store,
    pub browser_url: String,
    pub webhooks: Option<WebhookTarget>,
    pub faults: Faults,
    objects: Objects,
    /// Changes of this step that are not written yet.
    unwritten: Vec<Record>,
    /// Whether there are new events to deliver.
    has_news: bool,
    /// Idempotency keys of calls in progress.
    in_flight: HashSet<String>,
    /// Counts each call, including replays.
    pub calls: HashMap<&'static str, u64>,
    /// How events are delivered whose delivery has been decided before.
    manners: HashMap<String, Manner>,
}

/// The parameters of a call, by Stripe's names: `metadata[order_id]`.
pub(crate) type Params = BTreeMap<String, String>;

impl State {
    pub(crate) fn open(data_dir: Option<PathBuf>) -> std::io::Result<Self> {
        let (store, records) = Store::open(data_dir)?;
        Ok(Self {
            store,
            browser_url: String::new(),
            webhooks: None,
            faults: Faults::default(),
            objects: Objects::of(records),
            unwritten: Vec::new(),
            has_news: false,
            in_flight: HashSet::new(),
            calls: HashMap::new(),
            manners: HashMap::new(),
        })
    }

    fn keep(&mut self, record: Record) {
        self.objects.put(record.clone());
        self.unwritten.push(record);
    }

    /// Ends a step: writes its changes. Returns whether there are new events to deliver.
    ///
    /// Errors: nothing was written; the next step retries.
    pub(crate) fn commit(&mut self) -> std::io::Result<bool> {
        if !self.unwritten.is_empty() {
            self.store.append(&self.unwritten)?;
            self.unwritten.clear();
        }
        Ok(std::mem::take(&mut self.has_news))
    }

    pub(crate) fn journal(&self) -> Vec<crate::JournalLine> {
        self.objects.journal()
    }
}

/// A page of a list, newest first, as Stripe returns it.
fn page<'a, T: 'a>(
    params: &Params,
    url: &str,
    newest: impl Iterator<Item = &'a T>,
    id_and_time: impl Fn(&T) -> (&str, i64),
    shape: impl Fn(&T) -> Value,
) -> Answer {
    let number = |name: &str| params.get(name).and_then(|text| text.parse::<i64>().ok());
    let limit = number("limit").unwrap_or(10).clamp(1, 100);
    let since = number("created[gte]").unwrap_or(0);
    let mut listed: Vec<&T> = newest.filter(|one| id_and_time(one).1 >= since).collect();
    if let Some(after) = params.get("starting_after") {
        let place = listed.iter().position(|one| id_and_time(one).0 == after);
        listed.drain(..=place.ok_or_else(|| missing("starting_after", after))?);
    }
    let limit = usize::try_from(limit).unwrap_or_default();
    let data: Vec<Value> = listed.iter().take(limit).map(|one| shape(one)).collect();
    let has_more = listed.len() > limit;
    Ok((
        200,
        json!({"object": "list", "url": url, "has_more": has_more, "data": data}),
    ))
}

fn amount_of(params: &Params, name: &str) -> Result<Option<i64>, Reply> {
    match params.get(name).map(|text| text.parse::<i64>()) {
        None => Ok(None),
        Some(Ok(amount)) if (1..=AMOUNT_MAX).contains(&amount) => Ok(Some(amount)),
        Some(_) => Err(invalid(name, "Invalid integer.")),
    }
}

fn metadata_of(params: &Params) -> BTreeMap<String, String> {
    params
        .iter()
        .filter_map(|(name, value)| {
            let key = name.strip_prefix("metadata[")?.strip_suffix(']')?;
            Some((key.to_owned(), value.clone()))
        })
        .collect()
}

fn invalid(param: &str, message: &str) -> Reply {
    (
        400,
        json!({"error": {"type": "invalid_request_error", "param": param, "message": message}}),
    )
}

fn no_such(param: &str, kind: &str, id: &str) -> Reply {
    let error = json!({"type": "invalid_request_error", "code": "resource_missing",
        "param": param, "message": format!("No such {kind}: '{id}'")});
    (400, json!({"error": error}))
}

fn missing(param: &str, id: &str) -> Reply {
    let error = json!({"type": "invalid_request_error", "code": "resource_missing",
        "param": param, "message": format!("No such resource: '{id}'")});
    (404, json!({"error": error}))
}

fn new_id(prefix: &str) -> String {
    let bytes: [u8; 12] = rand::random();
    format!("{prefix}{}", hex::encode(bytes))
}
