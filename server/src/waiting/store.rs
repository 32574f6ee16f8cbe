//! The SQL of the waiting list. Functions that take a `Conn` run in the caller's transaction.

use super::rules::{CONFIRM_WITHIN_MICROS, Checked, KEPT_MICROS, Stand};
use crate::{
    clock::from_micros,
    db::{Conn, engine_of, parse},
    events::span::{on_sale, sale_ended},
    session::hex,
    tickets::batches::PUBLISHED,
    unguessable::unguessable,
};
use app::waiting::{Waiting, WaitingState, WaitingToken};
use model::ids::{EventId, UserId};
use sha2::{Digest, Sha256};
use sqlx::{
    Any, AnyExecutor, AssertSqlSafe, Row,
    any::{AnyArguments, AnyRow},
    query,
    query::Query,
};
use uuid::Uuid;

/// Mails that tell of the list, as they are written down.
const KINDS: &str = "('waiting_confirm', 'waiting_joined', 'tickets_free')";

/// What the next link carries: 256 random bits.
pub fn new_token() -> WaitingToken {
    WaitingToken(unguessable::<32>())
}

fn hash(token: &WaitingToken) -> String {
    hex(&Sha256::digest(token.0.as_bytes()))
}

/// An entry with what names it inside.
#[derive(Debug, Clone)]
pub struct EntryRow {
    /// Its id.
    pub id: String,
    /// When it was last told of tickets, in microseconds.
    pub told_at: i64,
    /// The rest.
    pub waiting: Waiting,
}

const COLUMNS: &str = "w.id, w.event_id, w.email, w.quantity, w.state, w.since, w.told_at, \
     (SELECT e.title FROM events e WHERE e.id = w.event_id) AS title";

impl EntryRow {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let state: String = row.try_get("state")?;
        Ok(Self {
            id: row.try_get("id")?,
            told_at: row.try_get("told_at")?,
            waiting: Waiting {
                event_id: parse(row, "event_id")?,
                event_title: row.try_get("title")?,
                email: row.try_get("email")?,
                quantity: row.try_get("quantity")?,
                state: match state.as_str() {
                    "waiting" => WaitingState::Waiting,
                    "told" => WaitingState::Told,
                    _ => WaitingState::Asked,
                },
                since: from_micros(row.try_get("since")?),
            },
        })
    }
}

/// An address that somebody may only have claimed asks to be confirmed. Returns the entry if a mail
/// is due: it does not wait yet, and was not written to within the last while.
pub async fn entry_ask(
    conn: &mut Conn,
    event: EventId,
    asked: &Checked,
    now_micros: i64,
    mailed_before_micros: i64,
) -> Result<Option<String>, sqlx::Error> {
    let row = query(
        "INSERT INTO waiting (id, event_id, email, email_key, quantity, state, since, mailed_at) \
         VALUES ($1, $2, $3, $4, $5, 'asked', $6, $6) \
         ON CONFLICT (event_id, email_key) DO UPDATE SET state = 'asked', email = $3, \
         quantity = $5, since = $6, mailed_at = $6 \
         WHERE waiting.state <> 'waiting' AND waiting.mailed_at <= $7 RETURNING id",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(event.to_string())
    .bind(asked.email.clone())
    .bind(asked.email_key.clone())
    .bind(asked.quantity)
    .bind(now_micros)
    .bind(mailed_before_micros)
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.try_get("id")).transpose()
}

