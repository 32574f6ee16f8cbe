//! The file after a crash at any byte.

use super::*;
use std::path::Path;

const FILE: &str = "stripe-double.jsonl";

/// A temporary folder.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(new_id("stripe-double-"));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self) -> State {
        let mut state = State::open(Some(self.0.clone())).unwrap();
        listen(&mut state);
        state
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A paid and refunded purchase; each call has an idempotency key.
fn buy_and_refund(state: &mut State) -> String {
    let made = create(state, "pm_card_refundFail");
    state.remember("create", "create", &Ok(made.clone()));
    state.commit().unwrap();
    let made = id(&made);
    let taken = state.capture_intent(&made, &Params::new(), NOW);
    state.remember("capture", "capture", &taken);
    state.commit().unwrap();
    let refund = state.create_refund(&params(&[("payment_intent", &made)]), NOW);
    state.remember("refund", "refund", &refund);
    state.commit().unwrap();
    state.settle_due(NOW + 2);
    state.commit().unwrap();
    made
}

#[test]
fn what_was_answered_survives_a_restart() {
    let folder = Folder::new();
    let mut state = folder.open();
    let made = buy_and_refund(&mut state);
    let refund = answered(state.list_refunds(&Params::new()));
    let sent = events(&state);
    drop(state);
    let mut state = folder.open();
    assert_eq!(answered(state.show_intent(&made)).1["status"], "succeeded");
    assert_eq!(answered(state.list_refunds(&Params::new())), refund);
    assert_eq!(refund.1["data"][0]["status"], "failed");
    assert_eq!(events(&state), sent);
    let known = state.begin("any", Some("capture"), "capture").key_state;
    assert!(matches!(known, KeyState::Known((200, _))));
    let first = state.undelivered()[0].clone();
    state.event_taken(&first);
    state.commit().unwrap();
    assert_eq!(events(&folder.open()), sent[1..]);
}

#[test]
fn a_refund_that_became_due_while_stopped_ends_at_the_next_call() {
    let folder = Folder::new();
    let mut state = folder.open();
    let made = paid(&mut state, "pm_card_pendingRefund");
    let refund = state.refund_at_dashboard(&made, 5, NOW).unwrap();
    state.commit().unwrap();
    drop(state);
    let mut state = folder.open();
    assert!(state.has_unsettled());
    state.settle_due(NOW + 60);
    assert_eq!(
        answered(state.show_refund(&refund)).1["status"],
        "succeeded"
    );
    assert_eq!(kinds(&state).last().unwrap(), "refund.updated");
}

/// A change, its event and the answer for its key are all present or all absent.
fn is_whole(state: &State) {
    let sent = kinds(state);
    let sent = |kind: &str| sent.iter().any(|it| it == kind);
    let knows = |key: &str| state.objects.answered.contains_key(key);
    let intent = state.objects.intents.oldest_first().next();
    let refund = state.objects.refunds.oldest_first().next();
    let is = |status: &str| intent.is_some_and(|intent| json!(intent.status) == status);
    assert_eq!(intent.is_some(), knows("create"));
    assert_eq!(
        intent.is_some(),
        sent("payment_intent.amount_capturable_updated")
    );
    assert_eq!(is("succeeded"), knows("capture"));
    assert_eq!(is("succeeded"), sent("payment_intent.succeeded"));
    assert_eq!(refund.is_some(), knows("refund"));
    assert_eq!(refund.is_some(), sent("refund.created"));
    assert_eq!(refund.is_some(), sent("charge.refunded"));
    let counted = refund.filter(|it| it.counts()).map_or(0, |it| it.amount);
    assert_eq!(intent.map_or(0, |it| it.amount_refunded), counted);
    let failed = refund.is_some_and(|it| !it.counts());
    assert_eq!(failed, sent("refund.failed"));
}

#[test]
fn a_crash_at_any_byte_leaves_whole_steps_and_a_file_that_goes_on() {
    let folder = Folder::new();
    buy_and_refund(&mut folder.open());
    let bytes = std::fs::read(folder.file()).unwrap();
    let crashed = Folder::new();
    let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
    // Four steps, one line each.
    assert_eq!(ends.len(), 4);
    let around_ends = ends.into_iter().flat_map(|end| [end - 1, end, end + 1]);
    for length in (0..bytes.len()).step_by(61).chain(around_ends) {
        std::fs::write(crashed.file(), &bytes[..length]).unwrap();
        let journal = recorded_journal(&crashed.0).unwrap();
        assert_eq!(std::fs::read(crashed.file()).unwrap().len(), length);
        let mut state = crashed.open();
        is_whole(&state);
        assert_eq!(state.journal(), journal);
        let next = id(&create(&mut state, "pm_card_visa"));
        state.commit().unwrap();
        let after = crashed.open();
        assert_eq!(after.journal().len(), journal.len() + 1);
        assert!(after.show_intent(&next).is_ok());
        let file = std::fs::read(crashed.file()).unwrap();
        for line in file
            .split(|byte| *byte == b'\n')
            .filter(|it| !it.is_empty())
        {
            assert!(serde_json::from_slice::<Vec<Record>>(line).is_ok());
        }
    }
}

#[test]
fn nothing_of_a_step_is_written_before_all_of_it_is_done() {
    let folder = Folder::new();
    let mut state = folder.open();
    create(&mut state, "pm_card_visa");
    assert_eq!(std::fs::read(folder.file()).unwrap().len(), 0);
    assert!(state.commit().unwrap());
    assert_eq!(recorded_journal(&folder.0).unwrap(), state.journal());
    // Only a step with events wakes the couriers.
    assert!(!state.commit().unwrap());
}

#[test]
fn a_file_of_an_older_version_is_read() {
    let folder = Folder::new();
    let old = format!(
        "{}\n\n{{\"kind\":\"refund\",\"is\":{{\"id\n{}\n",
        json!({"kind": "intent", "is": {
            "id": "pi_1", "secret": "s", "status": "succeeded", "amount": 5, "currency": "gbp",
            "amount_received": 5, "amount_refunded": 2, "capture_by_hand": true, "metadata": {},
            "created": 1, "by_script": false}}),
        json!({"kind": "refund", "is": {"id": "re_1", "intent": "pi_1", "charge": null,
            "amount": 2, "currency": "gbp", "created": 1, "metadata": {}}}),
    );
    std::fs::write(folder.file(), old).unwrap();
    let state = folder.open();
    assert_eq!(state.journal()[0].amount_refunded, 2);
    assert_eq!(answered(state.show_refund("re_1")).1["status"], "succeeded");
}

#[test]
fn a_folder_that_no_double_has_used_has_no_journal() {
    let nowhere = Path::new("/nonexistent/stripe-double");
    let error = recorded_journal(nowhere).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}
