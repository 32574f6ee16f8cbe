//! The link in a mail that shows an order's tickets without signing in: `SDL1.`, the key and the order in
//! base64url, and their signature. It is signed with the keys of passes; the different prefix, which is
//! signed too, keeps the two apart.
//!
//! A link has no expiry, so that it need not be renewed when an event is moved: `PassesService` checks the
//! event's end.

use model::{Moment, ids::OrderId, order_link::OrderLink};
use platform::{
    db::Db,
    fault::FaultResult,
    secrets::{Signer, keys, sealed},
};
use uuid::Uuid;

/// The prefix of every link of this format.
const FORMAT: &str = "SDL1";

/// Creates the URL that shows the tickets of `order`. Errors: as [`keys::signer`].
pub(crate) async fn create_url(
    db: &Db,
    public_url: &str,
    order: OrderId,
    now: Moment,
) -> FaultResult<String> {
    let OrderLink(link) = sign(&keys::signer(db, now).await?, order);
    Ok(format!("{public_url}/order?link={link}"))
}

/// Returns the order of a link if its signature is valid.
pub(crate) async fn verify(db: &Db, link: &OrderLink) -> Result<Option<OrderId>, sqlx::Error> {
    let payload = sealed::open(db, FORMAT, &link.0).await?;
    Ok(payload.as_deref().and_then(order_id))
}

fn sign(signer: &Signer, order: OrderId) -> OrderLink {
    OrderLink(signer.seal(FORMAT, order.0.as_bytes()))
}

fn order_id(payload: &[u8]) -> Option<OrderId> {
    Uuid::from_slice(payload).ok().map(OrderId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::pass::{self, Claims};
    use model::ids::{EventId, TicketId};
    use platform::secrets::sealed::Sealed;

    fn signer() -> Signer {
        Signer::new(&Signer::generate().unwrap()).unwrap()
    }

    fn verified(link: &str, signer: &Signer) -> Option<OrderId> {
        let payload = Sealed::parse(FORMAT, link)?.verify(signer.public())?;
        order_id(&payload)
    }

    #[test]
    fn a_link_opens_its_order_and_no_changed_letter_does() {
        let (signer, order) = (signer(), OrderId(Uuid::now_v7()));
        let OrderLink(link) = sign(&signer, order);
        assert_eq!(verified(&link, &signer), Some(order));
        assert_eq!(verified(&link, &self::signer()), None, "another shop's");
        for position in 0..link.len() {
            for other in ["A", "B", "."] {
                let mut changed = link.clone();
                changed.replace_range(position..=position, other);
                if changed != link {
                    assert_eq!(verified(&changed, &signer), None, "{changed}");
                }
            }
        }
    }

    #[test]
    fn a_pass_is_no_link_even_by_another_name() {
        let signer = signer();
        let order = OrderId(Uuid::now_v7());
        let claims = Claims {
            ticket: TicketId(Uuid::now_v7()),
            event: EventId(Uuid::now_v7()),
            order,
            version: 1,
        };
        let pass = pass::sign(&signer, &claims);
        let sealed = signer.seal("SD1", order.0.as_bytes());
        for other in [pass, sealed] {
            assert_eq!(verified(&other, &signer), None, "{other}");
            assert_eq!(verified(&other.replacen("SD1", FORMAT, 1), &signer), None);
        }
    }
}
