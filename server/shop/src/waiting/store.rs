//! The SQL of the waiting list. Functions that take a `Conn` run in the caller's transaction.

use super::rules::{CONFIRM_WITHIN, Checked, KEEP_FOR, RoundState};
use crate::events::span::{on_sale, sale_ended};
use model::{
    Moment,
    ids::{EventId, UserId, WaitingId, WaitingMailId},
    waiting::{Waiting, WaitingState, WaitingToken},
};
use platform::{
    db::{Conn, engine_of},
    outbox::PUBLISHED,
    unguessable::unguessable,
};
use sha2::{Digest, Sha256};
use sqlx::{
    Any, AnyExecutor, AssertSqlSafe, FromRow,
    any::{AnyArguments, AnyRow},
    query,
    query::Query,
    query_as, query_scalar,
};
use sqlx_macros::FromRow;
use uuid::Uuid;

/// The kinds of mail that belong to an entry.
const KINDS: &str = "('waiting_confirm', 'waiting_joined', 'tickets_free')";

/// 256 random bits.
pub(crate) fn new_token() -> WaitingToken {
    WaitingToken(unguessable::<32>())
}

fn hash(token: &WaitingToken) -> String {
    hex::encode(Sha256::digest(token.0.as_bytes()))
}

#[derive(Debug, Clone)]
pub(crate) struct EntryRow {
    pub id: WaitingId,
    /// Time of the last notification; 0 if none.
    pub told_at: Moment,
    pub waiting: Waiting,
}

/// The stored state of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
enum State {
    Asked,
    Waiting,
    Told,
}

model::text_columns!(State);

impl From<State> for WaitingState {
    fn from(state: State) -> Self {
        match state {
            State::Asked => Self::Asked,
            State::Waiting => Self::Waiting,
            State::Told => Self::Told,
        }
    }
}

/// A stored entry with the title of its event.
#[derive(FromRow)]
struct EntryColumns {
    id: WaitingId,
    event_id: EventId,
    email: String,
    quantity: i64,
    state: State,
    since: Moment,
    told_at: Moment,
    title: String,
}

impl FromRow<'_, AnyRow> for EntryRow {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let columns = EntryColumns::from_row(row)?;
        Ok(Self {
            id: columns.id,
            told_at: columns.told_at,
            waiting: Waiting {
                event_id: columns.event_id,
                event_title: columns.title,
                email: columns.email,
                quantity: columns.quantity,
                state: columns.state.into(),
                since: columns.since.timestamp(),
            },
        })
    }
}

const COLUMNS: &str = "w.id, w.event_id, w.email, w.quantity, w.state, w.since, w.told_at, \
     (SELECT e.title FROM events e WHERE e.id = w.event_id) AS title";

/// Adds an unverified address, to be confirmed. Returns the entry if a confirmation mail is due: it is not
/// waiting, and was last mailed at `mailed_before` or earlier.
pub(crate) async fn request_confirmation(
    conn: &mut Conn,
    event: EventId,
    checked: &Checked,
    now: Moment,
    mailed_before: Moment,
) -> Result<Option<WaitingId>, sqlx::Error> {
    query_scalar(
        "INSERT INTO waiting (id, event_id, email, email_key, quantity, state, since, mailed_at) \
         VALUES ($1, $2, $3, $4, $5, 'asked', $6, $6) \
         ON CONFLICT (event_id, email_key) DO UPDATE SET state = 'asked', email = $3, \
         quantity = $5, since = $6, mailed_at = $6 \
         WHERE waiting.state <> 'waiting' AND waiting.mailed_at <= $7 RETURNING id",
    )
    .bind(WaitingId(Uuid::now_v7()))
    .bind(event)
    .bind(checked.email.clone())
    .bind(checked.email_key.clone())
    .bind(checked.quantity)
    .bind(now)
    .bind(mailed_before)
    .fetch_optional(conn)
    .await
}

