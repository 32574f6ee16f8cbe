//! Renders a letter as HTML in the shop's design: a header with the logo, a sheet with the content, and
//! footnotes in small type.
//!
//! Mail programs support less than browsers: the layout is tables, styles are inline, and the letter is
//! readable without the style sheet, which only sets the dark colours. Nothing is fetched. All text is
//! escaped here, and user input has its own direction.

use super::page::{Block, one_line};
use std::fmt::{Result, Write};

/// A colour for light and dark mode, as in style/tokens.css.
struct Colour {
    light: &'static str,
    dark: &'static str,
}

const PAPER: Colour = Colour {
    light: "#fbf7f0",
    dark: "#16110f",
};
const SURFACE: Colour = Colour {
    light: "#ffffff",
    dark: "#211a17",
};
const SUNKEN: Colour = Colour {
    light: "#f3ece0",
    dark: "#2b221e",
};
const INK: Colour = Colour {
    light: "#231a16",
    dark: "#f6eee4",
};
const QUIET: Colour = Colour {
    light: "#665850",
    dark: "#b9aa9c",
};
const LINE: Colour = Colour {
    light: "#e2d8c8",
    dark: "#3b302a",
};
const ACCENT: Colour = Colour {
    light: "#a11d33",
    dark: "#f0899a",
};
const ON_ACCENT: Colour = Colour {
    light: "#ffffff",
    dark: "#2a0a10",
};

const BODY: &str = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;\
     font-size:16px;line-height:1.5;overflow-wrap:anywhere;word-break:break-word";
/// The attributes of a layout table.
const LAYOUT: &str = "role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\"";
const DISPLAY: &str =
    "font-family:'Iowan Old Style','Palatino Linotype',Palatino,Georgia,serif;font-weight:bold";

pub(crate) fn letter(subject: &str, blocks: &[Block]) -> String {
    let mut html = String::with_capacity(8 * 1024);
    // Writing to a String does not fail.
    let _ = write_letter(&mut html, subject, blocks);
    html
}

fn write_letter(html: &mut String, subject: &str, blocks: &[Block]) -> Result {
    let (footnotes, content): (Vec<&Block>, Vec<&Block>) = blocks
        .iter()
        .partition(|block| matches!(block, Block::Footnote { .. }));
    writeln!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\" dir=\"ltr\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"supported-color-schemes\" content=\"light dark\">\n\
         <title>{}</title>\n<style>{}</style>\n</head>",
        escape(subject),
        style_sheet()
    )?;
    writeln!(
        html,
        "<body class=\"paper\" style=\"margin:0;padding:0;background-color:{paper};color:{ink};{BODY}\">\n\
         <table {LAYOUT} class=\"paper\" width=\"100%\" bgcolor=\"{paper}\" style=\"background-color:{paper}\">\n\
         <tr><td align=\"center\" style=\"padding:24px 12px 32px\">\n\
         <table {LAYOUT} width=\"100%\" style=\"max-width:560px;table-layout:fixed\">",
        paper = PAPER.light,
        ink = INK.light
    )?;
    write_head(html)?;
    writeln!(
        html,
        "<tr><td class=\"sheet ink\" align=\"left\" bgcolor=\"{surface}\" style=\"padding:28px 24px 12px;\
         border:1px solid {line};border-radius:16px;background-color:{surface};color:{ink};{BODY}\">",
        surface = SURFACE.light,
        line = LINE.light,
        ink = INK.light
    )?;
    for block in content {
        write_block(html, block)?;
    }
    writeln!(
        html,
        "</td></tr>\n<tr><td class=\"quiet\" align=\"left\" style=\"padding:20px 24px 0;color:{};{BODY};\
         font-size:14px\">",
        QUIET.light
    )?;
    for block in footnotes {
        write_block(html, block)?;
    }
    html.push_str(
        "<p style=\"margin:0\">Stagedoor</p>\n</td></tr>\n</table>\n</td></tr>\n</table>\n</body>\n</html>\n",
    );
    Ok(())
}

