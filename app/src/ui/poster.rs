//! A poster for every event without a picture, drawn from its title: no two houses look alike. The
//! same title gives the same poster, always.

use leptos::prelude::*;

/// Paper, shapes, accent.
const PALETTES: &[[&str; 4]] = &[
    ["#7a1f2b", "#a8323e", "#f2b8a0", "#ffe9d6"],
    ["#12343b", "#2d545e", "#e1b382", "#fbead1"],
    ["#2b2d5b", "#474a8a", "#f0a6ca", "#efc3e6"],
    ["#0f4c5c", "#1d7874", "#f4c095", "#ffe3c2"],
    ["#3d1f47", "#6a3573", "#ffb563", "#ffe0b5"],
    ["#1b3a2f", "#2f5d4a", "#d9c77e", "#f5ecc8"],
    ["#5a2a1b", "#8a4527", "#f5c16c", "#fbe6c3"],
    ["#1d2a44", "#35507a", "#9ed8db", "#e4f6f4"],
];

/// FNV-1a: small, and the same in every build.
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn pick(seed: u64, among: u64) -> i32 {
    i32::try_from(seed % among).unwrap_or_default()
}

/// The poster. Decoration: its event's title stands beside it.
pub fn poster(title: &str) -> impl IntoView + use<> {
    let seed = hash(title);
    let [paper, shape, accent, light] =
        PALETTES[usize::try_from(seed % PALETTES.len() as u64).unwrap_or_default()];
    let art = match (seed >> 8) % 5 {
        0 => curtain(seed, shape, accent),
        1 => spotlight(seed, shape, light),
        2 => moons(seed, shape, accent),
        3 => waves(seed, shape, accent, light),
        _ => rays(seed, shape, accent),
    };
    view! {
        <svg class="poster" viewBox="0 0 320 200" preserveAspectRatio="xMidYMid slice" aria-hidden="true">
            <rect width="320" height="200" fill=paper></rect>
            {art}
        </svg>
    }
}

fn curtain(seed: u64, shape: &'static str, accent: &'static str) -> AnyView {
    let folds = (0..8)
        .map(|fold| {
            let x = fold * 44 - 16;
            let sway = pick(seed >> (fold % 7 * 5), 22);
            let d = format!(
                "M{x} 0h30c{sway} 70 -{sway} 130 0 200h-30c-{sway} -70 {sway} -130 0 -200Z"
            );
            view! { <path d=d fill=shape></path> }
        })
        .collect_view();
    view! { {folds} <circle cx="160" cy="196" r="46" fill=accent></circle> }.into_any()
}

fn spotlight(seed: u64, shape: &'static str, light: &'static str) -> AnyView {
    let left = 40 + pick(seed, 60);
    let right = 280 - pick(seed >> 16, 60);
    let beams = [(left, 120), (right, 210)]
        .map(|(from, to)| {
            let d = format!("M{from} 0L{} 200H{}Z", to - 60, to + 60);
            view! { <path d=d fill=light opacity="0.22"></path> }
        })
        .collect_view();
    view! {
        <path d="M0 160Q160 120 320 160V200H0Z" fill=shape></path>
        {beams}
        <ellipse cx="165" cy="172" rx="70" ry="12" fill=light opacity="0.7"></ellipse>
    }
    .into_any()
}

fn moons(seed: u64, shape: &'static str, accent: &'static str) -> AnyView {
    let (x, y) = (90 + pick(seed, 140), 70 + pick(seed >> 12, 50));
    let rings = [150, 110, 74]
        .map(|radius| {
            view! {
                <circle cx=x cy=y r=radius fill="none" stroke=shape stroke-width="14"></circle>
            }
        })
        .collect_view();
    view! { {rings} <circle cx=x cy=y r="38" fill=accent></circle> }.into_any()
}

fn waves(seed: u64, shape: &'static str, accent: &'static str, light: &'static str) -> AnyView {
    let lift = pick(seed, 30);
    let rows = [(96, shape), (128, accent), (162, shape)]
        .map(|(y, fill)| {
            let y = y - lift / 2;
            let d = format!("M-20 {y}q45 -34 90 0t90 0 90 0 90 0V200H-20Z");
            view! { <path d=d fill=fill></path> }
        })
        .collect_view();
    let sun = 50 + pick(seed >> 20, 220);
    view! { <circle cx=sun cy="52" r="26" fill=light></circle> {rows} }.into_any()
}

fn rays(seed: u64, shape: &'static str, accent: &'static str) -> AnyView {
    let x = 60 + pick(seed, 200);
    let beams = (0..9)
        .map(|ray| {
            let foot = ray * 80 - 160;
            let d = format!("M{x} 210L{foot} -20h40Z");
            view! { <path d=d fill=shape></path> }
        })
        .collect_view();
    view! { {beams} <circle cx=x cy="204" r="64" fill=accent></circle> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn a_poster_stays_the_same() {
        assert_eq!(hash("The Lamplighter"), hash("The Lamplighter"));
        assert_ne!(hash("The Lamplighter"), hash("The Lamplighters"));
    }
}