/// Adds a user's own address to the queue. Returns the entry if it was not waiting yet. A waiting entry
/// keeps its place, with the new quantity.
pub(crate) async fn join(
    conn: &mut Conn,
    event: EventId,
    user: UserId,
    checked: &Checked,
    now: Moment,
) -> Result<Option<WaitingId>, sqlx::Error> {
    let joined = query_scalar(
        "INSERT INTO waiting (id, event_id, email, email_key, user_id, quantity, state, since, \
         mailed_at) VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7, $7) \
         ON CONFLICT (event_id, email_key) DO UPDATE SET state = 'waiting', user_id = $5, \
         email = $3, quantity = $6, since = $7, mailed_at = $7 \
         WHERE waiting.state <> 'waiting' RETURNING id",
    )
    .bind(WaitingId(Uuid::now_v7()))
    .bind(event)
    .bind(checked.email.clone())
    .bind(checked.email_key.clone())
    .bind(user)
    .bind(checked.quantity)
    .bind(now)
    .fetch_optional(&mut *conn)
    .await?;
    if joined.is_some() {
        return Ok(joined);
    }
    query("UPDATE waiting SET user_id = $3, quantity = $4 WHERE event_id = $1 AND email_key = $2")
        .bind(event)
        .bind(checked.email_key.clone())
        .bind(user)
        .bind(checked.quantity)
        .execute(conn)
        .await?;
    Ok(None)
}

/// Adds the entry of a link to the queue, as its address is now confirmed. A waiting entry keeps its place.
/// Returns `None` if the link is not valid.
pub(crate) async fn confirm(
    conn: &mut Conn,
    token: &WaitingToken,
    now: Moment,
) -> Result<Option<EntryRow>, sqlx::Error> {
    let update = format!(
        "UPDATE waiting SET since = CASE WHEN state = 'waiting' THEN since ELSE $2 END, \
         state = 'waiting', user_id = COALESCE(user_id, (SELECT u.id FROM users u \
         WHERE u.email_key = waiting.email_key AND u.email_verified_at IS NOT NULL)) \
         WHERE id IN (SELECT w.id FROM {LINKED}) RETURNING id"
    );
    let confirmed = bind_link(update, token, now)
        .fetch_optional(&mut *conn)
        .await?;
    if confirmed.is_none() {
        return Ok(None);
    }
    find_by_link(conn, token, now).await
}

/// Assigns the confirmed entries of an address to the user who has verified it.
pub(crate) async fn claim(
    conn: &mut Conn,
    user: UserId,
    email_key: &str,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE waiting SET user_id = $1 \
         WHERE email_key = $2 AND user_id IS NULL AND state <> 'asked'",
    )
    .bind(user)
    .bind(email_key.to_owned())
    .execute(conn)
    .await?;
    Ok(())
}

/// The entry of the token hash `$1` at the time `$2`, if confirmed or requested after `$3`.
const LINKED: &str = concat!(
    "waiting w JOIN waiting_mails m ON m.waiting_id = w.id \
     JOIN events e ON e.id = w.event_id WHERE m.token_hash = $1 AND ",
    on_sale!("e", "$2"),
    " AND (w.state <> 'asked' OR w.since > $3)"
);

fn bind_link<'q>(sql: String, token: &WaitingToken, now: Moment) -> Query<'q, Any, AnyArguments> {
    query(AssertSqlSafe(sql))
        .bind(hash(token))
        .bind(now)
        .bind(now - CONFIRM_WITHIN)
}

/// The entry of a valid link.
pub(crate) async fn find_by_link<'e>(
    on: impl AnyExecutor<'e>,
    token: &WaitingToken,
    now: Moment,
) -> Result<Option<EntryRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM {LINKED}");
    bind_link(sql, token, now)
        .try_map(|row| EntryRow::from_row(&row))
        .fetch_optional(on)
        .await
}

/// A user's entries for events on sale, by start; for one event if `event` is set.
pub(crate) async fn list_own<'e>(
    on: impl AnyExecutor<'e>,
    user: UserId,
    event: Option<EventId>,
    now: Moment,
    limit: i64,
) -> Result<Vec<EntryRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM waiting w JOIN events b ON b.id = w.event_id WHERE w.user_id = $1 \
         AND ($2 IS NULL OR w.event_id = $2) AND {} \
         ORDER BY b.starts_at, w.id LIMIT $4",
        on_sale!("b", "$3")
    );
    query_as(AssertSqlSafe(sql))
        .bind(user)
        .bind(event)
        .bind(now)
        .bind(limit)
        .fetch_all(on)
        .await
}

