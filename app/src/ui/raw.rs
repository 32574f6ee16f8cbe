//! Text for the elements whose content Leptos writes as it is: `<textarea>`, `<title>` (by
//! `leptos_meta`), `<script>`, `<style>` and `<noscript>`. Everything else is escaped by Leptos.
//!
//! Owns the escaping. `scripts/check-architecture.sh` refuses these elements wherever their content
//! could be data that did not pass through here.

use serde_json::Value;

/// The content of an element in which character references count and tags do not: a title, a text
/// area.
pub fn escape_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The content of a `<textarea>` that shows exactly `text`. Browsers leave out a newline right behind
/// the tag, so there is always one to leave out.
pub fn text_area(text: &str) -> String {
    format!("\n{}", escape_text(text))
}

/// JSON as the content of a `<script>`, which nothing in it can end.
pub fn json_script(data: &Value) -> String {
    data.to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_title_ends_the_script() {
        let data = json!({"name": "</script><script>alert(1)</script> & <!--"});
        let text = json_script(&data);
        assert!(!text.contains(['<', '>', '&']), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), data);
    }

    #[test]
    fn a_text_area_keeps_references_and_a_first_newline() {
        assert_eq!(text_area(""), "\n");
        assert_eq!(text_area("\n\n&lt;A&gt;"), "\n\n\n&amp;lt;A&amp;gt;");
        assert_eq!(
            text_area("</textarea><script>"),
            "\n&lt;/textarea&gt;&lt;script&gt;"
        );
    }
}
