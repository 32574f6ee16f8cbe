//! Renders a description: paragraphs, lines, and URLs as links.

use leptos::prelude::*;

/// Punctuation that may follow a URL without being part of it.
const TRAILING: [char; 11] = ['.', ',', ';', ':', '!', '?', ')', ']', '}', '"', '\''];

/// A piece of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    Link(&'t str),
}

/// Empty lines separate paragraphs. Each paragraph may have its own writing direction.
pub fn prose(text: &str) -> impl IntoView + use<> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines
        .split(|line| line.is_empty())
        .filter(|paragraph| !paragraph.is_empty())
        .map(paragraph)
        .collect_view()
}

fn paragraph(lines: &[&str]) -> AnyView {
    let lines: Vec<AnyView> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| {
            let line = split(line).into_iter().map(piece).collect_view();
            let broken = (number > 0).then(|| view! { <br/> });
            view! { {broken} {line} }.into_any()
        })
        .collect();
    view! { <p dir="auto">{lines}</p> }.into_any()
}

fn piece(piece: Piece<'_>) -> AnyView {
    match piece {
        Piece::Text(text) => text.to_owned().into_any(),
        Piece::Link(address) => {
            // User content, so not endorsed.
            view! { <a href=address.to_owned() rel="nofollow ugc noopener">{address.to_owned()}</a> }
                .into_any()
        }
    }
}

/// Splits a line at its URLs, which begin with http:// or https:// and end at white space, `<` or `>`.
fn split(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some(start) = next_address(rest) {
        let after = &rest[start..];
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '<' | '>'))
            .unwrap_or(after.len());
        let address = trim_punctuation(&after[..end]);
        let end = start + address.len();
        if !is_address(address) {
            let (text, after) = rest.split_at(start + address.len().max(1));
            pieces.push(Piece::Text(text));
            rest = after;
            continue;
        }
        if start > 0 {
            pieces.push(Piece::Text(&rest[..start]));
        }
        pieces.push(Piece::Link(address));
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

fn next_address(text: &str) -> Option<usize> {
    let found = ["http://", "https://"].map(|scheme| text.find(scheme));
    found.into_iter().flatten().min()
}

/// Keeps a closing bracket if the URL has the opening one.
fn trim_punctuation(mut address: &str) -> &str {
    while let Some(last) = address.chars().last().filter(|c| TRAILING.contains(c)) {
        if last == ')' && address.matches('(').count() >= address.matches(')').count() {
            break;
        }
        address = &address[..address.len() - last.len_utf8()];
    }
    address
}

/// Whether it is a URL with a host and without a user name, which could disguise the host.
fn is_address(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        uri.authority().is_some_and(|authority| {
            !authority.host().is_empty() && !authority.as_str().contains('@')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Piece::{Link, Text};

    #[test]
    fn addresses_in_a_line_become_links() {
        for (line, expected) in [
            ("No link here.", vec![Text("No link here.")]),
            (
                "See https://a.example/x?y=1. Then go.",
                vec![
                    Text("See "),
                    Link("https://a.example/x?y=1"),
                    Text(". Then go."),
                ],
            ),
            (
                "(http://a.example) and https://b.example/(c)!",
                vec![
                    Text("("),
                    Link("http://a.example"),
                    Text(") and "),
                    Link("https://b.example/(c)"),
                    Text("!"),
                ],
            ),
            ("https://", vec![Text("https://")]),
            ("https:// x", vec![Text("https://"), Text(" x")]),
            (
                "https://bank.example@evil.example/",
                vec![Text("https://bank.example@evil.example/")],
            ),
            ("javascript:alert(1)", vec![Text("javascript:alert(1)")]),
            (
                "<b>https://a.example</b>",
                vec![Text("<b>"), Link("https://a.example"), Text("</b>")],
            ),
            ("", vec![]),
        ] {
            assert_eq!(split(line), expected, "{line}");
        }
    }

    #[test]
    fn no_character_of_a_line_is_lost() {
        for line in [
            "x https:// y http://a.example, z",
            "https://https://a.example",
            "a\u{a0}http://é.example b",
        ] {
            let joined: String = split(line)
                .into_iter()
                .map(|piece| match piece {
                    Text(text) | Link(text) => text,
                })
                .collect();
            assert_eq!(joined, line);
        }
    }
}
