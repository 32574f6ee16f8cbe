//! Puts tickets on sale: up to 100 in one transaction, more as a batch that is staged in short
//! transactions and published by one update.
//!
//! Decides what may be listed and when a batch is abandoned. The SQL of batches is in `batches.rs`,
//! that of tickets in `store.rs`.

use super::{
    State, TicketRow, TicketsService,
    batches::{self, Batch},
    rules::{self, Place},
    store,
};
use crate::{accounts, events};
use model::{
    Moment,
    error::{AppError, Conflict},
    ids::{BatchId, TicketId, UserId},
    money::{Currency, MinorUnits},
    tickets::{ListTicket, Listed},
};
use platform::{
    crash,
    db::Conn,
    fault::{Fault, FaultResult, chain},
    idempotency::{read_outcome, store_once},
    outbox::{self, DomainEvent, EventType},
    request::in_current_request,
};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout},
};
use tracing::Instrument;
use uuid::Uuid;

/// The most tickets listed in one transaction. More become a batch.
const UNBATCHED_MAX: usize = 100;
/// Tickets of a batch inserted by one transaction: few, because reservations wait for it.
const STAGE_ROWS: usize = 40;
/// The longest pause after a transaction of a batch. A batch pauses for as long as its transaction took,
/// so that batches use at most half of the writer's time.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// How often, and for how long, a batch checks whether the seller's previous one has ended. That one
/// may be in another process.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
const POLL_TIMEOUT: Duration = Duration::from_secs(20);
/// `Retry-After` if the previous batch has still not ended.
const RETRY_SECONDS: i64 = 5;
/// The default limit of tickets that a seller may list a day.
pub const LISTINGS_PER_DAY: i64 = 100_000;

/// State shared by the batches of one process.
#[derive(Debug)]
pub(super) struct Staging {
    /// Allows one transaction of a batch at a time.
    writer: Semaphore,
    /// Notified when a batch of this process ends.
    ended: Notify,
    /// Notified when this process abandons a batch.
    abandoned: Notify,
}

impl Default for Staging {
    fn default() -> Self {
        Self {
            writer: Semaphore::new(1),
            ended: Notify::new(),
            abandoned: Notify::new(),
        }
    }
}

/// A validated request for `listed.created` identical tickets.
#[derive(Clone)]
struct Listing {
    seller: UserId,
    request: ListTicket,
    place: Place,
    attempt: Option<String>,
    /// `None`: no limit.
    per_day: Option<i64>,
    /// The result, once committed.
    listed: Listed,
}

/// The result of opening a batch.
enum Opened {
    /// The batch is open; the event has this currency.
    Ready(Currency),
    /// An earlier request with the same idempotency key listed these.
    AlreadyListed(Listed),
    /// The seller's previous batch has not ended.
    Busy,
}

impl TicketsService {
    /// Validates a listing without writing anything.
    pub(super) async fn check_listing(
        &self,
        seller: UserId,
        request: &ListTicket,
        quantity: i64,
    ) -> FaultResult<()> {
        let place = self.check_fields(request, quantity).await?;
        let now = self.clock.now();
        let mut conn = self.db.reads().acquire().await?;
        find_event(&mut conn, seller, request, &place, now).await?;
        Ok(())
    }

    async fn check_fields(&self, request: &ListTicket, quantity: i64) -> FaultResult<Place> {
        let event = events::store::find(self.db.reads(), request.event_id).await?;
        let currency = event.map(|event| event.what.currency);
        Ok(rules::check_listing(request, quantity, currency).map_err(AppError::Invalid)?)
    }

