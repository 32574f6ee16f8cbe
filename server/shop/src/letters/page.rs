//! What a letter is made of: the same few blocks as plain text and as HTML (`html.rs`).
//!
//! All that a letter says passes through here as text, so that nothing which people typed can become
//! markup or a header. What is said is `words.rs`'s business.

use super::html;
use std::{borrow::Cow, fmt::Write};

/// A part of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    /// What it is about.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// What and its value, one a line: an event's place, a ticket's price.
    Rows(Vec<(String, String)>),
    /// An event as rows, of which the first three are its title, when and where it is.
    Event(Vec<(String, String)>),
    /// What to do next.
    Link {
        /// What is there.
        label: &'static str,
        /// Where it is.
        url: String,
    },
    /// Where to find something, in small type.
    Footnote {
        /// What is there.
        label: &'static str,
        /// Where it is.
        url: String,
    },
}

/// A letter that is written but not yet addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    subject: String,
    blocks: Vec<Block>,
}

impl Letter {
    /// A letter with nothing but a subject, of which it keeps one line.
    pub(crate) fn new(subject: &str) -> Self {
        Self {
            subject: one_line(subject),
            blocks: Vec::new(),
        }
    }

    /// Adds a block.
    pub(crate) fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Adds a paragraph.
    pub(crate) fn say(self, text: impl Into<String>) -> Self {
        self.with(Block::Text(text.into()))
    }

    /// Its subject: one line.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// For readers without HTML.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for block in &self.blocks {
            // Writing to a String does not fail.
            let _ = match block {
                Block::Heading(words) | Block::Text(words) => {
                    writeln!(text, "{}", one_line(words))
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

    /// For everybody else.
    pub(crate) fn html(&self) -> String {
        html::letter(&self.subject, &self.blocks)
    }
}

/// A name or a title inside of a sentence: one that runs from right to left keeps the words around it
/// where they are.
pub(crate) fn isolated(text: &str) -> Cow<'_, str> {
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

/// The same on one line: whatever ends a line or hides in one becomes a space.
pub(crate) fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| match c {
            '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    // Only what a browser would make one space of as well; a price keeps its own.
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
            .say(nasty)
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
    fn a_name_from_right_to_left_is_kept_apart_in_a_sentence() {
        assert_eq!(isolated("Ann"), "Ann");
        assert_eq!(isolated("日本"), "日本");
        assert_eq!(isolated("דני 2"), "\u{2068}דני 2\u{2069}");
        assert_eq!(isolated("محمد"), "\u{2068}محمد\u{2069}");
    }
}
