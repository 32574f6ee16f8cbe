//! The books: where every minor unit is that was taken or given back.
//!
//! Owns the table `ledger`. Double entry: the lines of an entry sum to zero, an entry is written
//! once, in the transaction that it tells of, and never changed. What was taken is at the
//! provider; what is owed for it, to its sellers or (where no order stands for it) back to the
//! buyer, stands against it below zero. What went back without a known seller to bear it (a part that was
//! refunded by hand, a lost dispute) is unallocated above zero, until a person decides who bears it.
//! Paying sellers out is not done here.

use crate::{
    db::{Conn, parse, rows},
    fault::{Fault, FaultResult},
};
use app::refunds::Owed;
use model::{
    ids::{OrderId, PaymentId, RefundId, TicketId, UserId},
    money::Currency,
};
use sqlx::{AnyExecutor, AssertSqlSafe, Row, query};

/// Where money is, or to whom it is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// With the payment provider, for us.
    Provider,
    /// Owed to this seller.
    Seller(UserId),
    /// Below zero: taken without an order that stands for it, owed back to who paid. Above zero: gone
    /// back, and not yet allocated to a seller or the shop.
    Unallocated,
}

impl Account {
    fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Seller(_) => "seller",
            Self::Unallocated => "unallocated",
        }
    }
}

/// What an entry tells of. Each happens once, so it names the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// Money was taken.
    Captured,
    /// Money went back.
    Refunded(RefundId),
    /// Money that had gone back came in again.
    RefundFailed(RefundId),
}

impl Happened {
    fn kind(self) -> &'static str {
        match self {
            Self::Captured => "capture",
            Self::Refunded(_) => "refund",
            Self::RefundFailed(_) => "refund_failed",
        }
    }

    fn refund(self) -> Option<RefundId> {
        match self {
            Self::Captured => None,
            Self::Refunded(refund) | Self::RefundFailed(refund) => Some(refund),
        }
    }
}

/// What somebody is owed of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Whose.
    pub account: Account,
    /// In minor units, above zero.
    pub amount_minor: i64,
}

/// An entry before it is written.
#[derive(Debug)]
pub struct Entry<'a> {
    /// What it tells of.
    pub happened: Happened,
    /// Of this payment.
    pub payment: PaymentId,
    /// In this currency.
    pub currency: Currency,
    /// Whose the money is; all of it, since the provider's line is their sum.
    pub shares: &'a [Share],
    /// When.
    pub at_micros: i64,
}

/// Writes an entry: what was taken in, the shares are owed; what went back, they no longer are.
/// A second entry of the same name breaks the primary key, and with it the transaction.
pub async fn record(conn: &mut Conn, entry: &Entry<'_>) -> FaultResult<()> {
    const COLUMNS: usize = 10;
    let lines = lines(entry)?;
    let id = match entry.happened.refund() {
        None => format!("capture:{}", entry.payment),
        Some(refund) => format!("{}:{refund}", entry.happened.kind()),
    };
    let sql = format!(
        "INSERT INTO ledger (entry_id, line, kind, payment_id, refund_id, account, seller_id, \
         amount_minor, currency, created_at) VALUES {}",
        rows(lines.len(), COLUMNS)
    );
    let mut insert = query(AssertSqlSafe(sql));
    for (number, (account, amount_minor)) in (0_i64..).zip(&lines) {
        insert = insert
            .bind(id.clone())
            .bind(number)
            .bind(entry.happened.kind())
            .bind(entry.payment.to_string())
            .bind(entry.happened.refund().map(|refund| refund.to_string()))
            .bind(account.name())
            .bind(match account {
                Account::Seller(seller) => Some(seller.to_string()),
                _ => None,
            })
            .bind(*amount_minor)
            .bind(entry.currency.code())
            .bind(entry.at_micros);
    }
    insert.execute(conn).await?;
    Ok(())
}

