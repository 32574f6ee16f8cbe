//! How names of cities, sections, rows and seats are compared: not by how their signs are composed, nor
//! by capitals or spaces. What is shown stays as it was typed.

use unicode_normalization::UnicodeNormalization;

/// The name composed, in small letters, with one space between its words.
pub(crate) fn key(name: &str) -> String {
    let small: String = name.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    small.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn a_name_is_the_same_however_it_is_typed() {
        for name in ["Zürich", "Zu\u{308}rich", " ZÜRICH ", "zu\u{308}RICH"] {
            assert_eq!(key(name), "zürich");
        }
        assert_eq!(key("New\u{a0} York"), "new york");
        assert_eq!(key("Ｌｅｅｄｓ"), "leeds");
        assert_ne!(key("Zurich"), key("Zürich"));
    }
}
