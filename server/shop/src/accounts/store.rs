//! The SQL of accounts. Functions that take a `Conn` run in the caller's transaction.

use model::{Moment, accounts::User, ids::UserId};
use platform::{
    db::{Conn, Flag, Statement, engine_of},
    outbox::{DomainEvent, EventType},
};
use sqlx::{
    Any, AnyExecutor, AssertSqlSafe, Encode, FromRow, Row, Type, any::AnyRow, query, query_as,
    query_scalar,
};
use sqlx_macros::FromRow;
use std::collections::HashMap;

/// What proves that somebody is a new account's owner.
#[derive(Debug, Clone)]
pub(crate) enum Lock {
    /// The hash of a password.
    Password(String),
    /// None but the session that it is made in, and for a short while the form that made it, which
    /// this is the hash of.
    Guest(Option<String>),
}

/// Writes a new account down. False: its address is in use.
pub(crate) async fn user_insert(
    conn: &mut Conn,
    user: &User,
    email_key: &str,
    lock: &Lock,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let (password_hash, guest_key) = match lock {
        Lock::Password(hash) => (hash.clone(), None),
        Lock::Guest(form) => (String::new(), form.clone()),
    };
    let done = query(
        "INSERT INTO users (id, email, email_key, name, password_hash, version, created_at, \
         guest_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (email_key) DO NOTHING",
    )
    .bind(user.id)
    .bind(user.email.clone())
    .bind(email_key.to_owned())
    .bind(user.name.clone())
    .bind(password_hash)
    .bind(user.version)
    .bind(now)
    .bind(guest_key)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The columns of an account that make a [`User`].
#[derive(FromRow)]
struct UserRow {
    id: UserId,
    email: String,
    name: String,
    email_verified_at: Option<Moment>,
    version: i64,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            name: row.name,
            email_verified: row.email_verified_at.is_some(),
            version: row.version,
        }
    }
}

/// An account with what proves that somebody is its owner.
#[derive(Debug, Clone)]
pub struct Locked {
    /// Its owner.
    pub user: User,
    /// The hash of their password; empty if they have none.
    pub password_hash: String,
    /// Of which their sessions must be to count.
    pub epoch: i64,
}

impl FromRow<'_, AnyRow> for Locked {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            user: UserRow::from_row(row)?.into(),
            password_hash: row.try_get("password_hash")?,
            epoch: row.try_get("session_epoch")?,
        })
    }
}

impl Locked {
    /// Whether there is a password that opens the account. Guests have none.
    pub fn has_password(&self) -> bool {
        !self.password_hash.is_empty()
    }
}

/// The account of an address, with its lock.
pub async fn user_find_by_email<'e>(
    on: impl AnyExecutor<'e>,
    email_key: &str,
) -> Result<Option<Locked>, sqlx::Error> {
    find_locked(on, "email_key", email_key.to_owned()).await
}

/// The guest's account of an address that this form made after `after`, if it still is as it
/// was made: it has no password, and nobody has ended its sessions.
pub(crate) async fn guest_find(
    conn: &mut Conn,
    email_key: &str,
    guest_key: &str,
    after: Moment,
) -> Result<Option<User>, sqlx::Error> {
    let row = query_as::<_, UserRow>(
        "SELECT id, email, name, email_verified_at, version FROM users WHERE email_key = $1 AND guest_key = $2 \
         AND created_at > $3 AND password_hash = '' AND session_epoch = 0 AND deleted_at IS NULL",
    )
    .bind(email_key.to_owned())
    .bind(guest_key.to_owned())
    .bind(after)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(User::from))
}

/// One account that has not been deleted, with its lock.
pub(crate) async fn user_find_locked<'e>(
    on: impl AnyExecutor<'e>,
    id: UserId,
) -> Result<Option<Locked>, sqlx::Error> {
    find_locked(on, "id", id).await
}

async fn find_locked<'e>(
    on: impl AnyExecutor<'e>,
    column: &'static str,
    value: impl Encode<'static, Any> + Type<Any>,
) -> Result<Option<Locked>, sqlx::Error> {
    let mut select = Statement::new(
        "SELECT id, email, name, email_verified_at, version, password_hash, session_epoch \
         FROM users WHERE ",
    );
    select.push(column).push(" = ").bind(value);
    select.push(" AND deleted_at IS NULL");
    select.query_as::<Locked>()?.fetch_optional(on).await
}

