//! The link in a mail that opens an order's tickets without signing in: `SDL1.` and, in base64url, the
//! key and the order, then a signature over that. It is signed like a pass and is none: what is signed
//! begins differently.
//!
//! A link says nothing of how long it is good, so none has to be made anew when an event is moved:
//! whoever follows it asks the event.

use model::{Moment, ids::OrderId, order_link::OrderLink};
use platform::{
    db::Db,
    fault::FaultResult,
    secrets::{Signer, keys, sealed},
};
use uuid::Uuid;

/// What every link of this format begins with.
const FORMAT: &str = "SDL1";

/// Where the tickets of `order` are for whoever has this address. Errors: as [`keys::signer`].
pub(crate) async fn address(
    db: &Db,
    public_url: &str,
    order: OrderId,
    now: Moment,
) -> FaultResult<String> {
    let OrderLink(link) = sign(&keys::signer(db, now).await?, order);
    Ok(format!("{public_url}/order?link={link}"))
}

/// The order that a link is to, if this shop has signed it.
pub(crate) async fn order_of(db: &Db, link: &OrderLink) -> Result<Option<OrderId>, sqlx::Error> {
    let said = sealed::open(db, FORMAT, &link.0).await?;
    Ok(said.as_deref().and_then(order))
}

fn sign(signer: &Signer, order: OrderId) -> OrderLink {
    OrderLink(signer.seal(FORMAT, order.0.as_bytes()))
}

fn order(said: &[u8]) -> Option<OrderId> {
    Uuid::from_slice(said).ok().map(OrderId)
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
        let said = Sealed::parse(FORMAT, link)?.verify(signer.public())?;
        order(&said)
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
