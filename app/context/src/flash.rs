//! The result of a form for the next page, and its encoding in a cookie. The cookie's name and lifetime are in
//! `lib.rs`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec_with_limit};
use model::error::FieldError;
use serde::{Deserialize, Serialize};

/// The result of a form's server function, for the page that is shown next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// The form's name; empty for the whole page.
    pub form: String,
    /// One sentence: what is wrong, or what was done.
    pub message: String,
    /// Whether it is a success message.
    pub good: bool,
    /// The errors of fields.
    pub fields: Vec<FieldError>,
    /// The entered values by field, without passwords.
    pub values: Vec<(String, String)>,
    /// The page that it is for: path and query. Empty for any page.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub page: String,
    /// Identifies the user to whom the form was shown. Empty if the visitor was not signed in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub typed_by: String,
}

impl Flash {
    /// Encodes the flash as a cookie's value. Values that do not fit are replaced by errors, longest first.
    pub fn encode(mut self) -> String {
        loop {
            let json = serde_json::to_vec(&self).unwrap_or_default();
            let value = URL_SAFE_NO_PAD.encode(compress_to_vec(&json, DEFLATE_LEVEL));
            let longest = self.values.iter_mut().max_by_key(|(_, text)| text.len());
            match longest {
                Some((field, text)) if value.len() > BYTES_MAX && !text.is_empty() => {
                    let message = "This text was too long to restore. Please enter it again.";
                    let error = FieldError::new(field.as_str(), message);
                    text.clear();
                    self.fields.push(error);
                    // The form needs changes before it is sent again.
                    self.good = false;
                }
                _ => return value,
            }
        }
    }

    /// Decodes a cookie's value. Returns `None` if [`Flash::encode`] did not make it.
    pub fn decode(value: &str) -> Option<Self> {
        let deflated = URL_SAFE_NO_PAD.decode(value).ok()?;
        let json = decompress_to_vec_with_limit(&deflated, INFLATED_MAX).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

/// Browsers store about 4096 bytes per cookie. Long texts fit because they are deflated; if that is not
/// enough, the longest value is replaced by an error.
const BYTES_MAX: usize = 3800;
const DEFLATE_LEVEL: u8 = 6;
/// The most bytes that a cookie is inflated to.
const INFLATED_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(description: String) -> Flash {
        Flash {
            form: "event".to_owned(),
            values: vec![
                ("title".to_owned(), "Late Show".to_owned()),
                ("description".to_owned(), description),
            ],
            ..Flash::default()
        }
    }

    #[test]
    fn a_long_text_is_restored_and_one_that_is_too_long_gets_an_error() {
        let words = [
            "evening", "curtain", "violin", "laughter", "river", "lamp", "door",
        ];
        let long = (0..700)
            .map(|i| words[i * i % 7])
            .collect::<Vec<_>>()
            .join(" ");
        let flash = typed(long[..4900].to_owned());
        assert_eq!(Flash::decode(&flash.clone().encode()), Some(flash));

        let noise = (0..5000u32).map(|i| char::from_u32(0x4e00 + i * 7919 % 20000));
        let too_long = Flash {
            good: true,
            ..typed(noise.flatten().collect())
        };
        let cookie = too_long.encode();
        assert!(cookie.len() <= BYTES_MAX);
        let kept = Flash::decode(&cookie).unwrap();
        assert_eq!(kept.values[0].1, "Late Show");
        assert_eq!(kept.values[1].1, "");
        assert_eq!(kept.fields[0].field, "description");
        assert!(!kept.good, "it must not be sent without the text");
        assert_eq!(Flash::decode("nonsense"), None);
    }
}
