//! The books: where every minor unit is that was taken or given back.
//!
//! Owns the table `ledger`. Double entry: the lines of an entry sum to zero, an entry is written
//! once, in the transaction that it tells of, and never changed. What was taken is at the
//! provider; what is owed for it, to its sellers or (where no order stands for it) back to the
//! buyer, stands against it below zero. What went back without a known seller to bear it (a part that was
//! refunded by hand, a lost dispute) is unallocated above zero, until a person decides who bears it.
//! Paying sellers out is not done here.

use model::{
    Moment,
    ids::{OrderId, PaymentId, RefundId, TicketId, UserId},
    money::{Currency, MinorUnits},
    refunds::Owed,
};
use platform::{
    db::{Conn, Statement},
    fault::{Fault, FaultResult},
};
use sqlx::{AnyExecutor, query_as, query_scalar};

/// Where money is, or to whom it is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(AccountKind),
    derive(strum::Display, strum::EnumString),
    strum(serialize_all = "snake_case")
)]
pub(crate) enum Account {
    /// With the payment provider, for us.
    Provider,
    /// Owed to this seller.
    Seller(UserId),
    /// Below zero: taken without an order that stands for it, owed back to who paid. Above zero: gone
    /// back, and not yet allocated to a seller or the shop.
    Unallocated,
}

model::text_columns!(AccountKind);

impl Account {
    fn seller(self) -> Option<UserId> {
        match self {
            Self::Seller(seller) => Some(seller),
            Self::Provider | Self::Unallocated => None,
        }
    }
}

/// Which way the money of an entry went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
enum EntryKind {
    Capture,
    Refund,
    RefundFailed,
}

model::text_columns!(EntryKind);

/// What an entry tells of. Each happens once, so it names the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happened {
    /// Money was taken.
    Captured,
    /// Money went back.
    Refunded(RefundId),
    /// Money that had gone back came in again.
    RefundFailed(RefundId),
}