fn lines(entry: &Entry<'_>) -> FaultResult<Vec<(Account, i64)>> {
    let out_of_range = || Fault::unexpected("an entry's sum is out of range", "the books");
    let total = entry
        .shares
        .iter()
        .try_fold(0_i64, |sum, share| sum.checked_add(share.amount_minor))
        .filter(|total| *total > 0)
        .ok_or_else(out_of_range)?;
    let sign = match entry.happened {
        Happened::Captured | Happened::RefundFailed(_) => 1,
        Happened::Refunded(_) => -1,
    };
    let mut lines = vec![(Account::Provider, sign * total)];
    lines.extend(
        entry
            .shares
            .iter()
            .map(|share| (share.account, -sign * share.amount_minor)),
    );
    Ok(lines)
}

/// Between whom the books move what is owed, without money moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reallocation {
    /// What was paid back for nobody was paid back for these sellers.
    ToSellers,
    /// It was not, after all.
    FromSellers,
}

/// Writes down whose money it was that was paid back. `number` tells reallocations by one refund apart.
pub async fn reallocate(
    conn: &mut Conn,
    entry: &Entry<'_>,
    number: i64,
    how: Reallocation,
) -> FaultResult<()> {
    let Some(refund) = entry.happened.refund() else {
        return Err(Fault::unexpected(
            "a reallocation without a refund",
            "the books",
        ));
    };
    let (sign, kind) = match how {
        Reallocation::ToSellers => (1, "refund"),
        Reallocation::FromSellers => (-1, "refund_failed"),
    };
    let total: i64 = entry.shares.iter().map(|share| share.amount_minor).sum();
    let sellers = entry
        .shares
        .iter()
        .map(|share| (share.account, sign * share.amount_minor));
    let lines = std::iter::once((Account::Unallocated, -sign * total)).chain(sellers);
    for (line, (account, amount_minor)) in (0_i64..).zip(lines) {
        let seller = match account {
            Account::Seller(seller) => Some(seller.to_string()),
            _ => None,
        };
        query(
            "INSERT INTO ledger (entry_id, line, kind, payment_id, refund_id, account, seller_id, \
             amount_minor, currency, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(format!("reallocation:{refund}:{number}"))
        .bind(line)
        .bind(kind)
        .bind(entry.payment.to_string())
        .bind(refund.to_string())
        .bind(account.name())
        .bind(seller)
        .bind(amount_minor)
        .bind(entry.currency.code())
        .bind(entry.at_micros)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// How often the books of this payment have been reallocated by this refund.
pub async fn reallocations(
    conn: &mut Conn,
    payment: PaymentId,
    refund: RefundId,
) -> Result<i64, sqlx::Error> {
    query(
        "SELECT COUNT(*) AS n FROM ledger WHERE payment_id = $1 AND entry_id LIKE $2 AND line = 0",
    )
    .bind(payment.to_string())
    .bind(format!("reallocation:{refund}:%"))
    .fetch_one(conn)
    .await?
    .try_get("n")
}

/// What a dispute has taken from a payment, by what the bank has decided.
#[derive(Debug)]
pub struct Disputed<'a> {
    /// Stripe's name for the dispute.
    pub dispute: &'a str,
    /// Of this payment.
    pub payment: PaymentId,
    /// In this currency.
    pub currency: Currency,
    /// In minor units; 0 unless the dispute is lost.
    pub lost_minor: i64,
    /// When.
    pub at_micros: i64,
}

/// Writes the difference between what a dispute has taken and what the books have of it, if there is one.
/// So it may be called again with the same or with newer facts.
pub async fn record_dispute(conn: &mut Conn, said: &Disputed<'_>) -> Result<(), sqlx::Error> {
    let booked = lost_to_dispute(&mut *conn, said.payment, said.dispute).await?;
    let moved = booked - said.lost_minor;
    if moved == 0 {
        return Ok(());
    }
    let entries: i64 = query(
        "SELECT COUNT(*) AS n FROM ledger WHERE payment_id = $1 AND entry_id LIKE $2 AND line = 0",
    )
    .bind(said.payment.to_string())
    .bind(format!("dispute:{}:%", said.dispute))
    .fetch_one(&mut *conn)
    .await?
    .try_get("n")?;
    // Booked like a refund, or like one that failed.
    let kind = if moved < 0 { "refund" } else { "refund_failed" };
    let lines = [(Account::Provider, moved), (Account::Unallocated, -moved)];
    for (line, (account, amount_minor)) in (0_i64..).zip(lines) {
        query(
            "INSERT INTO ledger (entry_id, line, kind, payment_id, account, amount_minor, currency, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(format!("dispute:{}:{entries}", said.dispute))
        .bind(line)
        .bind(kind)
        .bind(said.payment.to_string())
        .bind(account.name())
        .bind(amount_minor)
        .bind(said.currency.code())
        .bind(said.at_micros)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// What a dispute has taken of a payment, as the books have it.
pub async fn lost_to_dispute<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
    dispute: &str,
) -> Result<i64, sqlx::Error> {
    query(
        "SELECT CAST(COALESCE(-SUM(amount_minor), 0) AS BIGINT) AS lost FROM ledger \
         WHERE payment_id = $1 AND account = 'provider' AND entry_id LIKE $2",
    )
    .bind(payment.to_string())
    .bind(format!("dispute:{dispute}:%"))
    .fetch_one(on)
    .await?
    .try_get("lost")
}

/// What each seller gets of an order, or of these tickets of it, in the order of their ids.
pub async fn shares_of_order(
    conn: &mut Conn,
    order: OrderId,
    only: Option<&[TicketId]>,
) -> Result<Vec<Share>, sqlx::Error> {
    let found = query(
        "SELECT l.ticket_id, l.price_minor, t.seller_id FROM order_lines l \
         JOIN tickets t ON t.id = l.ticket_id WHERE l.order_id = $1 ORDER BY t.seller_id",
    )
    .bind(order.to_string())
    .fetch_all(conn)
    .await?;
    let mut shares: Vec<Share> = Vec::new();
    for row in &found {
        let ticket: TicketId = parse(row, "ticket_id")?;
        if only.is_some_and(|only| !only.contains(&ticket)) {
            continue;
        }
        let account = Account::Seller(parse(row, "seller_id")?);
        let price_minor: i64 = row.try_get("price_minor")?;
        match shares.last_mut() {
            Some(last) if last.account == account => last.amount_minor += price_minor,
            _ => shares.push(Share {
                account,
                amount_minor: price_minor,
            }),
        }
    }
    Ok(shares)
}

/// What this seller is owed, by currency.
pub async fn owed<'e>(on: impl AnyExecutor<'e>, seller: UserId) -> Result<Vec<Owed>, sqlx::Error> {
    let rows = query(
        "SELECT currency, CAST(-SUM(amount_minor) AS BIGINT) AS owed FROM ledger \
         WHERE seller_id = $1 GROUP BY currency ORDER BY currency",
    )
    .bind(seller.to_string())
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Owed {
                amount_minor: row.try_get("owed")?,
                currency: parse(row, "currency")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn entry(happened: Happened, shares: &[Share]) -> FaultResult<Vec<(Account, i64)>> {
        lines(&Entry {
            happened,
            payment: PaymentId(Uuid::nil()),
            currency: "GBP".parse().unwrap(),
            shares,
            at_micros: 0,
        })
    }

    #[test]
    fn every_entry_sums_to_zero_and_a_refund_turns_a_capture_round() {
        let seller = Account::Seller(UserId(Uuid::nil()));
        let shares = [
            Share {
                account: seller,
                amount_minor: 2500,
            },
            Share {
                account: Account::Unallocated,
                amount_minor: 1,
            },
        ];
        let refund = RefundId(Uuid::nil());
        for happened in [
            Happened::Captured,
            Happened::Refunded(refund),
            Happened::RefundFailed(refund),
        ] {
            let lines = entry(happened, &shares).unwrap();
            assert_eq!(lines.iter().map(|(_, amount)| amount).sum::<i64>(), 0);
        }
        let taken = entry(Happened::Captured, &shares).unwrap();
        let back = entry(Happened::Refunded(refund), &shares).unwrap();
        assert_eq!(taken[0], (Account::Provider, 2501));
        assert_eq!(taken[1], (seller, -2500));
        for (one, other) in taken.iter().zip(&back) {
            assert_eq!((one.0, one.1), (other.0, -other.1));
        }
    }

    #[test]
    fn an_entry_of_nothing_is_refused() {
        assert!(entry(Happened::Captured, &[]).is_err());
    }
}
