//! Builds the SQL that lists and counts events. A statement has only the conditions that were asked for,
//! so that each combination can use its index.

use super::rules::DURATION_MAX;
use crate::paging::Position;
use jiff::civil::Date;
use model::{
    Moment,
    events::{Category, When},
    ids::{EventId, UserId},
    micros,
};
use platform::db::Engine;
use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query::Query};
use std::{fmt::Display, time::Duration};

const DAY: Duration = Duration::from_hours(24);

/// Conditions for a list of events.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Each is the beginning of a word of title, venue or city. See `words::search_words`.
    pub words: Vec<String>,
    /// See `names::key`.
    pub city_key: Option<String>,
    pub category: Option<Category>,
    pub creator: Option<UserId>,
    /// Only events that begin after this moment, or are still on sale.
    pub now: Moment,
    /// Begins at this moment or later, or is still on sale then.
    pub from: Option<Moment>,
    /// Begins before this moment.
    pub to: Option<Moment>,
    /// On these days, counted from `now`.
    pub when: Option<When>,
    /// First day, in the venue's time zone.
    pub first_day: Option<Date>,
    /// Last day, in the venue's time zone.
    pub last_day: Option<Date>,
    /// Start in microseconds, and id, of the last event of the previous page.
    pub after: Option<Position<EventId>>,
    pub limit: i64,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            city_key: None,
            category: None,
            creator: None,
            now: Moment::EPOCH,
            from: None,
            to: None,
            when: None,
            first_day: None,
            last_day: None,
            after: None,
            limit: 0,
        }
    }
}

/// A statement and its bound values in order.
#[derive(Debug, Clone, Default)]
pub struct Statement {
    pub sql: String,
    values: Vec<Value>,
}

#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Number(i64),
}

impl Statement {
    /// The statement with its values bound.
    pub fn query(&self) -> Query<'_, Any, AnyArguments> {
        let query = sqlx::query(AssertSqlSafe(self.sql.clone()));
        self.values.iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Number(number) => query.bind(*number),
        })
    }

    /// Binds a text and returns its placeholder.
    fn bind_text(&mut self, text: impl Display) -> String {
        self.values.push(Value::Text(text.to_string()));
        format!("${}", self.values.len())
    }

    /// Binds a number and returns its placeholder.
    fn bind_number(&mut self, number: impl Into<i64>) -> String {
        self.values.push(Value::Number(number.into()));
        format!("${}", self.values.len())
    }
}

impl Filter {
    /// Selects `columns` of a page of events, soonest first: events that begin in the requested time, and
    /// events that began earlier and are still on sale then. Each part uses a separate index.
    pub fn page(&self, engine: Engine, columns: &str) -> Statement {
        let mut statement = Statement::default();
        let beginning = format!("{columns}, starts_at AS page_start, id AS page_id");
        let [first, running] = self.selects(&mut statement, engine, &beginning);
        let limit = statement.bind_number(self.limit);
        let part = |select: String, name: &str| {
            format!(
                "SELECT * FROM ({select} ORDER BY starts_at, events.id LIMIT {limit}) AS {name}"
            )
        };
        statement.sql = format!(
            "SELECT {columns} FROM ({} UNION ALL {}) AS page ORDER BY page_start, page_id LIMIT {limit}",
            part(first, "beginning"),
            part(running, "running"),
        );
        statement
    }

    /// Counts the events, up to `limit`.
    pub(crate) fn count(&self, engine: Engine) -> Statement {
        let mut statement = Statement::default();
        let [first, running] = self.selects(&mut statement, engine, "1");
        let limit = statement.bind_number(self.limit);
        statement.sql = format!(
            "SELECT COUNT(*) AS events FROM ({first} UNION ALL {running} LIMIT {limit}) AS found"
        );
        statement
    }

    /// The two selects whose union is the result: events that begin in the requested time, and events that
    /// began earlier and are still on sale then.
    fn selects(&self, statement: &mut Statement, engine: Engine, columns: &str) -> [String; 2] {
        // Conditions of both selects.
        let mut both = Vec::new();
        let mut from = "events".to_owned();
        if !self.words.is_empty() {
            let words = statement.bind_text(engine.full_text_query(&self.words));
            let (tables, condition) = engine.full_text_match("events", &words);
            from = tables;
            both.push(condition);
        }
        if let Some(city) = &self.city_key {
            both.push(format!("city_key = {}", statement.bind_text(city)));
        }
        if let Some(category) = self.category {
            both.push(format!(
                "category = {}",
                statement.bind_text(category.code())
            ));
        }
        if let Some(creator) = self.creator {
            both.push(format!("creator_id = {}", statement.bind_text(creator)));
        }
        if let Some(Position { number, id }) = self.after {
            let (start, id) = (statement.bind_number(number), statement.bind_text(id));
            both.push(format!("(starts_at, events.id) > ({start}, {id})"));
        }
        let bounds = self.bounds(statement, &mut both);
        let starts: Vec<&str> = bounds.iter().map(|bound| &*bound.starts_at).collect();
        let sales: Vec<&str> = bounds.iter().map(|bound| &*bound.sales_until).collect();
        let starts = starts.join(" AND ");
        let longest = statement.bind_number(self.now - DURATION_MAX);
        let earlier = format!(
            "sales_until IS NOT NULL AND starts_at > {longest} AND NOT ({starts}) AND {}",
            sales.join(" AND ")
        );
        [starts, earlier].map(|condition| {
            let conditions: Vec<&str> = std::iter::once(condition.as_str())
                .chain(both.iter().map(String::as_str))
                .collect();
            format!(
                "SELECT {columns} FROM {from} WHERE {}",
                conditions.join(" AND ")
            )
        })
    }

