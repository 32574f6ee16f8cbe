//! A reader of Stagedoor's domain events: builds from them alone how many tickets of each event
//! are available and how many orders there are of each status, and checks that the versions of
//! every aggregate come as 1, 2, 3 … docs/events.md says what it relies on.
//!
//! It reads through a durable consumer, so NATS knows how far it is. What it has built it keeps
//! with `--state`, written before NATS is told; without that it begins at the first event each
//! time. It is one process: two would need a place where they share what they build.

use anyhow::{Context, Result};
use async_nats::jetstream::{
    AckKind, Message,
    consumer::{AckPolicy, Consumer, DeliverPolicy, pull},
};
use clap::Parser;
use futures::TryStreamExt;
use platform::{
    clock::{Clock, SystemClock},
    db::Db,
    outbox::{Nats, STREAM},
    trust::Trust,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{Row, query};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// What is read, kept and confirmed at a time.
const BATCH: usize = 500;
/// How long it waits for the next event.
const WAIT: Duration = Duration::from_secs(1);
/// When an event comes again that came before an earlier one.
const AGAIN: Duration = Duration::from_millis(200);
/// Of what differs, so much is shown.
const SHOWN: usize = 10;

/// Builds a read model from Stagedoor's domain events, and prints it as JSON
#[derive(Debug, Parser)]
#[command(name = "subscriber")]
struct Args {
    /// Where the events are
    #[arg(
        long,
        env = "NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        hide_env_values = true
    )]
    nats_url: String,
    /// The consumer's name; it is begun anew if there is no state
    #[arg(long, default_value = "read-model")]
    durable: String,
    /// The file that keeps what is built, to go on from
    #[arg(long)]
    state: Option<PathBuf>,
    /// Ends once every event is read; exits with 1 if a version is missing
    #[arg(long)]
    once: bool,
    /// Compares what is built with this database, and exits with 1 if it differs
    #[arg(long, value_name = "DATABASE_URL", requires = "once")]
    compare: Option<String>,
    /// How long it waits for what is missing or differs once there is nothing more, in seconds
    #[arg(long, default_value_t = 30)]
    within: u64,
}

/// What the events say.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Model {
    /// Of each aggregate the version that was read last.
    versions: BTreeMap<String, i64>,
    /// Each ticket's event and status.
    tickets: BTreeMap<String, (String, String)>,
    /// Each order's status.
    orders: BTreeMap<String, String>,
    /// Versions that came before an earlier one, which is missing.
    early: BTreeMap<String, i64>,
    read: u64,
    /// How many came that had come before.
    again: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    aggregate_type: String,
    aggregate_id: String,
    version: i64,
    data: Value,
}

/// What to tell NATS of a message.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    /// An earlier version is missing: bring it again later.
    Early,
}

