//! Writes sales as CSV for spreadsheets: RFC 4180 in UTF-8 with a byte order mark. User texts are escaped
//! so that they are not read as formulas. Does not read the sales or send the file.

use csv::{QuoteStyle, Terminator, WriterBuilder};
use model::selling::{Sale, SaleStatus};
use platform::fault::{Fault, FaultResult};

/// A byte order mark, by which spreadsheets recognise UTF-8, and the column names.
pub const HEAD: &str = "\u{feff}ticket,event,section,row,seat,price,currency,status,sold at,\
     refunded at,payout,order\r\n";

/// Characters that begin a formula in spreadsheets, and their full-width forms.
const FORMULA_SIGNS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// Characters other than the comma at which programs may split a line.
const OTHER_SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

/// Writes one row for each sale.
pub fn write_rows(sales: &[Sale]) -> FaultResult<Vec<u8>> {
    let mut rows = Vec::with_capacity(sales.len() * 160);
    for sale in sales {
        write_row(&mut rows, &cells(sale))
            .map_err(|error| Fault::unexpected("a CSV row could not be written", error))?;
    }
    Ok(rows)
}

fn cells(sale: &Sale) -> [String; 12] {
    let status = match sale.status {
        SaleStatus::Sold => "sold",
        SaleStatus::Refunding => "refund under way",
        SaleStatus::Refunded => "refunded",
    };
    let text = |text: &Option<String>| escape_formulas(text.as_deref().unwrap_or_default());
    [
        sale.ticket_id.to_string(),
        escape_formulas(&sale.event),
        text(&sale.section),
        text(&sale.row),
        text(&sale.seat),
        sale.price.plain(),
        sale.price.currency.to_string(),
        status.to_owned(),
        format_seconds(sale.sold_at),
        sale.refunded_at.map(format_seconds).unwrap_or_default(),
        sale.payout.plain(),
        sale.order_id.code(),
    ]
}

fn format_seconds(moment: jiff::Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Appends a row. The csv crate does not quote cells with semicolons or tabs, so all cells of such a
/// row are quoted.
fn write_row(rows: &mut Vec<u8>, cells: &[String]) -> csv::Result<()> {
    let style = if cells.iter().any(|cell| cell.contains(OTHER_SEPARATORS)) {
        QuoteStyle::Always
    } else {
        QuoteStyle::Necessary
    };
    let mut writer = WriterBuilder::new()
        .quote_style(style)
        .terminator(Terminator::CRLF)
        .from_writer(rows);
    writer.write_record(cells)?;
    Ok(writer.flush()?)
}

/// Inserts an apostrophe, which marks a cell as text, wherever a formula could begin: at the start, and
/// after characters at which some programs split.
fn escape_formulas(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut begins_cell = true;
    for sign in text.chars() {
        if begins_cell && FORMULA_SIGNS.contains(&sign) {
            escaped.push('\'');
        }
        escaped.push(sign);
        begins_cell = OTHER_SEPARATORS.contains(&sign)
            || (begins_cell && (sign.is_whitespace() || sign == '"'));
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{HEAD, escape_formulas, write_row};

    fn row(texts: &[&str]) -> String {
        let cells: Vec<String> = texts.iter().map(|text| escape_formulas(text)).collect();
        let mut row = Vec::new();
        write_row(&mut row, &cells).unwrap();
        String::from_utf8(row).unwrap()
    }

    #[test]
    fn the_file_begins_with_a_byte_order_mark() {
        assert!(HEAD.as_bytes().starts_with(&[0xEF, 0xBB, 0xBF]));
        assert_eq!(HEAD.trim_end().split(',').count(), 12);
    }

    /// For all separators, with or without support for quotes.
    #[test]
    fn no_cell_begins_a_formula_whatever_lines_are_split_at() {
        for text in [
            "Show;=1+1;",
            "=1",
            "a\t＝1;+1",
            "a;\"@b\"",
            "a\n-b",
            ";;  \" =c",
        ] {
            let line = row(&["id", text, "Stalls"]);
            for part in line.split([';', '\t', '\n', ',']) {
                let begins = part.trim_start_matches(['"', ' ']);
                assert!(
                    !begins.starts_with(super::FORMULA_SIGNS),
                    "{text:?} gives {part:?}"
                );
            }
        }
    }

    #[test]
    fn a_text_stays_in_one_cell_and_is_no_formula() {
        for (text, written) in [
            ("Stalls", "Stalls"),
            ("", ""),
            ("Gallery, left", "\"Gallery, left\""),
            ("The \"Late\" Show", "\"The \"\"Late\"\" Show\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("+44", "'+44"),
            ("-A", "'-A"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=A", "\"\t'=A\""),
            ("＝1+1", "'＝1+1"),
            ("＠A", "'＠A"),
            ("Show;=1+1;", "\"Show;'=1+1;\""),
            ("Show\t-1", "\"Show\t'-1\""),
            ("Show; =1+1", "\"Show; '=1+1\""),
            ("Show;\"=1+1\"", "\"Show;\"\"'=1+1\"\"\""),
            ("Strings, -Brass", "\"Strings, -Brass\""),
            (
                "=HYPERLINK(\"a\",\"b\")",
                "\"'=HYPERLINK(\"\"a\"\",\"\"b\"\")\"",
            ),
            ("a=b", "a=b"),
        ] {
            let row = row(&["", text]);
            let cell = row.strip_suffix("\r\n").unwrap();
            let cell = cell.trim_start_matches("\"\"").strip_prefix(',');
            assert_eq!(cell, Some(written));
        }
    }
}
