//! Limits how many cards may be tried per order, account and network address.
//!
//! Owns the table `card_trials` and `payment_effects.counted_in`. A card is counted in the transaction
//! that inserts its call, and uncounted in the transaction that settles it as not declined. Each count is
//! one conditional UPDATE, so concurrent requests cannot exceed a limit, in any number of processes. Does
//! not protect against an attacker with many accounts and many addresses.

use model::{
    Moment,
    error::AppError,
    ids::{EffectId, OrderId, UserId},
};
use platform::db::Conn;
use sha2::{Digest, Sha256};
use sqlx::{query, query_as, query_scalar};
use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// Declined cards of one order.
const DECLINED_PER_ORDER: i64 = 5;
/// All cards of one order, whether declined or not.
const TRIED_PER_ORDER: i64 = 10;
/// Declined cards of one account in a day.
const DECLINED_PER_ACCOUNT: i64 = 10;
/// Declined cards from one network address in a day, without the first one of each account: few of the
/// honest buyers who share an address have two cards declined.
const REPEATED_PER_ADDRESS: i64 = 10;
/// All declined cards from one network address in a day.
const DECLINED_PER_ADDRESS: i64 = 100;
const DAY: Duration = Duration::from_hours(24);

/// An attempt to pay with a card.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    pub buyer: UserId,
    pub address: IpAddr,
    pub order: OrderId,
    /// End of the order's hold.
    pub order_ends: Moment,
}

/// Counts the card of the call `effect`. Returns the counters, for [`record_counted_in`]. The caller must
/// have locked the order's tickets.
///
/// Errors: `TooManyRequests`; the caller's transaction must not be committed then.
pub(crate) async fn count(
    conn: &mut Conn,
    trial: Trial,
    effect: EffectId,
    now: Moment,
) -> Result<Result<String, AppError>, sqlx::Error> {
    let (declined, tried) = count_other_cards(conn, trial.order, effect).await?;
    if declined >= DECLINED_PER_ORDER || tried >= TRIED_PER_ORDER {
        return Ok(Err(too_many(trial.order_ends, now)));
    }
    let account = key("account", &trial.buyer.to_string());
    let used = match increment(conn, &account, DECLINED_PER_ACCOUNT, now).await? {
        Ok(used) => used,
        Err(ends_at) => return Ok(Err(too_many(ends_at, now))),
    };
    let network = network_of(trial.address);
    let mut counted = vec![account];
    let repeated = key("address, repeated", &network);
    let all = key("address", &network);
    let mut limits = vec![(all, DECLINED_PER_ADDRESS)];
    if used > 1 {
        limits.push((repeated, REPEATED_PER_ADDRESS));
    }
    // In the order of their keys, here and in `uncount`, to prevent deadlocks.
    limits.sort_unstable();
    for (key, max) in limits {
        if let Err(ends_at) = increment(conn, &key, max, now).await? {
            return Ok(Err(too_many(ends_at, now)));
        }
        counted.push(key);
    }
    Ok(Ok(counted.join(" ")))
}

/// Stores the counters that the call `effect` is counted in.
pub(crate) async fn record_counted_in(
    conn: &mut Conn,
    effect: EffectId,
    counted_in: &str,
) -> Result<(), sqlx::Error> {
    query("UPDATE payment_effects SET counted_in = $2 WHERE id = $1")
        .bind(effect)
        .bind(counted_in.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}

/// Uncounts the call's card because it was not declined.
pub(crate) async fn uncount(conn: &mut Conn, effect: EffectId) -> Result<(), sqlx::Error> {
    let counted: Option<Option<String>> =
        query_scalar("SELECT counted_in FROM payment_effects WHERE id = $1")
            .bind(effect)
            .fetch_optional(&mut *conn)
            .await?;
    let Some(counted) = counted.flatten() else {
        return Ok(());
    };
    query("UPDATE payment_effects SET counted_in = NULL WHERE id = $1")
        .bind(effect)
        .execute(&mut *conn)
        .await?;
    // In the same order as in `count`.
    for key in counted.split(' ') {
        query("UPDATE card_trials SET used = used - 1 WHERE key = $1 AND used > 0")
            .bind(key.to_owned())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Deletes expired counters. Returns the number of rows deleted.
pub(crate) async fn delete_old(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM card_trials WHERE began_at <= $1")
        .bind(now - DAY)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// Counts the other cards of an order: those declined or not answered yet, and all. Calls that were refused
/// as a fault of the shop do not count.
async fn count_other_cards(
    conn: &mut Conn,
    order: OrderId,
    effect: EffectId,
) -> Result<(i64, i64), sqlx::Error> {
    query_as(
        "SELECT COUNT(CASE WHEN e.outcome IS NULL OR e.outcome = 'declined' THEN 1 END), COUNT(*) \
         FROM payments p JOIN payment_effects e ON e.payment_id = p.id \
         WHERE p.order_id = $1 AND e.kind IN ('create', 'confirm') \
         AND (e.outcome IS NULL OR e.outcome <> 'refused') AND e.id <> $2",
    )
    .bind(order)
    .bind(effect)
    .fetch_one(conn)
    .await
}

/// Increments a counter if it is below `max`. Returns its new value, or otherwise when it expires.
async fn increment(
    conn: &mut Conn,
    key: &str,
    max: i64,
    now: Moment,
) -> Result<Result<i64, Moment>, sqlx::Error> {
    let taken = query_scalar(
        "INSERT INTO card_trials (key, began_at, used) VALUES ($1, $2, 1) \
         ON CONFLICT (key) DO UPDATE SET \
         used = CASE WHEN card_trials.began_at <= $3 THEN 1 ELSE card_trials.used + 1 END, \
         began_at = CASE WHEN card_trials.began_at <= $3 OR card_trials.used = 0 THEN $2 \
           ELSE card_trials.began_at END \
         WHERE card_trials.began_at <= $3 OR card_trials.used < $4 RETURNING used",
    )
    .bind(key.to_owned())
    .bind(now)
    .bind(now - DAY)
    .bind(max)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(taken) = taken {
        return Ok(Ok(taken));
    }
    let began: Moment = query_scalar("SELECT began_at FROM card_trials WHERE key = $1")
        .bind(key.to_owned())
        .fetch_one(conn)
        .await?;
    Ok(Err(began + DAY))
}

fn too_many(ends_at: Moment, now: Moment) -> AppError {
    let seconds = i64::try_from(ends_at.since(now).as_secs()).unwrap_or(i64::MAX);
    AppError::TooManyRequests {
        retry_after_seconds: seconds.max(1),
    }
}

/// The key of a counter: a hash, so that it reveals no account or address.
fn key(kind: &str, of: &str) -> String {
    hex::encode(Sha256::digest(format!("{kind}: {of}")))
}

/// The /64 network of an IPv6 address, because a client can use any address of its network; an IPv4 address
/// unchanged.
fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            Ipv6Addr::from(network).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::network_of;

    #[test]
    fn an_ipv6_address_counts_as_its_network() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
