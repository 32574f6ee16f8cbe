//! `stagedoor story`: what happened to an order and its payment, for whoever is asked "why could she
//! not pay?". Only reads, and tells of nobody but whom it is asked about.

use crate::{
    accounts::email_key, clock::from_micros, db::Db, orders::timeline, payments::declines,
};
use anyhow::{Context, bail};
use app::orders::Happening;
use model::{
    ids::OrderId,
    money::{Currency, Money},
};
use sqlx::{Row, any::AnyRow, query};
use std::fmt::Write;

/// How many orders of an address are told of: the newest.
const ORDERS_MAX: i64 = 20;

/// Something that happened: when, in microseconds, and what.
type Line = (i64, String);

/// Tells of an order, by its own id or that of a payment or refund of it, here or at Stripe; or of
/// the newest orders of an e-mail address. Returns what to print. Errors: nothing is known of it.
pub async fn run(db: &Db, about: &str) -> anyhow::Result<String> {
    let about = about.trim();
    let mut words = String::new();
    let orders = if about.contains('@') {
        orders_of_address(db, about, &mut words).await?
    } else {
        vec![order_of(db, about).await?]
    };
    for order in orders {
        tell(db, order, &mut words)
            .await
            .context("the database failed")?;
    }
    Ok(words)
}

async fn orders_of_address(
    db: &Db,
    address: &str,
    words: &mut String,
) -> anyhow::Result<Vec<OrderId>> {
    let found = query("SELECT id, email, name, created_at FROM users WHERE email_key = $1")
        .bind(email_key(address))
        .fetch_optional(db.reads())
        .await?;
    let Some(user) = found else {
        bail!("nobody has an account or has bought as a guest with the address {address}");
    };
    let id: String = user.try_get("id")?;
    let (email, name): (String, String) = (user.try_get("email")?, user.try_get("name")?);
    let since = time(user.try_get("created_at")?);
    writeln!(words, "{email}, {name}: account {id} since {since}")?;
    let rows = query(
        "SELECT id, COUNT(*) OVER () AS orders FROM orders WHERE buyer_id = $1 \
         ORDER BY id DESC LIMIT $2",
    )
    .bind(id)
    .bind(ORDERS_MAX)
    .fetch_all(db.reads())
    .await?;
    let all: i64 = rows.first().map_or(Ok(0), |row| row.try_get("orders"))?;
    match all {
        0 => writeln!(words, "They have ordered nothing.")?,
        1..=ORDERS_MAX => writeln!(words, "Orders: {all}, newest first")?,
        _ => writeln!(
            words,
            "Orders: {all}; the newest {ORDERS_MAX}, newest first"
        )?,
    }
    let orders = rows.iter().map(|row| crate::db::parse(row, "id"));
    Ok(orders.collect::<Result<_, _>>()?)
}

async fn order_of(db: &Db, id: &str) -> anyhow::Result<OrderId> {
    let found = query(
        "SELECT id FROM orders WHERE id = $1 \
         UNION SELECT order_id FROM payments WHERE id = $1 OR stripe_id = $1 \
         UNION SELECT order_id FROM refunds WHERE id = $1 OR stripe_id = $1",
    )
    .bind(id.to_owned())
    .fetch_optional(db.reads())
    .await?;
    let Some(row) = found else {
        bail!(
            "{id} is no order, payment or refund of this shop; an address has an @, and Stripe's \
             ids begin with pi_ or re_"
        );
    };
    Ok(crate::db::parse(&row, "id")?)
}

async fn tell(db: &Db, order: OrderId, words: &mut String) -> anyhow::Result<()> {
    let row = query(
        "SELECT o.status, o.total_minor, o.currency, o.expires_at, o.attention, e.title, \
         e.starts_at, u.email, (SELECT COUNT(*) FROM order_lines l WHERE l.order_id = o.id) \
         AS tickets FROM orders o JOIN events e ON e.id = o.event_id \
         JOIN users u ON u.id = o.buyer_id WHERE o.id = $1",
    )
    .bind(order.to_string())
    .fetch_one(db.reads())
    .await?;
    let currency: Currency = crate::db::parse(&row, "currency")?;
    let total = Money::new(row.try_get("total_minor")?, currency);
    let (status, title): (String, String) = (row.try_get("status")?, row.try_get("title")?);
    let (tickets, email): (i64, String) = (row.try_get("tickets")?, row.try_get("email")?);
    let (starts, ends) = (
        time(row.try_get("starts_at")?),
        time(row.try_get("expires_at")?),
    );
    writeln!(words, "\nOrder {order}: {status}, {total}")?;
    writeln!(words, "  tickets: {tickets} for {title:?}, {starts}")?;
    writeln!(
        words,
        "  buyer: {email}; their time to pay ended or ends {ends}"
    )?;
    if row.try_get::<i64, _>("attention")? != 0 {
        writeln!(
            words,
            "  a person should look at it: see its incidents below"
        )?;
    }
    let mut lines = moments(db, order, currency).await?;
    lines.extend(payments(db, order, currency).await?);
    lines.extend(calls(db, order).await?);
    lines.extend(mails(db, order).await?);
    lines.extend(incidents(db, order).await?);
    lines.sort_by_key(|(at, _)| *at);
    for (at, what) in lines {
        writeln!(words, "  {}  {what}", time(at))?;
    }
    Ok(())
}

