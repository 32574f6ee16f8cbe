//! The rules of `model::events::Span` as SQL expressions. `$event` is the alias of the event's table, `$now`
//! the placeholder of the moment, in microseconds. No expression is ever null.

/// Whether tickets are on sale.
macro_rules! on_sale {
    ($event:literal, $now:literal) => {
        concat!(
            "(",
            $event,
            ".starts_at > ",
            $now,
            " OR COALESCE(",
            $event,
            ".sales_until, 0) > ",
            $now,
            ")"
        )
    };
}

/// The negation of [`on_sale`], in a form that can use the index on `starts_at`.
macro_rules! sale_ended {
    ($event:literal, $now:literal) => {
        concat!(
            "(",
            $event,
            ".starts_at <= ",
            $now,
            " AND COALESCE(",
            $event,
            ".sales_until, 0) <= ",
            $now,
            ")"
        )
    };
}

/// Whether the event can still be changed.
macro_rules! not_over {
    ($event:literal, $now:literal) => {
        concat!(
            "(",
            $event,
            ".starts_at > ",
            $now,
            " OR COALESCE(",
            $event,
            ".ends_at, 0) > ",
            $now,
            " OR COALESCE(",
            $event,
            ".sales_until, 0) > ",
            $now,
            ")"
        )
    };
}

/// The end of the tickets' validity, in microseconds.
macro_rules! tickets_until {
    ($event:literal) => {
        concat!(
            "CASE WHEN ",
            $event,
            ".ends_at > ",
            $event,
            ".starts_at THEN ",
            $event,
            ".ends_at ELSE ",
            $event,
            ".starts_at + 43200000000 END"
        )
    };
}

pub(crate) use {not_over, on_sale, sale_ended, tickets_until};