impl Happened {
    fn kind(self) -> EntryKind {
        match self {
            Self::Captured => EntryKind::Capture,
            Self::Refunded(_) => EntryKind::Refund,
            Self::RefundFailed(_) => EntryKind::RefundFailed,
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
pub(crate) struct Share {
    /// Whose.
    pub account: Account,
    /// Above zero.
    pub amount_minor: MinorUnits,
}

/// An entry before it is written.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// What it tells of.
    pub happened: Happened,
    /// Of this payment.
    pub payment: PaymentId,
    /// In this currency.
    pub currency: Currency,
    /// Whose the money is; all of it, since the provider's line is their sum.
    pub shares: &'a [Share],
    /// When.
    pub at: Moment,
}

/// What the lines of an entry have in common.
struct NewEntry {
    id: String,
    kind: EntryKind,
    payment: PaymentId,
    refund: Option<RefundId>,
    currency: Currency,
    at: Moment,
}

async fn insert(
    conn: &mut Conn,
    entry: &NewEntry,
    lines: impl IntoIterator<Item = (Account, MinorUnits)>,
) -> Result<(), sqlx::Error> {
    let mut insert = Statement::new(
        "INSERT INTO ledger (entry_id, line, kind, payment_id, refund_id, account, seller_id, \
         amount_minor, currency, created_at) VALUES ",
    );
    insert.bind_rows(
        (0_i64..).zip(lines),
        |row, (number, (account, amount_minor))| {
            row.bind(entry.id.clone())
                .bind(number)
                .bind(entry.kind)
                .bind(entry.payment)
                .bind(entry.refund)
                .bind(AccountKind::from(account))
                .bind(account.seller())
                .bind(amount_minor)
                .bind(entry.currency)
                .bind(entry.at);
        },
    );
    insert.query()?.execute(conn).await?;
    Ok(())
}

/// Writes an entry: what was taken in, the shares are owed; what went back, they no longer are.
/// A second entry of the same name breaks the primary key, and with it the transaction.
pub(crate) async fn record(conn: &mut Conn, entry: &Entry<'_>) -> FaultResult<()> {
    let lines = lines(entry)?;
    let (kind, refund) = (entry.happened.kind(), entry.happened.refund());
    let id = match refund {
        None => format!("{kind}:{}", entry.payment),
        Some(refund) => format!("{kind}:{refund}"),
    };
    let entry = NewEntry {
        id,
        kind,
        payment: entry.payment,
        refund,
        currency: entry.currency,
        at: entry.at,
    };
    Ok(insert(conn, &entry, lines).await?)
}

fn lines(entry: &Entry<'_>) -> FaultResult<Vec<(Account, MinorUnits)>> {
    let out_of_range = || Fault::unexpected("an entry's sum is out of range", "the books");
    let total = entry
        .shares
        .iter()
        .try_fold(MinorUnits::ZERO, |sum, share| {
            sum.checked_add(share.amount_minor)
        })
        .filter(|total| total.is_positive())
        .ok_or_else(out_of_range)?;
    let signed = |amount: MinorUnits| match entry.happened {
        Happened::Captured | Happened::RefundFailed(_) => amount,
        Happened::Refunded(_) => -amount,
    };
    let mut lines = vec![(Account::Provider, signed(total))];
    lines.extend(
        entry
            .shares
            .iter()
            .map(|share| (share.account, -signed(share.amount_minor))),
    );
    Ok(lines)
}

/// Between whom the books move what is owed, without money moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reallocation {
    /// What was paid back for nobody was paid back for these sellers.
    ToSellers,
    /// It was not, after all.
    FromSellers,
}

/// Writes down whose money it was that was paid back. `number` tells reallocations by one refund apart.
pub(crate) async fn reallocate(
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
    let kind = match how {
        Reallocation::ToSellers => EntryKind::Refund,
        Reallocation::FromSellers => EntryKind::RefundFailed,
    };
    let signed = |amount: MinorUnits| match how {
        Reallocation::ToSellers => amount,
        Reallocation::FromSellers => -amount,
    };
    let total: MinorUnits = entry.shares.iter().map(|share| share.amount_minor).sum();
    let sellers = entry
        .shares
        .iter()
        .map(|share| (share.account, signed(share.amount_minor)));
    let lines = std::iter::once((Account::Unallocated, -signed(total))).chain(sellers);
    let entry = NewEntry {
        id: format!("reallocation:{refund}:{number}"),
        kind,
        payment: entry.payment,
        refund: Some(refund),
        currency: entry.currency,
        at: entry.at,
    };
    Ok(insert(conn, &entry, lines).await?)
}

/// How often the books of this payment have been reallocated by this refund.
pub(crate) async fn reallocations(
    conn: &mut Conn,
    payment: PaymentId,
    refund: RefundId,
) -> Result<i64, sqlx::Error> {
    entries_count(conn, payment, format!("reallocation:{refund}:%")).await
}

/// How many entries of a payment have an id like this.
async fn entries_count(
    conn: &mut Conn,
    payment: PaymentId,
    id_like: String,
) -> Result<i64, sqlx::Error> {
    query_scalar(
        "SELECT COUNT(*) FROM ledger WHERE payment_id = $1 AND entry_id LIKE $2 AND line = 0",
    )
    .bind(payment)
    .bind(id_like)
    .fetch_one(conn)
    .await
}

/// What a dispute has taken from a payment, by what the bank has decided.
#[derive(Debug)]
pub(crate) struct Disputed<'a> {
    /// Stripe's name for the dispute.
    pub dispute: &'a str,
    /// Of this payment.
    pub payment: PaymentId,
    /// In this currency.
    pub currency: Currency,
    /// 0 unless the dispute is lost.
    pub lost_minor: MinorUnits,
    /// When.
    pub at: Moment,
}

/// Writes the difference between what a dispute has taken and what the books have of it, if there is one.
/// So it may be called again with the same or with newer facts.
pub(crate) async fn record_dispute(
    conn: &mut Conn,
    said: &Disputed<'_>,
) -> Result<(), sqlx::Error> {
    let booked = lost_to_dispute(&mut *conn, said.payment, said.dispute).await?;
    let moved = booked - said.lost_minor;
    if moved == MinorUnits::ZERO {
        return Ok(());
    }
    let like = format!("dispute:{}:%", said.dispute);
    let entries = entries_count(conn, said.payment, like).await?;
    let entry = NewEntry {
        id: format!("dispute:{}:{entries}", said.dispute),
        // Booked like a refund, or like one that failed.
        kind: if moved < MinorUnits::ZERO {
            EntryKind::Refund
        } else {
            EntryKind::RefundFailed
        },
        payment: said.payment,
        refund: None,
        currency: said.currency,
        at: said.at,
    };
    let lines = [(Account::Provider, moved), (Account::Unallocated, -moved)];
    insert(conn, &entry, lines).await
}

