//! Sales as a table that spreadsheets read: RFC 4180, UTF-8 with its mark at the start. No text of
//! a person's becomes a formula.

use model::selling::{Sale, SaleStatus};

/// The mark by which spreadsheets know UTF-8, and the names of the columns.
pub const HEAD: &str = "\u{feff}ticket,event,section,row,seat,price,currency,status,sold at,\
     refunded at,payout,order\r\n";

/// A line for each sale.
pub fn lines(sales: &[Sale]) -> String {
    let mut csv = String::with_capacity(sales.len() * 160);
    for sale in sales {
        let status = match sale.status {
            SaleStatus::Sold => "sold",
            SaleStatus::Refunding => "refund under way",
            SaleStatus::Refunded => "refunded",
        };
        let text = |text: &Option<String>| cell(text.as_deref().unwrap_or_default());
        let refunded_at = sale.refunded_at.map(seconds).unwrap_or_default();
        let cells = [
            sale.ticket_id.to_string(),
            cell(&sale.event),
            text(&sale.section),
            text(&sale.row),
            text(&sale.seat),
            sale.price.plain(),
            sale.price.currency.to_string(),
            status.to_owned(),
            seconds(sale.sold_at),
            refunded_at,
            sale.payout.plain(),
            sale.order_id.code(),
        ];
        csv.push_str(&cells.join(","));
        csv.push_str("\r\n");
    }
    csv
}

fn seconds(moment: jiff::Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Characters with which spreadsheets begin a formula, also in their full-width forms.
const FORMULA_SIGNS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// Characters at which a program may split a line that was not told to split it at commas.
const OTHER_SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

/// A text as one cell. Wherever a spreadsheet could begin a cell with a formula, an apostrophe makes
/// it a text: at the start, and behind characters that some programs split at. What would end the
/// cell is quoted.
fn cell(text: &str) -> String {
    let mut guarded = String::with_capacity(text.len());
    let mut begins_cell = true;
    for sign in text.chars() {
        if begins_cell && FORMULA_SIGNS.contains(&sign) {
            guarded.push('\'');
        }
        guarded.push(sign);
        begins_cell = OTHER_SEPARATORS.contains(&sign)
            || (begins_cell && (sign.is_whitespace() || sign == '"'));
    }
    if guarded.contains(['"', ',', ';', '\t', '\r', '\n']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::{HEAD, cell};

    #[test]
    fn spreadsheets_are_told_that_it_is_utf_8() {
        assert!(HEAD.as_bytes().starts_with(&[0xEF, 0xBB, 0xBF]));
        assert_eq!(HEAD.trim_end().split(',').count(), 12);
    }

    /// Whatever a program splits lines at, with or without regard to quotes.
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
            let line = format!("id,{},Stalls", cell(text));
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
    fn a_text_stays_one_cell_and_no_formula() {
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
            assert_eq!(cell(text), written);
        }
    }
}
