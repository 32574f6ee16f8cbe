//! What a form leaves for the page that is shown next, and how a cookie carries it. Which cookie that is,
//! and for how long, is decided in `lib.rs`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec_with_limit};
use model::error::FieldError;
use serde::{Deserialize, Serialize};

/// What a form's server function leaves for the page that is shown next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// The form it concerns; empty for the whole page.
    pub form: String,
    /// One sentence: what is wrong, or what was done.
    pub message: String,
    /// Whether it went well.
    pub good: bool,
    /// What is wrong at which field.
    pub fields: Vec<FieldError>,
    /// What was typed, so that nothing is lost. Never a password.
    pub values: Vec<(String, String)>,
    /// The page that it is for: path and query. Empty for the next one, whichever that is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub page: String,
    /// Identifies the user to whom the form was shown. Empty if the visitor was not signed in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub typed_by: String,
}

impl Flash {
    /// As a cookie has it.
    pub fn write(mut self) -> String {
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
                    // The form can't be sent as it is.
                    self.good = false;
                }
                _ => return value,
            }
        }
    }

    /// What a cookie says, if it is one of ours.
    pub fn read(value: &str) -> Option<Self> {
        let deflated = URL_SAFE_NO_PAD.decode(value).ok()?;
        let json = decompress_to_vec_with_limit(&deflated, INFLATED_MAX).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

/// Browsers keep about 4096 bytes a cookie. A long text fits because it is deflated; where that is
/// not enough, the longest is left out, and said to be.
const BYTES_MAX: usize = 3800;
const DEFLATE_LEVEL: u8 = 6;
/// What a cookie that comes back may be inflated to.
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
    fn a_long_text_comes_back_and_one_that_is_too_long_is_said_to_be_lost() {
        let words = [
            "evening", "curtain", "violin", "laughter", "river", "lamp", "door",
        ];
        let long = (0..700)
            .map(|i| words[i * i % 7])
            .collect::<Vec<_>>()
            .join(" ");
        let flash = typed(long[..4900].to_owned());
        assert_eq!(Flash::read(&flash.clone().write()), Some(flash));

        let noise = (0..5000u32).map(|i| char::from_u32(0x4e00 + i * 7919 % 20000));
        let to_be_checked = Flash {
            good: true,
            ..typed(noise.flatten().collect())
        };
        let cookie = to_be_checked.write();
        assert!(cookie.len() <= BYTES_MAX);
        let kept = Flash::read(&cookie).unwrap();
        assert_eq!(kept.values[0].1, "Late Show");
        assert_eq!(kept.values[1].1, "");
        assert_eq!(kept.fields[0].field, "description");
        assert!(!kept.good, "it must not be sent without the text");
        assert_eq!(Flash::read("nonsense"), None);
    }
}
