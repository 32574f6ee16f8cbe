//! A QR code, ready to be drawn.

/// A picture of black squares on white.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qr {
    /// Squares along each side, the quiet zone of four squares included.
    pub side: usize,
    /// The black squares as an SVG path, one unit a square.
    pub path: String,
}
