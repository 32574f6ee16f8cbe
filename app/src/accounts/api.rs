//! Server functions of accounts.

use leptos::server;
use model::{
    accounts::{Password, ResetToken},
    error::AppError,
    ids::SessionId,
};

/// Creates an account, signs in, and redirects to `next`.
#[server(prefix = "/fn", endpoint = "accounts/sign_up")]
pub async fn sign_up(
    #[server(default)] email: String,
    #[server(default)] password: Password,
    #[server(default)] name: String,
    #[server(default)] next: String,
) -> Result<(), AppError> {
    use model::accounts::{Accounts, SignUp};
    if context::lacks_cookies() {
        return Ok(());
    }
    let accounts = context::port::<dyn Accounts>()?;
    let request = SignUp {
        email: email.clone(),
        password,
        name: Some(name.clone()).filter(|name| !name.trim().is_empty()),
    };
    match accounts.sign_up(request).await {
        Ok(user) => {
            context::notice(format!("Welcome, {}.", user.name));
            context::redirect(&context::local_path(&next).unwrap_or_else(|| "/".to_owned()));
            Ok(())
        }
        Err(error) => context::refuse("sign-up", error, &[("email", &email), ("name", &name)]),
    }
}

/// Signs in and redirects to `next`, or to the page that asks for the code.
#[server(prefix = "/fn", endpoint = "accounts/sign_in")]
pub async fn begin_sign_in(
    #[server(default)] email: String,
    #[server(default)] password: Password,
    #[server(default)] next: String,
) -> Result<(), AppError> {
    use crate::accounts::factor_api::CODE;
    use model::accounts::{SecondFactor, SignIn, SignInStep};
    if context::lacks_cookies() {
        return Ok(());
    }
    let factor = context::port::<dyn SecondFactor>()?;
    let next = context::local_path(&next).unwrap_or_default();
    let request = SignIn {
        email: email.clone(),
        password,
        code: None,
    };
    match factor.begin_sign_in(request).await {
        Ok(SignInStep::Done(_)) => {
            context::redirect(if next.is_empty() { "/" } else { &next });
            Ok(())
        }
        Ok(SignInStep::Code(pending)) if context::posted_by_form() => {
            context::prefill(CODE, &[("pending", &pending.0)]);
            context::redirect(&context::with_next("/signin/code", &next));
            Ok(())
        }
        Ok(SignInStep::Code(_)) => {
            let error = AppError::SecondFactorRequired { wrong: false };
            context::refuse("sign-in", error, &[])
        }
        Err(error) => context::refuse("sign-in", error, &[("email", &email)]),
    }
}

#[server(prefix = "/fn", endpoint = "accounts/sign_out")]
pub async fn sign_out() -> Result<(), AppError> {
    use model::accounts::Accounts;
    context::port::<dyn Accounts>()?.sign_out().await?;
    context::delete_draft();
    context::notice("You are signed out.");
    context::redirect("/");
    Ok(())
}

/// Changes the viewer's name.
#[server(prefix = "/fn", endpoint = "accounts/rename")]
pub async fn rename(#[server(default)] name: String) -> Result<(), AppError> {
    use model::accounts::Accounts;
    let accounts = context::port::<dyn Accounts>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse("rename", error, &[("name", &name)]),
    };
    match accounts.rename(&viewer, name.clone()).await {
        Ok(user) => {
            context::notice(format!("Others now see you as {}.", user.name));
            context::redirect("/account");
            Ok(())
        }
        Err(error) => context::refuse("rename", error, &[("name", &name)]),
    }
}

/// Sets a new password and ends all other sessions.
#[server(prefix = "/fn", endpoint = "accounts/change_password")]
pub async fn change_password(
    #[server(default)] current_password: Password,
    #[server(default)] new_password: Password,
) -> Result<(), AppError> {
    use model::accounts::{AccountCare, ChangePassword};
    const FORM: &str = "password";
    let care = context::port::<dyn AccountCare>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse(FORM, error, &[]),
    };
    let request = ChangePassword {
        current_password,
        new_password,
    };
    match care.change_password(&viewer, request).await {
        Ok(()) => {
            context::notice("Your password is changed. You are signed out everywhere else.");
            context::redirect("/account");
            Ok(())
        }
        Err(error) => {
            let names = [
                ("currentPassword", "current_password"),
                ("newPassword", "new_password"),
            ];
            context::refuse(FORM, context::at_fields(error, &names), &[])
        }
    }
}

#[server(prefix = "/fn", endpoint = "accounts/end_session")]
pub async fn end_session(session_id: SessionId) -> Result<(), AppError> {
    use model::accounts::AccountCare;
    let care = context::port::<dyn AccountCare>()?;
    let ended = match context::require_viewer() {
        Ok(viewer) => care.end_session(&viewer, session_id).await,
        Err(error) => Err(error),
    };
    match ended {
        // The session had already ended, which is the requested result.
        Ok(()) | Err(AppError::NotFound) => {
            context::notice("You are signed out there.");
            context::redirect("/account");
            Ok(())
        }
        Err(error) => context::refuse("sessions", error, &[]),
    }
}

#[server(prefix = "/fn", endpoint = "accounts/end_other_sessions")]
pub async fn end_other_sessions() -> Result<(), AppError> {
    use model::accounts::AccountCare;
    let care = context::port::<dyn AccountCare>()?;
    let ended = match context::require_viewer() {
        Ok(viewer) => care.end_other_sessions(&viewer).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => {
            context::notice("You are signed out everywhere else.");
            context::redirect("/account");
            Ok(())
        }
        Err(error) => context::refuse("sessions", error, &[]),
    }
}

