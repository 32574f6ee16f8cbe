//! A pass as text: `SD1.`, 56 bytes of claims in base64url, and their signature. The format is a public
//! contract with offline scanners, described in docs/passes.md. Does not know whether a ticket is still valid.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use model::ids::{EventId, OrderId, TicketId};
use platform::secrets::{KeyId, Signer};
use ring::signature::{ED25519, UnparsedPublicKey};
use uuid::Uuid;

/// The prefix of every pass of this format.
const FORMAT: &str = "SD1";
/// Key, ticket, event, order, version.
const PAYLOAD_BYTES: usize = 4 + 16 + 16 + 16 + 4;

/// What a pass states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claims {
    pub ticket: TicketId,
    pub event: EventId,
    pub order: OrderId,
    /// The ticket's version: of two passes for a ticket, the higher is the newer.
    pub version: u32,
}

pub(crate) fn sign(signer: &Signer, claims: &Claims) -> String {
    let mut payload = Vec::with_capacity(PAYLOAD_BYTES);
    for id in [claims.ticket.0, claims.event.0, claims.order.0] {
        payload.extend_from_slice(id.as_bytes());
    }
    payload.extend_from_slice(&claims.version.to_be_bytes());
    signer.seal(FORMAT, &payload)
}

/// A parsed pass whose signature is not verified yet.
#[derive(Debug)]
pub(crate) struct UnverifiedPass<'a> {
    /// The key that the pass names; not authenticated.
    pub key: KeyId,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> UnverifiedPass<'a> {
    /// Returns `None` if the text is not a pass of this format.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
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

    /// Returns the claims if this public key verifies the signature.
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
    fn the_document_has_the_example_of_this_code() {
        let document = include_str!("../../../../docs/passes.md");
        let signer = signer();
        let pass = sign(&signer, &claims());
        let public = BASE64.encode(signer.public());
        for part in [
            pass.clone(),
            public,
            signer.id().text(),
            claims().ticket.to_string(),
            claims().event.to_string(),
            claims().order.to_string(),
        ] {
            assert!(document.contains(&part), "docs/passes.md lacks {part}");
        }
        assert_eq!(pass.len(), 166);
    }

    #[test]
    fn a_pass_contains_the_signed_claims() {
        let signer = signer();
        let pass = sign(&signer, &claims());
        let read = UnverifiedPass::parse(&pass).unwrap();
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
                let verified = UnverifiedPass::parse(&changed)
                    .and_then(|unverified| unverified.verify(signer.public()));
                assert_eq!(verified, None, "{changed}");
            }
        }
    }

    #[test]
    fn another_key_is_no_key() {
        let other = Signer::new(&Signer::generate().unwrap()).unwrap();
        let pass = sign(&other, &claims());
        let read = UnverifiedPass::parse(&pass).unwrap();
        assert_eq!(read.verify(signer().public()), None);
        assert_eq!(read.verify(other.public()), Some(claims()));
    }

    #[test]
    fn other_text_is_not_parsed() {
        for text in [
            "",
            "SD1",
            "SD1..",
            "SD2.AAAA.AAAA",
            "SD1.AAAA.AAAA",
            "SD1.ä.ä",
        ] {
            assert!(UnverifiedPass::parse(text).is_none(), "{text}");
        }
    }
}
