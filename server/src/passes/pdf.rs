//! An order's tickets on paper: A4, one ticket a page, black on white. Lengths are points, and
//! heights count from the upper edge of the page.
//!
//! `typeset.rs` sets the text; what is said of a ticket stands here.

use super::{
    Booklet,
    qr::squares,
    typeset::{Typesetter, Weight},
};
use crate::fault::{Fault, FaultResult};
use app::{events::when_in_full, passes::Pass};
use pdf_writer::{Content, Finish, Pdf, Rect, Ref, TextStr};

const PAGE_WIDTH: f32 = 595.0;
const PAGE_HEIGHT: f32 = 842.0;
const MARGIN: f32 = 64.0;
const WIDTH: f32 = PAGE_WIDTH - 2.0 * MARGIN;
/// The code's side, its quiet zone included: eight centimetres.
const CODE: f32 = 226.0;

/// The PDF of these tickets. Errors: one cannot be set.
pub fn pdf(booklet: &Booklet) -> FaultResult<Vec<u8>> {
    let mut type_ = Typesetter::new().map_err(not_set)?;
    let mut pages = Vec::with_capacity(booklet.passes.len());
    for number in 0..booklet.passes.len() {
        pages.push(page(booklet, number, &mut type_)?);
    }
    let mut next = 1;
    let mut id = || {
        next += 1;
        Ref::new(next - 1)
    };
    let (mut pdf, catalog, tree) = (Pdf::new(), id(), id());
    let fonts = [(Weight::Regular, id()), (Weight::Strong, id())];
    let ids: Vec<(Ref, Ref)> = pages.iter().map(|_| (id(), id())).collect();
    pdf.catalog(catalog).pages(tree).lang(TextStr("en"));
    pdf.pages(tree)
        .kids(ids.iter().map(|(page, _)| *page))
        .count(i32::try_from(ids.len()).unwrap_or(i32::MAX));
    for ((page, content), drawn) in ids.into_iter().zip(pages) {
        let mut page = pdf.page(page);
        page.media_box(Rect::new(0.0, 0.0, PAGE_WIDTH, PAGE_HEIGHT));
        page.parent(tree).contents(content);
        let mut resources = page.resources();
        let mut named = resources.fonts();
        for (weight, font) in fonts {
            named.pair(weight.name(), font);
        }
        named.finish();
        resources.finish();
        page.finish();
        pdf.stream(content, &drawn.finish());
    }
    for (weight, font) in fonts {
        type_
            .embed(&mut pdf, weight, font, &mut id)
            .map_err(not_set)?;
    }
    let title = format!("Tickets: {}", booklet.event.title);
    pdf.document_info(id())
        .title(TextStr(&title))
        .producer(TextStr("Stagedoor"));
    Ok(pdf.finish())
}

fn not_set(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    Fault::unexpected("a ticket was not set for paper", error)
}

/// One ticket.
fn page(booklet: &Booklet, number: usize, type_: &mut Typesetter) -> FaultResult<Content> {
    let Some(pass) = booklet.passes.get(number) else {
        return Err(not_set("no such ticket"));
    };
    let event = &booklet.event;
    let mut sheet = Sheet {
        content: Content::new(),
        type_,
        y: MARGIN,
    };
    sheet.text(Weight::Strong, 11.0, "Stagedoor");
    sheet.y += 18.0;
    sheet.text(Weight::Strong, 26.0, &event.title);
    sheet.y += 8.0;
    sheet.text(
        Weight::Regular,
        13.0,
        &when_in_full(event.starts_at, &event.time_zone),
    );
    sheet.text(
        Weight::Regular,
        13.0,
        &format!("{}, {}", event.venue, event.city),
    );
    sheet.rule();
    for (what, value) in [
        ("Seat", pass.label.clone()),
        ("Holder", booklet.holder.clone()),
        ("Price", pass.price.to_string()),
        ("Order", booklet.order.code()),
        ("Ticket", pass.ticket.code()),
        ("Sold by", pass.seller_name.clone()),
    ] {
        sheet.row(what, &value);
    }
    sheet.rule();
    sheet.code(pass)?;
    sheet.y += 12.0;
    let of = booklet.passes.len();
    sheet.text(
        Weight::Regular,
        10.0,
        &format!(
            "Ticket {} of {of}. Show this code at the door, on paper or on a screen. It lets one \
             person in, once. A refund ends it.",
            number + 1
        ),
    );
    Ok(sheet.content)
}

