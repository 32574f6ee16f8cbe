//! Server functions of accounts.

use super::Password;
use crate::error::AppError;
use leptos::server;

/// Makes an account, signs it in, and goes on to `next`.
#[server(prefix = "/fn", endpoint = "accounts/sign_up")]
pub async fn sign_up(
    #[server(default)] email: String,
    #[server(default)] password: Password,
    #[server(default)] name: String,
    #[server(default)] next: String,
) -> Result<(), AppError> {
    use crate::{
        accounts::{Accounts, SignUp},
        context,
    };
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

/// Signs in, and goes on to `next`.
#[server(prefix = "/fn", endpoint = "accounts/sign_in")]
pub async fn sign_in(
    #[server(default)] email: String,
    #[server(default)] password: Password,
    #[server(default)] next: String,
) -> Result<(), AppError> {
    use crate::{
        accounts::{Accounts, SignIn},
        context,
    };
    let accounts = context::port::<dyn Accounts>()?;
    match accounts
        .sign_in(SignIn {
            email: email.clone(),
            password,
        })
        .await
    {
        Ok(_) => {
            context::redirect(&context::local_path(&next).unwrap_or_else(|| "/".to_owned()));
            Ok(())
        }
        Err(error) => context::refuse("sign-in", error, &[("email", &email)]),
    }
}

/// Ends the session.
#[server(prefix = "/fn", endpoint = "accounts/sign_out")]
pub async fn sign_out() -> Result<(), AppError> {
    use crate::{accounts::Accounts, context};
    context::port::<dyn Accounts>()?.sign_out().await?;
    context::notice("You are signed out.");
    context::redirect("/");
    Ok(())
}

/// Changes what others see of you.
#[server(prefix = "/fn", endpoint = "accounts/rename")]
pub async fn rename(#[server(default)] name: String) -> Result<(), AppError> {
    use crate::{accounts::Accounts, context};
    let accounts = context::port::<dyn Accounts>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse("rename", error, &[]),
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
