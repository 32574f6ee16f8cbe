//! Searching events by text, category, city and days.

use crate::support::{App, Client, database::Database, on_both_engines, path};
use jiff::{Timestamp, tz::TimeZone};
use model::{
    Moment,
    events::{Category, When},
};
use platform::{
    clock::Clock,
    db::{Db, Engine},
};
use serde_json::{Value, json};
use shop::{backfills, events::listing::Filter};
use sqlx::{AssertSqlSafe, Row};
use std::time::Duration;

async fn list_titles(client: &Client, query: &[(&str, &str)]) -> Vec<String> {
    let query = serde_urlencoded::to_string(query).unwrap();
    let found = client
        .get(&format!("/api/events?{query}"))
        .await
        .expect(200);
    let events = found["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["title"].as_str().unwrap().to_owned())
        .collect()
}

async fn create_event(
    seller: &Client,
    title: &str,
    venue: &str,
    city: &str,
    starts_at: &str,
) -> Value {
    seller
        .event_with(json!({"title": title, "venue": venue, "city": city, "startsAt": starts_at}))
        .await
}

/// Sets the clock forward to this moment.
fn set_clock(app: &App, to: &str) {
    let to: Timestamp = to.parse().unwrap();
    let forward = to.as_second() - app.clock.now().seconds();
    assert!(forward > 0);
    app.clock.advance(forward);
}

on_both_engines! {
    async fn events_are_found_by_word_prefixes_without_accents(app) {
        let seller = app.user("seller").await;
        for (title, venue, city) in [
            ("Handel at the Arena", "Grand Hall", "Leeds"),
            ("Béla Bartók: Kékszakállú", "Müpa", "Budapest"),
            ("It's a Straße", "Łódź Ø", "Århus"),
            ("東京の夜", "渋谷ホール", "Kyoto"),
        ] {
            create_event(&seller, title, venue, city, "2031-05-01T19:30:00Z").await;
        }
        for (q, found) in [
            ("han arena", Some("Handel at the Arena")), ("ARENA   hAn", Some("Handel at the Arena")),
            ("grand leeds handel", Some("Handel at the Arena")), ("h a t a g h l", Some("Handel at the Arena")),
            ("rena", None), ("handel budapest", None),
            ("bela bartok", Some("Béla Bartók: Kékszakállú")), ("BÉLA muepa", Some("Béla Bartók: Kékszakállú")),
            ("mupa kekszak", Some("Béla Bartók: Kékszakállú")), ("bartók:", Some("Béla Bartók: Kékszakállú")),
            ("its strasse", Some("It's a Straße")), ("it’s lodz o arhus", Some("It's a Straße")),
            ("東京", Some("東京の夜")), ("渋谷 kyo", Some("東京の夜")), ("大阪", None),
        ] {
            let expected: Vec<String> = found.into_iter().map(str::to_owned).collect();
            assert_eq!(list_titles(&seller, &[("q", q)]).await, expected, "{q}");
        }
    }

    async fn a_city_is_the_same_in_every_unicode_normalization(app) {
        let seller = app.user("seller").await;
        for (title, city) in [("One", "Zürich"), ("Two", "Zu\u{308}rich"), ("Three", " ZÜRICH"), ("Other", "Zurich")] {
            create_event(&seller, title, "Hall", city, "2031-05-01T19:30:00Z").await;
        }
        for city in ["Zürich", "Zu\u{308}rich", "zürich "] {
            assert_eq!(list_titles(&seller, &[("city", city)]).await, ["One", "Two", "Three"], "{city}");
        }
        assert_eq!(list_titles(&seller, &[("city", "Zurich")]).await, ["Other"]);
        assert_eq!(list_titles(&seller, &[("q", "zuerich")]).await, ["One", "Two", "Three"]);
    }

    /// Keys as written by an earlier version.
    async fn search_keys_of_existing_events_are_backfilled_once(app) {
        let seller = app.user("seller").await;
        create_event(&seller, "Old", "Hall", "Zu\u{308}rich", "2031-05-01T19:30:00Z").await;
        app.run_sql("UPDATE events SET search_text = 'old hall zurich', city_key = LOWER(city)").await;
        assert!(list_titles(&seller, &[("city", "Zürich")]).await.is_empty());
        let clock = app.clock.as_ref();
        assert!(backfills::run(&app.db, clock).await.unwrap() > 0);
        assert_eq!(backfills::run(&app.db, clock).await.unwrap(), 0);
        assert_eq!(list_titles(&seller, &[("city", "Zürich")]).await, ["Old"]);
        assert_eq!(list_titles(&seller, &[("q", "zuerich")]).await, ["Old"]);
    }

    async fn no_search_text_causes_an_error(app) {
        let seller = app.user("seller").await;
        create_event(&seller, "Nearly OR and NOT", "Old Hall", "Leeds", "2031-05-01T19:30:00Z").await;
        for q in ["\"", "'", "''':*", "*", "a*", "-a", "NEAR(a b)", "a NEAR/2 b", "( OR", "AND AND",
            "words:x", "^a", "a\\", "&|!<->", ":*", "\u{0}", "a\u{0}b", "🎭", "🎭 leeds x", "\u{301}\u{301}",
            "%", "_", "\u{10ffff}", "{a b}", "a + b", "--", "; DROP TABLE events"]
        {
            list_titles(&seller, &[("q", q)]).await;
            list_titles(&seller, &[("city", q)]).await;
            assert_eq!(seller.page(&format!("/?{}", serde_urlencoded::to_string([("q", q)]).unwrap())).await.status, 200, "{q}");
        }
        for long in ["x".repeat(100), "é".repeat(5000), "a ".repeat(500), "\u{1f3ad}".repeat(100)] {
            list_titles(&seller, &[("q", &long)]).await;
        }
        assert_eq!(list_titles(&seller, &[("q", "or not AND near")]).await, ["Nearly OR and NOT"]);
        assert!(list_titles(&seller, &[("q", "🎭")]).await.is_empty(), "a text without letters or digits matches nothing");
        assert_eq!(list_titles(&seller, &[("q", "  ")]).await.len(), 1, "an empty text matches everything");
    }

    async fn results_reflect_updates_and_are_ordered_across_pages(app) {
        let seller = app.user("seller").await;
        for night in 1..=7 {
            // Two on each day, at the same time.
            let starts = format!("2031-05-{:02}T19:30:00Z", 20 - night / 2);
            create_event(&seller, &format!("Marathon {night}"), "Old Hall", "Leeds", &starts).await;
        }
        create_event(&seller, "Sprint", "Old Hall", "Leeds", "2031-05-01T19:30:00Z").await;
        let mut seen: Vec<(String, String)> = Vec::new();
        let mut cursor = String::new();
        loop {
            let query = serde_urlencoded::to_string([("q", "mara old"), ("limit", "3"), ("cursor", &cursor)]).unwrap();
            let page = seller.get(&format!("/api/events?{query}")).await.expect(200);
            let events = page["events"].as_array().unwrap();
            seen.extend(events.iter().map(|event| {
                let text = |field: &str| event[field].as_str().unwrap().to_owned();
                (text("startsAt"), text("id"))
            }));
            let Some(next) = page["next"].as_str() else { break };
            next.clone_into(&mut cursor);
        }
        let mut ordered = seen.clone();
        ordered.sort();
        ordered.dedup();
        assert_eq!((seen.len(), &seen), (7, &ordered));

        let event = create_event(&seller, "Before", "Old Hall", "Leeds", "2031-06-01T19:30:00Z").await;
        let change = json!({"title": "Áfter", "city": "York", "category": "talks", "version": 1});
        let changed = seller.put(&path("events", &event), change).await.expect(200);
        assert_eq!(changed["category"], "talks");
        assert!(list_titles(&seller, &[("q", "before")]).await.is_empty());
        assert_eq!(list_titles(&seller, &[("q", "after yo")]).await, ["Áfter"]);
        assert_eq!(list_titles(&seller, &[("category", "talks")]).await, ["Áfter"]);
        seller.put(&path("events", &event), json!({"title": "Lost", "version": 1})).await
            .refused(409, "version_conflict");
        assert!(list_titles(&seller, &[("q", "lost")]).await.is_empty(), "a refusal changes nothing");
    }

    async fn an_event_has_one_of_the_fixed_categories(app) {
        let seller = app.user("seller").await;
        let plain = seller.event().await;
        assert_eq!(plain["category"], "other");
        for category in Category::ALL {
            let title = format!("A night of {}", category.code());
            let event = seller.event_with(json!({"title": title, "category": category.code()})).await;
            assert_eq!(event["category"], category.code());
        }
        assert_eq!(list_titles(&seller, &[("category", "sport")]).await, ["A night of sport"]);
        assert_eq!(list_titles(&seller, &[("category", "dance"), ("q", "night"), ("city", "LEEDS")]).await, ["A night of dance"]);
        assert!(list_titles(&seller, &[("category", "dance"), ("q", "music")]).await.is_empty());
        seller.get("/api/events?category=opera").await.invalid("category");
        let body = crate::support::client::event_body(json!({"category": "opera"}));
        seller.post("/api/events", body).await.invalid("category");
        let row = sqlx::query("SELECT data FROM outbox WHERE type = 'EventCreated' AND aggregate_id = $1")
            .bind(plain["id"].as_str().unwrap().to_owned())
            .fetch_one(app.db.reads()).await.unwrap();
        let data: Value = serde_json::from_str(row.get("data")).unwrap();
        assert_eq!(data["category"], "other");
        app.assert_sound().await;
    }

    /// At noon of Monday 3 May 2032 in London, it is 1 am of Tuesday in Kiritimati and 1 am of Monday in Honolulu.
    async fn days_are_in_the_venues_time_zone(app) {
        let (seller, visitor) = (app.user("seller").await, app.anonymous());
        for (title, zone, local) in [
            ("london tonight", "Europe/London", "2032-05-03T23:30"),
            ("london tomorrow", "Europe/London", "2032-05-04T00:30"),
            ("honolulu tonight", "Pacific/Honolulu", "2032-05-03T23:00"),
            ("kiritimati tomorrow", "Pacific/Kiritimati", "2032-05-05T00:30"),
            ("friday", "Europe/London", "2032-05-07T00:30"),
            ("thursday", "Europe/London", "2032-05-06T23:30"),
            ("sunday", "America/New_York", "2032-05-09T23:30"),
            ("monday", "America/New_York", "2032-05-10T00:30"),
            ("in 29 days", "Europe/London", "2032-06-01T20:00"),
            ("in 30 days", "Europe/London", "2032-06-02T20:00"),
        ] {
            let local: jiff::civil::DateTime = local.parse().unwrap();
            let starts = local.to_zoned(TimeZone::get(zone).unwrap()).unwrap().timestamp();
            seller.event_with(json!({"title": title, "timeZone": zone, "startsAt": starts.to_string()})).await;
        }
        // Sessions use the system clock: from here on no user is signed in.
        set_clock(app, "2032-05-03T11:00:00Z");
        let found = async |when: When| {
            let mut found = list_titles(&visitor, &[("when", when.code())]).await;
            found.sort();
            found
        };
        assert_eq!(found(When::Today).await, ["honolulu tonight", "london tonight"]);
        assert_eq!(found(When::Weekend).await, ["friday", "sunday"]);
        assert_eq!(found(When::Week).await, ["friday", "honolulu tonight", "kiritimati tomorrow",
            "london tomorrow", "london tonight", "sunday", "thursday"]);
        let month = found(When::Month).await;
        assert!(month.contains(&"in 29 days".to_owned()) && !month.contains(&"in 30 days".to_owned()));
        assert_eq!(list_titles(&visitor, &[("firstDay", "2032-05-06"), ("lastDay", "2032-05-07")]).await, ["thursday", "friday"]);
        assert_eq!(list_titles(&visitor, &[("firstDay", "2032-06-02")]).await, ["in 30 days"]);
        assert!(list_titles(&visitor, &[("firstDay", "2032-05-07"), ("lastDay", "2032-05-06")]).await.is_empty());
        for day in ["-009999-01-01", "9999-12-31"] {
            list_titles(&visitor, &[("firstDay", day), ("lastDay", day)]).await;
        }
        visitor.get("/api/events?when=soon").await.invalid("when");
        visitor.get("/api/events?firstDay=soon").await.invalid("firstDay");

        // On a Sunday, the weekend is the rest of that day in the venue's time zone.
        set_clock(app, "2032-05-09T20:00:00Z");
        assert_eq!(found(When::Weekend).await, ["sunday"]);
        set_clock(app, "2032-05-10T03:45:00Z");
        assert!(found(When::Weekend).await.is_empty(), "the event has begun");
    }

    async fn lists_use_an_index(app) {
        let seller = app.user("seller").await;
        let now = app.clock.now();
        insert_events(&app.db, &seller.id, now, 100_000).await;
        let all = Filter { now, limit: 25, ..Filter::default() };
        for (what, filter) in [
            ("words", Filter { words: vec!["night77".to_owned(), "w1".to_owned()], ..all.clone() }),
            ("city", Filter { city_key: Some("town 13".to_owned()), ..all.clone() }),
            ("category", Filter { category: Some(Category::Sport), ..all.clone() }),
            ("start", all.clone()),
            ("start", Filter { when: Some(When::Today), ..all.clone() }),
        ] {
            let plan = explain_page(&app.db, &filter).await;
            let (index, scan) = match (app.db.engine(), what) {
                (Engine::Sqlite, "words") => ("SCAN events_words VIRTUAL TABLE INDEX 0:M".to_owned(), "SCAN events\n"),
                (Engine::Sqlite, _) => (format!("INDEX events_by_{what}"), "SCAN events\n"),
                (Engine::Postgres, _) => (format!("events_by_{what}"), "Seq Scan"),
            };
            assert!(plan.contains(&index) && !plan.contains(scan), "{what}:\n{plan}");
        }
    }
}

/// The engine's query plan for a page.
async fn explain_page(db: &Db, filter: &Filter) -> String {
    let mut page = filter.page(db.engine(), "id");
    let (explain, column) = match db.engine() {
        Engine::Sqlite => ("EXPLAIN QUERY PLAN ", "detail"),
        Engine::Postgres => ("EXPLAIN ", "QUERY PLAN"),
    };
    page.sql.insert_str(0, explain);
    let rows = page.query().fetch_all(db.reads()).await.unwrap();
    let lines = rows.iter().map(|row| row.get::<String, _>(column) + "\n");
    lines.collect()
}

/// Inserts events directly into the database, a minute apart.
async fn insert_events(db: &Db, creator: &str, now: Moment, events: i64) {
    let insert = format!(
        "INSERT INTO events (id, creator_id, title, description, venue, city, country, starts_at, \
         time_zone, currency, search_text, city_key, version, created_at, category) \
         WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {events}) \
         SELECT '01980000-0000-7000-8000-' || CAST(100000000000 + i AS TEXT), '{creator}', \
         'Night ' || CAST(i AS TEXT), '', 'Old Hall', 'Town', 'GB', {} + i * 60000000, 'Europe/London', \
         'GBP', 'night' || CAST(i AS TEXT) || ' w' || CAST(i * 7919 % 5000 AS TEXT) || ' the old hall', 'town ' || CAST(i % 500 AS TEXT), 1, 0, \
         CASE WHEN i % 200 = 0 THEN 'sport' ELSE 'other' END FROM n",
        now.micros()
    );
    db.write(move |conn| {
        Box::pin(async move {
            sqlx::query(AssertSqlSafe(insert))
                .execute(&mut *conn)
                .await?;
            sqlx::query("ANALYZE").execute(conn).await.map(|_| ())
        })
    })
    .await
    .unwrap();
}

/// Asserts that an event from before the migration for the search is found.
async fn check_found_after_upgrade(database: Database) {
    const BEFORE: &str = "20261124000008";
    let db = Db::connect(&database.url).await.unwrap();
    let (folder, name) = match db.engine() {
        Engine::Sqlite => ("../migrations/sqlite", "sqlite"),
        Engine::Postgres => ("../migrations/postgres", "postgres"),
    };
    let mut files: Vec<_> = std::fs::read_dir("../migrations")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.file_name().unwrap().to_str().unwrap() < BEFORE)
        .collect();
    files.sort();
    let run = async |sql: String| {
        db.write(move |conn| {
            Box::pin(async move {
                sqlx::raw_sql(AssertSqlSafe(sql))
                    .execute(conn)
                    .await
                    .map(|_| ())
            })
        })
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    };
    for file in files {
        run(std::fs::read_to_string(file).unwrap()).await;
    }
    run(
        "INSERT INTO users (id, email, email_key, name, password_hash, version, created_at) \
         VALUES ('u', 'u', 'u', 'u', '', 1, 0)"
            .to_owned(),
    )
    .await;
    run(
        "INSERT INTO events (id, creator_id, title, description, venue, city, country, starts_at, \
         time_zone, currency, search_text, city_key, version, created_at) VALUES \
         ('e', 'u', '', '', '', '', 'GB', 4000000000000000, 'Europe/London', 'GBP', \
         'béla''s — großes bartók/night  łódź!', '', 1, 0)"
            .to_owned(),
    )
    .await;
    for folder in ["../migrations", folder] {
        run(std::fs::read_to_string(format!("{folder}/{BEFORE}_finding.sql")).unwrap()).await;
    }
    run(std::fs::read_to_string("../migrations/20261130000053_event_ends.sql").unwrap()).await;
    for (words, found) in [
        ("belas grosses", 1),
        ("bartok lodz", 1),
        ("nigh", 1),
        ("ight", 0),
    ] {
        let words = words.split(' ').map(str::to_owned).collect();
        let filter = Filter {
            words,
            limit: 5,
            ..Filter::default()
        };
        let rows = filter
            .page(db.engine(), "id")
            .query()
            .fetch_all(db.reads())
            .await
            .unwrap();
        assert_eq!(rows.len(), found, "{:?}", filter.words);
    }
    db.close().await;
    database.drop().await;
}

