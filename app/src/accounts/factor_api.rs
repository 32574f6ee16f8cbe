//! Server functions of the second factor.

use leptos::server;
use model::{accounts::Password, error::AppError};

/// The forms of `/account/second-factor`, and of `/signin/code`.
pub(super) const ENABLE: &str = "enable";
pub(super) const DISABLE: &str = "disable";
pub(super) const RENEW: &str = "renew";
pub(super) const CODE: &str = "code";
pub(super) const RECOVERY: &str = "recovery";
/// The flash that carries new recovery codes to the page that shows them once.
pub(super) const NEW_CODES: &str = "new-codes";

const PAGE: &str = "/account/second-factor";

/// Completes a sign-in with a code and redirects to `next`. `recovery` says which of the page's two forms
/// was sent.
#[server(prefix = "/fn", endpoint = "accounts/finish_sign_in")]
pub async fn finish_sign_in(
    #[server(default)] pending: String,
    #[server(default)] code: String,
    #[server(default)] next: String,
    #[server(default)] recovery: bool,
) -> Result<(), AppError> {
    use model::accounts::{PendingSignIn, SecondFactor};
    if context::lacks_cookies() {
        return Ok(());
    }
    let factor = context::port::<dyn SecondFactor>()?;
    let form = if recovery { RECOVERY } else { CODE };
    match factor
        .finish_sign_in(PendingSignIn(pending.clone()), code)
        .await
    {
        Ok(_) => {
            context::redirect(&context::local_path(&next).unwrap_or_else(|| "/".to_owned()));
            Ok(())
        }
        Err(AppError::SignInRequired) if context::posted_by_form() => {
            let error = AppError::invalid("", "That took too long. Sign in once more.");
            context::refuse_at(
                &context::with_next("/signin", &next),
                "sign-in",
                &error,
                &[],
            );
            Ok(())
        }
        Err(error) => context::refuse(form, error, &[("pending", &pending)]),
    }
}

/// Turns the second factor on, and shows the recovery codes.
#[server(prefix = "/fn", endpoint = "accounts/enable_second_factor")]
pub async fn enable_second_factor(
    #[server(default)] setup: String,
    #[server(default)] password: Password,
    #[server(default)] code: String,
    #[server(default)] next: String,
) -> Result<(), AppError> {
    use model::accounts::{EnableSecondFactor, SecondFactor};
    let factor = context::port::<dyn SecondFactor>()?;
    let typed = [("setup", setup.as_str())];
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse(ENABLE, error, &typed),
    };
    let request = EnableSecondFactor {
        setup: setup.clone(),
        password,
        code,
    };
    match factor.enable_second_factor(&viewer, request).await {
        Ok(codes) => {
            show_codes(&codes, &next);
            Ok(())
        }
        // The setup is a hidden field, so its error is shown at the top; the page replaces an expired one.
        Err(error) => context::refuse(ENABLE, context::at_fields(error, &[("setup", "")]), &typed),
    }
}

/// Turns the second factor off.
#[server(prefix = "/fn", endpoint = "accounts/disable_second_factor")]
pub async fn disable_second_factor(
    #[server(default)] password: Password,
    #[server(default)] code: String,
) -> Result<(), AppError> {
    use model::accounts::{ProveSecondFactor, SecondFactor};
    let factor = context::port::<dyn SecondFactor>()?;
    let off = match context::require_viewer() {
        Ok(viewer) => {
            let request = ProveSecondFactor { password, code };
            factor.disable_second_factor(&viewer, request).await
        }
        Err(error) => Err(error),
    };
    match off {
        Ok(()) => {
            context::notice("Two-step sign-in is off. Your password alone signs you in.");
            context::redirect("/account");
            Ok(())
        }
        Err(error) => context::refuse(DISABLE, error, &[]),
    }
}

/// Replaces the recovery codes, and shows the new ones.
#[server(prefix = "/fn", endpoint = "accounts/renew_recovery_codes")]
pub async fn renew_recovery_codes(
    #[server(default)] password: Password,
    #[server(default)] code: String,
) -> Result<(), AppError> {
    use model::accounts::{ProveSecondFactor, SecondFactor};
    let factor = context::port::<dyn SecondFactor>()?;
    let renewed = match context::require_viewer() {
        Ok(viewer) => {
            let request = ProveSecondFactor { password, code };
            factor.renew_recovery_codes(&viewer, request).await
        }
        Err(error) => Err(error),
    };
    match renewed {
        Ok(codes) => {
            show_codes(&codes, "");
            Ok(())
        }
        Err(error) => context::refuse(RENEW, error, &[]),
    }
}

/// Redirects to the page that shows the codes once, from a flash that only this browser has.
fn show_codes(codes: &model::accounts::RecoveryCodes, next: &str) {
    let values: Vec<(&str, &str)> = codes
        .recovery_codes
        .iter()
        .map(|code| ("code", code.as_str()))
        .collect();
    context::prefill(NEW_CODES, &values);
    let next = context::local_path(next).unwrap_or_default();
    context::redirect(&context::with_next(PAGE, &next));
}

/// Ends all sessions of an account. For operators.
#[server(prefix = "/fn", endpoint = "accounts/end_sessions_of")]
pub async fn end_sessions_of(#[server(default)] email: String) -> Result<(), AppError> {
    use model::accounts::{AccountCare, EndSessionsOf};
    const FORM: &str = "operator";
    let care = context::port::<dyn AccountCare>()?;
    let typed = [("email", email.as_str())];
    let request = EndSessionsOf {
        email: email.clone(),
    };
    let ended = match context::require_viewer() {
        Ok(viewer) => care.end_sessions_of(&viewer, request).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => {
            context::notice(format!("{} is signed out everywhere.", email.trim()));
            context::redirect("/account");
            Ok(())
        }
        Err(error) => context::refuse(FORM, error, &typed),
    }
}
