//! Which request goes where: pages, server functions, REST, health, robots, files; and in which order
//! each passes the middleware, the session and the idempotency keys.

use crate::{
    config,
    files::Files,
    health::{self, Health},
    middleware::{CspNonce, MiddlewareState, identify_viewer, refuse, wrap_every_request},
    pictures,
    rest::{
        self, attempts,
        order_files::{self, OrderFiles},
    },
    robots::{self, Robots},
    session_cookie,
};
use app::{
    app::{App, shell},
    events::api::PutPicture,
};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{FromRef, Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
    routing::any,
};
use context::{PageClock, Site, own_page};
use ipnet::IpNet;
use jiff::Timestamp;
use leptos::{
    config::LeptosOptions,
    context::provide_context,
    nonce::Nonce,
    prelude::use_context,
    server_fn::{ServerFn, error::SERVER_FN_ERROR_HEADER},
};
use leptos_axum::{LeptosRoutes, generate_route_list_with_exclusions_and_ssg_and_context};
use model::error::AppError;
use platform::{clock::SharedClock, idempotency::IdempotencyKeys};
use shop::events::Uploads;
use shop::{Api, Shop};
use std::sync::Arc;
use tower_http::{CompressionLevel, catch_panic::CatchPanicLayer, compression::CompressionLayer};
use utoipa_swagger_ui::SwaggerUi;

/// More than any error of a server function.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// What the pages are rendered with.
#[derive(Clone)]
struct Pages {
    options: LeptosOptions,
    files: Files,
    api: Api,
    site: Arc<Site>,
    clock: Arc<dyn PageClock>,
}

/// Pages ask the same clock as everything else.
struct SameClock(SharedClock);

impl PageClock for SameClock {
    fn now(&self) -> Timestamp {
        self.0.now().timestamp()
    }
}

impl FromRef<Pages> for LeptosOptions {
    fn from_ref(pages: &Pages) -> Self {
        pages.options.clone()
    }
}

/// What a router needs besides the shop.
pub struct Web {
    /// What the pages' files are called.
    pub options: LeptosOptions,
    /// Where they are.
    pub files: Files,
    /// What every page may know.
    pub site: Arc<Site>,
    /// Alive, ready, and how it goes.
    pub health: Health,
    /// The built-in Stripe double's side that browsers meet, in demo mode.
    pub double: Option<Router>,
    /// Whose word on where a request comes from is taken.
    pub trusted_proxies: Arc<[IpNet]>,
    /// How many pictures may be on their way in from one network address.
    pub uploads_per_address: usize,
    /// `Strict-Transport-Security`, where the shop is served over TLS and says so.
    pub transport_security: Option<HeaderValue>,
}

/// Everything that answers.
pub fn router(shop: &Shop, web: Web) -> Router {
    let secure = web.site.public_url.starts_with("https://");
    let state = MiddlewareState {
        public_url: web.site.public_url.as_str().into(),
        secure,
        transport_security: web.transport_security.filter(|_| secure),
        stripe_hosts: web.site.demo.is_none(),
        watched: config::is_watched(),
        clock: shop.clock.clone(),
        limits: shop.limits.clone(),
        sessions: Arc::new(shop.sessions.clone()),
        uploads: Arc::new(Uploads::new(
            web.uploads_per_address,
            web.trusted_proxies.clone(),
            shop.limits.clone(),
        )),
        trusted_proxies: web.trusted_proxies,
        draining: web.health.draining.clone(),
    };
    let sessions = session_cookie::layer(shop.sessions.clone(), secure);
    let keys = IdempotencyKeys {
        db: shop.db.clone(),
        clock: shop.clock.clone(),
    };
    let robots = Robots {
        db: shop.db.clone(),
        clock: shop.clock.clone(),
        public_url: web.site.public_url.as_str().into(),
    };
    let api = shop.api();
    let pages = Pages {
        options: web.options,
        files: web.files,
        api: api.clone(),
        site: web.site,
        clock: Arc::new(SameClock(shop.clock.clone())),
    };

    let people = rest(api, keys)
        .merge(page_routes(pages))
        .layer(from_fn_with_state(state.clone(), identify_viewer))
        .layer(sessions);
    let mut all = people
        .merge(health::routes(web.health))
        .merge(robots::routes(robots))
        .merge(pictures::routes(shop.db.clone()));
    if let Some(double) = web.double {
        all = all.nest("/stripe-double", double);
    }
    all.layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state, wrap_every_request))
}

/// A bug of ours: the caller gets the request's id, the log has the rest.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that the layer asks for"
)]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no words");
    let incident = platform::request::id();
    tracing::error!(incident, panic = words, "a request panicked");
    let error = AppError::Internal { incident };
    rest::problem(error.status(), &error)
}

