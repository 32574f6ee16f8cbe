//! Drawing on a page. Lengths are points; y grows downwards from the upper edge. Does not decide on the layout.

use crate::{lines::Paragraph, typeset::Typesetter};
use pdf_writer::Content;

/// The width of A4.
pub(crate) const WIDTH: f32 = 595.0;
/// The height of A4.
pub(crate) const HEIGHT: f32 = 842.0;

/// The space between lines, in parts of the font size.
const LEADING: f32 = 0.1;
/// The distance of a Bézier curve's control points from its ends for a quarter of a circle, in radii.
const ARC: f32 = 0.5523;

/// Red, green and blue from 0 to 1.
pub(crate) type Colour = [f32; 3];

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

impl Area {
    pub(crate) fn right(self) -> f32 {
        self.x + self.width
    }

    pub(crate) fn bottom(self) -> f32 {
        self.y + self.height
    }
}

/// The height of a paragraph.
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
    pub(crate) fn new(typesetter: &'a mut Typesetter) -> Self {
        Self {
            content: Content::new(),
            typesetter,
        }
    }

    /// Returns the page's content stream.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.content.finish().into_vec()
    }

    /// Sets the colour of what is drawn next.
    pub(crate) fn set_colour(&mut self, [red, green, blue]: Colour) {
        self.content
            .set_fill_rgb(red, green, blue)
            .set_stroke_rgb(red, green, blue);
    }

    /// Draws a paragraph from `y` down, aligned to the side of `column` on which its text begins.
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

    /// As [`Sheet::text`], centred in `column`.
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

    /// Draws a dashed line.
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

    /// Draws a ticket's outline with round corners and notches at `tear`, and a strip of this width and colour
    /// along its left edge.
    pub(crate) fn ticket(&mut self, area: Area, tear: f32, strip: (f32, Colour), line: Colour) {
        self.content.save_state();
        self.outline(area, tear);
        self.content.clip_nonzero().end_path();
        self.set_colour(strip.1);
        self.fill(Area {
            width: strip.0,
            ..area
        });
        self.content.restore_state();
        self.set_colour(line);
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

    /// Adds a quarter of a circle to the path, which begins horizontally or vertically.
    fn quarter(&mut self, from: (f32, f32), to: (f32, f32), sideways: bool) {
        let (across, up) = ((to.0 - from.0) * ARC, (to.1 - from.1) * ARC);
        let (first, second) = if sideways {
            ((from.0 + across, from.1), (to.0, to.1 - up))
        } else {
            ((from.0, from.1 + up), (to.0 - across, to.1))
        };
        self.content
            .cubic_to(first.0, first.1, second.0, second.1, to.0, to.1);
    }

    /// Draws the shop's logo, a lit door.
    pub(crate) fn door(&mut self, x: f32, y: f32, side: f32, colour: Colour, light: Colour) {
        for (left, shoulder, right, radius, colour) in [
            (5.0, 10.0, 27.0, 11.0, colour),
            (11.0, 12.0, 21.0, 5.0, light),
        ] {
            let at = |x_: f32, y_: f32| (x + x_ * side / 32.0, HEIGHT - y - y_ * side / 32.0);
            let foot = at(left, 30.0);
            let (before, after) = (at(left, shoulder), at(right, shoulder));
            let top = at(f32::midpoint(left, right), shoulder - radius);
            self.set_colour(colour);
            self.content.move_to(foot.0, foot.1);
            self.content.line_to(before.0, before.1);
            self.quarter(before, top, false);
            self.quarter(top, after, true);
            let foot = at(right, 30.0);
            self.content.line_to(foot.0, foot.1);
            self.content.close_path().fill_nonzero();
        }
    }

    /// Draws a code of `side` by `side` squares; `runs` are column, row and length.
    pub(crate) fn squares(&mut self, area: Area, side: u16, runs: &[(u16, u16, u16)]) {
        let unit = area.width / f32::from(side);
        self.set_colour([0.0; 3]);
        // One unit per square: integers keep the file small.
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
