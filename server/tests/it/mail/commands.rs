//! The commands that manage operators and incidents, and the setting of the mail server.

use super::incident;
use model::Moment;
use platform::db::Db;
use serde_json::Value;
use std::{path::Path, process::Command};

/// Runs the binary on the shop in this folder. Returns its output, or its error output if it failed.
fn stagedoor(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let done = Command::new(env!("CARGO_BIN_EXE_stagedoor"))
        .args(arguments)
        .env_clear()
        .env("RUST_LOG", "off")
        .current_dir(folder)
        .output()
        .unwrap();
    if done.status.success() {
        Ok(String::from_utf8(done.stdout).unwrap())
    } else {
        Err(String::from_utf8(done.stderr).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_and_incidents_are_managed_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| stagedoor(folder.path(), arguments);
    run(&["migrate"]).unwrap();
    assert!(run(&["operator"]).unwrap().contains("no operators"));
    let error = run(&["operator", "buyer@stagedoor.example"]).unwrap_err();
    assert!(
        error.contains("nobody has signed up as buyer@stagedoor.example"),
        "{error}"
    );
    run(&["seed"]).unwrap();
    let output = run(&["operator", " Buyer@Stagedoor.example"]).unwrap();
    assert!(output.contains("an operator now"), "{output}");
    assert_eq!(
        run(&["operator"]).unwrap(),
        "buyer@stagedoor.example  Billie Booker\n"
    );
    run(&["operator", "buyer@stagedoor.example", "--revoke"]).unwrap();
    assert!(run(&["operator"]).unwrap().contains("no operators"));

    let ended = run(&["sessions", "end", "Buyer@stagedoor.example"]).unwrap();
    assert_eq!(ended, "buyer@stagedoor.example is signed out everywhere\n");
    assert!(run(&["sessions", "end", "nobody@stagedoor.example"]).is_err());

    assert_eq!(run(&["incidents"]).unwrap(), "nothing is open\n");
    let file = folder.path().join("data/stagedoor.db");
    let db = Db::open(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    // Only a user with a verified address can become an operator; an existing operator is not affected.
    run(&["operator", "buyer@stagedoor.example"]).unwrap();
    let unverify = sqlx::query("UPDATE users SET email_verified_at = NULL");
    db.write(|conn| Box::pin(async move { unverify.execute(conn).await.map(|_| ()) }))
        .await
        .unwrap();
    let error = run(&["operator", "seller@stagedoor.example"]).unwrap_err();
    assert!(
        error.contains("is not confirmed") && error.contains("/account"),
        "{error}"
    );
    run(&["operator", "buyer@stagedoor.example"]).unwrap();
    run(&["operator", "buyer@stagedoor.example", "--revoke"]).unwrap();

    incident(
        &db,
        "payment 1".to_owned(),
        Moment::from_seconds(1_935_000_000),
    )
    .await;
    db.close().await;
    let open = run(&["incidents"]).unwrap();
    assert!(
        open.contains("2031-04-26 20:00:00 UTC  capture_slow"),
        "{open}"
    );
    assert!(open.contains("about payment 1") && open.contains("Stripe has not <answered>"));
    let open: Value = serde_json::from_str(&run(&["incidents", "--json"]).unwrap()).unwrap();
    assert_eq!(
        (open[0]["kind"].as_str(), open[0]["subject"].as_str()),
        (Some("capture_slow"), Some("payment 1"))
    );
    let incident = open[0]["id"].as_str().unwrap();
    assert_eq!(
        run(&["incidents", "--settle", incident]).unwrap(),
        format!("{incident} is settled\n")
    );
    let error = run(&["incidents", "--settle", incident]).unwrap_err();
    assert!(error.contains("is open"), "{error}");
    assert_eq!(run(&["incidents"]).unwrap(), "nothing is open\n");
}

#[test]
fn an_invalid_smtp_url_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let error = stagedoor(folder.path(), &["migrate", "--smtp-url", "mail.example"]).unwrap_err();
    assert!(
        error.starts_with("error: SMTP_URL: not an address like smtps://"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}
