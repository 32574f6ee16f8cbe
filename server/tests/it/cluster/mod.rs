//! Many processes as one shop: two web replicas and two workers of the real binary, on PostgreSQL,
//! Redis and NATS, under paying buyers, while one after the other is killed, stopped, started or
//! replaced. Each test prints what came through what.

mod alone;
mod drains;
mod kills;
mod outages;
mod races;
mod rolling;
mod services;
mod set;
