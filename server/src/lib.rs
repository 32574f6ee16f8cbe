//! Stagedoor's binary: its commands and settings, the web server, and the periodic tasks.
//!
//! The rules of the shop are in the crate `shop`; pages, REST, webhooks and jobs call the same services.

pub mod audit;
mod backlogs;
pub mod cli;
pub mod config;
pub mod files;
pub mod gauges;
pub mod health;
pub mod jobs;
mod middleware;
pub mod moving;
mod opening;
mod pictures;
pub mod rest;
mod robots;
pub mod router;
mod seed;
pub mod serve;
mod session_cookie;
mod shutdown;
