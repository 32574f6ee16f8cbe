//! The integration tests of Stagedoor: over HTTP, on SQLite and on PostgreSQL, with concurrent requests.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test may panic"
)]
#![expect(unreachable_pub, reason = "no other crate uses the tests")]

mod account_care;
mod accounts;
mod amounts;
mod ancestor;
mod api_document;
mod attempts;
mod audit;
mod audit_command;
mod backups;
mod bad_input;
mod browser_rules;
mod card_trials;
mod changed_events;
mod cluster;
mod contract;
mod crash;
mod cut_off;
mod declines;
mod elsewhere;
mod expiry;
mod faults;
mod finding;
mod forms;
mod guests;
mod hold_limits;
mod lanes;
mod late_and_lost;
mod linked_orders;
mod listings;
mod live;
mod mail;
mod markup;
mod migration;
mod model;
mod module_cycles;
mod more_time;
mod moving;
mod nats;
mod nothing_lost;
mod one_shop;
mod order_transitions;
mod outages;
mod passes;
mod patience;
mod picture_fit;
mod pictures;
mod plans;
mod races;
mod refunds;
mod replicas;
mod scenarios;
mod seats;
mod second_factor;
mod security_claims;
mod selling;
mod sign_in_limits;
mod simulator;
mod spans;
mod starts;
mod states;
mod support;
mod telemetry;
mod tls;
mod typed_text;
mod uploads;
mod verified;
mod waiting;
