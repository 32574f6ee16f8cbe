//! Which events a list shows, as SQL: only what was asked for stands in the statement, so that
//! each question is answered by the index made for it.

use super::rules::LASTS_MAX;
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

/// Which events.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Each of them begins a word of title, venue or city. See `words::sought`.
    pub words: Vec<String>,
    /// In this city, in small letters.
    pub city_key: Option<String>,
    /// Of this kind.
    pub category: Option<Category>,
    /// By this creator.
    pub creator: Option<UserId>,
    /// Beginning after this moment, or still on sale: now.
    pub after: Moment,
    /// Beginning at this moment or later, or still on sale then.
    pub from: Option<Moment>,
    /// Beginning before this moment.
    pub to: Option<Moment>,
    /// On these days, counted from `after`.
    pub when: Option<When>,
    /// Not before this day of the venue.
    pub first_day: Option<Date>,
    /// Not after this day of the venue.
    pub last_day: Option<Date>,
    /// Behind this one in the order of start and id.
    pub behind: Option<(Moment, EventId)>,
    /// At most so many.
    pub limit: i64,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            city_key: None,
            category: None,
            creator: None,
            after: Moment::EPOCH,
            from: None,
            to: None,
            when: None,
            first_day: None,
            last_day: None,
            behind: None,
            limit: 0,
        }
    }
}

/// A statement and what is bound to it, in turn.
#[derive(Debug, Clone, Default)]
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
    fn text(&mut self, text: impl Display) -> String {
        self.bound.push(Bound::Text(text.to_string()));
        format!("${}", self.bound.len())
    }

    /// The placeholder of one more number.
    fn number(&mut self, number: impl Into<i64>) -> String {
        self.bound.push(Bound::Number(number.into()));
        format!("${}", self.bound.len())
    }
}