    /// Lists `quantity` tickets, all or none.
    pub(super) async fn put_on_sale(
        &self,
        seller: UserId,
        request: ListTicket,
        quantity: i64,
        attempt: Option<String>,
    ) -> FaultResult<Listed> {
        let place = self.check_fields(&request, quantity).await?;
        let ticket_ids: Vec<TicketId> = (0..quantity).map(|_| TicketId(Uuid::now_v7())).collect();
        let is_batch = ticket_ids.len() > UNBATCHED_MAX;
        let listing = Listing {
            seller,
            request,
            place,
            attempt,
            per_day: self.limits.are_on().then_some(self.listings_per_day),
            listed: Listed {
                created: quantity,
                ticket_ids,
            },
        };
        if is_batch {
            // A separate task, so that a closed connection does not leave a batch partly staged.
            let service = self.clone();
            let listing = in_current_request(async move { service.list_batch(listing).await });
            return tokio::spawn(listing.in_current_span())
                .await
                .map_err(|error| Fault::unexpected("the task of a listing batch failed", error))?;
        }
        let now = self.clock.now();
        self.db
            .write(move |conn| Box::pin(insert_listings(conn, listing, now)))
            .await
    }

    async fn list_batch(&self, listing: Listing) -> FaultResult<Listed> {
        let ids = &listing.listed.ticket_ids;
        let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else {
            return Ok(listing.listed);
        };
        let batch = Batch {
            id: BatchId(Uuid::now_v7()),
            seller: listing.seller,
            event: listing.request.event_id,
            quantity: listing.listed.created,
            span: (*first, *last),
        };
        let currency = match self.open_batch(&listing, &batch).await? {
            Opened::Ready(currency) => currency,
            Opened::AlreadyListed(listed) => return Ok(listed),
            Opened::Busy => {
                return Err(AppError::Conflict {
                    conflict: Conflict::ListingInProgress,
                    retry_after_seconds: Some(RETRY_SECONDS),
                }
                .into());
            }
        };
        let id = batch.id;
        let published = match self.stage_all(&listing, &batch, currency).await {
            Ok(()) => self.publish_batch(listing, batch, currency).await,
            Err(fault) => Err(fault),
        };
        if published.is_err() {
            self.abandon_batch(id).await;
        }
        self.staging.ended.notify_waiters();
        published
    }

    /// Opens a batch once the seller's previous one has ended.
    async fn open_batch(&self, listing: &Listing, batch: &Batch) -> FaultResult<Opened> {
        let until = Instant::now() + POLL_TIMEOUT;
        loop {
            let ended = self.staging.ended.notified();
            if !batches::is_open(self.db.reads(), listing.seller).await? {
                let (listing, batch) = (listing.clone(), batch.clone());
                let now = self.clock.now();
                let opened: FaultResult<Opened> = self
                    .db
                    .write(move |conn| {
                        Box::pin(async move { open_in_txn(conn, &listing, &batch, now).await })
                    })
                    .await;
                match opened? {
                    Opened::Busy => {}
                    opened => return Ok(opened),
                }
            }
            if Instant::now() >= until {
                return Ok(Opened::Busy);
            }
            // A timeout only means that no batch of this process has ended.
            let _ = timeout(POLL_INTERVAL, ended).await;
        }
    }

    async fn stage_all(
        &self,
        listing: &Listing,
        batch: &Batch,
        currency: Currency,
    ) -> FaultResult<()> {
        for ids in listing.listed.ticket_ids.chunks(STAGE_ROWS) {
            let _permit = self.staging.writer.acquire().await.map_err(|error| {
                Fault::unexpected("the semaphore of listing batches is closed", error)
            })?;
            let rows = listing.rows(ids, currency);
            let (id, now) = (batch.id, self.clock.now());
            let began = Instant::now();
            self.db
                .write(move |conn| {
                    Box::pin(async move { stage_in_txn(conn, id, &rows, now).await })
                })
                .await?;
            crash::point("listing_staged").await;
            pause_after(began).await;
        }
        Ok(())
    }

