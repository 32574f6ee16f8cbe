//! Reads a PDF back as far as this crate writes it: the text that one could copy from each page, line
//! by line, and where its lines and squares are. Letters from right to left come as they stand.

use std::collections::HashMap;

/// What is on a page.
#[derive(Debug, Default)]
pub struct Page {
    /// Where each line begins, in points from the lower left, and its text.
    pub lines: Vec<(f32, f32, String)>,
    /// Left, lower, right and upper edge of the code's squares together.
    pub code: Option<[f32; 4]>,
}

impl Page {
    /// All text, without spaces: where a line is broken does not matter then.
    pub fn letters(&self) -> String {
        let lines = self.lines.iter().map(|(_, _, text)| text.as_str());
        lines.collect::<String>().replace(' ', "")
    }
}

/// The pages of a PDF.
pub fn pages(pdf: &[u8]) -> Vec<Page> {
    let objects = objects(pdf);
    let mut numbers: Vec<&usize> = objects.keys().collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| &objects[number])
        .filter(|(dict, _)| dict.contains("/Type /Page\n"))
        .map(|(dict, _)| {
            let content = &objects[&after(dict, "/Contents ").unwrap()].1;
            let fonts = dict.split("/Font").nth(1).unwrap();
            let fonts = fonts
                .split_whitespace()
                .collect::<Vec<_>>()
                .windows(2)
                .filter(|pair| pair[0].starts_with("/F"))
                .map(|pair| (pair[0][1..].to_owned(), pair[1].parse().unwrap()))
                .map(|(name, font): (String, usize)| {
                    let cmap = after(&objects[&font].0, "/ToUnicode ").unwrap();
                    (name, letters(&objects[&cmap].1))
                })
                .collect();
            page(content, &fonts)
        })
        .collect()
}

/// Every object: its dictionary and its stream, unpacked.
fn objects(pdf: &[u8]) -> HashMap<usize, (String, Vec<u8>)> {
    let tail = String::from_utf8_lossy(&pdf[pdf.len() - 40..]).into_owned();
    let table: usize = after(&tail, "startxref\n").unwrap();
    let entries = pdf[table..].split(|byte| *byte == b'\n');
    let entries = entries.filter(|line| line.len() >= 18 && line[17] == b'n');
    let mut objects = HashMap::new();
    for entry in entries {
        let start: usize = std::str::from_utf8(&entry[..10]).unwrap().parse().unwrap();
        let bytes = &pdf[start..];
        let find = |what: &[u8]| bytes.windows(what.len()).position(|part| part == what);
        let end = find(b"endobj").unwrap();
        let (head, data) = match find(b"\nstream\n").filter(|at| *at < end) {
            None => (&bytes[..end], Vec::new()),
            Some(at) => {
                let dict = String::from_utf8_lossy(&bytes[..at]);
                let length: usize = after(&dict, "/Length ").unwrap();
                let data = &bytes[at + 8..at + 8 + length];
                let data = miniz_oxide::inflate::decompress_to_vec_zlib(data).unwrap();
                (&bytes[..at], data)
            }
        };
        let head = String::from_utf8_lossy(head).into_owned();
        let number = head.split(' ').next().unwrap().parse().unwrap();
        objects.insert(number, (head, data));
    }
    objects
}

fn after(text: &str, what: &str) -> Option<usize> {
    let digits = text.split(what).nth(1)?;
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits[..end].parse().ok()
}

/// What the codes of a font stand for.
fn letters(cmap: &[u8]) -> HashMap<u16, String> {
    let text = std::str::from_utf8(cmap).unwrap();
    let hex = |digits: &str| -> Vec<u16> {
        let units = digits.trim_matches(['<', '>']).as_bytes().chunks(4);
        units
            .map(|unit| u16::from_str_radix(std::str::from_utf8(unit).unwrap(), 16).unwrap())
            .collect()
    };
    text.lines()
        .filter(|line| line.starts_with('<') && line.matches('<').count() == 2)
        .filter_map(|line| line.split_once(' '))
        .map(|(code, text)| (hex(code)[0], String::from_utf16(&hex(text)).unwrap()))
        .collect()
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(Vec<u8>),
}

