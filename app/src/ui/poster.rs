//! Generates posters for events without a picture. Motif, colours and layout depend only on the title, so a
//! title always gives the same poster.

use leptos::prelude::*;
use std::fmt::Write;

/// Paper, shapes, accent, light.
type Palette = [&'static str; 4];

const PALETTES: [Palette; 12] = [
    ["#7a1f2b", "#a8323e", "#f2b8a0", "#ffe9d6"],
    ["#12343b", "#2d545e", "#e1b382", "#fbead1"],
    ["#2b2d5b", "#474a8a", "#f0a6ca", "#efc3e6"],
    ["#0f4c5c", "#1d7874", "#f4c095", "#ffe3c2"],
    ["#3d1f47", "#6a3573", "#ffb563", "#ffe0b5"],
    ["#1b3a2f", "#2f5d4a", "#d9c77e", "#f5ecc8"],
    ["#5a2a1b", "#8a4527", "#f5c16c", "#fbe6c3"],
    ["#1d2a44", "#35507a", "#9ed8db", "#e4f6f4"],
    ["#b5512f", "#d97b4a", "#2d3a4f", "#fbe3c8"],
    ["#c08a2b", "#dcae55", "#4a1f2e", "#fdf0d0"],
    ["#31572c", "#4f772d", "#f2d4a7", "#ecf39e"],
    ["#4a4e69", "#6d7196", "#f2c6b4", "#f7ece1"],
];

/// Draws one motif with these colours.
type Motif = fn(&mut Drawing, &mut Dice, &Palette);

const MOTIFS: [Motif; 12] = [
    curtain, spotlight, moons, waves, rays, skyline, record, lanterns, ranges, arches, tiles, bars,
];

/// Decides which titles share a motif or colours; chosen so that those of the demo shop differ.
const SEED: u64 = 135_022;

/// FNV-1a: small, and the same in every build.
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A pseudo-random generator (splitmix64) seeded by a title.
struct Dice(u64);

impl Dice {
    fn of(title: &str) -> Self {
        Self(hash(title) ^ SEED)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` to `end`, exclusive.
    fn within(&mut self, least: i32, end: i32) -> i32 {
        let span = u64::try_from(end - least).unwrap_or(1).max(1);
        least + i32::try_from(self.next() % span).unwrap_or_default()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let place = self.within(0, i32::try_from(choices.len()).unwrap_or(1));
        choices
            .get(usize::try_from(place).unwrap_or_default())
            .copied()
    }
}

/// The poster of a title. Decorative, so hidden from screen readers.
pub fn poster(title: &str) -> impl IntoView + use<> {
    let layers = draw(title)
        .0
        .into_iter()
        .map(|layer| view! { <path d=layer.d fill=layer.fill opacity=layer.opacity></path> })
        .collect_view();
    view! {
        <svg class="poster" viewBox="0 0 320 200" preserveAspectRatio="xMidYMid slice" aria-hidden="true">
            {layers}
        </svg>
    }
}

fn draw(title: &str) -> Drawing {
    let mut dice = Dice::of(title);
    let motif = dice.one_of(&MOTIFS).unwrap_or(curtain);
    let palette = dice.one_of(&PALETTES).unwrap_or(PALETTES[0]);
    let mut drawing = Drawing::default();
    drawing.rect((0, 0), (320, 200), palette[0]);
    motif(&mut drawing, &mut dice, &palette);
    drawing
}

/// Shapes of one colour.
#[derive(Debug, PartialEq, Eq)]
struct Layer {
    d: String,
    fill: &'static str,
    /// `None` is opaque.
    opacity: Option<&'static str>,
}

/// Layers from bottom to top.
#[derive(Debug, Default, PartialEq, Eq)]
struct Drawing(Vec<Layer>);

impl Drawing {
    fn add(&mut self, d: String, fill: &'static str, opacity: Option<&'static str>) {
        match self.0.last_mut() {
            Some(last) if last.fill == fill && (last.opacity, opacity) == (None, None) => {
                last.d += &d;
            }
            _ => self.0.push(Layer { d, fill, opacity }),
        }
    }

    fn path(&mut self, d: String, fill: &'static str) {
        self.add(d, fill, None);
    }

    fn rect(&mut self, (x, y): (i32, i32), (wide, high): (i32, i32), fill: &'static str) {
        self.path(format!("M{x} {y}h{wide}v{high}h-{wide}Z"), fill);
    }

    fn circle(&mut self, x: i32, y: i32, radius: i32, fill: &'static str) {
        self.path(round(x, y, (radius, radius), 1), fill);
    }

    /// A ring of this inner radius and width.
    fn ring(&mut self, x: i32, y: i32, radius: i32, width: i32, fill: &'static str) {
        let outer = radius + width;
        // The opposite direction makes a hole.
        let hole = round(x, y, (radius, radius), 0);
        self.path(round(x, y, (outer, outer), 1) + &hole, fill);
    }
}

fn round(x: i32, y: i32, (across, down): (i32, i32), sweep: i32) -> String {
    let wide = across * 2;
    format!(
        "M{} {y}a{across} {down} 0 1 {sweep} {wide} 0a{across} {down} 0 1 {sweep} -{wide} 0Z",
        x - across
    )
}

/// A curtain open to both sides, and the light behind it.
fn curtain(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    let (gap, middle) = (dice.within(20, 80), dice.within(110, 210));
    let glow = dice.within(40, 70);
    art.circle(middle, dice.within(150, 210), glow, light);
    for (from, to, lean) in [(-20, middle - gap, 1), (middle + gap, 340, -1)] {
        let folds = ((to - from) / 34).max(1);
        let wide = (to - from) / folds;
        for fold in 0..folds {
            let (x, sway) = (from + fold * wide, dice.within(4, 18) * lean);
            let cloth = wide - 3;
            let d = format!("M{x} 0h{cloth}q{sway} 100 0 200h-{cloth}q{sway} -100 0 -200Z");
            art.path(d, shape);
        }
    }
    art.rect((0, 0), (320, 14), accent);
    let hem = dice.within(12, 22);
    for place in 0..=(160 / hem) {
        art.circle(place * hem * 2 + hem, 14, hem, accent);
    }
}

/// One to three beams on a stage.
fn spotlight(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    let floor = dice.within(140, 168);
    let stage = format!("M0 {floor}Q160 {} 320 {floor}V200H0Z", floor - 24);
    art.path(stage, shape);
    let beams = dice.within(1, 4);
    let part = 320 / beams;
    for beam in 0..beams {
        let from = beam * part + dice.within(0, part);
        let onto = beam * part + dice.within(part / 4, part);
        let wide = dice.within(26, 54);
        let d = format!("M{from} -10L{} {floor}H{}Z", onto - wide, onto + wide);
        art.add(d, light, Some("0.26"));
        art.add(round(onto, floor + 2, (wide, 9), 1), light, Some("0.75"));
        if dice.within(0, 2) == 0 {
            art.circle(onto, floor - 34, 9, accent);
            art.path(format!("M{} {floor}q12 -46 24 0Z", onto - 12), accent);
        }
    }
}

/// A disc and the rings around it, whole or cut by an edge.
fn moons(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    let (x, y) = (dice.within(20, 300), dice.within(30, 170));
    let (first, apart) = (dice.within(28, 52), dice.within(16, 34));
    for count in (1..=6).rev() {
        art.ring(
            x,
            y,
            first + count * apart,
            dice.within(3, apart - 6),
            shape,
        );
    }
    art.circle(x, y, first, accent);
    let side = first / 2;
    let (across, down) = (dice.within(-side, side), dice.within(-side, side));
    art.circle(x + across, y + down, first / 3, light);
}

/// Waves under a sun, calm or high.
fn waves(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    let (sun, radius) = (dice.within(40, 280), dice.within(18, 42));
    art.circle(sun, dice.within(34, 84), radius, light);
    let (long, high) = (dice.within(30, 80), dice.within(10, 40));
    let rows = dice.within(3, 6);
    for row in 0..rows {
        let y = 92 + row * (108 / rows);
        let start = -dice.within(0, long * 2) - long;
        let mut d = format!("M{start} {y}q{} -{high} {long} 0", long / 2);
        for _ in 0..=(560 / long) {
            let _ = write!(d, "t{long} 0");
        }
        d.push_str("V200H-200Z");
        art.path(d, if row % 2 == 0 { shape } else { accent });
    }
}

/// Rays from one point at an edge.
fn rays(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    let along = dice.within(40, 280);
    let origins = [(along, 210), (-10, 210), (330, 210), (along, -10)];
    let (x, y) = dice.one_of(&origins).unwrap_or((160, 210));
    let (count, radius) = (dice.within(9, 17), dice.within(34, 70));
    // On a square far outside of the picture.
    let place = |along: i32| match along {
        at if at < 800 => (at - 400, -400),
        at if at < 1600 => (400, at - 1200),
        at if at < 2400 => (2000 - at, 400),
        at => (-400, 2800 - at),
    };
    let step = 3200 / count;
    for ray in 0..count {
        let (from, to) = (place(ray * step), place(ray * step + step / 2));
        let d = format!(
            "M{x} {y}L{} {}L{} {}Z",
            x + from.0,
            y + from.1,
            x + to.0,
            y + to.1
        );
        art.path(d, shape);
    }
    art.circle(x, y, radius, accent);
    art.circle(x, y, radius / 2, light);
}

/// Houses at night, some windows lit.
fn skyline(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    let (moon, high) = (dice.within(40, 280), dice.within(30, 70));
    art.circle(moon, high, dice.within(12, 26), light);
    let mut windows = Vec::new();
    let mut x = -dice.within(0, 20);
    while x < 320 {
        let (wide, high) = (dice.within(26, 58), dice.within(50, 140));
        art.rect((x, 200 - high), (wide - 2, high), shape);
        for row in 0..(high / 18) {
            for column in 0..((wide - 8) / 12) {
                if dice.within(0, 3) == 0 {
                    windows.push((x + 6 + column * 12, 208 - high + row * 18));
                }
            }
        }
        x += wide;
    }
    for window in windows {
        art.rect(window, (6, 9), accent);
    }
}

/// A record, and the arm that plays it.
fn record(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    let (x, y) = (dice.within(70, 250), dice.within(60, 150));
    let (radius, apart) = (dice.within(100, 150), dice.within(7, 13));
    art.circle(x, y, radius, shape);
    let label = radius / 3;
    let mut groove = label;
    while groove < radius - 6 {
        art.ring(x, y, groove, 1, light);
        groove += apart;
    }
    art.circle(x, y, label, accent);
    art.circle(x, y, 5, light);
    let (from, to) = dice
        .one_of(&[(300, 170), (20, 150), (300, 250)])
        .unwrap_or((300, 170));
    let end = dice.within(70, 130);
    let arm = format!("M{} 0L{} {end}h6L{} 0Z", from - 3, to - 3, from + 3);
    art.path(arm, light);
}

/// Lanterns on lines.
fn lanterns(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    for line in 0..dice.within(2, 4) {
        let (y, sag) = (18 + line * 46, dice.within(24, 60));
        let d = format!(
            "M-10 {y}Q160 {} 330 {y}v3Q160 {} -10 {}Z",
            y + sag * 2,
            y + sag * 2 + 3,
            y + 3
        );
        art.path(d, shape);
        let count = dice.within(5, 10);
        for lantern in 0..count {
            let x = (lantern * 320 + 160) / count;
            // On the line, whose lowest point is `sag` below its ends.
            let hangs = sag * (25_600 - (x - 160) * (x - 160)) / 25_600;
            let radius = dice.within(7, 15);
            let fill = dice.one_of(&[accent, light]).unwrap_or(accent);
            art.circle(x, y + hangs + radius, radius, fill);
        }
    }
    art.path("M0 190Q160 168 320 190V200H0Z".to_owned(), shape);
}

/// Mountains behind mountains.
fn ranges(art: &mut Drawing, dice: &mut Dice, &[paper, shape, accent, light]: &Palette) {
    let (sun, high) = (dice.within(50, 270), dice.within(36, 80));
    art.circle(sun, high, dice.within(16, 34), light);
    for (base, fill) in [(86, accent), (122, shape), (158, paper)] {
        let mut d = format!("M-20 200V{base}");
        let mut x = -20;
        while x < 340 {
            let (wide, high) = (dice.within(30, 70), dice.within(14, 54));
            let _ = write!(d, "L{} {}L{} {base}", x + wide / 2, base - high, x + wide);
            x += wide;
        }
        d.push_str("V200Z");
        art.path(d, fill);
    }
}

/// Doors within doors, one of them lit.
fn arches(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    let doors = dice.within(1, 5);
    let part = 320 / doors;
    let lit = dice.within(0, doors);
    for door in 0..doors {
        let middle = door * part + part / 2;
        let half = (part / 2 - 6).min(76);
        let top = dice.within(24, 70);
        let inner = if door == lit { light } else { shape };
        for (inset, fill) in [(0, shape), (half / 4, accent), (half / 2, inner)] {
            let (half, top) = (half - inset, top + inset);
            let d = format!(
                "M{} 200V{}a{half} {half} 0 0 1 {} 0V200Z",
                middle - half,
                top + half,
                half * 2
            );
            art.path(d, fill);
        }
    }
}

/// Tiles of quarters of circles, discs and triangles.
fn tiles(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    let side = dice.one_of(&[40, 54, 66]).unwrap_or(40);
    for row in 0..=(200 / side) {
        for column in 0..=(320 / side) {
            let (x, y) = (column * side, row * side);
            if dice.within(0, 3) == 0 {
                art.rect((x, y), (side, side), shape);
            }
            let fill = dice
                .one_of(&[shape, accent, accent, light])
                .unwrap_or(accent);
            let d = match dice.within(0, 6) {
                0 => format!("M{x} {y}h{side}a{side} {side} 0 0 1 -{side} {side}Z"),
                1 => format!("M{x} {y}a{side} {side} 0 0 0 {side} {side}v-{side}Z"),
                2 => format!("M{x} {y}v{side}h{side}a{side} {side} 0 0 0 -{side} -{side}Z"),
                3 => format!("M{x} {y}h{side}l-{side} {side}Z"),
                4 => round(x + side / 2, y + side / 2, (side / 3, side / 3), 1),
                _ => continue,
            };
            art.path(d, fill);
        }
    }
}

/// The levels of a sound.
fn bars(art: &mut Drawing, dice: &mut Dice, &[_, shape, accent, light]: &Palette) {
    let wide = dice.within(5, 12) * 2;
    let (middle, swell) = (dice.within(60, 260), dice.within(90, 180));
    let from_middle = dice.within(0, 2) == 0;
    let mut x = 6;
    while x < 320 {
        let near = (swell - (x - middle).abs()).max(0) * 100 / swell;
        let high = (16 + near * dice.within(70, 130) / 100).max(wide);
        let y = if from_middle {
            100 - high / 2
        } else {
            186 - high
        };
        let (end, straight) = (wide / 2, high - wide);
        let d = format!(
            "M{x} {}a{end} {end} 0 0 1 {wide} 0v{straight}a{end} {end} 0 0 1 -{wide} 0Z",
            y + end
        );
        art.path(d, if near > 70 { accent } else { shape });
        if near > 85 && !from_middle {
            art.circle(x + end, y - wide, wide / 3, light);
        }
        x += wide + wide / 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poster_stays_the_same_and_another_title_gives_another() {
        assert_eq!(draw("The Lamplighter"), draw("The Lamplighter"));
        assert_ne!(draw("The Lamplighter"), draw("The Lamplighters"));
    }

    #[test]
    fn posters_of_many_titles_show_all_motifs_in_all_colours() {
        let titles: Vec<String> = (0..600).map(|night| format!("Night {night}")).collect();
        let posters: Vec<Drawing> = titles.iter().map(|title| draw(title)).collect();
        let is_first = |place: &usize| !posters[..*place].contains(&posters[*place]);
        let different = (0..posters.len()).filter(is_first).count();
        assert!(different > 590, "{different} of 600 differ");
        for palette in PALETTES {
            let of_it = posters
                .iter()
                .filter(|poster| poster.0[0].fill == palette[0]);
            let count = of_it.count();
            assert!(
                (25..=75).contains(&count),
                "{count} of 600 on {}",
                palette[0]
            );
        }
        for motif in MOTIFS {
            let mut drawing = Drawing::default();
            motif(&mut drawing, &mut Dice::of("one"), &PALETTES[0]);
            let length: usize = drawing.0.iter().map(|layer| layer.d.len()).sum();
            assert!((1..16_000).contains(&length), "{length} characters");
        }
    }
}
