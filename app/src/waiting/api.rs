//! Server functions of the waiting list.

use leptos::server;
use model::{error::AppError, waiting::WaitingToken};

/// The name of the form on an event's page.
pub(super) const FORM: &str = "waiting-list";

/// Joins the list of an event. The response does not reveal whether the address is known.
#[server(prefix = "/fn", endpoint = "waiting/join")]
pub async fn join(
    #[server(default)] event_id: String,
    #[server(default)] email: String,
    #[server(default)] quantity: String,
) -> Result<(), AppError> {
    use model::{
        error::Conflict,
        waiting::{JoinWaitingList, WaitingList},
    };
    if context::lacks_cookies() {
        return Ok(());
    }
    let list = context::port::<dyn WaitingList>()?;
    let viewer = context::viewer();
    let typed = [("email", email.as_str()), ("quantity", quantity.as_str())];
    let Ok(event) = event_id.parse() else {
        return context::refuse(FORM, AppError::NotFound, &typed);
    };
    let request = JoinWaitingList {
        email: Some(email.clone()),
        // Text that is not a number is refused like 0.
        quantity: (!quantity.is_empty()).then(|| quantity.parse().unwrap_or(0)),
    };
    match list.join(viewer.as_ref(), event, request).await {
        Ok(joined) if joined.confirmed => {
            context::notice(
                "You are on the waiting list. We have mailed you that, with a link to leave it.",
            );
            context::redirect(&format!("/events/{event}"));
            Ok(())
        }
        Ok(_) => {
            context::notice(
                "Please confirm: open the mail that we have sent you, follow its link and press the button \
                 there. If it does not arrive, check your spam folder. We send no mail to an address \
                 that is already on the list, and at most one mail per hour.",
            );
            context::redirect(&format!("/events/{event}"));
            Ok(())
        }
        // Tickets became available while the form was open; the page now shows them instead of the form.
        Err(AppError::Conflict {
            conflict: conflict @ Conflict::TicketsForSale,
            ..
        }) => {
            context::notice(conflict.message());
            context::redirect(&format!("/events/{event}"));
            Ok(())
        }
        Err(error) => context::refuse(FORM, error, &typed),
    }
}

/// Deletes the viewer's own entry for an event.
#[server(prefix = "/fn", endpoint = "waiting/leave")]
pub async fn leave(#[server(default)] event_id: String) -> Result<(), AppError> {
    use model::waiting::WaitingList;
    let list = context::port::<dyn WaitingList>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse(FORM, error, &[]),
    };
    let Ok(event) = event_id.parse() else {
        return context::refuse(FORM, AppError::NotFound, &[]);
    };
    match list.leave(&viewer, event).await {
        // Already deleted.
        Ok(()) | Err(AppError::NotFound) => {
            context::notice("You are off the waiting list.");
            context::redirect(&format!("/events/{event}"));
            Ok(())
        }
        Err(error) => context::refuse(FORM, error, &[]),
    }
}

/// Confirms the address of a mailed link.
#[server(prefix = "/fn", endpoint = "waiting/confirm")]
pub async fn confirm(#[server(default)] token: WaitingToken) -> Result<(), AppError> {
    use model::waiting::WaitingList;
    if context::lacks_cookies() {
        return Ok(());
    }
    let list = context::port::<dyn WaitingList>()?;
    match list.confirm(&token).await {
        Ok(_) => {
            context::notice("You are on the waiting list.");
            context::redirect(&format!("/waiting-list?token={}", token.0));
            Ok(())
        }
        // The token is not a visible field, so the error is shown at the top.
        Err(error) => context::refuse(FORM, context::at_fields(error, &[("token", "")]), &[]),
    }
}

/// Deletes the entry of a mailed link.
#[server(prefix = "/fn", endpoint = "waiting/leave_by_link")]
pub async fn leave_by_link(#[server(default)] token: WaitingToken) -> Result<(), AppError> {
    use model::waiting::WaitingList;
    if context::lacks_cookies() {
        return Ok(());
    }
    let list = context::port::<dyn WaitingList>()?;
    match list.leave_by_link(&token).await {
        Ok(event) => {
            context::notice("You are off the waiting list, and your address is deleted from it.");
            let event = event.map(|event| format!("/events/{event}"));
            context::redirect(&event.unwrap_or_else(|| "/".to_owned()));
            Ok(())
        }
        Err(error) => context::refuse(FORM, error, &[]),
    }
}
