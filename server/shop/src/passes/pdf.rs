//! The texts on an order's printed tickets. The crate `ticket-pdf` lays them out.

use super::Booklet;
use crate::qr;
use model::passes::Pass;
use platform::fault::{Fault, FaultResult};
use ticket_pdf::{Code, Document, Ticket};

/// Renders the tickets as PDF, one a page. Errors: a code or a font cannot be encoded.
pub(crate) fn render_pdf(booklet: &Booklet) -> FaultResult<Vec<u8>> {
    let tickets = (1..).zip(&booklet.passes);
    let document = Document {
        title: format!("Tickets: {}", booklet.event.title),
        shop: "Stagedoor".to_owned(),
        language: han_language(&booklet.event.country).map(str::to_owned),
        tickets: tickets
            .map(|(number, pass)| ticket(booklet, number, pass))
            .collect::<FaultResult<_>>()?,
    };
    ticket_pdf::write(&document).map_err(pdf_fault)
}

fn pdf_fault(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    Fault::unexpected("a ticket's PDF was not rendered", error)
}

/// The language whose shapes of Han characters are used in a country. For `None`, the Japanese shapes are
/// used.
fn han_language(country: &str) -> Option<&'static str> {
    match country {
        "JP" => Some("ja"),
        "KR" => Some("ko"),
        "CN" | "SG" | "MY" => Some("zh-Hans"),
        "TW" => Some("zh-Hant-TW"),
        "HK" | "MO" => Some("zh-Hant-HK"),
        _ => None,
    }
}

fn ticket(booklet: &Booklet, number: usize, pass: &Pass) -> FaultResult<Ticket> {
    let event = &booklet.event;
    let of = booklet.passes.len();
    let order = booklet.order.code();
    let facts = [
        ("Seat", pass.label.clone()),
        ("Holder", booklet.holder.clone()),
        ("Price", pass.price.to_string()),
        ("Order", order.clone()),
        ("Sold by", pass.seller_name.clone()),
    ];
    Ok(Ticket {
        title: event.title.clone(),
        when: event.when_in_full(),
        place: format!("{}, {}", event.venue, event.city),
        facts: facts
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        code: code(pass)?,
        number: pass.ticket.code(),
        count: format!("Ticket {number} of {of}"),
        notes: vec![
            "Show this code at the door, on paper or on a screen. It admits one person, once. A \
             refund makes it invalid."
                .to_owned(),
            "Anyone who has a copy of this code can use it before you, so keep it private."
                .to_owned(),
            format!(
                "Problem with your ticket? Reply to the e-mail that it came with and give order number {order}."
            ),
        ],
    })
}

fn code(pass: &Pass) -> FaultResult<Code> {
    let squares = qr::encode(&pass.text).map_err(pdf_fault)?;
    let short = |count| u16::try_from(count).map_err(pdf_fault);
    Ok(Code {
        side: short(squares.side)?,
        runs: squares
            .runs
            .into_iter()
            .map(|(column, row, length)| Ok((short(column)?, short(row)?, short(length)?)))
            .collect::<FaultResult<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::booklet::tests::booklet;

    #[test]
    fn every_ticket_has_a_page() {
        let bytes = render_pdf(&booklet("Candlelight Strings")).unwrap();
        assert!(bytes.starts_with(b"%PDF-"));
        let page = b"/Type /Page\n";
        let pages = bytes.windows(page.len()).filter(|part| part == page);
        assert_eq!(pages.count(), 2);
        assert!(bytes.len() < 60_000, "{} bytes", bytes.len());
    }
}
