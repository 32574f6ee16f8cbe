//! What a seller is paid for a ticket. The one place that knows; browser and server both ask it.

use crate::money::Money;

/// What the seller of a ticket is paid when somebody buys it at this price: all of it, since there
/// are no fees. A fee would be taken off here, and in the books (`ledger` of the server).
pub fn payout(price: Money) -> Money {
    price
}

/// The same as a seller reads it, for so many tickets alike. `None`: no ticket can have this price.
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
    fn a_seller_reads_what_each_and_all_of_them_bring() {
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
