//! A description as it was typed: paragraphs, lines, and addresses of other pages as links.

use leptos::prelude::*;

/// What may follow an address in a sentence and is no part of it.
const AFTER: [char; 11] = ['.', ',', ';', ':', '!', '?', ')', ']', '}', '"', '\''];

/// A piece of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    Link(&'t str),
}

/// Paragraphs are set apart by empty lines. Each may be in another direction of writing.
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
            let line = pieces(line).into_iter().map(piece).collect_view();
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
            // Written by somebody else, so that it is not vouched for.
            view! { <a href=address.to_owned() rel="nofollow ugc noopener">{address.to_owned()}</a> }
                .into_any()
        }
    }
}

/// A line cut at its addresses, which begin with http:// or https:// and end at a space.
fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some(start) = next_address(rest) {
        let after = &rest[start..];
        let end = after
            .find(|sign: char| sign.is_whitespace() || matches!(sign, '<' | '>'))
            .unwrap_or(after.len());
        let address = without_end_of_sentence(&after[..end]);
        let end = start + address.len();
        if !is_address(address) {
            let (text, behind) = rest.split_at(start + address.len().max(1));
            pieces.push(Piece::Text(text));
            rest = behind;
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

/// A closing bracket belongs to an address that has the opening one.
fn without_end_of_sentence(mut address: &str) -> &str {
    while let Some(last) = address.chars().last().filter(|sign| AFTER.contains(sign)) {
        if last == ')' && address.matches('(').count() >= address.matches(')').count() {
            break;
        }
        address = &address[..address.len() - last.len_utf8()];
    }
    address
}

/// Whether a browser can go there: it names a host and hides no user name.
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
            assert_eq!(pieces(line), expected, "{line}");
        }
    }

    #[test]
    fn no_sign_of_a_line_is_lost() {
        for line in [
            "x https:// y http://a.example, z",
            "https://https://a.example",
            "a\u{a0}http://é.example b",
        ] {
            let joined: String = pieces(line)
                .into_iter()
                .map(|piece| match piece {
                    Text(text) | Link(text) => text,
                })
                .collect();
            assert_eq!(joined, line);
        }
    }
}
