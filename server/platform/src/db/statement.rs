//! Statements whose number of values is known only at run time.
//!
//! Replaces `sqlx::QueryBuilder`, which writes `?` for values of the `Any` driver; PostgreSQL needs
//! `$1`, and SQLite takes both.

use sqlx::{
    Any, Arguments, AssertSqlSafe, Encode, FromRow, Type,
    any::{AnyArguments, AnyRow},
    error::BoxDynError,
    query::{Query, QueryAs, QueryScalar},
};
use std::fmt::{Display, Write};

/// SQL under construction, with the values for its placeholders.
#[derive(Default)]
pub struct Statement {
    sql: String,
    values: AnyArguments,
    error: Option<BoxDynError>,
}

impl Statement {
    /// A statement that begins with `sql`.
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            ..Self::default()
        }
    }

    /// Adds a value without appending a placeholder. SQL appended later refers to it by number: the first
    /// value is `$1`.
    #[must_use]
    pub fn with<'v, T>(mut self, value: T) -> Self
    where
        T: Encode<'v, Any> + Type<Any>,
    {
        self.add(value);
        self
    }

    fn add<'v, T>(&mut self, value: T)
    where
        T: Encode<'v, Any> + Type<Any>,
    {
        if let Err(error) = self.values.add(value) {
            self.error.get_or_insert(error);
        }
    }

    /// Appends `sql` as it is. It must not come from outside the program.
    pub fn push(&mut self, sql: impl Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(self.sql, "{sql}");
        self
    }

    /// Appends a placeholder for `value`: `$1`.
    pub fn bind<'v, T>(&mut self, value: T) -> &mut Self
    where
        T: Encode<'v, Any> + Type<Any>,
    {
        self.add(value);
        self.push(format_args!("${}", self.values.len()))
    }

    /// Appends placeholders for `values`, separated by commas: `$1, $2, $3`.
    pub fn bind_list<'v, T>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self
    where
        T: Encode<'v, Any> + Type<Any>,
    {
        for (position, value) in values.into_iter().enumerate() {
            if position > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
        self
    }

    /// Appends what follows VALUES, `bind` once for each of `rows`: `($1, $2), ($3, $4)`.
    pub fn bind_rows<R>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
        mut bind: impl FnMut(&mut RowValues<'_>, R),
    ) -> &mut Self {
        for (position, row) in rows.into_iter().enumerate() {
            self.push(if position > 0 { ", (" } else { "(" });
            let mut values = RowValues {
                statement: self,
                empty: true,
            };
            bind(&mut values, row);
            self.push(")");
        }
        self
    }

    fn finish(self) -> Result<(AssertSqlSafe<String>, AnyArguments), sqlx::Error> {
        match self.error {
            None => Ok((AssertSqlSafe(self.sql), self.values)),
            Some(error) => Err(sqlx::Error::Encode(error)),
        }
    }

    /// The finished statement. Errors: a value cannot be encoded.
    pub fn query<'q>(self) -> Result<Query<'q, Any, AnyArguments>, sqlx::Error> {
        let (sql, values) = self.finish()?;
        Ok(sqlx::query_with(sql, values))
    }

    /// The statement, its rows read as `T`. Errors: a value cannot be encoded.
    pub fn query_as<'q, T>(self) -> Result<QueryAs<'q, Any, T, AnyArguments>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, AnyRow>,
    {
        let (sql, values) = self.finish()?;
        Ok(sqlx::query_as_with(sql, values))
    }

    /// The statement, the first column of its rows read as `T`. Errors: a value cannot be encoded.
    pub fn query_scalar<'q, T>(self) -> Result<QueryScalar<'q, Any, T, AnyArguments>, sqlx::Error>
    where
        (T,): for<'r> FromRow<'r, AnyRow>,
    {
        let (sql, values) = self.finish()?;
        Ok(sqlx::query_scalar_with(sql, values))
    }
}

/// The values of one row of [`Statement::bind_rows`].
pub struct RowValues<'s> {
    statement: &'s mut Statement,
    empty: bool,
}

impl RowValues<'_> {
    /// Appends the next value of the row.
    pub fn bind<'v, T>(&mut self, value: T) -> &mut Self
    where
        T: Encode<'v, Any> + Type<Any>,
    {
        if !std::mem::take(&mut self.empty) {
            self.statement.push(", ");
        }
        self.statement.bind(value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_consecutively() {
        let named = Statement::default().with(7_i64).with("seven");
        assert_eq!(named.values.len(), 2);

        let mut statement = Statement::new("INSERT INTO t (a, b) VALUES ");
        statement.bind_rows([(1_i64, "x"), (2, "y")], |row, (a, b)| {
            row.bind(a).bind(b);
        });
        statement.push(" RETURNING a WHERE a IN (");
        statement.bind_list([5_i64, 6, 7]).push(")");
        assert_eq!(
            statement.sql,
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) RETURNING a WHERE a IN ($5, $6, $7)"
        );
        assert_eq!(statement.values.len(), 7);
    }
}