/// Sets a password if the account still has the one that `before` hashes, or whatever it has if
/// `before` is none; all its sessions end. None: it has not, or is deleted.
pub(crate) async fn password_set(
    conn: &mut Conn,
    id: UserId,
    before: Option<&str>,
    password_hash: &str,
) -> Result<Option<Locked>, sqlx::Error> {
    query_as(
        "UPDATE users SET password_hash = $2, session_epoch = session_epoch + 1 \
         WHERE id = $1 AND deleted_at IS NULL AND ($3 IS NULL OR password_hash = $3) \
         RETURNING id, email, name, email_verified_at, version, password_hash, session_epoch",
    )
    .bind(id)
    .bind(password_hash.to_owned())
    .bind(before.map(str::to_owned))
    .fetch_optional(conn)
    .await
}

/// Replaces the hash of a password by another of the same password; sessions stay. False: the
/// password was changed meanwhile.
pub(crate) async fn hash_renew(
    conn: &mut Conn,
    id: UserId,
    before: &str,
    renewed: &str,
) -> Result<bool, sqlx::Error> {
    let done = query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
        .bind(id)
        .bind(before.to_owned())
        .bind(renewed.to_owned())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends all sessions of an account. Returns the epoch that begins, if it is not deleted.
pub(crate) async fn epoch_begin(conn: &mut Conn, id: UserId) -> Result<Option<i64>, sqlx::Error> {
    query_scalar(
        "UPDATE users SET session_epoch = session_epoch + 1 \
         WHERE id = $1 AND deleted_at IS NULL RETURNING session_epoch",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Ends all sessions of an account that has neither a password nor a second factor. None: it has one,
/// or is deleted.
pub(crate) async fn guest_epoch_begin(
    conn: &mut Conn,
    id: UserId,
) -> Result<Option<Locked>, sqlx::Error> {
    query_as(
        "UPDATE users SET session_epoch = session_epoch + 1 \
         WHERE id = $1 AND deleted_at IS NULL AND password_hash = '' \
         AND NOT EXISTS (SELECT 1 FROM second_factors f WHERE f.user_id = users.id) \
         RETURNING id, email, name, email_verified_at, version, password_hash, session_epoch",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// What others see in place of somebody who has left.
pub(crate) const FORMER_MEMBER: &str = "Former member";

/// Locks an account until the transaction ends. Whoever lists for it locks it first, as does who
/// deletes it, so that nothing is listed behind their back. False: it has been deleted, or has not
/// this password, if one is asked for.
pub(crate) async fn user_lock(
    conn: &mut Conn,
    id: UserId,
    password_hash: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "SELECT id FROM users WHERE id = $1 AND deleted_at IS NULL \
         AND ($2 IS NULL OR password_hash = $2){}",
        engine_of(conn).for_update()
    );
    let row = query(AssertSqlSafe(sql))
        .bind(id)
        .bind(password_hash.map(str::to_owned))
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

#[derive(FromRow)]
struct Anonymised {
    #[sqlx(flatten)]
    user: UserRow,
    session_epoch: i64,
}

/// Takes everything personal out of an account and ends it; its address is free again. Returns
/// what is left, and the epoch that none of its sessions is of. None: it has been deleted already.
pub(crate) async fn user_anonymise(
    conn: &mut Conn,
    id: UserId,
    now: Moment,
) -> Result<Option<(User, i64)>, sqlx::Error> {
    // An id is no address, so the key can never be somebody's.
    let row = query_as::<_, Anonymised>(
        "UPDATE users SET email = '', email_key = id, name = $2, password_hash = '', \
         email_verified_at = NULL, \
         guest_key = NULL, is_operator = 0, session_epoch = session_epoch + 1, version = version + 1, \
         deleted_at = $3 WHERE id = $1 AND deleted_at IS NULL \
         RETURNING id, email, name, email_verified_at, version, session_epoch",
    )
    .bind(id)
    .bind(FORMER_MEMBER)
    .bind(now)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|left| (left.user.into(), left.session_epoch)))
}

/// One account that has not been deleted.
pub(crate) async fn user_find<'e>(
    on: impl AnyExecutor<'e>,
    id: UserId,
) -> Result<Option<User>, sqlx::Error> {
    let row = query_as::<_, UserRow>(
        "SELECT id, email, name, email_verified_at, version FROM users \
         WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(id)
    .fetch_optional(on)
    .await?;
    Ok(row.map(User::from))
}

/// What others see of these users; those that don't exist are missing.
pub(crate) async fn user_names<'e>(
    on: impl AnyExecutor<'e>,
    ids: &[UserId],
) -> Result<HashMap<UserId, String>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = Statement::new("SELECT id, name FROM users WHERE id IN (");
    select.bind_list(ids.iter().copied()).push(")");
    let names = select.query_as()?.fetch_all(on).await?;
    Ok(names.into_iter().collect())
}

/// The operators, by address.
pub async fn operators<'e>(on: impl AnyExecutor<'e>) -> Result<Vec<User>, sqlx::Error> {
    let rows = query_as::<_, UserRow>(
        "SELECT id, email, name, email_verified_at, version FROM users WHERE is_operator = 1 ORDER BY email_key",
    )
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(User::from).collect())
}

