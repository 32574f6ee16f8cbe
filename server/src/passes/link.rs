//! The link in a mail that opens an order's tickets without signing in: `SDL1.` and, in base64url, the
//! key and the order, then a signature over that. It is signed like a pass and is none: what is signed
//! begins differently.
//!
//! A link says nothing of how long it is good, so none has to be made anew when an event is moved:
//! whoever follows it asks the event.

use super::{
    keys,
    pass::{KeyId, Signer},
    store,
};
use crate::{db::Db, fault::FaultResult};
use app::{ids::OrderId, passes::OrderLink};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::signature::{ED25519, UnparsedPublicKey};
use uuid::Uuid;

/// What every link of this format begins with.
const FORMAT: &str = "SDL1";
/// Key and order.
const PAYLOAD_BYTES: usize = 4 + 16;

/// Where the tickets of `order` are for whoever has this address. Errors: as [`keys::signer`].
pub async fn address(
    db: &Db,
    public_url: &str,
    order: OrderId,
    now_micros: i64,
) -> FaultResult<String> {
    let OrderLink(link) = sign(&keys::signer(db, now_micros).await?, order);
    Ok(format!("{public_url}/order?link={link}"))
}

/// The order that a link is to, if this shop has signed it.
pub async fn order_of(db: &Db, link: &OrderLink) -> Result<Option<OrderId>, sqlx::Error> {
    let Some(unchecked) = Unchecked::read(&link.0) else {
        return Ok(None);
    };
    let named = unchecked.key.text();
    let keys = store::keys_public(db.reads()).await?;
    let key = keys.into_iter().find(|(id, _)| *id == named);
    let public = key.and_then(|(_, public)| BASE64.decode(public).ok());
    Ok(public.and_then(|public| unchecked.verify(&public)))
}

fn sign(signer: &Signer, order: OrderId) -> OrderLink {
    OrderLink(signer.seal(FORMAT, order.0.as_bytes()))
}

/// A link whose signature nobody has looked at yet.
struct Unchecked<'a> {
    key: KeyId,
    order: OrderId,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unchecked<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let payload = signed.strip_prefix(FORMAT)?.strip_prefix('.')?;
        let payload: [u8; PAYLOAD_BYTES] = BASE64.decode(payload).ok()?.try_into().ok()?;
        let (key, order) = payload.split_first_chunk::<4>()?;
        Some(Self {
            key: KeyId::read(*key),
            order: OrderId(Uuid::from_slice(order).ok()?),
            signed,
            signature: BASE64.decode(signature).ok()?,
        })
    }

    fn verify(&self, public: &[u8]) -> Option<OrderId> {
        let key = UnparsedPublicKey::new(&ED25519, public);
        key.verify(self.signed.as_bytes(), &self.signature).ok()?;
        Some(self.order)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::pass::Claims, *};
    use app::ids::{EventId, TicketId};

    fn signer() -> Signer {
        Signer::new(&Signer::generate().unwrap()).unwrap()
    }

    fn verified(link: &str, signer: &Signer) -> Option<OrderId> {
        Unchecked::read(link)?.verify(signer.public())
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
        let pass = signer.sign(&Claims {
            ticket: TicketId(Uuid::now_v7()),
            event: EventId(Uuid::now_v7()),
            order,
            version: 1,
        });
        let sealed = signer.seal("SD1", order.0.as_bytes());
        for other in [pass, sealed] {
            assert_eq!(verified(&other, &signer), None, "{other}");
            assert_eq!(verified(&other.replacen("SD1", FORMAT, 1), &signer), None);
        }
    }
}
