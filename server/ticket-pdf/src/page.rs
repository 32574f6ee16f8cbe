//! The layout of a ticket. The upper half of the page is the ticket, so that it can be folded once: text on the
//! left, the code on a stub on the right. The lower half has the notes.
//!
//! The code's position is fixed. The text is set as large as it fits.

use crate::{
    Document, Ticket,
    fonts::Style,
    lines::{Paragraph, Setting, lay_out},
    sheet::{Area, Colour, HEIGHT, Sheet, WIDTH, height},
    typeset::Typesetter,
};

// The light theme's colours of style/tokens.css.
const INK: Colour = [0.137, 0.102, 0.086];
const QUIET: Colour = [0.4, 0.345, 0.314];
const LINE: Colour = [0.541, 0.478, 0.424];
const ACCENT: Colour = [0.631, 0.114, 0.2];
const LIGHT: Colour = [0.988, 0.941, 0.851];

const MARGIN: f32 = 40.0;
const FOLD: f32 = HEIGHT / 2.0;
const TICKET: Area = Area {
    x: MARGIN,
    y: MARGIN,
    width: WIDTH - 2.0 * MARGIN,
    height: FOLD - 2.0 * MARGIN,
};
/// The width of the stub with the code.
const STUB: f32 = 232.0;
/// The side of the code with its quiet zone: more than seven centimetres.
const CODE: f32 = 208.0;
const STRIP: f32 = 8.0;
const PADDING: f32 = 20.0;
/// The area of the text.
const TEXT: Area = Area {
    x: TICKET.x + STRIP + PADDING - 4.0,
    y: TICKET.y + PADDING,
    width: TICKET.width - STUB - STRIP - 2.0 * PADDING + 8.0,
    height: TICKET.height - 2.0 * PADDING,
};

/// Scales of the text with the maximum number of lines of each paragraph. The first that fits is used.
const TRIES: [(f32, usize); 10] = [
    (1.0, usize::MAX),
    (0.9, usize::MAX),
    (0.8, usize::MAX),
    (0.7, usize::MAX),
    (0.62, usize::MAX),
    (0.55, usize::MAX),
    (0.55, 5),
    (0.55, 3),
    (0.55, 2),
    (0.55, 1),
];

/// Draws a ticket's page.
pub(crate) fn draw(document: &Document, ticket: &Ticket, typesetter: &mut Typesetter) -> Vec<u8> {
    let writer = Writer {
        language: document.language.as_deref(),
    };
    let mut sheet = Sheet::new(typesetter);
    let tear = TICKET.right() - STUB;
    sheet.ticket(TICKET, tear, (STRIP, ACCENT), LINE);
    sheet.dashes((tear, TICKET.y + 12.0), (tear, TICKET.bottom() - 12.0));
    let words = writer.main_text(&document.shop, ticket);
    sheet.door(TEXT.x - 2.0, TEXT.y - 2.0, 18.0, ACCENT, LIGHT);
    for block in &words.blocks {
        block.draw(&mut sheet);
    }
    writer.draw_stub(&mut sheet, ticket);
    sheet.set_colour(LINE);
    sheet.dashes((0.0, FOLD), (WIDTH, FOLD));
    writer.draw_notes(&mut sheet, ticket, words.is_cut);
    sheet.finish()
}

/// A positioned paragraph.
struct Block {
    paragraph: Paragraph,
    size: f32,
    column: Area,
    y: f32,
    colour: Colour,
}

impl Block {
    fn bottom(&self) -> f32 {
        self.y + height(&self.paragraph, self.size)
    }

    fn draw(&self, sheet: &mut Sheet) {
        sheet.set_colour(self.colour);
        sheet.text(&self.paragraph, self.size, self.column, self.y);
    }
}

/// The text on the left of a ticket.
struct MainText {
    blocks: Vec<Block>,
    /// The lower edge of the lowest paragraph.
    bottom: f32,
    /// Whether some text is truncated or missing.
    is_cut: bool,
}

struct Writer<'a> {
    language: Option<&'a str>,
}

