//! `stagedoor incidents`: lists open incidents and settles them.

use anyhow::{Context, bail};
use model::ids::IncidentId;
use platform::{
    clock::{Clock, SystemClock},
    db::Db,
};
use shop::incidents;
use std::fmt::Write;

/// Settles the incident `settle`, or lists the open incidents, oldest first. Returns the output. Errors:
/// the incident to settle is not open.
pub(super) async fn run(db: &Db, settle: Option<&str>, json: bool) -> anyhow::Result<String> {
    match settle {
        Some(id) => settle_one(db, id).await,
        None => list(db, json).await,
    }
}

async fn list(db: &Db, json: bool) -> anyhow::Result<String> {
    let open = incidents::list_open(db.reads())
        .await
        .context("the database failed")?;
    if json {
        return Ok(serde_json::to_string_pretty(&open)? + "\n");
    }
    if open.is_empty() {
        return Ok("nothing is open\n".to_owned());
    }
    let mut output = String::new();
    for incident in open {
        let found_at = incident
            .found_at
            .timestamp()
            .strftime("%Y-%m-%d %H:%M:%S UTC");
        writeln!(output, "{}  {found_at}  {}", incident.id, incident.kind)?;
        write!(output, "    about {}", incident.subject)?;
        if let Some(order) = incident.order_id {
            write!(output, ", order {order}")?;
        }
        writeln!(output, "\n    {}", incident.detail)?;
    }
    Ok(output)
}

async fn settle_one(db: &Db, id: &str) -> anyhow::Result<String> {
    let settled = match id.parse::<IncidentId>() {
        Ok(id) => incidents::settle(db, id, SystemClock.now())
            .await
            .context("the database failed")?,
        Err(_) => false,
    };
    if !settled {
        bail!("no incident {id} is open: `stagedoor incidents` lists those that are");
    }
    Ok(format!("{id} is settled\n"))
}
