//! Stagedoor's binary: its commands and settings, and the web server in front of the shop.
//!
//! What the shop does is decided in the crate `shop`; pages, REST, webhooks and jobs call the same services
//! of it, so that each rule has one place.

pub mod audit;
pub mod cli;
pub mod config;
pub mod figures;
pub mod files;
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