    /// Returns the lower bounds, which apply to the start or the end of sales. Adds the upper bounds, which
    /// apply to the start only, to `both`. Days are in the venue's time zone; the bounds of `starts_at` next
    /// to them only make the index usable, and are wide enough for every time zone.
    fn bounds(&self, statement: &mut Statement, both: &mut Vec<String>) -> Vec<LowerBound> {
        let now = statement.bind_number(self.now);
        let mut bounds = vec![LowerBound::new(|time| format!("{time} > {now}"))];
        if let Some(from) = self.from {
            let from = statement.bind_number(from);
            bounds.push(LowerBound::new(|time| format!("{time} >= {from}")));
        }
        if let Some(to) = self.to {
            both.push(format!("starts_at < {}", statement.bind_number(to)));
        }
        if let Some(when) = self.when {
            let (first, last, bound) = day_range(when, &now);
            let end = statement.bind_number(self.now + bound * DAY);
            both.push(format!("starts_at < {end}"));
            both.push(format!("{} <= {last}", day_of("starts_at")));
            bounds.push(LowerBound::new(|time| {
                format!("{} >= {first}", day_of(time))
            }));
        }
        if let Some(first) = self.first_day.map(day_number) {
            let start = statement.bind_number(midnight(first - 1));
            let first = statement.bind_number(first);
            bounds.push(LowerBound::new(|time| {
                format!("{time} >= {start} AND {} >= {first}", day_of(time))
            }));
        }
        if let Some(last) = self.last_day.map(day_number) {
            let end = statement.bind_number(midnight(last + 2));
            both.push(format!("starts_at < {end}"));
            let last = statement.bind_number(last);
            both.push(format!("{} <= {last}", day_of("starts_at")));
        }
        bounds
    }
}

/// A lower bound, as a condition on the start and as one on the end of sales.
struct LowerBound {
    starts_at: String,
    sales_until: String,
}

impl LowerBound {
    fn new(condition: impl Fn(&str) -> String) -> Self {
        Self {
            starts_at: condition("starts_at"),
            sales_until: condition("sales_until"),
        }
    }
}

/// SQL for the day of a moment in the venue's time zone, as days since 1970.
fn day_of(time: &str) -> String {
    format!("({time} + utc_offset) / {}", micros(DAY))
}

/// SQL for the first and the last day, in the unit of [`day_of`], and the number of days from now within
/// which the last one ends.
fn day_range(when: When, now: &str) -> (String, String, u32) {
    let today = day_of(now);
    match when {
        When::Today => (today.clone(), today, 1),
        When::Week => (today.clone(), format!("{today} + 6"), 7),
        When::Month => (today.clone(), format!("{today} + 29"), 30),
        // Day 0 was a Thursday, so the number of days since Monday is (day + 3) % 7.
        When::Weekend => {
            let monday = format!("{today} - ({today} + 3) % 7");
            (format!("{monday} + 4"), format!("{monday} + 6"), 7)
        }
    }
}

/// The start, in UTC, of a day as numbered by [`day_number`].
fn midnight(day: i64) -> Moment {
    Moment::from_seconds(day * 86_400)
}

/// Days since 1970-01-01.
fn day_number(day: Date) -> i64 {
    let epoch = Date::constant(1970, 1, 1);
    day.duration_since(epoch).as_hours() / 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_numbered_from_1970() {
        assert_eq!(day_number(Date::constant(1970, 1, 2)), 1);
        assert_eq!(day_number(Date::constant(1969, 12, 31)), -1);
        assert_eq!(day_number(Date::constant(2026, 11, 24)), 20_781);
    }

    #[test]
    fn a_statement_has_no_condition_that_was_not_asked_for() {
        let everything = Filter {
            limit: 5,
            ..Filter::default()
        }
        .page(Engine::Postgres, "id");
        assert_eq!(
            everything.sql,
            "SELECT id FROM (SELECT * FROM (SELECT id, starts_at AS page_start, id AS page_id \
             FROM events WHERE starts_at > $1 ORDER BY starts_at, events.id LIMIT $3) AS beginning \
             UNION ALL SELECT * FROM (SELECT id, starts_at AS page_start, id AS page_id \
             FROM events WHERE sales_until IS NOT NULL AND starts_at > $2 AND NOT (starts_at > $1) \
             AND sales_until > $1 ORDER BY starts_at, events.id LIMIT $3) AS running) AS page \
             ORDER BY page_start, page_id LIMIT $3"
        );
    }
}
