//! How a ticket looks. The upper half of the page is the ticket, so that it can be folded once: words
//! on the left, the code on a stub on the right. The lower half has what is good to know.
//!
//! The code's place depends on nothing. The words are set as large as all of them fit.

use crate::{
    Document, Ticket,
    fonts::Style,
    lines::{Paragraph, Setting, paragraph},
    sheet::{Area, Colour, HEIGHT, Sheet, WIDTH, height},
    typeset::Typesetter,
};

// As style/tokens.css has them, by day.
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
/// How wide the stub with the code is.
const STUB: f32 = 232.0;
/// The code's side, its quiet zone included: more than seven centimetres.
const CODE: f32 = 208.0;
const STRIP: f32 = 8.0;
const PADDING: f32 = 20.0;
/// Where the words are.
const WORDS: Area = Area {
    x: TICKET.x + STRIP + PADDING - 4.0,
    y: TICKET.y + PADDING,
    width: TICKET.width - STUB - STRIP - 2.0 * PADDING + 8.0,
    height: TICKET.height - 2.0 * PADDING,
};

/// How large the words are tried to be, and how many lines each may have: the first that fits.
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
    let words = writer.words(&document.shop, ticket);
    sheet.door(WORDS.x - 2.0, WORDS.y - 2.0, 18.0, ACCENT, LIGHT);
    for block in &words.blocks {
        block.draw(&mut sheet);
    }
    writer.stub(&mut sheet, ticket);
    sheet.colour(LINE);
    sheet.dashes((0.0, FOLD), (WIDTH, FOLD));
    writer.below(&mut sheet, ticket, words.is_cut);
    sheet.finish()
}

/// Words in their place.
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
        sheet.colour(self.colour);
        sheet.text(&self.paragraph, self.size, self.column, self.y);
    }
}