/// Puts a user's own address in line. Returns the entry if it was not in line yet; who is, keeps
/// their place, and may want another number.
pub async fn entry_join(
    conn: &mut Conn,
    event: EventId,
    user: UserId,
    asked: &Checked,
    now_micros: i64,
) -> Result<Option<String>, sqlx::Error> {
    let row = query(
        "INSERT INTO waiting (id, event_id, email, email_key, user_id, quantity, state, since, \
         mailed_at) VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7, $7) \
         ON CONFLICT (event_id, email_key) DO UPDATE SET state = 'waiting', user_id = $5, \
         email = $3, quantity = $6, since = $7, mailed_at = $7 \
         WHERE waiting.state <> 'waiting' RETURNING id",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(event.to_string())
    .bind(asked.email.clone())
    .bind(asked.email_key.clone())
    .bind(user.to_string())
    .bind(asked.quantity)
    .bind(now_micros)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = row {
        return Ok(Some(row.try_get("id")?));
    }
    query("UPDATE waiting SET user_id = $3, quantity = $4 WHERE event_id = $1 AND email_key = $2")
        .bind(event.to_string())
        .bind(asked.email_key.clone())
        .bind(user.to_string())
        .bind(asked.quantity)
        .execute(conn)
        .await?;
    Ok(None)
}

/// Puts the entry of a link in line, whose address has thereby said yes. None: the link leads to
/// nothing any more. Who is in line keeps their place.
pub async fn entry_confirm(
    conn: &mut Conn,
    token: &WaitingToken,
    now_micros: i64,
) -> Result<Option<EntryRow>, sqlx::Error> {
    let update = format!(
        "UPDATE waiting SET since = CASE WHEN state = 'waiting' THEN since ELSE $2 END, \
         state = 'waiting', user_id = COALESCE(user_id, (SELECT u.id FROM users u \
         WHERE u.email_key = waiting.email_key AND u.email_verified_at IS NOT NULL)) \
         WHERE id IN (SELECT w.id FROM {LINKED}) RETURNING id"
    );
    let row = of_link(&update, token, now_micros)
        .fetch_optional(&mut *conn)
        .await?;
    if row.is_none() {
        return Ok(None);
    }
    entry_linked(conn, token, now_micros).await
}

/// The entries of an address that a user has proved to be theirs are theirs.
pub async fn entries_claim(
    conn: &mut Conn,
    user: UserId,
    email_key: &str,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE waiting SET user_id = $1 \
         WHERE email_key = $2 AND user_id IS NULL AND state <> 'asked'",
    )
    .bind(user.to_string())
    .bind(email_key.to_owned())
    .execute(conn)
    .await?;
    Ok(())
}

/// The entry that the link `$1` leads to at the time `$2`; `$3` is how long ago it may have asked.
const LINKED: &str = concat!(
    "waiting w JOIN waiting_mails m ON m.waiting_id = w.id \
     JOIN events e ON e.id = w.event_id WHERE m.token_hash = $1 AND ",
    on_sale!("e", "$2"),
    " AND (w.state <> 'asked' OR w.since > $3)"
);

fn of_link<'q>(sql: &str, token: &WaitingToken, now_micros: i64) -> Query<'q, Any, AnyArguments> {
    query(AssertSqlSafe(sql.to_owned()))
        .bind(hash(token))
        .bind(now_micros)
        .bind(now_micros - CONFIRM_WITHIN_MICROS)
}

/// The entry that a link leads to.
pub async fn entry_linked<'e>(
    on: impl AnyExecutor<'e>,
    token: &WaitingToken,
    now_micros: i64,
) -> Result<Option<EntryRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM {LINKED}");
    let row = of_link(&sql, token, now_micros).fetch_optional(on).await?;
    row.as_ref().map(EntryRow::read).transpose()
}

/// A user's own entries of events on sale, by when these begin; of one event, if one is named.
pub async fn entries_own<'e>(
    on: impl AnyExecutor<'e>,
    user: UserId,
    event: Option<EventId>,
    now_micros: i64,
    limit: i64,
) -> Result<Vec<EntryRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM waiting w JOIN events b ON b.id = w.event_id WHERE w.user_id = $1 \
         AND ($2 IS NULL OR w.event_id = $2) AND {} \
         ORDER BY b.starts_at, w.id LIMIT $4",
        on_sale!("b", "$3")
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(user.to_string())
        .bind(event.map(|event| event.to_string()))
        .bind(now_micros)
        .bind(limit)
        .fetch_all(on)
        .await?;
    rows.iter().map(EntryRow::read).collect()
}