#[tokio::main]
async fn main() -> ExitCode {
    match follow(&Args::parse()).await {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("FAULT: {fault}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads for ever, or until all is read. Returns what is wrong with it.
async fn follow(args: &Args) -> Result<Vec<String>> {
    let nats = Nats::connect(&args.nats_url, &Trust::default())
        .await
        .context("--nats-url")?;
    let kept = args.state.as_ref().filter(|file| file.exists());
    let mut model = match kept {
        Some(file) => serde_json::from_slice(&std::fs::read(file)?).context("--state")?,
        None => Model::default(),
    };
    let mut consumer = consumer(&nats, &args.durable, kept.is_none()).await?;
    let db = match &args.compare {
        Some(url) => Some(Db::connect_existing(url).await.context("--compare")?),
        None => None,
    };
    let mut changed = true;
    let mut patience = None;
    loop {
        let read = read_some(&consumer, &mut model, args.state.as_ref()).await?;
        changed |= read > 0;
        if read == BATCH {
            continue;
        }
        let info = consumer.info().await?;
        let all_read = info.num_pending == 0 && info.num_ack_pending == 0;
        if args.once {
            let within = Duration::from_secs(args.within);
            let until = *patience.get_or_insert_with(|| Instant::now() + within);
            let faults = faults(&model, all_read, db.as_ref()).await?;
            if faults.is_empty() || Instant::now() > until {
                println!("{:#}", model.summary());
                return Ok(faults);
            }
        } else if changed && all_read {
            println!("{}", model.summary());
            changed = false;
        }
    }
}

/// The durable consumer of this name, as it is or from the first event on.
async fn consumer(nats: &Nats, durable: &str, anew: bool) -> Result<Consumer<pull::Config>> {
    let stream = nats.jetstream().get_stream(STREAM).await;
    let stream = stream.with_context(|| format!("the stream {STREAM}"))?;
    if anew {
        // There may be none yet.
        let _ = stream.delete_consumer(durable).await;
    }
    let config = pull::Config {
        durable_name: Some(durable.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    Ok(stream.get_or_create_consumer(durable, config).await?)
}

/// Reads what is there, a batch at most: builds, keeps, then confirms. Returns how many it were.
async fn read_some(
    consumer: &Consumer<pull::Config>,
    model: &mut Model,
    state: Option<&PathBuf>,
) -> Result<usize> {
    let batch = consumer.batch().max_messages(BATCH).expires(WAIT);
    let messages = batch.messages().await?;
    let messages: Vec<Message> = messages
        .try_collect()
        .await
        .map_err(|error| anyhow::anyhow!(error))?;
    let mut verdicts = Vec::with_capacity(messages.len());
    for message in &messages {
        let event = serde_json::from_slice(&message.payload)
            .with_context(|| format!("a message of {}", message.subject))?;
        verdicts.push(model.take(event));
    }
    if let Some(file) = state.filter(|_| !messages.is_empty()) {
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(model)?)?;
        std::fs::rename(new, file)?;
    }
    for (message, verdict) in messages.iter().zip(verdicts) {
        let kind = match verdict {
            Verdict::Done => AckKind::Ack,
            Verdict::Early => AckKind::Nak(Some(AGAIN)),
        };
        let told = message.ack_with(kind).await;
        told.map_err(|error| anyhow::anyhow!(error))?;
    }
    Ok(messages.len())
}

impl Model {
    /// One event: taken if it is the next of its aggregate, dropped if it has come before.
    fn take(&mut self, event: Event) -> Verdict {
        let id = event.aggregate_id;
        let last = self.versions.get(&id).copied().unwrap_or(0);
        if event.version <= last {
            self.again += 1;
            return Verdict::Done;
        }
        if event.version > last + 1 {
            self.early.insert(id, event.version);
            return Verdict::Early;
        }
        self.early
            .retain(|early, version| *early != id || *version > event.version);
        let text = |field: &str| event.data[field].as_str().unwrap_or_default().to_owned();
        match event.aggregate_type.as_str() {
            "ticket" => {
                let ticket = (text("eventId"), text("status"));
                self.tickets.insert(id.clone(), ticket);
            }
            "order" => {
                self.orders.insert(id.clone(), text("status"));
            }
            _ => {}
        }
        self.versions.insert(id, event.version);
        self.read += 1;
        Verdict::Done
    }

    /// How many tickets of each event are available.
    fn available(&self) -> BTreeMap<String, i64> {
        let available = self
            .tickets
            .values()
            .filter(|(_, status)| status == "available");
        counted(available.map(|(event, _)| (event.clone(), 1)))
    }

    /// How many orders there are of each status.
    fn by_status(&self) -> BTreeMap<String, i64> {
        counted(self.orders.values().map(|status| (status.clone(), 1)))
    }

    fn summary(&self) -> Value {
        json!({
            "eventsRead": self.read,
            "cameAgain": self.again,
            "aggregates": self.versions.len(),
            "missing": self.early.keys().collect::<Vec<_>>(),
            "ticketsAvailable": self.available(),
            "orders": self.by_status(),
        })
    }
}

fn counted(all: impl Iterator<Item = (String, i64)>) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for (name, count) in all {
        *counts.entry(name).or_insert(0) += count;
    }
    counts
}

/// What is missing, and what the database knows otherwise.
async fn faults(model: &Model, all_read: bool, db: Option<&Db>) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    if !all_read {
        faults.push("there are events that are not read yet".to_owned());
    }
    for (aggregate, version) in model.early.iter().take(SHOWN) {
        let fault = format!("{aggregate}: version {version} came, an earlier one is missing");
        faults.push(fault);
    }
    if let Some(db) = db {
        let available = "SELECT event_id AS name, COUNT(*) AS n FROM tickets \
             WHERE state = 'listed' AND held_until <= $1 GROUP BY event_id";
        let available = numbers(db, available).await?;
        differ(
            "tickets available",
            &model.available(),
            &available,
            &mut faults,
        );
        let statuses = "SELECT status AS name, COUNT(*) AS n FROM orders WHERE created_at <= $1 \
             GROUP BY status";
        let statuses = numbers(db, statuses).await?.into_iter();
        let seen = statuses.map(|(status, count)| (seen(status), count));
        differ("orders", &model.by_status(), &counted(seen), &mut faults);
        let versions = "SELECT aggregate_id AS name, MAX(version) AS n FROM outbox \
             WHERE occurred_at <= $1 GROUP BY aggregate_id";
        let versions = numbers(db, versions).await?;
        differ("version", &model.versions, &versions, &mut faults);
    }
    Ok(faults)
}

/// An order's status as it is told outside.
fn seen(status: String) -> String {
    match status.as_str() {
        "capturing" => "awaiting_payment".to_owned(),
        "refunding" => "complete".to_owned(),
        _ => status,
    }
}

/// Names and numbers out of the database; `$1` is the time.
async fn numbers(db: &Db, sql: &'static str) -> Result<BTreeMap<String, i64>> {
    let now = SystemClock.now();
    let rows = query(sql).bind(now).fetch_all(db.reads()).await?;
    let numbers = rows
        .iter()
        .map(|row| Ok((row.try_get("name")?, row.try_get("n")?)));
    Ok(numbers.collect::<Result<_, sqlx::Error>>()?)
}

fn differ(
    what: &str,
    ours: &BTreeMap<String, i64>,
    theirs: &BTreeMap<String, i64>,
    faults: &mut Vec<String>,
) {
    let names = ours
        .keys()
        .chain(theirs.keys().filter(|name| !ours.contains_key(*name)));
    for name in names
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .take(SHOWN)
    {
        let (events, database) = (ours.get(name), theirs.get(name));
        faults.push(format!(
            "{what} of {name}: {events:?} by the events, {database:?} in the database"
        ));
    }
}