/// Sets the colours of dark mode.
fn style_sheet() -> String {
    let mut css = String::from(":root{color-scheme:light dark}@media (prefers-color-scheme:dark){");
    for (class, property, colour) in [
        ("paper", "background-color", PAPER),
        ("sheet", "background-color", SURFACE),
        ("sunken", "background-color", SUNKEN),
        ("door", "border-color", ACCENT),
        ("button", "background-color", ACCENT),
        ("button", "border-color", ACCENT),
        ("sheet", "border-color", LINE),
        ("row", "border-color", LINE),
        ("strip", "border-color", ACCENT),
        ("ink", "color", INK),
        ("quiet", "color", QUIET),
        ("accent", "color", ACCENT),
        ("button", "color", ON_ACCENT),
    ] {
        let _ = write!(css, ".{class}{{{property}:{}!important}}", colour.dark);
    }
    css.push('}');
    css
}

/// The shop's logo and name.
fn write_head(html: &mut String) -> Result {
    writeln!(
        html,
        "<tr><td align=\"left\" style=\"padding:0 24px 16px\">\n\
         <table {LAYOUT}><tr>\n\
         <td class=\"door\" width=\"10\" height=\"20\" bgcolor=\"#fcf0d9\" style=\"width:10px;height:18px;\
         padding:0;border:6px solid {accent};border-bottom-width:0;border-radius:11px 11px 0 0;\
         background-color:#fcf0d9;font-size:0;line-height:0\">&nbsp;</td>\n\
         <td class=\"ink\" style=\"padding-left:10px;color:{ink};{DISPLAY};font-size:21px;line-height:1.2\">\
         Stagedoor</td>\n</tr></table>\n</td></tr>",
        accent = ACCENT.light,
        ink = INK.light
    )
}

fn write_block(html: &mut String, block: &Block) -> Result {
    match block {
        Block::Heading(content) => writeln!(
            html,
            "<h1 dir=\"auto\" style=\"margin:0 0 16px;{DISPLAY};font-size:26px;line-height:1.2\">{}</h1>",
            escape(content)
        ),
        Block::Text(content) => writeln!(
            html,
            "<p dir=\"auto\" style=\"margin:0 0 16px\">{}</p>",
            escape(content)
        ),
        Block::Link { label, url } => write_button(html, label, url),
        Block::Footnote { label, url } => writeln!(
            html,
            "<p style=\"margin:0 0 12px\">{}:<br>\n\
             <a class=\"quiet\" href=\"{url}\" style=\"color:{}\">{url}</a></p>",
            escape(label),
            QUIET.light,
            url = escape(url)
        ),
        Block::Rows(rows) => write_rows(html, rows),
        Block::Event(rows) => write_event(html, rows),
    }
}

/// A table cell with a background, which Outlook supports too.
fn write_button(html: &mut String, label: &str, url: &str) -> Result {
    writeln!(
        html,
        "<table {LAYOUT} style=\"margin:8px 0 24px\"><tr>\n\
         <td class=\"button\" align=\"center\" bgcolor=\"{accent}\" style=\"border-radius:999px;\
         background-color:{accent}\">\n\
         <a class=\"button\" href=\"{}\" style=\"display:inline-block;padding:11px 22px;\
         border:1px solid {accent};border-radius:999px;background-color:{accent};color:{};\
         text-decoration:none;font-weight:bold\">{}</a></td>\n</tr></table>",
        escape(url),
        ON_ACCENT.light,
        escape(label),
        accent = ACCENT.light
    )
}