/// Which entries to delete.
#[derive(Debug, Clone)]
pub enum Which {
    /// Of this link. Whoever has it may, whatever its time.
    Linked(WaitingToken),
    /// A user's own, of this event.
    Own(UserId, EventId),
    /// All of a user's, and all of the address with this key.
    AllOf(UserId, Option<String>),
    /// What nobody needs at this time: not confirmed in time, or of events that are over.
    Old(i64),
}

/// Deletes entries, their links, and what was or is to be mailed to them. Returns their events.
pub async fn entries_delete(conn: &mut Conn, which: Which) -> Result<Vec<EventId>, sqlx::Error> {
    let (condition, bound) = match which {
        Which::Linked(token) => (
            "id IN (SELECT l.waiting_id FROM waiting_mails l WHERE l.token_hash = $1)",
            vec![hash(&token)],
        ),
        Which::Own(user, event) => (
            "user_id = $1 AND event_id = $2",
            vec![user.to_string(), event.to_string()],
        ),
        Which::AllOf(user, Some(email_key)) => (
            "(user_id = $1 OR email_key = $2)",
            vec![user.to_string(), email_key],
        ),
        Which::AllOf(user, None) => ("user_id = $1", vec![user.to_string()]),
        Which::Old(now) => (
            concat!(
                "((state = 'asked' AND since <= CAST($1 AS BIGINT)) OR EXISTS \
                 (SELECT 1 FROM events e WHERE e.id = waiting.event_id AND ",
                sale_ended!("e", "CAST($2 AS BIGINT)"),
                "))"
            ),
            vec![
                (now - CONFIRM_WITHIN_MICROS).to_string(),
                (now - KEPT_MICROS).to_string(),
            ],
        ),
    };
    let mails = format!(
        "DELETE FROM mails WHERE kind IN {KINDS} AND subject IN (SELECT m.id FROM waiting_mails m \
         WHERE m.waiting_id IN (SELECT id FROM waiting WHERE {condition}))"
    );
    let entries = format!("DELETE FROM waiting WHERE {condition} RETURNING event_id");
    let with = |sql: String| {
        let query = query(AssertSqlSafe(sql));
        bound
            .iter()
            .fold(query, |query, bound| query.bind(bound.clone()))
    };
    with(mails).execute(&mut *conn).await?;
    let rows = with(entries).fetch_all(conn).await?;
    rows.iter().map(|row| parse(row, "event_id")).collect()
}

