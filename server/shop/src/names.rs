//! Compares names of cities, sections, rows and seats regardless of Unicode composition, case and spacing.
//! Does not change what is shown.

use unicode_normalization::UnicodeNormalization;

/// The key by which a name is compared: NFKC, in lower case, with single spaces.
pub(crate) fn key(name: &str) -> String {
    let lower: String = name.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn a_name_has_one_key_however_it_is_typed() {
        for name in ["Zürich", "Zu\u{308}rich", " ZÜRICH ", "zu\u{308}RICH"] {
            assert_eq!(key(name), "zürich");
        }
        assert_eq!(key("New\u{a0} York"), "new york");
        assert_eq!(key("Ｌｅｅｄｓ"), "leeds");
        assert_ne!(key("Zurich"), key("Zürich"));
    }
}
