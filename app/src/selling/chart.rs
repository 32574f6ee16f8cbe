//! Sales over time: a bar for each day, with a text alternative and a table.

use jiff::{ToSpan, civil::Date};
use leptos::prelude::*;
use model::{
    money::{Currency, Money},
    selling::{DaySales, SalesByDay},
};

/// In the drawing's units; it is stretched to the page's width.
const DAY_WIDTH: i64 = 10;
const BAR_WIDTH: i64 = 8;
const HEIGHT: i64 = 100;

/// Charts of tickets sold, and of revenue in each currency.
pub fn sales_chart(sales: &SalesByDay) -> AnyView {
    let days = days_of(sales);
    let mut currencies: Vec<Currency> = sales.days.iter().map(|day| day.currency).collect();
    currencies.sort_by_key(|currency| currency.code());
    currencies.dedup();
    let content = if sales.days.is_empty() {
        view! {
            <p class="quiet">
                "Nothing was sold in the last 30 days. What you sell is drawn here, day by day."
            </p>
        }
        .into_any()
    } else {
        let tickets = figure(
            "Tickets sold",
            &days,
            &per_day(&days, &sales.days, |day| day.tickets),
            |count| match count {
                1 => "1 ticket".to_owned(),
                many => format!("{many} tickets"),
            },
        );
        let revenue: Vec<AnyView> = currencies
            .into_iter()
            .map(|currency| {
                let own: Vec<DaySales> = of_currency(sales, currency);
                figure(
                    "Revenue",
                    &days,
                    &per_day(&days, &own, |day| day.revenue_minor),
                    move |minor| Money::new(minor, currency).to_string(),
                )
            })
            .collect();
        view! { <div class="charts">{tickets} {revenue}</div> {table(sales)} }.into_any()
    };
    view! {
        <section class="panel stack" aria-labelledby="sales">
            <h2 class="title" id="sales">"Sales in the last 30 days"</h2>
            {content}
        </section>
    }
    .into_any()
}

fn days_of(sales: &SalesByDay) -> Vec<Date> {
    sales
        .from
        .series(1.day())
        .take_while(|day| *day <= sales.to)
        .collect()
}

fn of_currency(sales: &SalesByDay, currency: Currency) -> Vec<DaySales> {
    let days = sales.days.iter();
    days.filter(|day| day.currency == currency)
        .copied()
        .collect()
}

fn per_day(days: &[Date], sales: &[DaySales], value: impl Fn(&DaySales) -> i64) -> Vec<i64> {
    days.iter()
        .map(|day| {
            let sold = sales.iter().filter(|sold| sold.day == *day);
            sold.map(&value).sum()
        })
        .collect()
}

/// `1 Nov`
fn short(day: Date) -> String {
    day.strftime("%-d %b").to_string()
}

/// The text alternative; `None` if all values are zero.
fn describe(
    title: &str,
    days: &[Date],
    values: &[i64],
    words: impl Fn(i64) -> String,
) -> Option<String> {
    let (first, last) = (days.first()?, days.last()?);
    let (best, most) = days
        .iter()
        .zip(values)
        .max_by_key(|(_, value)| **value)
        .filter(|(_, value)| **value > 0)?;
    let total = words(values.iter().sum());
    Some(format!(
        "{title} from {} to {}: {total} in all; the most on {}, {}.",
        short(*first),
        short(*last),
        short(*best),
        words(*most)
    ))
}

fn figure(
    title: &'static str,
    days: &[Date],
    values: &[i64],
    words: impl Fn(i64) -> String + Copy,
) -> AnyView {
    let total = words(values.iter().sum());
    let summary = describe(title, days, values, words);
    let highest = values.iter().copied().max().unwrap_or(0).max(1);
    let bars = (0..)
        .zip(days.iter().zip(values))
        .filter(|(_, (_, value))| **value > 0)
        .map(|(position, (day, value))| {
            // A minimum height keeps days with few sales visible.
            let height =
                i64::try_from(i128::from(*value) * i128::from(HEIGHT) / i128::from(highest))
                    .unwrap_or(HEIGHT)
                    .max(3);
            view! {
                <rect x=position * DAY_WIDTH + 1 y=HEIGHT - height width=BAR_WIDTH height=height>
                    <title>{format!("{}: {}", short(*day), words(*value))}</title>
                </rect>
            }
        })
        .collect_view();
    let width = DAY_WIDTH * i64::try_from(days.len()).unwrap_or(30);
    let edges = days.first().zip(days.last()).map(|(first, last)| {
        view! { <span>{short(*first)}</span> <span>{short(*last)}</span> }
    });
    view! {
        <figure class="chart">
            <figcaption class="chart-title"><span>{title}</span> <strong>{total}</strong></figcaption>
            <svg
                class="chart-bars"
                viewBox=format!("0 0 {width} {HEIGHT}")
                preserveAspectRatio="none"
                role="img"
                aria-label=summary
            >
                {bars}
            </svg>
            <p class="chart-edges quiet" aria-hidden="true">{edges}</p>
        </figure>
    }
    .into_any()
}

fn table(sales: &SalesByDay) -> impl IntoView + use<> {
    let rows = sales
        .days
        .iter()
        .rev()
        .map(|day| {
            view! {
                <tr>
                    <th scope="row">{day.day.strftime("%a %-d %b %Y").to_string()}</th>
                    <td>{day.tickets}</td>
                    <td>{Money::new(day.revenue_minor, day.currency).to_string()}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <details>
            <summary>"The same as a table"</summary>
            <table class="table">
                <caption class="sr-only">"Sales by day"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Day"</th>
                        <th scope="col">"Tickets"</th>
                        <th scope="col">"Revenue"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
            <p class="hint">"Days are in UTC. Refunded tickets are not counted."</p>
        </details>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_text_alternative() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let gbp: Currency = "GBP".parse().unwrap();
        let sold = |on, tickets| DaySales {
            day: day(on),
            tickets,
            revenue_minor: tickets * 1000,
            currency: gbp,
        };
        let sales = SalesByDay {
            from: day("2031-02-27"),
            to: day("2031-03-02"),
            days: vec![sold("2031-02-28", 2), sold("2031-03-02", 3)],
        };
        let days = days_of(&sales);
        let values = per_day(&days, &sales.days, |day| day.tickets);
        assert_eq!(values, [0, 2, 0, 3]);
        assert_eq!(
            describe("Tickets sold", &days, &values, |count| count.to_string()).unwrap(),
            "Tickets sold from 27 Feb to 2 Mar: 5 in all; the most on 2 Mar, 3."
        );
        assert_eq!(describe("Nothing", &days, &[0; 4], |_| String::new()), None);
    }
}
