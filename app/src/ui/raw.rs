//! Escapes text for the elements whose content Leptos writes unescaped: `<textarea>`, `<title>` (by
//! `leptos_meta`), `<script>`, `<style>` and `<noscript>`. Leptos escapes everything else.
//!
//! `scripts/check-architecture.sh` refuses these elements if their content could be data that was not escaped
//! here.

use serde_json::Value;

/// Escapes the content of an element that has character references but no tags: `<title>` and `<textarea>`.
pub fn escape_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The content of a `<textarea>` that shows exactly `text`. Begins with a newline, because browsers drop one
/// after the tag.
pub fn text_area(text: &str) -> String {
    format!("\n{}", escape_text(text))
}

/// JSON as the content of a `<script>`, escaped so that it cannot end the element.
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