/// The entries to delete.
#[derive(Debug, Clone)]
pub(crate) enum Selection {
    /// The entry of a link, also of an expired one.
    Linked(WaitingToken),
    /// A user's entry for an event.
    Own(UserId, EventId),
    /// All entries of a user and of the address with this key.
    AllOf(UserId, Option<String>),
    /// Entries that were not confirmed in time, and those of events whose sales ended days before this time.
    Old(Moment),
}

impl Selection {
    /// The SQL condition, with placeholders for the values that [`Selection::bind`] binds.
    fn condition(&self) -> &'static str {
        match self {
            Self::Linked(_) => {
                "id IN (SELECT l.waiting_id FROM waiting_mails l WHERE l.token_hash = $1)"
            }
            Self::Own(..) => "user_id = $1 AND event_id = $2",
            Self::AllOf(_, Some(_)) => "(user_id = $1 OR email_key = $2)",
            Self::AllOf(_, None) => "user_id = $1",
            Self::Old(_) => concat!(
                "((state = 'asked' AND since <= $1) OR EXISTS \
                 (SELECT 1 FROM events e WHERE e.id = waiting.event_id AND ",
                sale_ended!("e", "$2"),
                "))"
            ),
        }
    }

    fn bind<'q>(&self, query: Query<'q, Any, AnyArguments>) -> Query<'q, Any, AnyArguments> {
        match self {
            Self::Linked(token) => query.bind(hash(token)),
            Self::Own(user, event) => query.bind(*user).bind(*event),
            Self::AllOf(user, Some(email_key)) => query.bind(*user).bind(email_key.clone()),
            Self::AllOf(user, None) => query.bind(*user),
            Self::Old(now) => query.bind(*now - CONFIRM_WITHIN).bind(*now - KEEP_FOR),
        }
    }
}

/// Deletes entries with their links and mails, queued and sent. Returns their events.
pub(crate) async fn delete(
    conn: &mut Conn,
    entries: Selection,
) -> Result<Vec<EventId>, sqlx::Error> {
    let condition = entries.condition();
    let delete_mails = format!(
        "DELETE FROM mails WHERE kind IN {KINDS} AND subject IN (SELECT m.id FROM waiting_mails m \
         WHERE m.waiting_id IN (SELECT id FROM waiting WHERE {condition}))"
    );
    let delete_entries = format!("DELETE FROM waiting WHERE {condition} RETURNING event_id");
    let delete_mails = entries.bind(query(AssertSqlSafe(delete_mails)));
    delete_mails.execute(&mut *conn).await?;
    let events = entries
        .bind(query(AssertSqlSafe(delete_entries)))
        .try_map(|row| <(EventId,)>::from_row(&row))
        .fetch_all(conn)
        .await?;
    Ok(events.into_iter().map(|(event,)| event).collect())
}

/// Deletes the rounds of events whose sales have ended.
pub(crate) async fn delete_old_rounds(conn: &mut Conn, now: Moment) -> Result<(), sqlx::Error> {
    query(concat!(
        "DELETE FROM waiting_rounds WHERE event_id IN (SELECT e.id FROM events e WHERE ",
        sale_ended!("e", "$1"),
        ")"
    ))
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Records a mail to an entry. Returns the mail's subject.
pub(crate) async fn insert_mail(
    conn: &mut Conn,
    entry: WaitingId,
    now: Moment,
) -> Result<WaitingMailId, sqlx::Error> {
    let subject = WaitingMailId(Uuid::now_v7());
    query("INSERT INTO waiting_mails (id, waiting_id, queued_at) VALUES ($1, $2, $3)")
        .bind(subject)
        .bind(entry)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(subject)
}

/// Sets the token of a mail's link, replacing that of an earlier attempt to send it. Locks the entry, and
/// returns it with the time at which the mail was queued; `None` if the entry has been deleted.
pub(crate) async fn set_mail_token(
    conn: &mut Conn,
    subject: &str,
    token: &WaitingToken,
) -> Result<Option<(EntryRow, Moment)>, sqlx::Error> {
    // Locks the entry first, like all statements, to avoid deadlocks.
    let sql = format!(
        "SELECT {COLUMNS} FROM waiting w \
         WHERE w.id = (SELECT m.waiting_id FROM waiting_mails m WHERE m.id = $1){}",
        engine_of(conn).for_update()
    );
    let entry = query_as::<_, EntryRow>(AssertSqlSafe(sql))
        .bind(subject.to_owned())
        .fetch_optional(&mut *conn)
        .await?;
    let Some(entry) = entry else {
        return Ok(None);
    };
    let queued_at =
        query_scalar("UPDATE waiting_mails SET token_hash = $2 WHERE id = $1 RETURNING queued_at")
            .bind(subject.to_owned())
            .bind(hash(token))
            .fetch_optional(conn)
            .await?;
    Ok(queued_at.map(|queued_at| (entry, queued_at)))
}

/// An event with waiting entries.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct AwaitedEvent {
    #[sqlx(rename = "event_id")]
    pub event: EventId,
    #[sqlx(flatten)]
    pub state: RoundState,
    /// Number of the last round; 0 if there was none.
    pub version: i64,
}

