//! A shop of several processes: two web replicas and two workers of the real binary, on PostgreSQL,
//! Redis and NATS. Processes and services are killed, stopped and restarted while buyers pay. Tests
//! print what was interrupted and how many orders, payments and events there were.

mod alone;
mod drains;
mod kills;
mod outages;
mod races;
mod rolling;
mod services;
mod set;
