//! Tickets on paper: A4, one a page, in whatever script their words are written.
//!
//! It takes plain text and the squares of a code, and knows neither a shop nor where either is from.
//! `page.rs` is how a ticket looks, `sheet.rs` draws, `lines.rs` turns text into lines of glyphs,
//! `fonts.rs` has the fonts, and `typeset.rs` puts glyphs and fonts into the file. Whatever the words
//! are, the code is on the page and in one place: what does not fit is set smaller, then cut, and then
//! stands in full below the fold.

mod fonts;
mod lines;
mod page;
mod sheet;
mod typeset;

pub use typeset::NotEmbedded;

use pdf_writer::{Filter, Finish, Name, Pdf, Rect, Ref, TextStr};
use typeset::{Typesetter, compressed};

/// Tickets that are printed together.
#[derive(Debug, Clone)]
pub struct Document {
    /// What a reader shows as the file's name.
    pub title: String,
    /// Whose tickets they are; it stands on each.
    pub shop: String,
    /// The language of Han characters as BCP 47 has it (`ja`, `zh-Hans`): their shapes differ.
    pub language: Option<String>,
    /// One a page.
    pub tickets: Vec<Ticket>,
}

/// A ticket.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// What it admits to.
    pub title: String,
    /// When that is.
    pub when: String,
    /// Where.
    pub place: String,
    /// Names and values, of which the first is shown largest.
    pub facts: Vec<(String, String)>,
    /// What a scanner reads.
    pub code: Code,
    /// What can be read out instead.
    pub number: String,
    /// Which of how many it is.
    pub count: String,
    /// What to know about it: paragraphs below the fold.
    pub notes: Vec<String>,
}

/// The black squares of a two-dimensional code.
#[derive(Debug, Clone)]
pub struct Code {
    /// Squares along each side, the quiet zone included.
    pub side: u16,
    /// Column, row and length of each run of black squares.
    pub runs: Vec<(u16, u16, u16)>,
}

/// The PDF. Errors: a font cannot be embedded.
pub fn write(document: &Document) -> Result<Vec<u8>, NotEmbedded> {
    let mut typesetter = Typesetter::new();
    let pages: Vec<Vec<u8>> = document
        .tickets
        .iter()
        .map(|ticket| page::draw(document, ticket, &mut typesetter))
        .collect();
    let mut next = 1;
    let mut id = || {
        next += 1;
        Ref::new(next - 1)
    };
    let (mut pdf, catalog, tree) = (Pdf::new(), id(), id());
    let ids: Vec<(Ref, Ref)> = pages.iter().map(|_| (id(), id())).collect();
    let mut root = pdf.catalog(catalog);
    root.pages(tree).lang(TextStr("en"));
    root.viewer_preferences().display_doc_title(true);
    root.finish();
    pdf.pages(tree)
        .kids(ids.iter().map(|(page, _)| *page))
        .count(i32::try_from(ids.len()).unwrap_or(i32::MAX));
    let fonts = typesetter.embed(&mut pdf, &mut id)?;
    for ((page, content), drawn) in ids.into_iter().zip(pages) {
        let mut page = pdf.page(page);
        page.media_box(Rect::new(0.0, 0.0, sheet::WIDTH, sheet::HEIGHT));
        page.parent(tree).contents(content);
        let mut resources = page.resources();
        let mut named = resources.fonts();
        for (name, font) in &fonts {
            named.pair(Name(name.as_bytes()), *font);
        }
        named.finish();
        resources.finish();
        page.finish();
        pdf.stream(content, &compressed(&drawn))
            .filter(Filter::FlateDecode);
    }
    pdf.document_info(id())
        .title(TextStr(&document.title))
        .producer(TextStr(&document.shop));
    Ok(pdf.finish())
}
