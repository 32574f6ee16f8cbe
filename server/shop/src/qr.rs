//! Encodes texts as QR codes. Does not draw them.

use model::qr::Qr;
use qrcode::{Color, EcLevel, QrCode, types::QrError};
use std::fmt::Write;

/// The width of the quiet zone in squares, as ISO/IEC 18004 requires.
pub(crate) const QUIET_ZONE: usize = 4;

/// The black squares of a code, row by row, as runs.
#[derive(Debug)]
pub(crate) struct Squares {
    /// Squares along each side, the quiet zone included.
    pub side: usize,
    /// Column, row and length of each run of black squares.
    pub runs: Vec<(usize, usize, usize)>,
}

/// Encodes `text`. Errors: it has more than 2331 bytes.
pub(crate) fn encode(text: &str) -> Result<Squares, QrError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
    let width = code.width();
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for (row, line) in code.to_colors().chunks(width).enumerate() {
        let mut column = 0;
        for run in line.chunk_by(|a, b| a == b) {
            if run.first() == Some(&Color::Dark) {
                runs.push((column + QUIET_ZONE, row + QUIET_ZONE, run.len()));
            }
            column += run.len();
        }
    }
    Ok(Squares {
        side: width + 2 * QUIET_ZONE,
        runs,
    })
}

/// As [`encode`], as an SVG path.
pub(crate) fn render(text: &str) -> Result<Qr, QrError> {
    let squares = encode(text)?;
    let path = squares
        .runs
        .iter()
        .fold(String::new(), |mut path, (column, row, length)| {
            let _ = write!(path, "M{column} {row}h{length}v1h-{length}z");
            path
        });
    Ok(Qr {
        side: squares.side,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_quiet_zone_and_its_finders() {
        let squares = encode(&"x".repeat(166)).unwrap();
        assert_eq!(squares.side, 53 + 8, "version 9");
        let inside = QUIET_ZONE..squares.side - QUIET_ZONE;
        for (column, row, length) in &squares.runs {
            assert!(inside.contains(column) && inside.contains(row));
            assert!(column + length <= inside.end);
        }
        assert_eq!(squares.runs[0], (4, 4, 7), "the first finder's upper edge");
        assert!(render("x").unwrap().path.starts_with("M4 4h7v1h-7z"));
    }
}
