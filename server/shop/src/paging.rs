//! Lists in pages: how many rows a page has, the cursor at which the next page begins, and the additional row
//! that shows that there is a next page. Does not know what a list contains.

use model::error::AppError;
use std::{
    fmt::{self, Display},
    str::FromStr,
};

const SIZE_DEFAULT: i64 = 20;
/// The most rows of one page.
pub(crate) const SIZE_MAX: i64 = 100;

/// One page of a list. `C` is the list's cursor: the position of a row in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page<C> {
    size: i64,
    /// The position of the last row of the previous page; `None` for the first page.
    pub after: Option<C>,
}

impl<C: FromStr + Display> Page<C> {
    /// Errors: `invalid`, at `limit` or `cursor`.
    pub(crate) fn requested(limit: Option<i64>, cursor: Option<&str>) -> Result<Self, AppError> {
        let size = limit.unwrap_or(SIZE_DEFAULT);
        if !(1..=SIZE_MAX).contains(&size) {
            return Err(AppError::invalid("limit", "Ask for 1 to 100."));
        }
        let after = cursor.map(str::parse).transpose();
        let after =
            after.map_err(|_| AppError::invalid("cursor", "This isn't a cursor from here."))?;
        Ok(Self { size, after })
    }

    /// How many rows to read: one more than the page has.
    pub(crate) fn rows_to_read(&self) -> i64 {
        self.size + 1
    }

    /// Removes the additional row, if it was found, and returns the cursor of the next page then.
    pub(crate) fn end<R>(&self, rows: &mut Vec<R>, position: impl Fn(&R) -> C) -> Option<String> {
        let size = usize::try_from(self.size).ok()?;
        if rows.len() <= size {
            return None;
        }
        rows.truncate(size);
        rows.last().map(|row| position(row).to_string())
    }
}

/// A position in a list that is sorted by a number and then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position<I> {
    pub number: i64,
    pub id: I,
}

impl<I: Display> Display for Position<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.number, self.id)
    }
}

/// The text is not a position.
pub struct NotAPosition;

impl<I: FromStr> FromStr for Position<I> {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let (number, id) = text.split_once('_').ok_or(NotAPosition)?;
        Ok(Self {
            number: number.parse().map_err(|_| NotAPosition)?,
            id: id.parse().map_err(|_| NotAPosition)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type ByNumber = Page<Position<u32>>;

    fn page(limit: Option<i64>, cursor: Option<&str>) -> Result<ByNumber, AppError> {
        Page::requested(limit, cursor)
    }

    #[test]
    fn a_page_ends_with_the_cursor_at_which_the_next_one_begins() {
        let first = page(Some(2), None).unwrap();
        assert_eq!(first.rows_to_read(), 3);
        let position = |id: &u32| Position { number: 7, id: *id };
        let mut rows = vec![1, 2, 3];
        let next = first.end(&mut rows, position);
        assert_eq!(
            (rows.as_slice(), next.as_deref()),
            ([1, 2].as_slice(), Some("7_2"))
        );

        let second = page(Some(2), next.as_deref()).unwrap();
        assert_eq!(second.after, Some(Position { number: 7, id: 2 }));
        let mut rows = vec![3, 4];
        assert_eq!(second.end(&mut rows, position), None);
        assert_eq!(rows, [3, 4]);
    }

    #[test]
    fn sizes_and_cursors_that_are_invalid_are_refused_at_their_field() {
        assert_eq!(page(None, None).unwrap().rows_to_read(), SIZE_DEFAULT + 1);
        for limit in [0, -1, SIZE_MAX + 1] {
            let refused = page(Some(limit), None).unwrap_err();
            assert_eq!(refused, AppError::invalid("limit", "Ask for 1 to 100."));
        }
        for cursor in ["", "7", "7_", "_2", "x_2", "7_2_3"] {
            let refused = page(None, Some(cursor)).unwrap_err();
            assert_eq!(
                refused,
                AppError::invalid("cursor", "This isn't a cursor from here.")
            );
        }
    }
}