/// Mails a link to set a new password. The response is the same whether or not there is an account.
#[server(prefix = "/fn", endpoint = "accounts/forgot")]
pub async fn request_reset(
    #[server(default)] email: String,
    #[server(default)] next: String,
) -> Result<(), AppError> {
    use model::accounts::{AccountCare, Forgot};
    if context::lacks_cookies() {
        return Ok(());
    }
    let care = context::port::<dyn AccountCare>()?;
    let request = Forgot {
        email: email.clone(),
    };
    match care
        .request_reset(request, context::local_path(&next))
        .await
    {
        Ok(()) => {
            context::notice(
                "If there is an account with that address, a mail with a link is on its way. The \
                 link works for 30 minutes. If it does not arrive, check your spam folder and \
                 the address.",
            );
            context::redirect(&context::with_next("/forgot", &next));
            Ok(())
        }
        Err(error) => context::refuse("forgot", error, &[("email", &email)]),
    }
}

/// Sets a new password by the mailed link, and signs in.
#[server(prefix = "/fn", endpoint = "accounts/reset")]
pub async fn reset_password(
    #[server(default)] token: ResetToken,
    #[server(default)] password: Password,
    #[server(default)] code: String,
) -> Result<(), AppError> {
    use model::accounts::{AccountCare, ResetPassword};
    if context::lacks_cookies() {
        return Ok(());
    }
    let care = context::port::<dyn AccountCare>()?;
    let request = ResetPassword {
        token,
        password,
        code: Some(code),
    };
    match care.reset_password(request).await {
        Ok(sign_in) => {
            context::notice("Your new password is set, and you are signed in.");
            context::redirect(sign_in.next.as_deref().unwrap_or("/account"));
            Ok(())
        }
        // The token is a hidden field, so its error is shown at the top of the form.
        Err(error) => context::refuse("reset", context::at_fields(error, &[("token", "")]), &[]),
    }
}

/// Signs a guest in by the mailed link, without a password.
#[server(prefix = "/fn", endpoint = "accounts/enter")]
pub async fn sign_in_by_link(#[server(default)] token: ResetToken) -> Result<(), AppError> {
    use model::accounts::AccountCare;
    if context::lacks_cookies() {
        return Ok(());
    }
    let care = context::port::<dyn AccountCare>()?;
    match care.sign_in_by_link(token).await {
        Ok(sign_in) => {
            context::notice(format!("Welcome back, {}.", sign_in.user.name));
            context::redirect(sign_in.next.as_deref().unwrap_or("/tickets"));
            Ok(())
        }
        Err(error) => context::refuse("reset", context::at_fields(error, &[("token", "")]), &[]),
    }
}

/// Mails a verification link to the viewer's address again.
#[server(prefix = "/fn", endpoint = "accounts/send_proof")]
pub async fn send_verification_link() -> Result<(), AppError> {
    use model::accounts::AccountCare;
    let care = context::port::<dyn AccountCare>()?;
    let sent = match context::require_viewer() {
        Ok(viewer) => care.send_verification_link(&viewer).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => {
            context::notice(
                "A mail with a link is on its way to your address. It is sent once an hour at most. \
                 If it does not arrive, check your spam folder, or correct the address below.",
            );
            context::redirect("/account");
            Ok(())
        }
        Err(error) => context::refuse("address", error, &[]),
    }
}

/// Mails a verification link to a new address.
#[server(prefix = "/fn", endpoint = "accounts/change_email")]
pub async fn change_email(
    #[server(default)] email: String,
    #[server(default)] password: Password,
) -> Result<(), AppError> {
    use model::accounts::{AccountCare, ChangeEmail};
    const FORM: &str = "address";
    let care = context::port::<dyn AccountCare>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse(FORM, error, &[("email", &email)]),
    };
    let request = ChangeEmail {
        email: email.clone(),
        password,
    };
    match care.change_email(&viewer, request).await {
        Ok(()) => {
            context::notice(format!(
                "We have mailed a link to {}. Once you have followed it, that is your address.",
                email.trim()
            ));
            context::redirect("/account");
            Ok(())
        }
        Err(error) => context::refuse(FORM, error, &[("email", &email)]),
    }
}

/// Verifies an address by the link that was mailed to it.
#[server(prefix = "/fn", endpoint = "accounts/verify")]
pub async fn verify_email(#[server(default)] token: ResetToken) -> Result<(), AppError> {
    use model::accounts::AccountCare;
    if context::lacks_cookies() {
        return Ok(());
    }
    let care = context::port::<dyn AccountCare>()?;
    match care.verify_email(token).await {
        Ok(user) => {
            context::notice(format!("{} is confirmed. Thank you.", user.email));
            let signed_in = context::viewer().is_some_and(|viewer| viewer.user.id == user.id);
            context::redirect(if signed_in { "/account" } else { "/signin" });
            Ok(())
        }
        // The token is a hidden field, so its error is shown at the top of the form.
        Err(error) => context::refuse("verify", context::at_fields(error, &[("token", "")]), &[]),
    }
}

#[server(prefix = "/fn", endpoint = "accounts/delete")]
pub async fn delete_account(#[server(default)] password: Password) -> Result<(), AppError> {
    use model::accounts::{AccountCare, DeleteAccount};
    let care = context::port::<dyn AccountCare>()?;
    let deleted = match context::require_viewer() {
        Ok(viewer) => {
            care.delete_account(&viewer, DeleteAccount { password })
                .await
        }
        Err(error) => Err(error),
    };
    match deleted {
        Ok(()) => {
            context::notice("Your account is deleted.");
            context::redirect("/");
            Ok(())
        }
        Err(error) => context::refuse("delete", error, &[]),
    }
}