impl Filter {
    /// Selects `columns` of a page of events, soonest first: those that begin when asked for, and those
    /// that have begun before and are on sale then. Each is answered by an index of its own.
    pub fn page(&self, engine: Engine, columns: &str) -> Statement {
        let mut statement = Statement::default();
        let beginning = format!("{columns}, starts_at AS page_start, id AS page_id");
        let [first, running] = self.matching(&mut statement, engine, &beginning);
        let limit = statement.number(self.limit);
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

    /// Counts the events, as many as `limit` at most.
    pub(crate) fn count(&self, engine: Engine) -> Statement {
        let mut statement = Statement::default();
        let [first, running] = self.matching(&mut statement, engine, "1");
        let limit = statement.number(self.limit);
        statement.sql = format!(
            "SELECT COUNT(*) AS events FROM ({first} UNION ALL {running} LIMIT {limit}) AS found"
        );
        statement
    }

    /// Those that begin when asked for, and those that began earlier and are still on sale then.
    fn matching(&self, statement: &mut Statement, engine: Engine, columns: &str) -> [String; 2] {
        let mut both = Vec::new();
        let mut from = "events".to_owned();
        if !self.words.is_empty() {
            let bound = statement.text(engine.full_text_query(&self.words));
            let (tables, condition) = engine.full_text_match("events", &bound);
            from = tables;
            both.push(condition);
        }
        if let Some(city) = &self.city_key {
            both.push(format!("city_key = {}", statement.text(city)));
        }
        if let Some(category) = self.category {
            both.push(format!("category = {}", statement.text(category.code())));
        }
        if let Some(creator) = self.creator {
            both.push(format!("creator_id = {}", statement.text(creator)));
        }
        if let Some((start, id)) = self.behind {
            let (start, id) = (statement.number(start), statement.text(id));
            both.push(format!("(starts_at, events.id) > ({start}, {id})"));
        }
        let bounds = self.bounds(statement, &mut both);
        let starts: Vec<&str> = bounds.iter().map(|bound| bound.starts.as_str()).collect();
        let lasts: Vec<&str> = bounds.iter().map(|bound| bound.lasts.as_str()).collect();
        let starts = starts.join(" AND ");
        let longest = statement.number(self.after - LASTS_MAX);
        let earlier = format!(
            "sales_until IS NOT NULL AND starts_at > {longest} AND NOT ({starts}) AND {}",
            lasts.join(" AND ")
        );
        [starts, earlier].map(|which| {
            let wanted: Vec<&str> = std::iter::once(which.as_str())
                .chain(both.iter().map(String::as_str))
                .collect();
            format!(
                "SELECT {columns} FROM {from} WHERE {}",
                wanted.join(" AND ")
            )
        })
    }

    /// The lower bounds, which an event meets by its start or by still being on sale. Upper bounds, which
    /// are for its start only, go to `both`. Days are those of the venue; the bounds of `starts_at` beside
    /// them only let the index be used, and allow for every time zone.
    fn bounds(&self, statement: &mut Statement, both: &mut Vec<String>) -> Vec<NotBefore> {
        let now = statement.number(self.after);
        let mut bounds = vec![NotBefore::new(|time| format!("{time} > {now}"))];
        if let Some(from) = self.from {
            let from = statement.number(from);
            bounds.push(NotBefore::new(|time| format!("{time} >= {from}")));
        }
        if let Some(to) = self.to {
            both.push(format!("starts_at < {}", statement.number(to)));
        }
        if let Some(when) = self.when {
            let (first, last, bound) = on_days(when, &now);
            let end = statement.number(self.after + bound * DAY);
            both.push(format!("starts_at < {end}"));
            both.push(format!("{} <= {last}", day_of("starts_at")));
            bounds.push(NotBefore::new(|time| {
                format!("{} >= {first}", day_of(time))
            }));
        }
        if let Some(first) = self.first_day.map(day_number) {
            let start = statement.number(midnight(first - 1));
            let first = statement.number(first);
            bounds.push(NotBefore::new(|time| {
                format!("{time} >= {start} AND {} >= {first}", day_of(time))
            }));
        }
        if let Some(last) = self.last_day.map(day_number) {
            let end = statement.number(midnight(last + 2));
            both.push(format!("starts_at < {end}"));
            let last = statement.number(last);
            both.push(format!("{} <= {last}", day_of("starts_at")));
        }
        bounds
    }
}

/// A bound that an event meets by its start, or by still being on sale.
struct NotBefore {
    starts: String,
    lasts: String,
}

impl NotBefore {
    fn new(condition: impl Fn(&str) -> String) -> Self {
        Self {
            starts: condition("starts_at"),
            lasts: condition("sales_until"),
        }
    }
}

/// The venue's day of a moment, counted from 1970.
fn day_of(time: &str) -> String {
    format!("({time} + utc_offset) / {}", micros(DAY))
}

/// The first and the last of the days, counted as by [`day_of`], and within how many days from now the
/// last one ends.
fn on_days(when: When, now: &str) -> (String, String, u32) {
    let today = day_of(now);
    match when {
        When::Today => (today.clone(), today, 1),
        When::Week => (today.clone(), format!("{today} + 6"), 7),
        When::Month => (today.clone(), format!("{today} + 29"), 30),
        // Day 0 was a Thursday: by this the days since Monday are (day + 3) % 7.
        When::Weekend => {
            let monday = format!("{today} - ({today} + 3) % 7");
            (format!("{monday} + 4"), format!("{monday} + 6"), 7)
        }
    }
}

/// The beginning of a day in UTC, which is counted as by [`day_number`].
fn midnight(day: i64) -> Moment {
    Moment::from_seconds(day * 86_400)
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
            "SELECT id FROM (SELECT * FROM (SELECT id, starts_at AS page_start, id AS page_id \
             FROM events WHERE starts_at > $1 ORDER BY starts_at, events.id LIMIT $3) AS beginning \
             UNION ALL SELECT * FROM (SELECT id, starts_at AS page_start, id AS page_id \
             FROM events WHERE sales_until IS NOT NULL AND starts_at > $2 AND NOT (starts_at > $1) \
             AND sales_until > $1 ORDER BY starts_at, events.id LIMIT $3) AS running) AS page \
             ORDER BY page_start, page_id LIMIT $3"
        );
    }
}
