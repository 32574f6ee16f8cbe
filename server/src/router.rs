//! The router: pages, server functions, REST, health, robots, files, and the order of the layers around
//! them.

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
use context::{PageClock, Site, referring_page};
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

/// Larger than any error of a server function.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// The state of the routes of pages.
#[derive(Clone)]
struct Pages {
    options: LeptosOptions,
    files: Files,
    api: Api,
    site: Arc<Site>,
    clock: Arc<dyn PageClock>,
}

/// Gives pages the shop's clock.
struct ShopClock(SharedClock);

impl PageClock for ShopClock {
    fn now(&self) -> Timestamp {
        self.0.now().timestamp()
    }
}

impl FromRef<Pages> for LeptosOptions {
    fn from_ref(pages: &Pages) -> Self {
        pages.options.clone()
    }
}

/// The parts of the router besides the shop.
pub struct Web {
    pub options: LeptosOptions,
    pub files: Files,
    pub site: Arc<Site>,
    pub health: Health,
    /// In demo mode, the routes of the Stripe double that browsers use.
    pub double: Option<Router>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// How many pictures may be uploaded at once from one network address.
    pub uploads_per_address: usize,
    /// The value of `Strict-Transport-Security`, sent only if the public URL is https.
    pub transport_security: Option<HeaderValue>,
}

/// All routes of a process that serves pages.
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
        clock: Arc::new(ShopClock(shop.clock.clone())),
    };

    let with_session = rest(api, keys)
        .merge(page_routes(pages))
        .layer(from_fn_with_state(state.clone(), identify_viewer))
        .layer(sessions);
    let mut all = with_session
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

/// Logs a panic and answers with the request's id.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the layer requires"
)]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    let incident = platform::request::id();
    tracing::error!(incident, panic = message, "a request panicked");
    let error = AppError::Internal { incident };
    rest::problem(error.status(), &error)
}

fn rest(api: Api, keys: IdempotencyKeys) -> Router {
    let (routes, document) = rest::routes();
    let not_found = || async { rest::problem(StatusCode::NOT_FOUND, &AppError::NotFound) };
    let docs = SwaggerUi::new("/api/docs").url("/api/openapi.json", document);
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(keys, attempts::answer_once))
        .merge(rest::selling::downloads())
        .with_state(api)
        .merge(Router::from(docs).method_not_allowed_fallback(method_not_allowed))
        .route("/api", any(not_found))
        .route("/api/", any(not_found))
        .route("/api/{*nowhere}", any(not_found))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
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
            .fallback(file_or_not_found)
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
        .fallback(file_or_not_found)
        .layer(from_fn(require_multipart))
        .layer(from_fn_with_state(pages.clone(), adapt_server_functions))
        .with_state(pages)
}

/// Provides the Leptos context of pages and server functions; see the crate `context`.
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
    // Leptos must use the nonce of the response's Content-Security-Policy.
    let parts = use_context::<axum::http::request::Parts>();
    if let Some(CspNonce(nonce)) = parts.and_then(|parts| parts.extensions.get().cloned()) {
        provide_context(Nonce::from_value(nonce));
    }
}

/// Adapts requests and responses of server functions, whose routes Leptos handles.
async fn adapt_server_functions(
    State(pages): State<Pages>,
    mut request: Request,
    next: Next,
) -> Response {
    if !request.uri().path().starts_with("/fn/") {
        return next.run(request).await;
    }
    // If an argument is missing, Leptos redirects to `Referer`, which must not lead to another site.
    if referring_page(request.headers(), &pages.site.public_url).is_none() {
        request.headers_mut().remove(header::REFERER);
    }
    with_error_status(next.run(request).await).await
}

/// Sets the status of the error in a response. Leptos answers with 500 if the arguments of a server
/// function cannot be read.
async fn with_error_status(response: Response) -> Response {
    let failed = response.status() == StatusCode::INTERNAL_SERVER_ERROR
        && response.headers().contains_key(SERVER_FN_ERROR_HEADER);
    if !failed {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let error = to_bytes(body, ERROR_BYTES_MAX).await.unwrap_or_default();
    if let Ok(error) = serde_json::from_slice::<AppError>(&error) {
        // On the server these errors mean that the arguments could not be read.
        parts.status = match error {
            AppError::AnswerLost | AppError::Transport(_) => StatusCode::BAD_REQUEST,
            other => other.status(),
        };
    }
    Response::from_parts(parts, Body::from(error))
}

/// Refuses an upload form that is not multipart, on which its server function would panic.
async fn require_multipart(request: Request, next: Next) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let is_multipart = kind
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| multer::parse_boundary(kind).is_ok());
    if !is_multipart && request.uri().path() == <PutPicture as ServerFn>::PATH {
        let error = AppError::invalid("", "Send a form, as multipart/form-data.");
        return refuse(request.uri(), &error);
    }
    next.run(request).await
}

/// A static file, or the page for addresses that do not exist.
async fn file_or_not_found(State(pages): State<Pages>, request: Request) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (parts, body) = request.into_parts();
    if is_read {
        let file_request = axum::http::Request::from_parts(parts.clone(), Body::empty());
        if let Some(file) = pages.files.find(file_request).await {
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
