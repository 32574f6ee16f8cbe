//! `stagedoor story`: the history of an order and its payment, or of a user's orders, for questions such
//! as "why could she not pay?". Changes nothing, and shows no other user's data.

use anyhow::{Context, bail};
use model::{
    Moment,
    ids::{IncidentId, OrderId, PaymentId, UserId},
    money::{Currency, MinorUnits},
    orders::Happening,
};
use platform::db::Db;
use shop::{
    accounts::email_key,
    history::timeline,
    orders::State,
    payments::{declines, store::State as PaymentState},
};
use sqlx::{FromRow as FromAnyRow, any::AnyRow, query_as, query_scalar};
use sqlx_macros::FromRow;
use std::fmt::Write;

/// The most orders of a user that are shown, the newest.
const ORDERS_MAX: i64 = 20;

/// The time and text of an entry.
type Line = (Moment, String);

#[derive(FromRow)]
struct Account {
    id: UserId,
    email: String,
    name: String,
    created_at: Moment,
}

/// Describes the order with the id `about`, or the order of the payment or refund with that id, here or at
/// Stripe; or the newest orders of the user with the e-mail address `about`. Returns the output. Errors:
/// there is no such order or user.
pub(super) async fn run(db: &Db, about: &str) -> anyhow::Result<String> {
    let about = about.trim();
    let mut output = String::new();
    let orders = if about.contains('@') {
        orders_of_address(db, about, &mut output).await?
    } else {
        vec![order_of(db, about).await?]
    };
    for order in orders {
        describe(db, order, &mut output)
            .await
            .context("the database failed")?;
    }
    Ok(output)
}

async fn orders_of_address(
    db: &Db,
    address: &str,
    output: &mut String,
) -> anyhow::Result<Vec<OrderId>> {
    let found: Option<Account> =
        query_as("SELECT id, email, name, created_at FROM users WHERE email_key = $1")
            .bind(email_key(address))
            .fetch_optional(db.reads())
            .await?;
    let Some(user) = found else {
        bail!("nobody has an account or has bought as a guest with the address {address}");
    };
    let Account {
        id, email, name, ..
    } = user;
    let since = time(user.created_at);
    writeln!(output, "{email}, {name}: account {id} since {since}")?;
    let rows: Vec<(OrderId, i64)> = query_as(
        "SELECT id, COUNT(*) OVER () AS orders FROM orders WHERE buyer_id = $1 \
         ORDER BY id DESC LIMIT $2",
    )
    .bind(id)
    .bind(ORDERS_MAX)
    .fetch_all(db.reads())
    .await?;
    let all = rows.first().map_or(0, |(_, all)| *all);
    match all {
        0 => writeln!(output, "They have ordered nothing.")?,
        1..=ORDERS_MAX => writeln!(output, "Orders: {all}, newest first")?,
        _ => writeln!(
            output,
            "Orders: {all}; the newest {ORDERS_MAX}, newest first"
        )?,
    }
    Ok(rows.into_iter().map(|(order, _)| order).collect())
}

async fn order_of(db: &Db, id: &str) -> anyhow::Result<OrderId> {
    let found: Option<OrderId> = query_scalar(
        "SELECT id FROM orders WHERE id = $1 \
         UNION SELECT order_id FROM payments WHERE id = $1 OR stripe_id = $1 \
         UNION SELECT order_id FROM refunds WHERE id = $1 OR stripe_id = $1",
    )
    .bind(id.to_owned())
    .fetch_optional(db.reads())
    .await?;
    found.with_context(|| {
        format!(
            "{id} is not an order, payment or refund of this shop; an address has an @, and Stripe's \
            ids begin with pi_ or re_"
        )
    })
}

#[derive(FromRow)]
struct OrderRow {
    status: State,
    total_minor: MinorUnits,
    currency: Currency,
    expires_at: Moment,
    open_incidents: i64,
    title: String,
    starts_at: Moment,
    email: String,
    tickets: i64,
}

