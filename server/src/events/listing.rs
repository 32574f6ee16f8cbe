//! Which events a list shows, as SQL: only what was asked for stands in the statement, so that
//! each question is answered by the index made for it.

use crate::db::Engine;
use app::{
    events::{Category, When},
    ids::{EventId, UserId},
};
use jiff::civil::Date;
use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query::Query};
use std::fmt::Write;

const DAY_MICROS: i64 = 86_400_000_000;

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Each of them begins a word of title, venue or city. See `words::sought`.
    pub words: Vec<String>,
    /// In this city, in small letters.
    pub city_key: Option<String>,
    /// Of this kind.
    pub category: Option<Category>,
    /// By this creator.
    pub creator: Option<UserId>,
    /// Beginning after this moment, in microseconds: now.
    pub after_micros: i64,
    /// Beginning at this moment or later.
    pub from_micros: Option<i64>,
    /// Beginning before this moment.
    pub to_micros: Option<i64>,
    /// On these days, counted from `after_micros`.
    pub when: Option<When>,
    /// Not before this day of the venue.
    pub first_day: Option<Date>,
    /// Not after this day of the venue.
    pub last_day: Option<Date>,
    /// Behind this one in the order of start and id.
    pub behind: Option<(i64, EventId)>,
    /// At most so many.
    pub limit: i64,
}

/// A statement and what is bound to it, in turn.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Its text.
    pub sql: String,
    bound: Vec<Bound>,
}

#[derive(Debug, Clone)]
enum Bound {
    Text(String),
    Number(i64),
}

impl Statement {
    /// Ready to be run.
    pub fn query(&self) -> Query<'_, Any, AnyArguments> {
        let query = sqlx::query(AssertSqlSafe(self.sql.clone()));
        self.bound.iter().fold(query, |query, bound| match bound {
            Bound::Text(text) => query.bind(text.clone()),
            Bound::Number(number) => query.bind(*number),
        })
    }

    /// The placeholder of one more text.
    fn text(&mut self, text: impl Into<String>) -> String {
        self.bound.push(Bound::Text(text.into()));
        format!("${}", self.bound.len())
    }

    /// The placeholder of one more number.
    fn number(&mut self, number: i64) -> String {
        self.bound.push(Bound::Number(number));
        format!("${}", self.bound.len())
    }
}

impl Filter {
    /// Selects `columns` of a page of events, soonest first.
    pub fn page(&self, engine: Engine, columns: &str) -> Statement {
        let mut statement = self.matching(engine, columns);
        let limit = statement.number(self.limit);
        let _ = write!(statement.sql, " ORDER BY starts_at, id LIMIT {limit}");
        statement
    }

    /// Counts the events, as many as `limit` at most.
    pub fn count(&self, engine: Engine) -> Statement {
        let mut statement = self.matching(engine, "1");
        let limit = statement.number(self.limit);
        statement.sql = format!(
            "SELECT COUNT(*) AS events FROM ({} LIMIT {limit}) AS found",
            statement.sql
        );
        statement
    }

    fn matching(&self, engine: Engine, columns: &str) -> Statement {
        let mut statement = Statement {
            sql: String::new(),
            bound: Vec::new(),
        };
        let now = statement.number(self.after_micros);
        let mut wanted = vec![format!("starts_at > {now}")];
        let mut from = "events".to_owned();
        if !self.words.is_empty() {
            let bound = statement.text(engine.words_sought(&self.words));
            let (tables, condition) = engine.with_words("events", &bound);
            from = tables;
            wanted.push(condition);
        }
        if let Some(city) = &self.city_key {
            wanted.push(format!("city_key = {}", statement.text(city)));
        }
        if let Some(category) = self.category {
            wanted.push(format!("category = {}", statement.text(category.code())));
        }
        if let Some(creator) = self.creator {
            let creator = statement.text(creator.to_string());
            wanted.push(format!("creator_id = {creator}"));
        }
        self.in_time(&mut statement, &now, &mut wanted);
        if let Some((start, id)) = self.behind {
            let (start, id) = (statement.number(start), statement.text(id.to_string()));
            wanted.push(format!("(starts_at, id) > ({start}, {id})"));
        }
        statement.sql = format!(
            "SELECT {columns} FROM {from} WHERE {}",
            wanted.join(" AND ")
        );
        statement
    }

    /// By the moment, and by the day of the venue. The bounds of `starts_at` beside a day are
    /// there for the index: wide enough for every clock on earth.
    fn in_time(&self, statement: &mut Statement, now: &str, wanted: &mut Vec<String>) {
        if let Some(from) = self.from_micros {
            wanted.push(format!("starts_at >= {}", statement.number(from)));
        }
        if let Some(to) = self.to_micros {
            wanted.push(format!("starts_at < {}", statement.number(to)));
        }
        let day = format!("(starts_at + utc_offset) / {DAY_MICROS}");
        if let Some(when) = self.when {
            let (days, bound) = on_days(when, &day, now);
            let end = self.after_micros.saturating_add(bound * DAY_MICROS);
            wanted.push(format!("starts_at < {}", statement.number(end)));
            wanted.push(days);
        }
        if let Some(first) = self.first_day.map(day_number) {
            let start = statement.number((first - 1) * DAY_MICROS);
            wanted.push(format!("starts_at >= {start}"));
            wanted.push(format!("{day} >= {}", statement.number(first)));
        }
        if let Some(last) = self.last_day.map(day_number) {
            let end = statement.number((last + 2) * DAY_MICROS);
            wanted.push(format!("starts_at < {end}"));
            wanted.push(format!("{day} <= {}", statement.number(last)));
        }
    }
}

/// The condition on the event's day, and within how many days from now it must begin.
fn on_days(when: When, day: &str, now: &str) -> (String, i64) {
    let today = format!("({now} + utc_offset) / {DAY_MICROS}");
    match when {
        When::Today => (format!("{day} = {today}"), 1),
        When::Week => (format!("{day} < {today} + 7"), 7),
        When::Month => (format!("{day} < {today} + 30"), 30),
        // Day 0 was a Thursday: by this the days since Monday are (day + 3) % 7.
        When::Weekend => (
            format!("{day} - {today} BETWEEN 4 - ({today} + 3) % 7 AND 6 - ({today} + 3) % 7"),
            7,
        ),
    }
}

/// Days since the beginning of 1970.
fn day_number(day: Date) -> i64 {
    let epoch = Date::constant(1970, 1, 1);
    day.duration_since(epoch).as_hours() / 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(day_number(Date::constant(1970, 1, 2)), 1);
        assert_eq!(day_number(Date::constant(1969, 12, 31)), -1);
        assert_eq!(day_number(Date::constant(2026, 11, 24)), 20_781);
    }

    #[test]
    fn what_is_not_asked_is_not_in_the_statement() {
        let everything = Filter {
            limit: 5,
            ..Filter::default()
        }
        .page(Engine::Postgres, "id");
        assert_eq!(
            everything.sql,
            "SELECT id FROM events WHERE starts_at > $1 ORDER BY starts_at, id LIMIT $2"
        );
    }
}