    async fn publish_batch(
        &self,
        listing: Listing,
        batch: Batch,
        currency: Currency,
    ) -> FaultResult<Listed> {
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if let Some(before) = store_result(conn, &listing, now).await? {
                        batches::abandon(conn, batch.id, now).await?;
                        return Ok(before);
                    }
                    let Listing {
                        seller,
                        request,
                        place,
                        ..
                    } = &listing;
                    let event = find_event(conn, *seller, request, place, now).await?;
                    if event.what.currency != currency {
                        let message = "The event's currency has changed. Check the price.";
                        return Err(AppError::invalid("priceMinor", message).into());
                    }
                    if !batches::publish(conn, batch.id).await? {
                        return Err(AppError::Unavailable.into());
                    }
                    Ok(listing.listed)
                })
            })
            .await
    }

    /// Abandons a batch that could not be published. If this fails, the periodic task does it.
    async fn abandon_batch(&self, id: BatchId) {
        let now = self.clock.now();
        let done: Result<bool, sqlx::Error> = self
            .db
            .write(move |conn| Box::pin(batches::abandon(conn, id, now)))
            .await;
        if let Err(error) = done {
            tracing::warn!(
                error = chain(&error),
                "a listing batch could not be abandoned"
            );
        }
        self.staging.abandoned.notify_one();
    }

    /// Waits until this process abandons a batch.
    pub async fn wait_for_abandoned_batch(&self) {
        self.staging.abandoned.notified().await;
    }

    /// Abandons batches whose process has ended, and deletes their tickets.
    pub async fn delete_abandoned_batches(&self) -> FaultResult<()> {
        let now = self.clock.now();
        let stalled: usize = self
            .db
            .write(move |conn| Box::pin(batches::abandon_stalled(conn, now)))
            .await
            .map_err(Fault::Database)?;
        if stalled > 0 {
            tracing::warn!(
                stalled,
                "stalled listing batches abandoned; deleting their tickets"
            );
        }
        loop {
            let began = Instant::now();
            let more: Result<bool, sqlx::Error> = self
                .db
                .write(|conn| Box::pin(batches::delete_abandoned_chunk(conn)))
                .await;
            if !more.map_err(Fault::Database)? {
                return Ok(());
            }
            pause_after(began).await;
        }
    }

    /// Deletes old published batches and daily counts.
    pub async fn delete_old_batches(&self) -> Result<(), sqlx::Error> {
        let now = self.clock.now();
        self.db
            .write(move |conn| Box::pin(batches::delete_old(conn, now)))
            .await
    }
}

impl Listing {
    fn rows(&self, ids: &[TicketId], currency: Currency) -> Vec<TicketRow> {
        ids.iter()
            .map(|id| TicketRow {
                id: *id,
                event_id: self.request.event_id,
                seller_id: self.seller,
                owner_id: None,
                section: self.place.section.clone(),
                row: self.place.row.clone(),
                seat: self.place.seat.clone(),
                price_minor: MinorUnits::new(self.request.price_minor),
                face_value_minor: self.request.face_value_minor.map(MinorUnits::new),
                currency,
                state: State::Listed,
                held_by: None,
                held_until: Moment::EPOCH,
                version: 1,
            })
            .collect()
    }

    /// The idempotency key and the hash of the request. The prefix keeps the key apart from the one that
    /// the stored response of the same request has.
    fn idempotency_key(&self) -> Option<(String, String)> {
        let attempt = self.attempt.as_ref()?;
        let asked = serde_json::json!([self.request, self.listed.created]).to_string();
        Some((
            format!("listing:{attempt}"),
            hex::encode(Sha256::digest(asked)),
        ))
    }
}

/// Leaves the writer to other transactions for as long as this one took.
async fn pause_after(began: Instant) {
    tokio::time::sleep(began.elapsed().min(PAUSE_MAX)).await;
}

fn parse_listed(stored: Option<String>) -> FaultResult<Option<Listed>> {
    let listed = stored.map(|stored| serde_json::from_str(&stored));
    Ok(listed
        .transpose()
        .map_err(|error| sqlx::Error::Decode(error.into()))?)
}

/// Locks the seller and stores the result under the idempotency key. Returns the result of an earlier
/// request with that key. Errors: the key was used for a different request, or the account is gone.
async fn store_result(
    conn: &mut Conn,
    listing: &Listing,
    now: Moment,
) -> FaultResult<Option<Listed>> {
    if !accounts::store::lock(conn, listing.seller, None).await? {
        return Err(AppError::SignInRequired.into());
    }
    let Some((name, hash)) = listing.idempotency_key() else {
        return Ok(None);
    };
    let result = serde_json::json!(listing.listed).to_string();
    parse_listed(store_once(conn, listing.seller, &name, &hash, &result, now).await?)
}