fn tokens(content: &[u8]) -> Vec<Token> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < content.len() {
        match content[at] {
            b'(' => {
                let (text, end) = literal(content, at + 1);
                tokens.push(Token::Text(text));
                at = end;
            }
            b'<' if content[at + 1] == b'<' => at += 2,
            b'<' => {
                let end = at + content[at..].iter().position(|c| *c == b'>').unwrap();
                let hex = std::str::from_utf8(&content[at + 1..end]).unwrap();
                let bytes = (0..hex.len() / 2).map(|n| &hex[2 * n..2 * n + 2]);
                let bytes = bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap());
                tokens.push(Token::Text(bytes.collect()));
                at = end + 1;
            }
            b'[' | b']' | b'>' => at += 1,
            c if c.is_ascii_whitespace() => at += 1,
            _ => {
                let rest = &content[at + 1..];
                let ends = |c: &u8| c.is_ascii_whitespace() || b"()<>[]/".contains(c);
                let end = at + 1 + rest.iter().position(ends).unwrap_or(rest.len());
                let word = String::from_utf8_lossy(&content[at..end]);
                tokens.push(Token::Word(word.into_owned()));
                at = end;
            }
        }
    }
    tokens
}

/// A string in brackets, and where it ends.
fn literal(content: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let (mut text, mut depth) = (Vec::new(), 1);
    loop {
        match content[at] {
            b'\\' => {
                at += 1;
                let octal = content[at..]
                    .iter()
                    .take_while(|c| (b'0'..=b'7').contains(c));
                if octal.count() >= 3 {
                    let digits = content[at..at + 3].iter();
                    text.push(digits.fold(0, |sum, digit| sum * 8 + (digit - b'0')));
                    at += 3;
                    continue;
                }
                text.push(match content[at] {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'f' => 12,
                    c => c,
                });
            }
            b')' if depth == 1 => return (text, at + 1),
            c => {
                depth += i32::from(c == b'(') - i32::from(c == b')');
                text.push(c);
            }
        }
        at += 1;
    }
}

fn page(content: &[u8], fonts: &HashMap<String, HashMap<u16, String>>) -> Page {
    let (mut page, mut font, mut covered) = (Page::default(), String::new(), false);
    let mut operands: Vec<Token> = Vec::new();
    let (mut matrix, mut squares): (Option<Vec<f32>>, Vec<[f32; 3]>) = (None, Vec::new());
    for token in tokens(content) {
        let Token::Word(word) = &token else {
            operands.push(token);
            continue;
        };
        let numbers: Vec<f32> = operands
            .iter()
            .filter_map(|operand| match operand {
                Token::Word(word) => word.parse().ok(),
                Token::Text(_) => None,
            })
            .collect();
        let mut texts = operands.iter().filter_map(|operand| match operand {
            Token::Text(text) => Some(text),
            Token::Word(_) => None,
        });
        match word.as_str() {
            "Tf" => {
                let name = operands.iter().find_map(|operand| match operand {
                    Token::Word(word) => word.strip_prefix('/'),
                    Token::Text(_) => None,
                });
                name.unwrap().clone_into(&mut font);
            }
            "Td" => match page.lines.last() {
                // Runs of one line follow each other.
                Some((x, y, _)) if (*y - numbers[1]).abs() < 0.01 && numbers[0] > *x => {}
                _ => page.lines.push((numbers[0], numbers[1], String::new())),
            },
            "Tj" | "TJ" if !covered => {
                for code in texts.flat_map(|text| text.chunks(2)) {
                    let code = u16::from_be_bytes([code[0], code[1]]);
                    page.lines.last_mut().unwrap().2 += &fonts[&font][&code];
                }
            }
            "BDC" => {
                covered = true;
                let bytes = texts.next_back().unwrap();
                let text = match bytes.strip_prefix(&[0xfe, 0xff]) {
                    None => String::from_utf8(bytes.clone()).unwrap(),
                    Some(units) => {
                        let units = units.chunks(2).map(|u| u16::from_be_bytes([u[0], u[1]]));
                        String::from_utf16(&units.collect::<Vec<_>>()).unwrap()
                    }
                };
                page.lines.last_mut().unwrap().2 += &text;
            }
            "EMC" => covered = false,
            "cm" => matrix = Some(numbers),
            "Q" => matrix = None,
            "re" if matrix.is_some() => squares.push([numbers[0], numbers[1], numbers[2]]),
            "f" => {
                if let Some(m) = &matrix {
                    page.code = Some(edges(m, &squares));
                }
            }
            _ => {
                let operator = word.parse::<f32>().is_err() && !word.starts_with('/');
                if !operator {
                    operands.push(token);
                    continue;
                }
            }
        }
        operands.clear();
    }
    page
}

fn edges(m: &[f32], squares: &[[f32; 3]]) -> [f32; 4] {
    let mut edges = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
    for [x, y, length] in squares {
        for (x, y) in [(*x, *y), (x + length, y + 1.0)] {
            let (x, y) = (m[0] * x + m[4], m[3] * y + m[5]);
            edges = [
                edges[0].min(x),
                edges[1].min(y),
                edges[2].max(x),
                edges[3].max(y),
            ];
        }
    }
    edges
}