/// All words of a ticket's left part.
struct Words {
    blocks: Vec<Block>,
    /// How far down they come.
    bottom: f32,
    /// Not all is there.
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
        paragraph(text, &setting)
    }

    /// As large as they fit.
    fn words(&self, shop: &str, ticket: &Ticket) -> Words {
        let mut words = self.words_at(shop, ticket, TRIES[0]);
        let needed = (words.bottom - WORDS.y) / WORDS.height;
        // Half as large takes a quarter of the room, a little more or less.
        let hopeless =
            |(scale, lines): &(f32, usize)| *lines == usize::MAX && needed * scale * scale > 1.5;
        for size in TRIES.into_iter().skip(1).filter(|size| !hopeless(size)) {
            if words.bottom <= WORDS.bottom() {
                return words;
            }
            words = self.words_at(shop, ticket, size);
        }
        let fits = |block: &Block| block.bottom() <= WORDS.bottom();
        words.is_cut |= !words.blocks.iter().all(fits);
        words.blocks.retain(fits);
        words
    }

    fn words_at(&self, shop: &str, ticket: &Ticket, (scale, lines): (f32, usize)) -> Words {
        let mut flow = Flow {
            writer: self,
            scale,
            lines,
            y: WORDS.y,
            words: Words {
                blocks: Vec::new(),
                bottom: WORDS.y,
                is_cut: false,
            },
        };
        // The shop's name stands beside its sign, and is as large on every ticket.
        let column = Area {
            x: WORDS.x + 20.0,
            width: WORDS.width - 20.0,
            ..WORDS
        };
        let name = self.paragraph(Style::Display, 13.0, shop, column.width, 1);
        flow.words.blocks.push(Block {
            paragraph: name,
            size: 13.0,
            column,
            y: WORDS.y - 2.0,
            colour: INK,
        });
        flow.y += 30.0;
        flow.add(Style::Display, 24.0, &ticket.title, WORDS, INK);
        flow.y += 6.0 * scale;
        flow.add(Style::Strong, 12.5, &ticket.when, WORDS, ACCENT);
        flow.add(Style::Regular, 12.5, &ticket.place, WORDS, INK);
        flow.y += 14.0 * scale;
        let facts = flow.words.blocks.len();
        if let Some(first) = ticket.facts.first() {
            flow.facts(std::slice::from_ref(first), 17.0);
        }
        for pair in ticket.facts.get(1..).unwrap_or_default().chunks(2) {
            flow.facts(pair, 11.5);
        }
        // They stand at the foot, as far as there is room.
        let room = (WORDS.bottom() - flow.words.bottom).max(0.0);
        for block in flow.words.blocks.iter_mut().skip(facts) {
            block.y += room;
        }
        flow.words
    }

    fn stub(&self, sheet: &mut Sheet, ticket: &Ticket) {
        let column = Area {
            x: TICKET.right() - STUB,
            width: STUB,
            ..TICKET
        };
        let line = |style, size, text: &str| self.paragraph(style, size, text, CODE, 1);
        let count = line(Style::Strong, 11.0, &ticket.count);
        sheet.colour(INK);
        sheet.centred(&count, 11.0, column, TICKET.y + 24.0);
        let code = code_area();
        sheet.squares(code, ticket.code.side, &ticket.code.runs);
        sheet.colour(INK);
        let number = line(Style::Strong, 13.0, &ticket.number);
        sheet.centred(&number, 13.0, column, code.bottom() + 4.0);
    }

    /// What is good to know, and in full what had to be cut.
    fn below(&self, sheet: &mut Sheet, ticket: &Ticket, in_full: bool) {
        const LOWEST: f32 = HEIGHT - MARGIN;
        let column = Area {
            y: FOLD + 28.0,
            height: LOWEST - FOLD - 28.0,
            ..TICKET
        };
        let fold = self.paragraph(Style::Regular, 8.0, "Fold here", column.width, 1);
        sheet.colour(QUIET);
        sheet.text(&fold, 8.0, column, FOLD + 4.0);
        let mut said: Vec<(Style, f32, String)> = Vec::new();
        for note in &ticket.notes {
            said.push((Style::Regular, 10.5, note.clone()));
        }
        if in_full {
            said.push((Style::Strong, 9.0, ticket.title.clone()));
            said.push((Style::Regular, 9.0, ticket.place.clone()));
            let facts = ticket.facts.iter();
            said.extend(
                facts.map(|(name, value)| (Style::Regular, 9.0, format!("{name}: {value}"))),
            );
        }
        let mut y = column.y;
        for (style, size, text) in said {
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

/// Where the code is, on every ticket.
fn code_area() -> Area {
    Area {
        x: TICKET.right() - STUB + (STUB - CODE) / 2.0,
        y: TICKET.y + 46.0,
        width: CODE,
        height: CODE,
    }
}

/// Words that are set one below the other.
struct Flow<'a, 'b> {
    writer: &'a Writer<'b>,
    scale: f32,
    lines: usize,
    y: f32,
    words: Words,
}

impl Flow<'_, '_> {
    /// Sets a paragraph at the end. Returns how far down it comes.
    fn set(&mut self, style: Style, size: f32, text: &str, column: Area, colour: Colour) -> f32 {
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
        self.y = self.set(style, size, text, column, colour);
    }

    /// Names and below them values, side by side.
    fn facts(&mut self, facts: &[(String, String)], size: f32) {
        const BETWEEN: f32 = 12.0;
        let columns: f32 = if facts.len() > 1 { 2.0 } else { 1.0 };
        let width = (WORDS.width - BETWEEN * (columns - 1.0)) / columns;
        let (top, mut x, mut lowest) = (self.y, WORDS.x, self.y);
        for (name, value) in facts {
            let column = Area { x, width, ..WORDS };
            self.y = top;
            self.add(Style::Regular, 8.5, name, column, QUIET);
            lowest = lowest.max(self.set(Style::Strong, size, value, column, INK));
            // Whichever way a value runs, it stands below its name.
            if let Some(value) = self.words.blocks.last_mut() {
                let lines = value.paragraph.lines.iter();
                value.column.width = lines.map(|line| line.width).fold(0.0, f32::max);
            }
            x += width + BETWEEN;
        }
        self.y = lowest + 5.0 * self.scale;
    }
}
