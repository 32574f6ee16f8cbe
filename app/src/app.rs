//! The document around every page, and the routes of pages.
//!
//! Pages are rendered on the server only; only islands run in the browser. Navigation loads a page.

use crate::{
    accounts::{
        AccountPage, CodePage, ForgotPage, LeavePage, ResetPage, SecondFactorPage, SignInPage,
        SignUpPage, VerifyPage, api::SignOut,
    },
    event_page::EventPage,
    events::{EditEventPage, EventPicturePage, HomePage},
    help::HelpPage,
    my_tickets::TicketsPage,
    orders::{CheckoutPage, OrderPage, OrdersPage, held_strip},
    passes::{LinkedOrderPage, PrintPage},
    refunds::RefundPage,
    selling::{SellPage, SellingPage},
    ui::{GalleryPage, Icon, escape_text, icon, post_to, problem},
    waiting::WaitingListPage,
};
use islands::ThemeSwitch;
use leptos::{config::LeptosOptions, prelude::*};
use leptos_meta::{MetaTags, Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{Route, Router, Routes},
    path,
};
use model::error::AppError;

/// The speculation rules: which pages browsers may prefetch.
const PREFETCH: &str = r#"{"prefetch":[{"where":{"or":[{"href_matches":"/"},{"href_matches":"/events/*"}]},"eagerness":"conservative"}]}"#;

/// Enables cross-fades between pages unless reduced motion is preferred. Inline, because a stylesheet can load
/// too late for the transition. The content security policy allows it by its hash, because a page that an island
/// fetches has another nonce.
pub const FADE: &str =
    "@media (prefers-reduced-motion:no-preference){@view-transition{navigation:auto}}";

/// The HTML document.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=context::theme()>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <style inner_html=FADE></style>
                <link rel="icon" href="/favicon.ico" sizes="32x32"/>
                <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
                <link rel="apple-touch-icon" href="/apple-touch-icon.png"/>
                <link rel="stylesheet" href="/pkg/stagedoor.css"/>
                <AutoReload options=options.clone()/>
                <HydrationScripts options islands=true/>
                // Prefetches only when a link is pressed, because availability changes quickly.
                <script type="speculationrules" nonce=leptos::nonce::use_nonce() inner_html=PREFETCH></script>
                <MetaTags/>
            </head>
            <body>
                <App/>
            </body>
        </html>
    }
}

/// The router with all pages.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    let refused = context::track_refusals();
    let frame = !is_sheet(&context::here());
    view! {
        <Title formatter=move |title: String| document_title(&title, refused.is_marked())/>
        <Router>
            {frame.then(|| view! {
                <a class="skip" href="#main">"Skip to the page"</a>
                <Header/>
                {held_strip()}
            })}
            <main id="main" class="wrap" tabindex="-1">
                <Routes fallback=|| problem(&AppError::NotFound)>
                    <Route path=path!("/") view=HomePage ssr=SsrMode::Async/>
                    <Route path=path!("/events/:id") view=EventPage ssr=SsrMode::Async/>
                    <Route path=path!("/events/:id/edit") view=EditEventPage ssr=SsrMode::Async/>
                    <Route path=path!("/events/:id/picture") view=EventPicturePage ssr=SsrMode::Async/>
                    <Route path=path!("/sell") view=SellPage ssr=SsrMode::Async/>
                    <Route path=path!("/selling") view=SellingPage ssr=SsrMode::Async/>
                    <Route path=path!("/waiting-list") view=WaitingListPage ssr=SsrMode::Async/>
                    <Route path=path!("/checkout") view=CheckoutPage ssr=SsrMode::Async/>
                    <Route path=path!("/orders") view=OrdersPage ssr=SsrMode::Async/>
                    <Route path=path!("/orders/:id") view=OrderPage ssr=SsrMode::Async/>
                    <Route path=path!("/order") view=LinkedOrderPage ssr=SsrMode::Async/>
                    <Route path=path!("/orders/:id/tickets") view=PrintPage ssr=SsrMode::Async/>
                    <Route path=path!("/tickets") view=TicketsPage ssr=SsrMode::Async/>
                    <Route path=path!("/tickets/:id/refund") view=RefundPage ssr=SsrMode::Async/>
                    <Route path=path!("/signup") view=SignUpPage ssr=SsrMode::Async/>
                    <Route path=path!("/signin") view=SignInPage ssr=SsrMode::Async/>
                    <Route path=path!("/signin/code") view=CodePage ssr=SsrMode::Async/>
                    <Route path=path!("/forgot") view=ForgotPage ssr=SsrMode::Async/>
                    <Route path=path!("/reset") view=ResetPage ssr=SsrMode::Async/>
                    <Route path=path!("/verify") view=VerifyPage ssr=SsrMode::Async/>
                    <Route path=path!("/help") view=HelpPage ssr=SsrMode::Async/>
                    <Route path=path!("/ui") view=GalleryPage ssr=SsrMode::Async/>
                    <Route path=path!("/account") view=AccountPage ssr=SsrMode::Async/>
                    <Route path=path!("/account/second-factor") view=SecondFactorPage ssr=SsrMode::Async/>
                    <Route path=path!("/account/delete") view=LeavePage ssr=SsrMode::Async/>
                </Routes>
            </main>
            {frame.then(|| view! { <Footer/> })}
        </Router>
    }
}