async fn describe(db: &Db, order: OrderId, output: &mut String) -> anyhow::Result<()> {
    let row: OrderRow = query_as(
        "SELECT o.status, o.total_minor, o.currency, o.expires_at, e.title, \
         e.starts_at, u.email, (SELECT COUNT(*) FROM order_lines l WHERE l.order_id = o.id) \
         AS tickets, (SELECT COUNT(*) FROM incidents i WHERE i.order_id = o.id AND i.settled_at IS NULL) \
         AS open_incidents FROM orders o JOIN events e ON e.id = o.event_id \
         JOIN users u ON u.id = o.buyer_id WHERE o.id = $1",
    )
    .bind(order)
    .fetch_one(db.reads())
    .await?;
    let OrderRow {
        status,
        currency,
        title,
        email,
        tickets,
        ..
    } = row;
    let total = row.total_minor.of(currency);
    let (starts, ends) = (time(row.starts_at), time(row.expires_at));
    writeln!(output, "\nOrder {order}: {status}, {total}")?;
    writeln!(output, "  tickets: {tickets} for {title:?}, {starts}")?;
    writeln!(
        output,
        "  buyer: {email}; their time to pay ended or ends {ends}"
    )?;
    if row.open_incidents > 0 {
        writeln!(
            output,
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
        writeln!(output, "  {}  {what}", time(at))?;
    }
    Ok(())
}

/// The entries of the order's page, except declined cards, which `payments` describes.
async fn moments(db: &Db, order: OrderId, currency: Currency) -> anyhow::Result<Vec<Line>> {
    let moments = timeline::list(db.reads(), order).await?;
    let shown = moments
        .into_iter()
        .filter(|moment| moment.what != Happening::Declined);
    shown
        .map(|moment| {
            let what = serde_json::to_value(moment.what)?;
            let what = what.as_str().unwrap_or_default().replace('_', " ");
            let amount = moment
                .amount_minor
                .map(|minor| MinorUnits::new(minor).of(currency));
            let amount = amount.map(|amount| format!(", {amount}"));
            let what = format!("{what}{}", amount.unwrap_or_default());
            Ok((moment.at.into(), what))
        })
        .collect()
}

/// The rows that `sql` selects for an order, whose id is `$1`.
async fn rows_of<T>(db: &Db, order: OrderId, sql: &'static str) -> Result<Vec<T>, sqlx::Error>
where
    T: for<'r> FromAnyRow<'r, AnyRow> + Send + Unpin,
{
    query_as(sql).bind(order).fetch_all(db.reads()).await
}

#[derive(FromRow)]
struct PaymentRow {
    id: PaymentId,
    stripe_id: Option<String>,
    state: PaymentState,
    amount_minor: MinorUnits,
    received_minor: MinorUnits,
    refunded_minor: MinorUnits,
    created_at: Moment,
}

async fn payments(db: &Db, order: OrderId, currency: Currency) -> Result<Vec<Line>, sqlx::Error> {
    let sql = "SELECT id, stripe_id, state, amount_minor, received_minor, refunded_minor, created_at \
               FROM payments WHERE order_id = $1";
    let mut lines = Vec::new();
    for row in rows_of::<PaymentRow>(db, order, sql).await? {
        let what = format!(
            "payment {} ({}) of {}; now {}, {} received, {} paid back",
            row.id,
            row.stripe_id.as_deref().unwrap_or("not known at Stripe"),
            row.amount_minor.of(currency),
            row.state,
            row.received_minor.of(currency),
            row.refunded_minor.of(currency),
        );
        lines.push((row.created_at, what));
    }
    for decline in declines::list_for_order(db.reads(), order).await? {
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
    let calls = rows_of::<DeliveryRow>(db, order, sql).await?;
    let lines = calls.into_iter().map(|call| call.line("call to Stripe:"));
    Ok(lines.collect())
}

async fn mails(db: &Db, order: OrderId) -> Result<Vec<Line>, sqlx::Error> {
    let sql = "SELECT kind, state, tries, last_error, created_at FROM mails WHERE subject = $1 \
               OR (kind = 'event_changed' AND subject LIKE $1 || ':%') \
               OR subject IN (SELECT id FROM refunds WHERE order_id = $1)";
    let mails = rows_of::<DeliveryRow>(db, order, sql).await?;
    Ok(mails.into_iter().map(|mail| mail.line("mail")).collect())
}

/// A call to Stripe or a mail. Its kind and state are printed as they are stored.
#[derive(FromRow)]
struct DeliveryRow {
    kind: String,
    state: String,
    tries: i64,
    last_error: Option<String>,
    created_at: Moment,
}

impl DeliveryRow {
    /// The kind, state and number of tries, with the last error if there is one.
    fn line(self, what: &str) -> Line {
        let Self {
            kind, state, tries, ..
        } = self;
        let times = if tries == 1 { "try" } else { "tries" };
        let error = self.last_error.map(|error| format!(" ({error})"));
        let error = error.unwrap_or_default();
        let line = format!("{what} {kind}, {state} after {tries} {times}{error}");
        (self.created_at, line)
    }
}

#[derive(FromRow)]
struct IncidentRow {
    id: IncidentId,
    kind: String,
    detail: String,
    found_at: Moment,
    settled_at: Option<Moment>,
}

async fn incidents(db: &Db, order: OrderId) -> Result<Vec<Line>, sqlx::Error> {
    let sql = "SELECT id, kind, detail, found_at, settled_at FROM incidents WHERE order_id = $1 \
               OR subject IN (SELECT id FROM payments WHERE order_id = $1)";
    let incidents = rows_of::<IncidentRow>(db, order, sql).await?;
    let lines = incidents.into_iter().map(|incident| {
        let IncidentRow {
            id, kind, detail, ..
        } = incident;
        let settled = incident.settled_at;
        let settled = settled.map_or("open".to_owned(), |at| format!("settled {}", time(at)));
        let line = format!("incident {id}: {kind}, {settled}: {detail}");
        (incident.found_at, line)
    });
    Ok(lines.collect())
}

fn time(at: Moment) -> String {
    at.timestamp().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
