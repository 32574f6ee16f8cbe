//! A QR code as an SVG path.

/// An encoded QR code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qr {
    /// The number of squares along each side, including the quiet zone of four.
    pub side: usize,
    /// The black squares as an SVG path, one unit per square.
    pub path: String,
}