impl Writer<'_> {
    fn paragraph(
        &self,
        style: Style,
        size: f32,
        text: &str,
        width: f32,
        lines: usize,
    ) -> Paragraph {
        let setting = Setting {
            style,
            size,
            width,
            lines,
            language: self.language,
        };
        lay_out(text, &setting)
    }

    /// Lays out the main text as large as it fits.
    fn main_text(&self, shop: &str, ticket: &Ticket) -> MainText {
        let mut words = self.main_text_at(shop, ticket, TRIES[0]);
        let needed = (words.bottom - TEXT.y) / TEXT.height;
        // At half the size the text needs about a quarter of the area.
        let hopeless =
            |(scale, lines): &(f32, usize)| *lines == usize::MAX && needed * scale * scale > 1.5;
        for size in TRIES.into_iter().skip(1).filter(|size| !hopeless(size)) {
            if words.bottom <= TEXT.bottom() {
                return words;
            }
            words = self.main_text_at(shop, ticket, size);
        }
        let fits = |block: &Block| block.bottom() <= TEXT.bottom();
        words.is_cut |= !words.blocks.iter().all(fits);
        words.blocks.retain(fits);
        words
    }

    fn main_text_at(&self, shop: &str, ticket: &Ticket, (scale, lines): (f32, usize)) -> MainText {
        let mut flow = Flow {
            writer: self,
            scale,
            lines,
            y: TEXT.y,
            words: MainText {
                blocks: Vec::new(),
                bottom: TEXT.y,
                is_cut: false,
            },
        };
        // The shop's name is beside its logo, and has the same size on every ticket.
        let column = Area {
            x: TEXT.x + 20.0,
            width: TEXT.width - 20.0,
            ..TEXT
        };
        let name = self.paragraph(Style::Display, 13.0, shop, column.width, 1);
        flow.words.blocks.push(Block {
            paragraph: name,
            size: 13.0,
            column,
            y: TEXT.y - 2.0,
            colour: INK,
        });
        flow.y += 30.0;
        flow.add(Style::Display, 24.0, &ticket.title, TEXT, INK);
        flow.y += 6.0 * scale;
        flow.add(Style::Strong, 12.5, &ticket.when, TEXT, ACCENT);
        flow.add(Style::Regular, 12.5, &ticket.place, TEXT, INK);
        flow.y += 14.0 * scale;
        let facts = flow.words.blocks.len();
        if let Some(first) = ticket.facts.first() {
            flow.facts(std::slice::from_ref(first), 17.0);
        }
        for pair in ticket.facts.get(1..).unwrap_or_default().chunks(2) {
            flow.facts(pair, 11.5);
        }
        // Moves the facts to the bottom of the area.
        let room = (TEXT.bottom() - flow.words.bottom).max(0.0);
        for block in flow.words.blocks.iter_mut().skip(facts) {
            block.y += room;
        }
        flow.words
    }

    fn draw_stub(&self, sheet: &mut Sheet, ticket: &Ticket) {
        let column = Area {
            x: TICKET.right() - STUB,
            width: STUB,
            ..TICKET
        };
        let line = |style, size, text: &str| self.paragraph(style, size, text, CODE, 1);
        let count = line(Style::Strong, 11.0, &ticket.count);
        sheet.set_colour(INK);
        sheet.centred(&count, 11.0, column, TICKET.y + 24.0);
        let code = code_area();
        sheet.squares(code, ticket.code.side, &ticket.code.runs);
        sheet.set_colour(INK);
        let number = line(Style::Strong, 13.0, &ticket.number);
        sheet.centred(&number, 13.0, column, code.bottom() + 4.0);
    }

    /// Draws the notes below the fold and, with `in_full`, the whole text of the ticket.
    fn draw_notes(&self, sheet: &mut Sheet, ticket: &Ticket, in_full: bool) {
        const LOWEST: f32 = HEIGHT - MARGIN;
        let column = Area {
            y: FOLD + 28.0,
            height: LOWEST - FOLD - 28.0,
            ..TICKET
        };
        let fold = self.paragraph(Style::Regular, 8.0, "Fold here", column.width, 1);
        sheet.set_colour(QUIET);
        sheet.text(&fold, 8.0, column, FOLD + 4.0);
        let mut notes: Vec<(Style, f32, String)> = Vec::new();
        for note in &ticket.notes {
            notes.push((Style::Regular, 10.5, note.clone()));
        }
        if in_full {
            notes.push((Style::Strong, 9.0, ticket.title.clone()));
            notes.push((Style::Regular, 9.0, ticket.place.clone()));
            let facts = ticket.facts.iter();
            notes.extend(
                facts.map(|(name, value)| (Style::Regular, 9.0, format!("{name}: {value}"))),
            );
        }
        let mut y = column.y;
        for (style, size, text) in notes {
            let block = Block {
                paragraph: self.paragraph(style, size, &text, column.width, 12),
                size,
                column,
                y,
                colour: INK,
            };
            if block.bottom() > LOWEST {
                break;
            }
            block.draw(sheet);
            y = block.bottom() + 5.0;
        }
    }
}

/// The fixed area of the code.
fn code_area() -> Area {
    Area {
        x: TICKET.right() - STUB + (STUB - CODE) / 2.0,
        y: TICKET.y + 46.0,
        width: CODE,
        height: CODE,
    }
}

/// Lays out paragraphs one below the other.
struct Flow<'a, 'b> {
    writer: &'a Writer<'b>,
    scale: f32,
    lines: usize,
    y: f32,
    words: MainText,
}

impl Flow<'_, '_> {
    /// Lays out a paragraph at `y`. Returns its lower edge.
    fn place(&mut self, style: Style, size: f32, text: &str, column: Area, colour: Colour) -> f32 {
        let size = size * self.scale;
        let paragraph = self
            .writer
            .paragraph(style, size, text, column.width, self.lines);
        self.words.is_cut |= paragraph.is_cut;
        let block = Block {
            paragraph,
            size,
            column,
            y: self.y,
            colour,
        };
        let bottom = block.bottom();
        self.words.blocks.push(block);
        self.words.bottom = self.words.bottom.max(bottom);
        bottom
    }

    fn add(&mut self, style: Style, size: f32, text: &str, column: Area, colour: Colour) {
        self.y = self.place(style, size, text, column, colour);
    }

    /// Adds one or two facts side by side, each value below its name.
    fn facts(&mut self, facts: &[(String, String)], size: f32) {
        const BETWEEN: f32 = 12.0;
        let columns: f32 = if facts.len() > 1 { 2.0 } else { 1.0 };
        let width = (TEXT.width - BETWEEN * (columns - 1.0)) / columns;
        let (top, mut x, mut lowest) = (self.y, TEXT.x, self.y);
        for (name, value) in facts {
            let column = Area { x, width, ..TEXT };
            self.y = top;
            self.add(Style::Regular, 8.5, name, column, QUIET);
            lowest = lowest.max(self.place(Style::Strong, size, value, column, INK));
            // Right-to-left values are aligned with their names too.
            if let Some(value) = self.words.blocks.last_mut() {
                let lines = value.paragraph.lines.iter();
                value.column.width = lines.map(|line| line.width).fold(0.0, f32::max);
            }
            x += width + BETWEEN;
        }
        self.y = lowest + 5.0 * self.scale;
    }
}
