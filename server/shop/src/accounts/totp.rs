//! The codes of second factors: setup of an app (TOTP, RFC 6238), checking codes, and recovery codes. Pure
//! except for random secrets and codes.

use model::Moment;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use totp_rs::{Builder, Secret, Totp, TotpError};

/// 160 bits, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
const RECOVERY_CODES: usize = 10;
/// Characters of a recovery code (80 bits), and of each group between hyphens.
const RECOVERY_CHARS: usize = 16;
const RECOVERY_GROUP: usize = 4;
/// Crockford's Base32, which omits letters that resemble digits.
const RECOVERY_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ISSUER: &str = "Stagedoor";

/// The secret shared by app and shop.
pub(super) type Shared = [u8; SECRET_BYTES];

pub(super) fn new_secret() -> Shared {
    rand::random()
}

fn totp(secret: Shared) -> Result<Totp, TotpError> {
    Builder::new()
        .with_secret(Secret::new_stack(secret))
        .build()
}

/// The secret as text for typing it into an app.
pub(super) fn base32(secret: Shared) -> String {
    Secret::new_stack(secret).to_base32()
}

/// The `otpauth` URI for the account of `email` at the shop at `public_url`.
pub(super) fn uri(secret: Shared, email: &str, public_url: &str) -> String {
    // A colon separates the issuer from the account.
    let part =
        |text: &str| utf8_percent_encode(&text.replace(':', " "), NON_ALPHANUMERIC).to_string();
    let host = public_url
        .split_once("://")
        .map_or(public_url, |(_, host)| host);
    let (issuer, account) = (part(&format!("{ISSUER} {host}")), part(email));
    let secret = base32(secret);
    format!("otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}")
}

/// The 30-second step of this code: the current, previous or next one. None: the code is wrong.
pub(super) fn step(secret: Shared, code: &str, now: Moment) -> Option<i64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let seconds = u64::try_from(now.seconds()).ok()?;
    let step = totp(secret).ok()?.check(&code, seconds)?;
    i64::try_from(step).ok()
}

/// New recovery codes, like `8f3k-q0zx-2m7d-v5ta`.
pub(super) fn new_recovery_codes() -> Vec<String> {
    let one = |_| {
        let bytes: [u8; RECOVERY_CHARS] = rand::random();
        let mut code = String::with_capacity(RECOVERY_CHARS + RECOVERY_CHARS / RECOVERY_GROUP);
        for (position, byte) in bytes.into_iter().enumerate() {
            if position > 0 && position % RECOVERY_GROUP == 0 {
                code.push('-');
            }
            // 256 is a multiple of 32, so all characters are equally likely.
            code.push(char::from(RECOVERY_ALPHABET[usize::from(byte % 32)]));
        }
        code
    };
    (0..RECOVERY_CODES).map(one).collect()
}

/// The hash of a recovery code in any spelling. None: it does not have the form of one.
pub(super) fn recovery_hash(code: &str) -> Option<String> {
    let typed: String = code
        .chars()
        .filter(|c| c.is_alphanumeric())
        .map(|c| match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        })
        .collect();
    (typed.len() == RECOVERY_CHARS).then(|| hex::encode(Sha256::digest(typed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, time::Duration};

    /// The secret of RFC 6238's test vectors.
    const SECRET: Shared = *b"12345678901234567890";

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // The last six digits of the eight that the RFC lists.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (20_000_000_000, "353130"),
        ] {
            let now = Moment::from_seconds(seconds);
            assert_eq!(step(SECRET, code, now), Some(seconds / 30), "{seconds}");
            assert!(step(SECRET, code, now + Duration::from_secs(30)).is_some());
            assert_eq!(step(SECRET, code, now + Duration::from_secs(90)), None);
            assert_eq!(step(SECRET, code, now - Duration::from_secs(90)), None);
        }
        assert_eq!(step(SECRET, " 287 082 ", Moment::from_seconds(59)), Some(1));
        for wrong in ["", "28708", "2870822", "287083", "+87082", "８7082"] {
            assert_eq!(
                step(SECRET, wrong, Moment::from_seconds(59)),
                None,
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_uri_names_the_shop_and_the_account() {
        assert_eq!(
            uri(SECRET, "ann@example.com", "https://tickets.example:8443"),
            "otpauth://totp/Stagedoor%20tickets%2Eexample%208443:ann%40example%2Ecom\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Stagedoor%20tickets%2Eexample%208443"
        );
    }

    #[test]
    fn all_spellings_of_a_recovery_code_have_one_hash_and_codes_differ() {
        let codes = new_recovery_codes();
        let hashes: HashSet<_> = codes
            .iter()
            .map(|code| recovery_hash(code).unwrap())
            .collect();
        assert_eq!(hashes.len(), RECOVERY_CODES);
        let hash = recovery_hash("0f3k-q1zx-2m7d-v5ta");
        assert!(hash.is_some());
        for typed in [
            "0F3KQ1ZX2M7DV5TA",
            " of3k qizx 2m7d v5ta ",
            "OF3K-QLZX-2M7D-V5TA",
        ] {
            assert_eq!(recovery_hash(typed), hash, "{typed}");
        }
        assert_eq!(recovery_hash("287082"), None);
    }
}
