//! The rules of `model::events::Span` as SQL: of the event that a statement calls `$event`, at the moment
//! that is bound as `$now`, in microseconds. None of them is ever null.

/// Whether its tickets are traded.
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

/// The opposite of [`on_sale`], so that the index of starts bounds what is looked at.
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

/// Whether anything of it can still change.
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

/// Until when its tickets are shown, in microseconds.
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