fn rest(api: Api, keys: IdempotencyKeys) -> Router {
    let (routes, document) = rest::routes();
    let nowhere = || async { rest::problem(StatusCode::NOT_FOUND, &AppError::NotFound) };
    let described = SwaggerUi::new("/api/docs").url("/api/openapi.json", document);
    routes
        .method_not_allowed_fallback(not_that_way)
        .layer(from_fn_with_state(keys, attempts::answer_once))
        .merge(rest::selling::downloads())
        .with_state(api)
        .merge(Router::from(described).method_not_allowed_fallback(not_that_way))
        .route("/api", any(nowhere))
        .route("/api/", any(nowhere))
        .route("/api/{*nowhere}", any(nowhere))
}

async fn not_that_way(method: Method, uri: Uri) -> Response {
    let message = format!("{method} does not work on {}.", uri.path());
    rest::problem(
        StatusCode::METHOD_NOT_ALLOWED,
        &AppError::invalid("", message),
    )
}

fn page_routes(pages: Pages) -> Router {
    let context = pages.clone();
    let (routes, _) = generate_route_list_with_exclusions_and_ssg_and_context(App, None, {
        let context = pages.clone();
        move || provide(&context)
    });
    let options = pages.options.clone();
    let order_files = OrderFiles {
        passes: Arc::clone(&pages.api.passes),
        not_found: Router::new()
            .fallback(file_or_nothing)
            .with_state(pages.clone()),
    };
    Router::new()
        .merge(order_files::routes(order_files))
        .leptos_routes_with_context(
            &pages,
            routes,
            move || provide(&context),
            move || shell(options.clone()),
        )
        .fallback(file_or_nothing)
        .layer(from_fn(forms_have_parts))
        .layer(from_fn_with_state(pages.clone(), around_server_functions))
        .with_state(pages)
}

/// What pages and server functions find in their context; see the crate `context`.
fn provide(pages: &Pages) {
    provide_context(Arc::clone(&pages.api.accounts));
    provide_context(Arc::clone(&pages.api.account_care));
    provide_context(Arc::clone(&pages.api.second_factor));
    provide_context(Arc::clone(&pages.api.events));
    provide_context(Arc::clone(&pages.api.pictures));
    provide_context(Arc::clone(&pages.api.tickets));
    provide_context(Arc::clone(&pages.api.orders));
    provide_context(Arc::clone(&pages.api.history));
    provide_context(Arc::clone(&pages.api.payments));
    provide_context(Arc::clone(&pages.api.passes));
    provide_context(Arc::clone(&pages.api.refunds));
    provide_context(Arc::clone(&pages.api.selling));
    provide_context(Arc::clone(&pages.api.waiting));
    provide_context(Arc::clone(&pages.site));
    provide_context(Arc::clone(&pages.clock));
    // The nonce that the response's header will name, in place of one of Leptos's own.
    let parts = use_context::<axum::http::request::Parts>();
    if let Some(CspNonce(nonce)) = parts.and_then(|parts| parts.extensions.get().cloned()) {
        provide_context(Nonce::from_value(nonce));
    }
}

/// What Leptos, which has routes of its own for server functions, gets and gives for them.
async fn around_server_functions(
    State(pages): State<Pages>,
    mut request: Request,
    next: Next,
) -> Response {
    if !request.uri().path().starts_with("/fn/") {
        return next.run(request).await;
    }
    // Where an argument is missing, Leptos leads a browser back to whatever this header names.
    if own_page(request.headers(), &pages.site.public_url).is_none() {
        request.headers_mut().remove(header::REFERER);
    }
    with_own_status(next.run(request).await).await
}

/// Where the arguments of a server function cannot be read, Leptos answers with 500 as if that were
/// our fault. The error says what it is.
async fn with_own_status(response: Response) -> Response {
    let failed = response.status() == StatusCode::INTERNAL_SERVER_ERROR
        && response.headers().contains_key(SERVER_FN_ERROR_HEADER);
    if !failed {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let error = to_bytes(body, ERROR_BYTES_MAX).await.unwrap_or_default();
    if let Ok(error) = serde_json::from_slice::<AppError>(&error) {
        // What this server could not read is no answer that was lost.
        parts.status = match error {
            AppError::AnswerLost | AppError::Transport(_) => StatusCode::BAD_REQUEST,
            other => other.status(),
        };
    }
    Response::from_parts(parts, Body::from(error))
}

/// What reads a form with a file in it takes for granted that its parts are set apart.
async fn forms_have_parts(request: Request, next: Next) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let parted = kind
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| multer::parse_boundary(kind).is_ok());
    if !parted && request.uri().path() == <PutPicture as ServerFn>::PATH {
        let error = AppError::invalid("", "Send a form, as multipart/form-data.");
        return refuse(request.uri(), &error);
    }
    next.run(request).await
}

/// A file of the pages, or the page that says that there is nothing here.
async fn file_or_nothing(State(pages): State<Pages>, request: Request) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let (parts, body) = request.into_parts();
    if reads {
        let asked = axum::http::Request::from_parts(parts.clone(), Body::empty());
        if let Some(file) = pages.files.find(asked).await {
            return file;
        }
    }
    let options = pages.options.clone();
    let context = pages.clone();
    let render = leptos_axum::render_app_async_with_context(
        move || provide(&context),
        move || shell(options.clone()),
    );
    let mut response = render(axum::http::Request::from_parts(parts, body)).await;
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