async fn open_in_txn(
    conn: &mut Conn,
    listing: &Listing,
    batch: &Batch,
    now: Moment,
) -> FaultResult<Opened> {
    if !accounts::store::lock(conn, listing.seller, None).await? {
        return Err(AppError::SignInRequired.into());
    }
    if let Some((name, hash)) = listing.idempotency_key()
        && let Some(before) = parse_listed(read_outcome(conn, listing.seller, &name, &hash).await?)?
    {
        return Ok(Opened::AlreadyListed(before));
    }
    let event = find_event(conn, listing.seller, &listing.request, &listing.place, now).await?;
    if !batches::open(conn, batch, now).await? {
        return Ok(Opened::Busy);
    }
    add_daily_usage(conn, listing, now).await?;
    Ok(Opened::Ready(event.what.currency))
}

async fn stage_in_txn(
    conn: &mut Conn,
    batch: BatchId,
    rows: &[TicketRow],
    now: Moment,
) -> FaultResult<()> {
    let tickets = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if !batches::stage(conn, batch, tickets, now).await? {
        return Err(AppError::Unavailable.into());
    }
    store::insert(conn, rows, Some(batch), now).await?;
    Ok(outbox::append_staged(conn, now, batch, &created_events(rows, now)).await?)
}

async fn insert_listings(conn: &mut Conn, listing: Listing, now: Moment) -> FaultResult<Listed> {
    if let Some(before) = store_result(conn, &listing, now).await? {
        return Ok(before);
    }
    let event = find_event(conn, listing.seller, &listing.request, &listing.place, now).await?;
    add_daily_usage(conn, &listing, now).await?;
    let rows = listing.rows(&listing.listed.ticket_ids, event.what.currency);
    store::insert(conn, &rows, None, now)
        .await
        .map_err(or_seat_listed)?;
    outbox::append(conn, now, &created_events(&rows, now)).await?;
    Ok(listing.listed)
}

async fn add_daily_usage(conn: &mut Conn, listing: &Listing, now: Moment) -> FaultResult<()> {
    let max = listing.per_day.unwrap_or(i64::MAX);
    let tickets = listing.listed.created;
    if batches::add_usage(conn, listing.seller, tickets, max, now).await? {
        return Ok(());
    }
    Err(AppError::Conflict {
        conflict: Conflict::ListingLimit,
        retry_after_seconds: Some(batches::seconds_to_midnight(now)),
    }
    .into())
}

fn created_events(rows: &[TicketRow], now: Moment) -> Vec<DomainEvent> {
    rows.iter()
        .map(|row| row.event(EventType::TicketCreated, now))
        .collect()
}

/// Finds the event and checks that this can be listed for it. Errors: `NotFound`, `EventOver`,
/// `SeatListed`, or `Invalid` at `priceMinor` if the event's currency has changed since validation.
async fn find_event(
    conn: &mut Conn,
    seller: UserId,
    request: &ListTicket,
    place: &Place,
    now: Moment,
) -> FaultResult<events::store::EventRow> {
    let event = events::store::find(&mut *conn, request.event_id).await?;
    let event = event.ok_or(AppError::NotFound)?;
    rules::check_price(MinorUnits::new(request.price_minor), event.what.currency)
        .map_err(|wrong| AppError::Invalid(vec![wrong]))?;
    if !event.what.is_on_sale(now) {
        return Err(Conflict::EventOver.into());
    }
    if store::is_seat_listed(conn, event.id, seller, place, None).await? {
        return Err(Conflict::SeatListed.into());
    }
    Ok(event)
}

/// Maps a unique violation to `SeatListed`: another request has listed the seat concurrently. No other
/// value of a listing is in a unique index.
pub(super) fn or_seat_listed(error: sqlx::Error) -> Fault {
    let unique = error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation);
    if unique {
        Conflict::SeatListed.into()
    } else {
        error.into()
    }
}
