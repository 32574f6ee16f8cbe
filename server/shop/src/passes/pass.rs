//! A pass as text: `SD1.` and, in base64url, 56 bytes of who and what, then their signature. The
//! format is a promise to whoever checks passes away from here: docs/passes.md describes it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use model::ids::{EventId, OrderId, TicketId};
use platform::secrets::{KeyId, Signer};
use ring::signature::{ED25519, UnparsedPublicKey};
use uuid::Uuid;

/// What every pass of this format begins with.
const FORMAT: &str = "SD1";
/// Key, ticket, event, order, version.
const PAYLOAD_BYTES: usize = 4 + 16 + 16 + 16 + 4;

/// What a pass says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The ticket.
    pub ticket: TicketId,
    /// The event that it admits to.
    pub event: EventId,
    /// The order that bought it.
    pub order: OrderId,
    /// The ticket's version: of two passes for a ticket, the higher is the newer.
    pub version: u32,
}

/// The pass that says this.
pub(crate) fn sign(signer: &Signer, claims: &Claims) -> String {
    let mut said = Vec::with_capacity(PAYLOAD_BYTES);
    for id in [claims.ticket.0, claims.event.0, claims.order.0] {
        said.extend_from_slice(id.as_bytes());
    }
    said.extend_from_slice(&claims.version.to_be_bytes());
    signer.seal(FORMAT, &said)
}

/// A pass whose signature nobody has looked at yet.
#[derive(Debug)]
pub(crate) struct Unchecked<'a> {
    /// The key that it says it was signed with.
    pub key: KeyId,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unchecked<'a> {
    /// Reads a pass. None: it is none of this format.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let payload = signed.strip_prefix(FORMAT)?.strip_prefix('.')?;
        let payload = BASE64.decode(payload).ok()?;
        let payload: [u8; PAYLOAD_BYTES] = payload.try_into().ok()?;
        let (key, rest) = payload.split_first_chunk::<4>()?;
        let (ids, version) = rest.split_last_chunk::<4>()?;
        let mut ids = ids.chunks_exact(16).map(Uuid::from_slice);
        let mut id = || ids.next()?.ok();
        let claims = Claims {
            ticket: TicketId(id()?),
            event: EventId(id()?),
            order: OrderId(id()?),
            version: u32::from_be_bytes(*version),
        };
        Some(Self {
            key: KeyId::from_bytes(*key),
            claims,
            signed,
            signature: BASE64.decode(signature).ok()?,
        })
    }

    /// What it says, if the key with this public half has signed it.
    pub(crate) fn verify(&self, public: &[u8]) -> Option<Claims> {
        let key = UnparsedPublicKey::new(&ED25519, public);
        key.verify(self.signed.as_bytes(), &self.signature).ok()?;
        Some(self.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first test key of RFC 8032, which is public, as PKCS#8: seed and public key.
    const PUBLISHED_KEY: &str = "3053020101300506032b657004220420\
        9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\
        a123032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn signer() -> Signer {
        Signer::new(&hex::decode(PUBLISHED_KEY).unwrap()).unwrap()
    }

    fn claims() -> Claims {
        let id = |last: u128| Uuid::from_u128(0x0193_5a3c_0000_7000_8000_0000_0000_0000 + last);
        Claims {
            ticket: TicketId(id(1)),
            event: EventId(id(2)),
            order: OrderId(id(3)),
            version: 3,
        }
    }

    #[test]
    fn the_document_says_what_is_done() {
        let document = include_str!("../../../../docs/passes.md");
        let signer = signer();
        let pass = sign(&signer, &claims());
        let public = BASE64.encode(signer.public());
        for said in [
            pass.clone(),
            public,
            signer.id().text(),
            claims().ticket.to_string(),
            claims().event.to_string(),
            claims().order.to_string(),
        ] {
            assert!(document.contains(&said), "docs/passes.md lacks {said}");
        }
        assert_eq!(pass.len(), 166);
    }

    #[test]
    fn a_pass_says_what_was_signed() {
        let signer = signer();
        let pass = sign(&signer, &claims());
        let read = Unchecked::read(&pass).unwrap();
        assert_eq!(read.key, signer.id());
        assert_eq!(read.verify(signer.public()), Some(claims()));
    }

    #[test]
    fn no_changed_letter_passes() {
        let signer = signer();
        let pass = sign(&signer, &claims());
        for position in 0..pass.len() {
            for other in ["A", "B", "."] {
                let mut changed = pass.clone();
                changed.replace_range(position..=position, other);
                if changed == pass {
                    continue;
                }
                let verified = Unchecked::read(&changed)
                    .and_then(|unchecked| unchecked.verify(signer.public()));
                assert_eq!(verified, None, "{changed}");
            }
        }
    }

    #[test]
    fn another_key_is_no_key() {
        let other = Signer::new(&Signer::generate().unwrap()).unwrap();
        let pass = sign(&other, &claims());
        let read = Unchecked::read(&pass).unwrap();
        assert_eq!(read.verify(signer().public()), None);
        assert_eq!(read.verify(other.public()), Some(claims()));
    }

    #[test]
    fn what_is_no_pass_is_not_read() {
        for text in [
            "",
            "SD1",
            "SD1..",
            "SD2.AAAA.AAAA",
            "SD1.AAAA.AAAA",
            "SD1.ä.ä",
        ] {
            assert!(Unchecked::read(text).is_none(), "{text}");
        }
    }
}
