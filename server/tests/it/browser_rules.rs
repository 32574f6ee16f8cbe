//! Headers for browsers, redirects after refused forms, and details that remote clients do not get.

use crate::support::{App, on_both_engines};

on_both_engines! {
    async fn the_api_documentation_has_no_inline_scripts_or_styles(app) {
        let visitor = app.anonymous();
        let docs = visitor.page("/api/docs/").await;
        assert_eq!(docs.status, 200);
        let policy = docs.header("content-security-policy");
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert!(policy.contains("style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        // The policy would block inline scripts and styles.
        for forbidden in ["<script>", "<style", "style=\"", "onload="] {
            assert!(!docs.text.contains(forbidden), "{forbidden}: {}", docs.text);
        }
    }

    async fn text_answers_have_a_charset_and_may_not_be_embedded(app) {
        let visitor = app.anonymous();
        for path in ["/", "/api/events", "/robots.txt", "/sitemap.xml", "/healthz", "/api/docs/", "/nothing", "/fn/nothing"] {
            let answer = visitor.page(path).await;
            let kind = answer.header("content-type");
            assert!(!kind.is_empty(), "{path}");
            let is_text = kind.starts_with("text/") || kind.contains("xml");
            assert!(!is_text || kind.ends_with("charset=utf-8"), "{path}: {kind}");
            assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
            assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        }
    }

    async fn trace_requests_are_refused_and_not_echoed(app) {
        let visitor = app.anonymous();
        for path in ["/", "/events", "/api/events", "/api/user/currentuser", "/healthz", "/nothing"] {
            let answer = visitor.send("TRACE", path, &[("x-told", "a secret of mine")], "").await;
            assert!(answer.status >= 400, "{path}: {}", answer.status);
            assert!(!answer.text.contains("a secret of mine"), "{path}: {}", answer.text);
        }
    }

    async fn each_page_has_a_new_nonce(app) {
        let visitor = app.anonymous();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..5 {
            let page = visitor.page("/").await;
            let policy = page.header("content-security-policy").to_owned();
            let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
            assert!(nonce.len() == 32 && page.text.contains(&format!("nonce=\"{nonce}\"")), "{policy}");
            assert!(seen.insert(nonce));
        }
    }

    async fn a_malformed_form_redirects_to_pages_of_this_shop_only(app) {
        let visitor = app.anonymous();
        let send = |referer: String| {
            let visitor = visitor.clone();
            async move {
                let headers = [
                    ("accept", "text/html"),
                    ("content-type", "application/x-www-form-urlencoded"),
                    ("referer", referer.as_str()),
                ];
                let answer = visitor.send("POST", "/fn/accounts/sign_up", &headers, "%%%=").await;
                answer.header("location").to_owned()
            }
        };
        for unsafe_referer in [
            "https://evil.example/".to_owned(),
            "https://evil.example/signup".to_owned(),
            visitor.url("/fn/accounts/sign_out"),
            visitor.url("/api/docs/"),
            visitor.url("//evil.example/signup"),
            "nonsense".to_owned(),
        ] {
            let location = send(unsafe_referer.clone()).await;
            let path = location.split('?').next().unwrap();
            assert!(path == "/" || path == "/signup" || path.is_empty(), "{unsafe_referer}: {location}");
            assert!(!location.contains("evil") && !location.contains("/fn/"), "{location}");
        }
    }

    async fn a_refused_form_redirects_to_pages_of_this_shop_only(app) {
        let visitor = app.anonymous();
        for (referer, location) in [
            (visitor.url("/signup?next=/sell"), "/signup?next=/sell"),
            ("https://evil.example/signup".to_owned(), "/"),
            (visitor.url("/fn/accounts/sign_out"), "/"),
            (visitor.url("/api/user/signout"), "/"),
        ] {
            let headers = [
                ("accept", "text/html"),
                ("content-type", "application/x-www-form-urlencoded"),
                ("referer", referer.as_str()),
            ];
            let fields = "email=nobody&password=short";
            let answer = visitor.send("POST", "/fn/accounts/sign_up", &headers, fields).await;
            assert_eq!(answer.header("location"), location, "{referer}");
        }
    }

    async fn signing_out_clears_the_browsers_cache_and_storage(app) {
        let by_api = app.user("ann").await;
        let answer = by_api.post("/api/user/signout", serde_json::Value::Null).await;
        assert_eq!(answer.header("clear-site-data"), "\"cache\", \"storage\"");
        let by_form = app.user("bob").await;
        let answer = by_form.form("/fn/accounts/sign_out", "/account", &[]).await;
        assert_eq!(answer.header("clear-site-data"), "\"cache\", \"storage\"");
        assert_eq!(by_form.page("/").await.header("clear-site-data"), "");
    }

    async fn readiness_details_are_for_local_requests_only(app) {
        let visitor = app.anonymous();
        assert_eq!(visitor.get("/readyz").await.expect(200)["database"], "ok");
        for header in [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "127.0.0.1")] {
            let answer = visitor.send("GET", "/readyz", &[header], "").await.expect(200);
            assert_eq!(answer, serde_json::json!({"ready": true}));
        }
    }

    async fn pages_link_to_a_touch_icon(app) {
        let visitor = app.anonymous();
        let home = visitor.page("/").await.text;
        assert!(home.contains("rel=\"apple-touch-icon\""), "{home}");
    }

    async fn malformed_requests_of_scripts_are_client_errors(app) {
        let visitor = app.anonymous();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        for body in ["email=%ff%fe", "email=a&email=b", "email[a]=1"] {
            let answer = visitor.send("POST", "/fn/accounts/sign_up", &headers, body).await;
            assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        }
        let nothing = visitor.send("POST", "/fn/accounts/no_such", &headers, "").await;
        assert_eq!(nothing.status, 404, "{}", nothing.text);
    }
}
