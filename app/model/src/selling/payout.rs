//! The amount that a seller is paid for a ticket. Used by browser and server; computed nowhere else.

use crate::money::Money;

/// The seller's share of a ticket's price: all of it, since there are no fees. A fee would have to be
/// subtracted here and in the server's `ledger`.
pub fn payout(price: Money) -> Money {
    price
}

/// The payout for `quantity` tickets as a sentence. `None` if a card cannot be charged this price.
pub fn payout_words(price: Money, quantity: i64) -> Option<String> {
    price.check_chargeable().ok()?;
    let each = payout(price);
    if quantity <= 1 {
        return Some(format!("You are paid {each}."));
    }
    let all = Money::new(each.minor.checked_mul(quantity)?, each.currency);
    Some(format!(
        "You are paid {each} for each ticket, {all} for all."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payout_words_state_the_amount_of_each_ticket_and_of_all() {
        let pounds = |minor| Money::new(minor, "GBP".parse().unwrap());
        let words = |minor, quantity| payout_words(pounds(minor), quantity);
        assert_eq!(words(2400, 1).unwrap(), "You are paid £24.00.");
        assert_eq!(
            words(2400, 2).unwrap(),
            "You are paid £24.00 for each ticket, £48.00 for all."
        );
        assert_eq!(words(0, 1), None);
        assert_eq!(words(29, 1), None);
        assert_eq!(words(100_000_000, 1), None);
        assert_eq!(words(99_999_999, i64::MAX), None);
    }
}
