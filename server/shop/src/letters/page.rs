//! The blocks of a letter, rendered as plain text here and as HTML in `html.rs`.
//!
//! All content passes through here as text, so that no user input can become markup or a header. Has no texts
//! of letters (`words.rs`).

use super::html;
use std::{borrow::Cow, fmt::Write};

/// A part of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    Heading(String),
    /// A paragraph.
    Text(String),
    /// Labels and values, one pair a line: a ticket and its price, for example.
    Rows(Vec<(String, String)>),
    /// An event as rows; the first three are title, time and place.
    Event(Vec<(String, String)>),
    /// A button.
    Link {
        label: &'static str,
        url: String,
    },
    /// A link in small type at the end.
    Footnote {
        label: &'static str,
        url: String,
    },
}

/// A letter without a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    subject: String,
    blocks: Vec<Block>,
}

impl Letter {
    /// An empty letter. Line breaks in `subject` become spaces.
    pub(crate) fn new(subject: &str) -> Self {
        Self {
            subject: one_line(subject),
            blocks: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Adds a paragraph.
    pub(crate) fn with_text(self, text: impl Into<String>) -> Self {
        self.with(Block::Text(text.into()))
    }

    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// Renders the letter as plain text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for block in &self.blocks {
            // Writing to a String does not fail.
            let _ = match block {
                Block::Heading(content) | Block::Text(content) => {
                    writeln!(text, "{}", one_line(content))
                }
                Block::Rows(rows) | Block::Event(rows) => {
                    rows.iter().try_for_each(|(what, value)| {
                        writeln!(text, "  {}: {}", one_line(what), one_line(value))
                    })
                }
                Block::Link { label, url } | Block::Footnote { label, url } => {
                    writeln!(text, "{label}:\n{url}")
                }
            };
            text.push('\n');
        }
        text.push_str("-- \nStagedoor\n");
        text
    }

    /// Renders the letter as HTML.
    pub(crate) fn html(&self) -> String {
        html::letter(&self.subject, &self.blocks)
    }
}

/// Isolates right-to-left text, such as a name, so that it does not reorder the sentence around it.
pub(crate) fn isolate(text: &str) -> Cow<'_, str> {
    let from_right = |c: char| {
        matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
    };
    if text.contains(from_right) {
        Cow::Owned(format!("\u{2068}{text}\u{2069}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Puts text on one line: line breaks and control characters become spaces.
pub(crate) fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| match c {
            '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    // Collapses only plain spaces; the no-break space in a price stays.
    let words: Vec<&str> = spaced.split(' ').filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_people_typed_stays_text() {
        let nasty = "<script>alert('1')</script> & \"x\"";
        let letter = Letter::new("A\r\nBcc: all@example.com")
            .with(Block::Heading(nasty.to_owned()))
            .with_text(nasty)
            .with(Block::Rows(vec![(nasty.to_owned(), nasty.to_owned())]))
            .with(Block::Link {
                label: "Go",
                url: "https://x.example/\"><b>".to_owned(),
            });
        assert_eq!(letter.subject(), "A Bcc: all@example.com");
        let html = letter.html();
        assert!(
            !html.contains("<script") && !html.contains("\"><b>"),
            "{html}"
        );
        let escaped = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;";
        assert_eq!(html.matches(escaped).count(), 4);
        assert!(letter.text().contains(nasty), "text needs no escaping");
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(one_line("a\r\n b\t\u{0}c\u{2028}d "), "a b c d");
        assert_eq!(one_line("SEK\u{a0}450.00"), "SEK\u{a0}450.00");
    }

    #[test]
    fn a_right_to_left_name_is_isolated_in_a_sentence() {
        assert_eq!(isolate("Ann"), "Ann");
        assert_eq!(isolate("日本"), "日本");
        assert_eq!(isolate("דני 2"), "\u{2068}דני 2\u{2069}");
        assert_eq!(isolate("محمد"), "\u{2068}محمد\u{2069}");
    }
}
