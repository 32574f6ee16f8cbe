//! Renders tickets as PDF: A4, one a page, with text in any script.
//!
//! Takes plain text and the squares of a code; does not know the shop. `page.rs` lays out a ticket, `sheet.rs`
//! draws, `lines.rs` shapes text into lines of glyphs, `fonts.rs` has the fonts, and `typeset.rs` writes glyphs
//! and fonts to the file. The code is always at the same position: text that does not fit is set smaller, then
//! truncated, and repeated in full below the fold.

mod fonts;
mod lines;
mod page;
mod sheet;
mod typeset;

pub use typeset::EmbedError;

use pdf_writer::{Filter, Finish, Name, Pdf, Rect, Ref, TextStr};
use typeset::{Typesetter, compress};

/// Tickets in one file.
#[derive(Debug, Clone)]
pub struct Document {
    /// The title in the file's metadata.
    pub title: String,
    /// The shop's name, printed on each ticket.
    pub shop: String,
    /// The language of Han characters (BCP 47, such as `ja` or `zh-Hans`), which decides on their shapes.
    pub language: Option<String>,
    /// One a page.
    pub tickets: Vec<Ticket>,
}

/// The texts and the code of a ticket.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub title: String,
    pub when: String,
    pub place: String,
    /// Names and values; the first pair is the largest.
    pub facts: Vec<(String, String)>,
    pub code: Code,
    /// The ticket's number, printed below the code.
    pub number: String,
    /// `Ticket 1 of 2`, printed above the code.
    pub count: String,
    /// Paragraphs below the fold.
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

/// Renders the PDF. Errors: a font cannot be embedded.
pub fn write(document: &Document) -> Result<Vec<u8>, EmbedError> {
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
        pdf.stream(content, &compress(&drawn))
            .filter(Filter::FlateDecode);
    }
    pdf.document_info(id())
        .title(TextStr(&document.title))
        .producer(TextStr(&document.shop));
    Ok(pdf.finish())
}