/// An event: its title, time, place and further rows.
fn write_event(html: &mut String, rows: &[(String, String)]) -> Result {
    writeln!(
        html,
        "<table {LAYOUT} class=\"sunken\" width=\"100%\" bgcolor=\"{sunken}\" style=\"margin:0 0 20px;table-layout:fixed;border-radius:10px;\
         background-color:{sunken}\">\n\
         <tr><td class=\"strip ink\" style=\"padding:14px 16px;border-left:6px solid {accent};\
         border-radius:10px;color:{ink}\">",
        sunken = SUNKEN.light,
        accent = ACCENT.light,
        ink = INK.light
    )?;
    for (number, (what, value)) in rows.iter().enumerate() {
        let value = escape(value);
        match number {
            0 => writeln!(
                html,
                "<p dir=\"auto\" style=\"margin:0 0 6px;{DISPLAY};font-size:20px;line-height:1.25\">{value}</p>"
            ),
            1 => writeln!(
                html,
                "<p class=\"accent\" dir=\"auto\" style=\"margin:0;color:{};font-weight:bold\">{value}</p>",
                ACCENT.light
            ),
            2 => writeln!(html, "<p dir=\"auto\" style=\"margin:0\">{value}</p>"),
            _ => writeln!(
                html,
                "<p style=\"margin:6px 0 0\"><span class=\"quiet\" style=\"color:{}\">{}:</span> \
                 <strong dir=\"auto\">{value}</strong></p>",
                QUIET.light,
                escape(what)
            ),
        }?;
    }
    writeln!(html, "</td></tr></table>")
}

fn write_rows(html: &mut String, rows: &[(String, String)]) -> Result {
    writeln!(
        html,
        "<table cellpadding=\"0\" cellspacing=\"0\" border=\"0\" width=\"100%\" \
         style=\"margin:0 0 20px;table-layout:fixed\">"
    )?;
    for (what, value) in rows {
        let cell = format!(
            "border-bottom:1px solid {};overflow-wrap:anywhere;word-break:break-word",
            LINE.light
        );
        writeln!(
            html,
            "<tr>\n<td class=\"row quiet\" valign=\"top\" align=\"left\" style=\"padding:8px 16px 8px 0;\
             {cell};color:{}\"><span dir=\"auto\">{}</span></td>\n\
             <td class=\"row\" valign=\"top\" align=\"right\" style=\"padding:8px 0;{cell}\">\
             <strong dir=\"auto\">{}</strong></td>\n</tr>",
            QUIET.light,
            escape(what),
            escape(value)
        )?;
    }
    writeln!(html, "</table>")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in one_line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative luminance of a colour as WCAG 2 defines it.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn all_text_has_enough_contrast_in_light_and_dark_mode() {
        for (text, background) in [
            (INK, PAPER),
            (INK, SURFACE),
            (INK, SUNKEN),
            (QUIET, PAPER),
            (QUIET, SURFACE),
            (QUIET, SUNKEN),
            (ACCENT, SUNKEN),
            (ON_ACCENT, ACCENT),
        ] {
            for (text, background) in [(text.light, background.light), (text.dark, background.dark)]
            {
                let found = contrast(text, background);
                assert!(found >= 4.5, "{text} on {background}: {found}");
            }
        }
    }

    #[test]
    fn the_colours_are_those_of_the_website() {
        let tokens = include_str!("../../../../style/tokens.css");
        for (name, colour) in [
            ("paper", PAPER),
            ("surface", SURFACE),
            ("sunken", SUNKEN),
            ("ink", INK),
            ("quiet", QUIET),
            ("line", LINE),
            ("accent", ACCENT),
            ("on-accent", ON_ACCENT),
        ] {
            let said = format!("--{name}: light-dark({}, {});", colour.light, colour.dark);
            assert!(tokens.contains(&said), "{said}");
        }
    }

    #[test]
    fn a_letter_fetches_nothing() {
        let html = letter("x", &[Block::Text("y".to_owned())]);
        for word in ["src=", "url(", "@import", "<link", "<img"] {
            assert!(!html.contains(word), "{word}: {html}");
        }
    }

    #[test]
    fn user_input_has_its_own_direction() {
        let rows = vec![("שורה".to_owned(), "מושב".to_owned()); 4];
        let html = letter(
            "x",
            &[
                Block::Heading("כותרת".to_owned()),
                Block::Text("טקסט".to_owned()),
                Block::Rows(rows.clone()),
                Block::Event(rows),
            ],
        );
        for words in ["כותרת", "טקסט", "מושב"] {
            for (at, _) in html.match_indices(words) {
                let tag = &html[html[..at].rfind('<').unwrap()..at];
                assert!(tag.contains("dir=\"auto\""), "{tag}");
            }
        }
    }
}