/// The events on sale with waiting entries that have tickets for sale or announced ones.
pub(crate) async fn list_awaited_events<'e>(
    on: impl AnyExecutor<'e>,
    now: Moment,
) -> Result<Vec<AwaitedEvent>, sqlx::Error> {
    let sql = format!(
        "SELECT * FROM (SELECT e.id AS event_id, (SELECT COUNT(*) FROM tickets t \
         WHERE t.event_id = e.id AND t.state = 'listed' AND t.held_until <= $1 \
         AND {PUBLISHED}) AS free, \
         COALESCE(r.told_of, 0) AS told_of, COALESCE(r.told_at, 0) AS told_at, \
         COALESCE(r.version, 0) AS version \
         FROM events e LEFT JOIN waiting_rounds r ON r.event_id = e.id WHERE {} \
         AND e.id IN (SELECT w.event_id FROM waiting w WHERE w.state = 'waiting')) AS awaited \
         WHERE free > 0 OR told_of > 0 ORDER BY event_id",
        on_sale!("e", "$1")
    );
    query_as(AssertSqlSafe(sql)).bind(now).fetch_all(on).await
}

/// The first waiting entries of an event that want at most `quantity_max` tickets and were last notified at
/// `told_before` or earlier, each with its quantity.
pub(crate) async fn list_queue<'e>(
    on: impl AnyExecutor<'e>,
    event: EventId,
    quantity_max: i64,
    told_before: Moment,
    limit: i64,
) -> Result<Vec<(WaitingId, i64)>, sqlx::Error> {
    query_as(
        "SELECT id, quantity FROM waiting WHERE event_id = $1 AND state = 'waiting' \
         AND quantity <= $2 AND told_at <= $3 ORDER BY since, id LIMIT $4",
    )
    .bind(event)
    .bind(quantity_max)
    .bind(told_before)
    .bind(limit)
    .fetch_all(on)
    .await
}

/// Conditional update: begins the round after the one in `seen`. Returns false if another process has begun
/// it.
pub(crate) async fn begin_round(
    conn: &mut Conn,
    seen: &AwaitedEvent,
    told_of: i64,
    told_at: Moment,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "INSERT INTO waiting_rounds (event_id, told_of, told_at, version) VALUES ($1, $2, $3, 1) \
         ON CONFLICT (event_id) DO UPDATE SET told_of = $2, told_at = $3, \
         version = waiting_rounds.version + 1 WHERE waiting_rounds.version = $4",
    )
    .bind(seen.event)
    .bind(told_of)
    .bind(told_at)
    .bind(seen.version)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Conditional update: marks a waiting entry as notified. Returns false if it is no longer waiting.
pub(crate) async fn mark_told(
    conn: &mut Conn,
    entry: WaitingId,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE waiting SET state = 'told', told_at = $2, mailed_at = $2 \
         WHERE id = $1 AND state = 'waiting'",
    )
    .bind(entry)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns an entry to its former place in the queue because its tickets were sold before it was mailed.
pub(crate) async fn requeue(conn: &mut Conn, entry: WaitingId) -> Result<(), sqlx::Error> {
    query("UPDATE waiting SET state = 'waiting', told_at = 0 WHERE id = $1 AND state = 'told'")
        .bind(entry)
        .execute(conn)
        .await?;
    Ok(())
}