/// A page as it is filled from above.
struct Sheet<'a> {
    content: Content,
    type_: &'a mut Typesetter,
    /// How far down it is filled.
    y: f32,
}

impl Sheet<'_> {
    /// A paragraph.
    fn text(&mut self, weight: Weight, size: f32, text: &str) {
        self.y = self.paragraph(weight, size, text, MARGIN, WIDTH);
    }

    /// A name and its value, side by side.
    fn row(&mut self, what: &str, value: &str) {
        const NAMES: f32 = 90.0;
        self.paragraph(Weight::Regular, 11.0, what, MARGIN, NAMES);
        let (left, width) = (MARGIN + NAMES, WIDTH - NAMES);
        self.y = self.paragraph(Weight::Strong, 11.0, value, left, width) + 3.0;
    }

    /// Returns how far down it comes.
    fn paragraph(&mut self, weight: Weight, size: f32, text: &str, left: f32, width: f32) -> f32 {
        let mut y = self.y;
        for line in self.type_.lines(weight, size, text, width) {
            let base = PAGE_HEIGHT - y - size;
            self.type_
                .show(&mut self.content, weight, size, &line, (left, base));
            y += size * 1.35;
        }
        y
    }

    fn rule(&mut self) {
        self.y += 14.0;
        self.content
            .rect(MARGIN, PAGE_HEIGHT - self.y, WIDTH, 0.75)
            .fill_nonzero();
        self.y += 16.0;
    }

    fn code(&mut self, pass: &Pass) -> FaultResult<()> {
        let squares = squares(&pass.text).map_err(not_set)?;
        let unit = CODE / short(squares.side);
        // One unit a square, counted from above: whole numbers keep the file small.
        self.content.save_state();
        self.content
            .transform([unit, 0.0, 0.0, -unit, MARGIN, PAGE_HEIGHT - self.y]);
        for (column, row, length) in squares.runs {
            self.content
                .rect(short(column), short(row), short(length), 1.0);
        }
        self.content.fill_nonzero().restore_state();
        self.y += CODE;
        Ok(())
    }
}

/// A count of squares, which are at most 185.
fn short(count: usize) -> f32 {
    f32::from(u16::try_from(count).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::booklet::tests::booklet;

    fn occurrences(bytes: &[u8], of: &str) -> usize {
        bytes
            .windows(of.len())
            .filter(|part| *part == of.as_bytes())
            .count()
    }

    #[test]
    fn every_ticket_has_a_page() {
        let bytes = pdf(&booklet("Candlelight Strings")).unwrap();
        assert!(bytes.starts_with(b"%PDF-"));
        assert!(bytes.ends_with(b"%%EOF") || bytes.ends_with(b"%%EOF\n"));
        assert_eq!(occurrences(&bytes, "/Type /Page\n"), 2);
        assert!(bytes.len() < 60_000, "{} bytes", bytes.len());
    }

    #[test]
    fn any_title_can_be_set() {
        let long = "Donaudampfschifffahrt".repeat(6);
        for title in [
            "Žluťoučký kůň — Łódź, œuvre, İstanbul",
            "Лебединое озеро, Київ",
            "Ορφέας και Ευρυδίκη, ᾠδή",
            "日本 🎻",
            "",
            &long,
        ] {
            let bytes = pdf(&booklet(title)).unwrap();
            assert!(bytes.starts_with(b"%PDF-"), "{title}");
        }
    }
}
