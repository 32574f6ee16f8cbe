//! A page that is drawn on. Lengths are points, and heights count from its upper edge.

use crate::{lines::Paragraph, typeset::Typesetter};
use pdf_writer::Content;

/// A4.
pub(crate) const WIDTH: f32 = 595.0;
/// A4.
pub(crate) const HEIGHT: f32 = 842.0;

/// Between one line and the next, in parts of the size.
const LEADING: f32 = 0.1;
/// How far the handles of a curve are from its ends to make a quarter of a circle, in radii.
const ROUND: f32 = 0.5523;

/// Red, green and blue from 0 to 1.
pub(crate) type Colour = [f32; 3];

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    /// Its left edge.
    pub x: f32,
    /// Its upper edge.
    pub y: f32,
    /// From left to right.
    pub width: f32,
    /// From top to bottom.
    pub height: f32,
}

impl Area {
    /// Its right edge.
    pub(crate) fn right(self) -> f32 {
        self.x + self.width
    }

    /// Its lower edge.
    pub(crate) fn bottom(self) -> f32 {
        self.y + self.height
    }
}

/// How high a paragraph is.
pub(crate) fn height(paragraph: &Paragraph, size: f32) -> f32 {
    let lines = paragraph.lines.iter();
    lines
        .map(|line| line.ascent + line.descent + size * LEADING)
        .sum()
}

/// A page.
pub(crate) struct Sheet<'a> {
    content: Content,
    typesetter: &'a mut Typesetter,
}

impl<'a> Sheet<'a> {
    /// An empty page.
    pub(crate) fn new(typesetter: &'a mut Typesetter) -> Self {
        Self {
            content: Content::new(),
            typesetter,
        }
    }