/// Makes the account of an address an operator's, if somebody has proved the address or it is one
/// already, or makes it no longer one. Others see nothing of it, so its version stays. None: there is
/// no such account, or nobody has proved its address.
pub async fn operator_set(
    conn: &mut Conn,
    email_key: &str,
    is_operator: bool,
) -> Result<Option<User>, sqlx::Error> {
    let row = query_as::<_, UserRow>(
        "UPDATE users SET is_operator = $2 WHERE email_key = $1 AND deleted_at IS NULL \
         AND ($2 = 0 OR is_operator = 1 OR email_verified_at IS NOT NULL) \
         RETURNING id, email, name, email_verified_at, version",
    )
    .bind(email_key.to_owned())
    .bind(Flag(is_operator))
    .fetch_optional(conn)
    .await?;
    Ok(row.map(User::from))
}

/// Takes the account's address as proved, if it still is this one and was not before. None: it is
/// another, or was.
pub(crate) async fn email_prove(
    conn: &mut Conn,
    id: UserId,
    email: &str,
    now: Moment,
) -> Result<Option<User>, sqlx::Error> {
    let row = query_as::<_, UserRow>(
        "UPDATE users SET email_verified_at = $3, version = version + 1 \
         WHERE id = $1 AND email = $2 AND email_verified_at IS NULL AND deleted_at IS NULL \
         RETURNING id, email, name, email_verified_at, version",
    )
    .bind(id)
    .bind(email.to_owned())
    .bind(now)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(User::from))
}

/// Gives an account another address, which has been proved, unless another account has it. None:
/// another has, or the account is deleted.
pub(crate) async fn email_replace(
    conn: &mut Conn,
    id: UserId,
    email: &str,
    email_key: &str,
    now: Moment,
) -> Result<Option<User>, sqlx::Error> {
    let row = query_as::<_, UserRow>(
        "UPDATE users SET email = $2, email_key = $3, email_verified_at = $4, guest_key = NULL, \
         version = version + 1 WHERE id = $1 AND deleted_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM users o WHERE o.email_key = $3 AND o.id <> $1) \
         RETURNING id, email, name, email_verified_at, version",
    )
    .bind(id)
    .bind(email.to_owned())
    .bind(email_key.to_owned())
    .bind(now)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(User::from))
}

/// Changes what others see of a user.
pub(crate) async fn user_rename(
    conn: &mut Conn,
    id: UserId,
    name: &str,
) -> Result<Option<User>, sqlx::Error> {
    let row = query_as::<_, UserRow>(
        "UPDATE users SET name = $2, version = version + 1 \
         WHERE id = $1 AND deleted_at IS NULL RETURNING id, email, name, email_verified_at, version",
    )
    .bind(id)
    .bind(name.to_owned())
    .fetch_optional(conn)
    .await?;
    Ok(row.map(User::from))
}

/// Whether this operator has a second factor. None: they are no operator.
pub(super) async fn operator_find<'e>(
    on: impl AnyExecutor<'e>,
    id: UserId,
) -> Result<Option<bool>, sqlx::Error> {
    let factors = query_scalar::<_, i64>(
        "SELECT (SELECT COUNT(*) FROM second_factors f WHERE f.user_id = u.id) AS factors \
         FROM users u WHERE u.id = $1 AND u.is_operator = 1",
    )
    .bind(id)
    .fetch_optional(on)
    .await?;
    Ok(factors.map(|factors| factors > 0))
}

/// The domain event that tells of a user as they are after a change.
pub(crate) fn told(kind: EventType, user: &User) -> DomainEvent {
    DomainEvent::new(kind, user.id, user.version, user)
}
