//! A QR code as an SVG path.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qr {
    /// Squares along each side, the quiet zone of four squares included.
    pub side: usize,
    /// The black squares as an SVG path, one unit a square.
    pub path: String,
}
