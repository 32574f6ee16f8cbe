//! How a letter looks: the same few blocks as plain text and as HTML.
//!
//! All that a letter says passes through here as text, and is escaped here, so that nothing which
//! people typed can become markup or a header. The HTML sets no ground and no colour of text: each
//! client's own are readable, by day and in the dark, and old ones have less to get wrong. What is
//! said is `letters.rs`'s business.

use std::fmt::Write;

const BODY: &str = "margin:0;padding:24px 16px;\
     font-family:-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;\
     font-size:16px;line-height:1.5;overflow-wrap:anywhere;word-break:break-word";
const BUTTON: &str = "display:inline-block;padding:10px 18px;border-radius:6px;\
     background-color:#a11d33;color:#ffffff;text-decoration:none;font-weight:bold";

/// A part of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// What it is about.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// What and its value, one a line: an event's place, a ticket's price.
    Rows(Vec<(String, String)>),
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
pub struct Letter {
    subject: String,
    blocks: Vec<Block>,
}

impl Letter {
    /// A letter with nothing but a subject, of which it keeps one line.
    pub fn new(subject: &str) -> Self {
        Self {
            subject: one_line(subject),
            blocks: Vec::new(),
        }
    }

    /// Adds a block.
    pub fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Adds a paragraph.
    pub fn say(self, text: impl Into<String>) -> Self {
        self.with(Block::Text(text.into()))
    }

    /// Its subject: one line.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// For readers without HTML.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for block in &self.blocks {
            // Writing to a String does not fail.
            let _ = match block {
                Block::Heading(words) | Block::Text(words) => {
                    writeln!(text, "{}", one_line(words))
                }
                Block::Rows(rows) => rows.iter().try_for_each(|(what, value)| {
                    writeln!(text, "  {}: {}", one_line(what), one_line(value))
                }),
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
    pub fn html(&self) -> String {
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"supported-color-schemes\" content=\"light dark\">\n\
             <title>{}</title>\n</head>\n<body style=\"{BODY}\">\n\
             <table role=\"presentation\" align=\"center\" cellpadding=\"0\" cellspacing=\"0\" \
             border=\"0\" width=\"100%\" style=\"max-width:560px\">\n<tr><td>\n",
            escape(&self.subject)
        );
        for block in &self.blocks {
            html_block(&mut html, block);
        }
        html.push_str(
            "<p style=\"margin:32px 0 0;font-size:14px\">Stagedoor</p>\n\
             </td></tr>\n</table>\n</body>\n</html>\n",
        );
        html
    }
}

fn html_block(html: &mut String, block: &Block) {
    // Writing to a String does not fail.
    let _ = match block {
        Block::Heading(words) => writeln!(
            html,
            "<h1 dir=\"auto\" style=\"margin:0 0 16px;font-size:22px;line-height:1.25\">{}</h1>",
            escape(words)
        ),
        Block::Text(words) => {
            writeln!(
                html,
                "<p dir=\"auto\" style=\"margin:0 0 16px\">{}</p>",
                escape(words)
            )
        }
        Block::Footnote { label, url } => writeln!(
            html,
            "<p style=\"margin:0 0 16px;font-size:14px\">{label}:<br>\n\
             <a href=\"{0}\" style=\"color:inherit\">{0}</a></p>",
            escape(url)
        ),
        Block::Link { label, url } => writeln!(
            html,
            "<p style=\"margin:24px 0\"><a href=\"{}\" style=\"{BUTTON}\">{}</a></p>",
            escape(url),
            escape(label)
        ),
        Block::Rows(rows) => html_rows(html, rows),
    };
}

fn html_rows(html: &mut String, rows: &[(String, String)]) -> std::fmt::Result {
    writeln!(
        html,
        "<table cellpadding=\"0\" cellspacing=\"0\" border=\"0\" width=\"100%\" \
         style=\"margin:0 0 16px;border-top:1px solid #998877\">"
    )?;
    for (what, value) in rows {
        writeln!(
            html,
            "<tr>\n<td valign=\"top\" style=\"padding:6px 16px 6px 0;\
             border-bottom:1px solid #998877\">{}</td>\n\
             <td valign=\"top\" align=\"right\" style=\"padding:6px 0;\
             border-bottom:1px solid #998877\"><strong dir=\"auto\">{}</strong></td>\n</tr>",
            escape(what),
            escape(value)
        )?;
    }
    writeln!(html, "</table>")
}

/// The same on one line: whatever ends a line or hides in one becomes a space.
pub fn one_line(text: &str) -> String {
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

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for c in one_line(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
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
    fn html_brings_no_colours_of_its_own_but_the_buttons() {
        let html = Letter::new("x").say("y").html();
        assert!(html.contains("color-scheme\" content=\"light dark\""));
        assert!(!html.contains("color:#"), "{html}");
    }
}
