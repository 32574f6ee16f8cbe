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

/// How a new account is accessed.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// The hash of a password.
    Password(String),
    /// Only by the session that created it and, for a short while, by repeating the form; this is the
    /// hash of the form's id.
    Guest(Option<String>),
}

/// Inserts an account. False: its address is in use.
pub(crate) async fn insert(
    conn: &mut Conn,
    user: &User,
    email_key: &str,
    credential: &Credential,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let (password_hash, guest_key) = match credential {
        Credential::Password(hash) => (hash.clone(), None),
        Credential::Guest(form) => (String::new(), form.clone()),
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

/// An account with its password hash and session epoch.
#[derive(Debug, Clone)]
pub struct Account {
    pub user: User,
    /// Empty if there is no password.
    pub password_hash: String,
    /// Sessions of earlier epochs are invalid.
    pub epoch: i64,
}

impl FromRow<'_, AnyRow> for Account {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            user: UserRow::from_row(row)?.into(),
            password_hash: row.try_get("password_hash")?,
            epoch: row.try_get("session_epoch")?,
        })
    }
}

impl Account {
    /// Whether the account has a password. Guests have none.
    pub fn has_password(&self) -> bool {
        !self.password_hash.is_empty()
    }
}

/// Finds the account with this address that has not been deleted.
pub async fn find_by_email<'e>(
    on: impl AnyExecutor<'e>,
    email_key: &str,
) -> Result<Option<Account>, sqlx::Error> {
    find_where(on, "email_key", email_key.to_owned()).await
}

/// Finds the guest account with this address that this form created after `after`, if it is unchanged:
/// it has no password, and its sessions were not ended.
pub(crate) async fn find_guest(
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

/// Finds an account that has not been deleted.
pub(crate) async fn find_account<'e>(
    on: impl AnyExecutor<'e>,
    id: UserId,
) -> Result<Option<Account>, sqlx::Error> {
    find_where(on, "id", id).await
}

async fn find_where<'e>(
    on: impl AnyExecutor<'e>,
    column: &'static str,
    value: impl Encode<'static, Any> + Type<Any>,
) -> Result<Option<Account>, sqlx::Error> {
    let mut select = Statement::new(
        "SELECT id, email, name, email_verified_at, version, password_hash, session_epoch \
         FROM users WHERE ",
    );
    select.push(column).push(" = ").bind(value);
    select.push(" AND deleted_at IS NULL");
    select.query_as::<Account>()?.fetch_optional(on).await
}

/// Sets a password and begins a new epoch, if the account still has the hash `before` (any, if none is
/// given). None: it has another, or is deleted.
pub(crate) async fn set_password(
    conn: &mut Conn,
    id: UserId,
    before: Option<&str>,
    password_hash: &str,
) -> Result<Option<Account>, sqlx::Error> {
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

/// Replaces a password's hash with another hash of the same password; sessions stay valid. False: the
/// password was changed in the meantime.
pub(crate) async fn renew_hash(
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

/// Invalidates all sessions of an account by beginning a new epoch. Returns the epoch. None: the account
/// is deleted.
pub(crate) async fn begin_epoch(conn: &mut Conn, id: UserId) -> Result<Option<i64>, sqlx::Error> {
    query_scalar(
        "UPDATE users SET session_epoch = session_epoch + 1 \
         WHERE id = $1 AND deleted_at IS NULL RETURNING session_epoch",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// As [`begin_epoch`], for an account without password and second factor. None: it has one of them, or
/// is deleted.
pub(crate) async fn begin_guest_epoch(
    conn: &mut Conn,
    id: UserId,
) -> Result<Option<Account>, sqlx::Error> {
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

/// Replaces the name of a deleted account.
pub(crate) const FORMER_MEMBER: &str = "Former member";

/// Locks an account until the transaction ends. Creating listings and deleting the account both lock it
/// first, so that no listing is created for a deleted account. False: it is deleted, or `password_hash`
/// is given and is not its hash.
pub(crate) async fn lock(
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

/// Deletes an account: removes its personal data, frees its address and begins a new epoch. Returns the
/// remaining user and the epoch. None: it was deleted before.
pub(crate) async fn anonymise(
    conn: &mut Conn,
    id: UserId,
    now: Moment,
) -> Result<Option<(User, i64)>, sqlx::Error> {
    // An id is not an address, so the key is never in use.
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
    Ok(row.map(|row| (row.user.into(), row.session_epoch)))
}

/// Finds the user of an account that has not been deleted.
pub(crate) async fn find<'e>(
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

/// The names of these users by id; ids without a user are absent.
pub(crate) async fn find_names<'e>(
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

/// Lists all operators, ordered by address.
pub async fn list_operators<'e>(on: impl AnyExecutor<'e>) -> Result<Vec<User>, sqlx::Error> {
    let rows = query_as::<_, UserRow>(
        "SELECT id, email, name, email_verified_at, version FROM users WHERE is_operator = 1 ORDER BY email_key",
    )
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(User::from).collect())
}

/// Grants an account operator rights, if its address is verified or it has them already, or revokes
/// them. The version stays, because users are shown without it. None: there is no such account, or its
/// address is not verified.
pub async fn set_operator(
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

/// Marks an account's address as verified. None: the account has another address, or the address was
/// verified before.
pub(crate) async fn verify_email(
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

/// Replaces an account's address with a verified one. None: another account has that address, or this
/// account is deleted.
pub(crate) async fn replace_email(
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

/// Changes a user's name. None: the account is deleted.
pub(crate) async fn rename(
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

/// Whether this operator has a second factor. None: the user is not an operator.
pub(super) async fn find_operator<'e>(
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

/// The domain event with the state of a user after a change.
pub(crate) fn domain_event(kind: EventType, user: &User) -> DomainEvent {
    DomainEvent::new(kind, user.id, user.version, user)
}