#[tokio::test]
async fn events_from_before_the_search_migration_are_found_on_sqlite() {
    check_found_after_upgrade(Database::sqlite()).await;
}

#[tokio::test]
async fn events_from_before_the_search_migration_are_found_on_postgres() {
    check_found_after_upgrade(Database::postgres().await).await;
}

on_both_engines! {
    async fn the_sitemap_lists_every_upcoming_event(app) {
        let seller = app.user("seller").await;
        let soon = (app.clock.now() + Duration::from_hours(1)).timestamp().to_string();
        let past = seller.event_with(json!({"startsAt": soon})).await;
        let event = seller.event().await;
        app.clock.advance(3601);
        let map = app.anonymous().page("/sitemap.xml").await;
        assert_eq!((map.status, map.header("content-type")), (200, "application/xml; charset=utf-8"));
        let address = |event: &Value| format!("<loc>{}/events/{}</loc>", app.base, event["id"].as_str().unwrap());
        assert!(map.text.contains(&format!("<loc>{}/</loc>", app.base)), "{}", map.text);
        assert!(map.text.contains(&address(&event)) && !map.text.contains(&address(&past)), "{}", map.text);
        let robots = app.anonymous().page("/robots.txt").await;
        assert_eq!(robots.status, 200);
        assert!(robots.text.contains("Disallow: /order\n"));
        assert!(robots.text.ends_with(&format!("Sitemap: {}/sitemap.xml\n", app.base)), "{}", robots.text);
    }

    async fn every_public_page_has_metadata_for_search_engines_and_link_previews(app) {
        let seller = app.user("seller").await;
        let event = seller.event_with(json!({"title": "Late <Show> \"&\" more"})).await;
        let event_page = path("events", &event).replace("/api", "");
        let anonymous = app.anonymous();
        let mut descriptions = Vec::new();
        for (page, client) in [
            ("/", &anonymous), ("/?category=music", &anonymous), (event_page.as_str(), &anonymous),
            ("/help", &anonymous), ("/signin", &anonymous), ("/signup", &anonymous),
            ("/forgot", &anonymous), ("/sell", &seller),
        ] {
            let html = client.page(page).await.text;
            let content = |name: &str| {
                let found: Vec<&str> = html
                    .split("<meta ")
                    .skip(1)
                    .map(|tag| tag.split('>').next().unwrap())
                    .filter(|tag| tag.contains(&format!("=\"{name}\"")))
                    .collect();
                assert_eq!(found.len(), 1, "{page} {name}: {found:?}");
                let content = found[0].split("content=\"").nth(1).unwrap();
                content.split('"').next().unwrap().to_owned()
            };
            descriptions.push(content("description"));
            assert_eq!(content("og:description"), content("description"));
            assert!(!content("og:title").is_empty());
            assert_eq!(content("og:url"), format!("{}{page}", app.base));
            assert_eq!(content("og:image"), format!("{}/share.png", app.base));
            assert!(html.contains(&format!("<link href=\"{}{page}\" rel=\"canonical\">", app.base)), "{html}");
        }
        descriptions.sort();
        descriptions.dedup();
        assert_eq!(descriptions.len(), 8, "{descriptions:?}");
        assert!(descriptions.iter().all(|text| text.len() > 30), "{descriptions:?}");
    }

    async fn the_home_page_keeps_its_filters_and_has_a_canonical_url(app) {
        let seller = app.user("seller").await;
        for night in 1..=26 {
            let title = format!("Marathon {night}");
            seller.event_with(json!({"title": title, "category": "sport"})).await;
        }
        let home = seller.page("/").await.text;
        assert!(home.contains(&format!("<link href=\"{}/\" rel=\"canonical\">", app.base)), "{home}");
        let found = seller.page("/?q=mara&category=sport&city=Leeds&from=2031-01-01").await.text;
        assert!(found.contains("26 events"), "{found}");
        assert!(found.contains("href=\"/?q=mara&amp;city=Leeds&amp;category=sport&amp;from=2031-01-01&amp;cursor="), "{found}");
        assert!(!found.contains("Marathon 26<"));
        let nothing = seller.page("/?q=sprint&city=Leeds&category=opera&when=nonsense&from=nonsense&cursor=nonsense").await;
        assert_eq!(nothing.status, 200);
        assert!(nothing.text.contains("See all 26 events in Leeds"), "{}", nothing.text);
    }
}