/// What a dispute has taken of a payment, as the books have it.
pub(crate) async fn lost_to_dispute<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
    dispute: &str,
) -> Result<MinorUnits, sqlx::Error> {
    query_scalar(
        "SELECT CAST(COALESCE(-SUM(amount_minor), 0) AS BIGINT) AS lost FROM ledger \
         WHERE payment_id = $1 AND account = 'provider' AND entry_id LIKE $2",
    )
    .bind(payment)
    .bind(format!("dispute:{dispute}:%"))
    .fetch_one(on)
    .await
}

/// What each seller gets of an order, or of these tickets of it, in the order of their ids.
pub(crate) async fn shares_of_order(
    conn: &mut Conn,
    order: OrderId,
    only: Option<&[TicketId]>,
) -> Result<Vec<Share>, sqlx::Error> {
    let found = query_as::<_, (TicketId, MinorUnits, UserId)>(
        "SELECT l.ticket_id, l.price_minor, t.seller_id FROM order_lines l \
         JOIN tickets t ON t.id = l.ticket_id WHERE l.order_id = $1 ORDER BY t.seller_id",
    )
    .bind(order)
    .fetch_all(conn)
    .await?;
    let mut shares: Vec<Share> = Vec::new();
    for (ticket, price_minor, seller) in found {
        if only.is_some_and(|only| !only.contains(&ticket)) {
            continue;
        }
        let account = Account::Seller(seller);
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
pub(crate) async fn owed<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
) -> Result<Vec<Owed>, sqlx::Error> {
    let owed = query_as::<_, (Currency, MinorUnits)>(
        "SELECT currency, CAST(-SUM(amount_minor) AS BIGINT) AS owed FROM ledger \
         WHERE seller_id = $1 GROUP BY currency ORDER BY currency",
    )
    .bind(seller)
    .fetch_all(on)
    .await?;
    let owed = owed.into_iter().map(|(currency, owed)| Owed {
        amount_minor: owed.get(),
        currency,
    });
    Ok(owed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn entry(happened: Happened, shares: &[Share]) -> FaultResult<Vec<(Account, MinorUnits)>> {
        lines(&Entry {
            happened,
            payment: PaymentId(Uuid::nil()),
            currency: "GBP".parse().unwrap(),
            shares,
            at: Moment::EPOCH,
        })
    }

    #[test]
    fn every_entry_sums_to_zero_and_a_refund_turns_a_capture_round() {
        let seller = Account::Seller(UserId(Uuid::nil()));
        let shares = [
            Share {
                account: seller,
                amount_minor: MinorUnits::new(2500),
            },
            Share {
                account: Account::Unallocated,
                amount_minor: MinorUnits::new(1),
            },
        ];
        let refund = RefundId(Uuid::nil());
        for happened in [
            Happened::Captured,
            Happened::Refunded(refund),
            Happened::RefundFailed(refund),
        ] {
            let lines = entry(happened, &shares).unwrap();
            let sum: MinorUnits = lines.iter().map(|(_, amount)| *amount).sum();
            assert_eq!(sum, MinorUnits::ZERO);
        }
        let taken = entry(Happened::Captured, &shares).unwrap();
        let back = entry(Happened::Refunded(refund), &shares).unwrap();
        assert_eq!(taken[0], (Account::Provider, MinorUnits::new(2501)));
        assert_eq!(taken[1], (seller, MinorUnits::new(-2500)));
        for (one, other) in taken.iter().zip(&back) {
            assert_eq!((one.0, one.1), (other.0, -other.1));
        }
    }

    #[test]
    fn an_entry_of_nothing_is_refused() {
        assert!(entry(Happened::Captured, &[]).is_err());
    }
}