/// Whether the page is the printable tickets, which have no header and footer.
fn is_sheet(here: &str) -> bool {
    let path = here.split('?').next().unwrap_or_default();
    path.starts_with("/orders/") && path.ends_with("/tickets")
}

/// The document's title, escaped because `leptos_meta` writes it unescaped and titles contain user input.
fn document_title(title: &str, refused: bool) -> String {
    let title = escape_text(title);
    let error = if refused { "Error: " } else { "" };
    if title.is_empty() {
        format!("{error}Stagedoor")
    } else {
        format!("{error}{title} · Stagedoor")
    }
}

#[component]
fn Header() -> impl IntoView {
    let demo = context::site().is_ok_and(|site| site.demo.is_some());
    let here = context::here();
    // The home page has a larger search field.
    let at_home = here.split('?').next() == Some("/");
    let link = |href: &'static str, which: Icon, text: &'static str| {
        let current = here.split('?').next() == Some(href);
        view! {
            <a class="nav-link" href=href aria-current=current.then_some("page")>
                {icon(which)} <span>{text}</span>
            </a>
        }
    };
    let account = if context::viewer().is_some() {
        view! {
            {link("/tickets", Icon::Ticket, "Tickets")}
            {link("/orders", Icon::Receipt, "Orders")}
            {link("/account", Icon::Person, "Account")}
            {post_to::<SignOut>("", view! {
                <button class="nav-link" type="submit"><span>"Sign out"</span></button>
            })}
        }
        .into_any()
    } else {
        view! {
            {link("/signin", Icon::Person, "Sign in")}
            <a class="button button-small" href="/signup">"Sign up"</a>
        }
        .into_any()
    };
    view! {
        {demo.then(|| view! {
            <p class="demo-bar">
                "Demo shop: a built-in test bank, no real money."
            </p>
        })}
        <header class="site-header">
            <div class="wrap header-row">
                <a class="brand" href="/">
                    <svg viewBox="0 0 32 32" aria-hidden="true">
                        <path d="M6 29V9a10 10 0 0 1 20 0v20Z" fill="currentColor"></path>
                        <path class="brand-light" d="M11 29V11a5 5 0 0 1 10 0v18Z"></path>
                    </svg>
                    <span class="brand-name">"Stagedoor"</span>
                </a>
                {(!at_home).then(search)}
                // On a phone the links are a popover, so that the header is one row.
                <button class="button button-quiet button-small menu-button" type="button" popovertarget="menu">
                    "Menu"
                </button>
                <nav class="nav" id="menu" popover="auto" aria-label="Main">
                    <button
                        class="button button-quiet button-small menu-button"
                        type="button"
                        popovertarget="menu"
                        popovertargetaction="hide"
                    >
                        "Close"
                    </button>
                    {link("/sell", Icon::Tag, "Sell")}
                    {account}
                    <ThemeSwitch secure=context::is_secure()/>
                </nav>
            </div>
        </header>
    }
}

fn search() -> impl IntoView {
    view! {
        <form class="search" role="search" action="/" method="get">
            {icon(Icon::Search)}
            <input
                class="search-input"
                type="search"
                name="q"
                maxlength="100"
                placeholder="Event, venue or city"
                aria-label="Search events"
            />
            <button class="sr-only" type="submit">"Search"</button>
        </form>
    }
}

#[component]
fn Footer() -> impl IntoView {
    view! {
        <footer class="site-footer">
            <div class="wrap footer-row">
                <p>"Every price is the full price. Tickets are held for you while you pay."</p>
                <p class="row"><a href="/help">"Help"</a> <a href="/api/docs">"API"</a></p>
            </div>
        </footer>
    }
}

#[cfg(test)]
mod tests {
    use super::is_sheet;
    use context::{PAGES, is_page};

    #[test]
    fn only_printable_tickets_have_no_header_and_footer() {
        for (here, alone) in [
            ("/orders/1/tickets", true),
            ("/orders/1/tickets?a=b", true),
            ("/orders/1", false),
            ("/tickets", false),
            ("/orders?a=/tickets", false),
        ] {
            assert_eq!(is_sheet(here), alone, "{here}");
        }
    }

    #[test]
    fn every_route_is_a_page() {
        let routes: Vec<&str> = include_str!("app.rs")
            .split("path!(\"")
            .skip(1)
            .filter_map(|behind| behind.split_once("\") view=").map(|(path, _)| path))
            .collect();
        assert!(routes.len() > 20, "{routes:?}");
        for path in &routes {
            assert!(is_page(path), "{path}");
        }
        for first in PAGES {
            let begins = format!("/{first}");
            assert!(
                routes
                    .iter()
                    .any(|path| *path == begins || path.starts_with(&format!("{begins}/"))),
                "{begins} is no page"
            );
        }
    }
}