/// Forgets the rounds of events that are over.
pub async fn rounds_delete_old(conn: &mut Conn, now_micros: i64) -> Result<(), sqlx::Error> {
    query(concat!(
        "DELETE FROM waiting_rounds WHERE event_id IN (SELECT e.id FROM events e WHERE ",
        sale_ended!("e", "$1"),
        ")"
    ))
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes down that an entry is written to. Returns the mail's subject.
pub async fn mail_insert(
    conn: &mut Conn,
    entry: &str,
    now_micros: i64,
) -> Result<String, sqlx::Error> {
    let subject = Uuid::now_v7().to_string();
    query("INSERT INTO waiting_mails (id, waiting_id, queued_at) VALUES ($1, $2, $3)")
        .bind(subject.clone())
        .bind(entry.to_owned())
        .bind(now_micros)
        .execute(conn)
        .await?;
    Ok(subject)
}

/// Gives the link of a mail its token, which replaces the one of an earlier try to send it. Locks
/// the entry, which it returns with when the mail was asked for. None: the entry was deleted.
pub async fn mail_arm(
    conn: &mut Conn,
    subject: &str,
    token: &WaitingToken,
) -> Result<Option<(EntryRow, i64)>, sqlx::Error> {
    // The entry first, as everywhere.
    let sql = format!(
        "SELECT {COLUMNS} FROM waiting w \
         WHERE w.id = (SELECT m.waiting_id FROM waiting_mails m WHERE m.id = $1){}",
        engine_of(conn).for_update()
    );
    let row = query(AssertSqlSafe(sql))
        .bind(subject.to_owned())
        .fetch_optional(&mut *conn)
        .await?;
    let Some(entry) = row.as_ref().map(EntryRow::read).transpose()? else {
        return Ok(None);
    };
    let row = query("UPDATE waiting_mails SET token_hash = $2 WHERE id = $1 RETURNING queued_at")
        .bind(subject.to_owned())
        .bind(hash(token))
        .fetch_optional(conn)
        .await?;
    row.map(|row| Ok((entry, row.try_get("queued_at")?)))
        .transpose()
}

/// An event that somebody waits for.
#[derive(Debug, Clone, Copy)]
pub struct Awaited {
    /// Which.
    pub event: EventId,
    /// How its tickets and the telling of them stand.
    pub stand: Stand,
    /// Which round was the last; 0: there was none.
    pub version: i64,
}

/// The events on sale that somebody waits for and that have tickets for sale, or of whose tickets
/// people were told.
pub async fn events_awaited<'e>(
    on: impl AnyExecutor<'e>,
    now_micros: i64,
) -> Result<Vec<Awaited>, sqlx::Error> {
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
    let rows = query(AssertSqlSafe(sql))
        .bind(now_micros)
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Awaited {
                event: parse(row, "event_id")?,
                stand: Stand {
                    free: row.try_get("free")?,
                    told_of: row.try_get("told_of")?,
                    told_at: row.try_get("told_at")?,
                },
                version: row.try_get("version")?,
            })
        })
        .collect()
}

/// Those at the head of the line who want no more than `most` and were not told within the last
/// while, each with what they want.
pub async fn line<'e>(
    on: impl AnyExecutor<'e>,
    event: EventId,
    most: i64,
    told_before_micros: i64,
    limit: i64,
) -> Result<Vec<(Uuid, i64)>, sqlx::Error> {
    let rows = query(
        "SELECT id, quantity FROM waiting WHERE event_id = $1 AND state = 'waiting' \
         AND quantity <= $2 AND told_at <= $3 ORDER BY since, id LIMIT $4",
    )
    .bind(event.to_string())
    .bind(most)
    .bind(told_before_micros)
    .bind(limit)
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| Ok((parse(row, "id")?, row.try_get("quantity")?)))
        .collect()
}

/// Begins the round after the one that was seen. False: another has begun it.
pub async fn round_begin(
    conn: &mut Conn,
    seen: &Awaited,
    told_of: i64,
    told_at_micros: i64,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "INSERT INTO waiting_rounds (event_id, told_of, told_at, version) VALUES ($1, $2, $3, 1) \
         ON CONFLICT (event_id) DO UPDATE SET told_of = $2, told_at = $3, \
         version = waiting_rounds.version + 1 WHERE waiting_rounds.version = $4",
    )
    .bind(seen.event.to_string())
    .bind(told_of)
    .bind(told_at_micros)
    .bind(seen.version)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes somebody out of the line, to be told. False: they are not in it any more.
pub async fn entry_tell(
    conn: &mut Conn,
    entry: Uuid,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE waiting SET state = 'told', told_at = $2, mailed_at = $2 \
         WHERE id = $1 AND state = 'waiting'",
    )
    .bind(entry.to_string())
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Somebody who could not be told in time is in line again, at the place that they had.
pub async fn entry_wait_on(conn: &mut Conn, entry: &str) -> Result<(), sqlx::Error> {
    query("UPDATE waiting SET state = 'waiting', told_at = 0 WHERE id = $1 AND state = 'told'")
        .bind(entry.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}