    /// All that was drawn.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.content.finish().into_vec()
    }

    /// The colour of what is drawn from here on.
    pub(crate) fn colour(&mut self, [red, green, blue]: Colour) {
        self.content
            .set_fill_rgb(red, green, blue)
            .set_stroke_rgb(red, green, blue);
    }

    /// A paragraph from `y` down, along the side of `column` on which its text begins.
    pub(crate) fn text(&mut self, paragraph: &Paragraph, size: f32, column: Area, y: f32) {
        let mut y = y;
        for line in &paragraph.lines {
            let x = if paragraph.rtl {
                column.right() - line.width
            } else {
                column.x
            };
            let base = HEIGHT - y - line.ascent;
            self.typesetter.show(&mut self.content, line, (x, base));
            y += line.ascent + line.descent + size * LEADING;
        }
    }

    /// The same in the middle of `column`.
    pub(crate) fn centred(&mut self, paragraph: &Paragraph, size: f32, column: Area, y: f32) {
        let mut y = y;
        for line in &paragraph.lines {
            let x = column.x + (column.width - line.width) / 2.0;
            let base = HEIGHT - y - line.ascent;
            self.typesetter.show(&mut self.content, line, (x, base));
            y += line.ascent + line.descent + size * LEADING;
        }
    }

    /// Fills a rectangle.
    pub(crate) fn fill(&mut self, area: Area) {
        let Area {
            x, width, height, ..
        } = area;
        self.content
            .rect(x, HEIGHT - area.bottom(), width, height)
            .fill_nonzero();
    }

    /// A dashed line.
    pub(crate) fn dashes(&mut self, from: (f32, f32), to: (f32, f32)) {
        self.content
            .save_state()
            .set_line_width(0.75)
            .set_dash_pattern([3.0, 3.0], 0.0)
            .move_to(from.0, HEIGHT - from.1)
            .line_to(to.0, HEIGHT - to.1)
            .stroke()
            .restore_state();
    }

    /// A ticket's outline, with round corners and notches where it is torn at `tear`; and inside of
    /// it, a strip in the colour `strip` along the left edge.
    pub(crate) fn ticket(&mut self, area: Area, tear: f32, strip: (f32, Colour), line: Colour) {
        self.content.save_state();
        self.outline(area, tear);
        self.content.clip_nonzero().end_path();
        self.colour(strip.1);
        self.fill(Area {
            width: strip.0,
            ..area
        });
        self.content.restore_state();
        self.colour(line);
        self.content.set_line_width(1.0);
        self.outline(area, tear);
        self.content.close_and_stroke();
    }

    fn outline(&mut self, area: Area, tear: f32) {
        const CORNER: f32 = 12.0;
        const NOTCH: f32 = 7.0;
        let (left, right) = (area.x, area.right());
        let (top, bottom) = (HEIGHT - area.y, HEIGHT - area.bottom());
        self.content.move_to(left + CORNER, top);
        self.content.line_to(tear - NOTCH, top);
        self.quarter((tear - NOTCH, top), (tear, top - NOTCH), false);
        self.quarter((tear, top - NOTCH), (tear + NOTCH, top), true);
        self.content.line_to(right - CORNER, top);
        self.quarter((right - CORNER, top), (right, top - CORNER), true);
        self.content.line_to(right, bottom + CORNER);
        self.quarter((right, bottom + CORNER), (right - CORNER, bottom), false);
        self.content.line_to(tear + NOTCH, bottom);
        self.quarter((tear + NOTCH, bottom), (tear, bottom + NOTCH), false);
        self.quarter((tear, bottom + NOTCH), (tear - NOTCH, bottom), true);
        self.content.line_to(left + CORNER, bottom);
        self.quarter((left + CORNER, bottom), (left, bottom + CORNER), true);
        self.content.line_to(left, top - CORNER);
        self.quarter((left, top - CORNER), (left + CORNER, top), false);
        self.content.close_path();
    }

    /// A quarter of a circle, which leaves its beginning to the side or upwards or downwards.
    fn quarter(&mut self, from: (f32, f32), to: (f32, f32), sideways: bool) {
        let (across, up) = ((to.0 - from.0) * ROUND, (to.1 - from.1) * ROUND);
        let (first, second) = if sideways {
            ((from.0 + across, from.1), (to.0, to.1 - up))
        } else {
            ((from.0, from.1 + up), (to.0 - across, to.1))
        };
        self.content
            .cubic_to(first.0, first.1, second.0, second.1, to.0, to.1);
    }

    /// A door, the shop's sign, with a light behind it.
    pub(crate) fn door(&mut self, x: f32, y: f32, side: f32, colour: Colour, light: Colour) {
        for (left, shoulder, right, radius, colour) in [
            (5.0, 10.0, 27.0, 11.0, colour),
            (11.0, 12.0, 21.0, 5.0, light),
        ] {
            let at = |x_: f32, y_: f32| (x + x_ * side / 32.0, HEIGHT - y - y_ * side / 32.0);
            let foot = at(left, 30.0);
            let (before, after) = (at(left, shoulder), at(right, shoulder));
            let top = at(f32::midpoint(left, right), shoulder - radius);
            self.colour(colour);
            self.content.move_to(foot.0, foot.1);
            self.content.line_to(before.0, before.1);
            self.quarter(before, top, false);
            self.quarter(top, after, true);
            let foot = at(right, 30.0);
            self.content.line_to(foot.0, foot.1);
            self.content.close_path().fill_nonzero();
        }
    }

    /// Black squares; `runs` are columns, rows and lengths in a square of `side` by `side`.
    pub(crate) fn squares(&mut self, area: Area, side: u16, runs: &[(u16, u16, u16)]) {
        let unit = area.width / f32::from(side);
        self.colour([0.0; 3]);
        // One unit a square, counted from above: whole numbers keep the file small.
        self.content
            .save_state()
            .transform([unit, 0.0, 0.0, -unit, area.x, HEIGHT - area.y]);
        for (column, row, length) in runs {
            let (column, row) = (f32::from(*column), f32::from(*row));
            self.content.rect(column, row, f32::from(*length), 1.0);
        }
        self.content.fill_nonzero().restore_state();
    }
}