/// What the order's own page tells, but for refused cards.
async fn moments(db: &Db, order: OrderId, currency: Currency) -> anyhow::Result<Vec<Line>> {
    let moments = timeline::moments(db.reads(), order).await?;
    let told = moments
        .into_iter()
        .filter(|moment| moment.what != Happening::Declined);
    told.map(|moment| {
        let what = serde_json::to_value(moment.what)?;
        let what = what.as_str().unwrap_or_default().replace('_', " ");
        let amount = moment.amount_minor.map(|minor| Money::new(minor, currency));
        let amount = amount.map(|amount| format!(", {amount}"));
        let what = format!("{what}{}", amount.unwrap_or_default());
        Ok((moment.at.as_microsecond(), what))
    })
    .collect()
}

/// What this finds of an order, whose id is `$1`.
async fn rows_of(db: &Db, order: OrderId, sql: &'static str) -> Result<Vec<AnyRow>, sqlx::Error> {
    query(sql)
        .bind(order.to_string())
        .fetch_all(db.reads())
        .await
}

async fn payments(db: &Db, order: OrderId, currency: Currency) -> Result<Vec<Line>, sqlx::Error> {
    let sql = "SELECT id, stripe_id, state, amount_minor, received_minor, refunded_minor, created_at \
               FROM payments WHERE order_id = $1";
    let rows = rows_of(db, order, sql).await?;
    let money =
        |row: &AnyRow, column| Ok::<_, sqlx::Error>(Money::new(row.try_get(column)?, currency));
    let mut lines = Vec::new();
    for row in &rows {
        let (id, state): (String, String) = (row.try_get("id")?, row.try_get("state")?);
        let intent: Option<String> = row.try_get("stripe_id")?;
        let what = format!(
            "payment {id} ({}) of {}; now {state}, {} received, {} paid back",
            intent.as_deref().unwrap_or("not known at Stripe"),
            money(row, "amount_minor")?,
            money(row, "received_minor")?,
            money(row, "refunded_minor")?,
        );
        lines.push((row.try_get("created_at")?, what));
    }
    for decline in declines::declines_of_order(db.reads(), order).await? {
        let what = format!(
            "card {} declined: {} (payment {})",
            decline.attempt, decline.code, decline.payment
        );
        lines.push((decline.at, what));
    }
    Ok(lines)
}

async fn calls(db: &Db, order: OrderId) -> Result<Vec<Line>, sqlx::Error> {
    let sql = "SELECT e.kind, e.state, e.tries, e.last_error, e.created_at FROM payments p \
               JOIN payment_effects e ON e.payment_id = p.id WHERE p.order_id = $1";
    let rows = rows_of(db, order, sql).await?;
    rows.iter()
        .map(|row| tried(row, "call to Stripe:"))
        .collect()
}

async fn mails(db: &Db, order: OrderId) -> Result<Vec<Line>, sqlx::Error> {
    let sql = "SELECT kind, state, tries, last_error, created_at FROM mails WHERE subject = $1 \
               OR (kind = 'event_changed' AND subject LIKE $1 || ':%') \
               OR subject IN (SELECT id FROM refunds WHERE order_id = $1)";
    let rows = rows_of(db, order, sql).await?;
    rows.iter().map(|row| tried(row, "mail")).collect()
}

/// A call or a mail: which, how it stands, and what was said last if it did not get through.
fn tried(row: &AnyRow, what: &str) -> Result<Line, sqlx::Error> {
    let (kind, state): (String, String) = (row.try_get("kind")?, row.try_get("state")?);
    let (tries, error): (i64, Option<String>) = (row.try_get("tries")?, row.try_get("last_error")?);
    let times = if tries == 1 { "try" } else { "tries" };
    let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
    let line = format!("{what} {kind}, {state} after {tries} {times}{error}");
    Ok((row.try_get("created_at")?, line))
}

async fn incidents(db: &Db, order: OrderId) -> Result<Vec<Line>, sqlx::Error> {
    let sql = "SELECT id, kind, detail, found_at, settled_at FROM incidents WHERE order_id = $1 \
               OR subject IN (SELECT id FROM payments WHERE order_id = $1)";
    let rows = rows_of(db, order, sql).await?;
    rows.iter()
        .map(|row| {
            let (id, kind): (String, String) = (row.try_get("id")?, row.try_get("kind")?);
            let detail: String = row.try_get("detail")?;
            let settled: Option<i64> = row.try_get("settled_at")?;
            let settled = settled.map_or("open".to_owned(), |at| format!("settled {}", time(at)));
            let line = format!("incident {id}: {kind}, {settled}: {detail}");
            Ok((row.try_get("found_at")?, line))
        })
        .collect()
}

fn time(micros: i64) -> String {
    from_micros(micros)
        .strftime("%Y-%m-%d %H:%M:%S UTC")
        .to_string()
}
