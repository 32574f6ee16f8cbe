//! Pictures of events: accepted files, stored files, permissions and response headers; and the page on which
//! an event is edited.

use crate::support::{Answer, App, Client, client::PASSWORD, on_both_engines, path};
use image::{
    DynamicImage, ExtendedColorType, GenericImageView, ImageEncoder, ImageFormat, RgbImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Cursor;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const JPEG_TYPE: [(&str, &str); 1] = [("content-type", "image/jpeg")];
pub const RED: [u8; 3] = [200, 30, 40];
const BLUE: [u8; 3] = [20, 40, 190];

/// Markup of a poster.
const POSTER_MARKUP: &str = "viewBox=\"0 0 320 200\"";

/// Red on the left half, blue on the right.
pub fn two_halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| {
        image::Rgb(if x < width / 2 { RED } else { BLUE })
    })
}

pub fn encode(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encode(&two_halves(width, height), ImageFormat::Jpeg)
}

/// Encodes a picture with Exif data, as phones do: `orientation` and the artist's name.
fn encode_with_exif(encoder: &mut dyn FnMut(Vec<u8>) -> Vec<u8>, orientation: u8) -> Vec<u8> {
    // Little-endian TIFF with two entries, orientation and artist, followed by the artist's name.
    let mut exif = b"II\x2a\0\x08\0\0\0\x02\0".to_vec();
    exif.extend_from_slice(&[0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    exif.extend_from_slice(&[0x3b, 0x01, 2, 0, 16, 0, 0, 0, 38, 0, 0, 0]);
    exif.extend_from_slice(&[0, 0, 0, 0]);
    exif.extend_from_slice(b"Greta Garbo 51N\0");
    encoder(exif)
}

pub fn is_near(pixel: image::Rgba<u8>, colour: [u8; 3]) -> bool {
    let mut apart = pixel.0.iter().zip(colour);
    apart.all(|(one, other)| one.abs_diff(other) < 24)
}

/// Fetches bytes as a browser does.
async fn fetch(app: &App, address: &str) -> (Answer, Vec<u8>) {
    let answer = app.anonymous().get(address).await;
    let bytes = reqwest::get(format!("{}{address}", app.base))
        .await
        .unwrap();
    let bytes = bytes.bytes().await.unwrap().to_vec();
    (answer, bytes)
}

pub async fn fetch_picture(app: &App, event: &Value) -> DynamicImage {
    let (answer, bytes) = fetch(app, event["pictureUrl"].as_str().unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "image/jpeg");
    image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap()
}

async fn put_picture(client: &Client, event: &Value, bytes: Vec<u8>) -> Answer {
    let path = format!("{}/picture", path("events", event));
    client.send("PUT", &path, &JPEG_TYPE, bytes).await
}

async fn remove_picture(client: &Client, event: &Value) -> Answer {
    client
        .delete(&format!("{}/picture", path("events", event)))
        .await
}

/// Uploads a picture with the form of the edit page.
async fn submit_picture(client: &Client, event: &Value, file: &[u8]) -> Answer {
    submit_picture_at(client, event, &edit_path(event), &[("after", "edit")], file).await
}

/// Uploads a picture with the form of this page, with additional fields.
pub async fn submit_picture_at(
    client: &Client,
    event: &Value,
    page: &str,
    fields: &[(&str, &str)],
    file: &[u8],
) -> Answer {
    let boundary = "----of-the-tests";
    let mut body = String::new();
    for (name, value) in [("event", id(event))].iter().chain(fields) {
        let _ = write!(
            body,
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
    }
    let _ = write!(
        body,
        "--{boundary}\r\ncontent-disposition: form-data; name=\"picture\"; filename=\"a.jpg\"\r\n\
         content-type: image/jpeg\r\n\r\n"
    );
    let mut body = body.into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let kind = format!("multipart/form-data; boundary={boundary}");
    let from = client.url(page);
    let headers = [
        ("accept", "text/html"),
        ("content-type", kind.as_str()),
        ("referer", from.as_str()),
    ];
    client
        .send("POST", "/fn/events/put_picture", &headers, body)
        .await
}

/// The response to a request of exactly these bytes, which may be an incomplete body.
async fn send_raw(app: &App, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
    let host = app.base.trim_start_matches("http://");
    let mut connection = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: image/jpeg\r\n\
         connection: close\r\n{headers}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

pub fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

fn edit_path(event: &Value) -> String {
    format!("/events/{}/edit", id(event))
}

/// The value of a hidden field.
fn hidden_field(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let from = page.find(&start).unwrap() + start.len();
    page[from..].split('"').next().unwrap().to_owned()
}

/// The fields of the form as shown, with the values of `changes` replaced.
async fn form_fields(
    creator: &Client,
    event: &Value,
    changes: &[(&str, &str)],
) -> Vec<(String, String)> {
    let page = creator.page(&edit_path(event)).await.text;
    let fields = [
        ("event", id(event).to_owned()),
        ("version", hidden_field(&page, "version")),
        ("marks", hidden_field(&page, "marks")),
        ("title", "Late Show".to_owned()),
        ("category", "other".to_owned()),
        ("venue", "Old Hall".to_owned()),
        ("city", "Leeds".to_owned()),
        ("country", "GB".to_owned()),
        ("date", "2031-05-01".to_owned()),
        ("time", "20:30".to_owned()),
        ("time_zone", "Europe/London".to_owned()),
        ("description", String::new()),
    ];
    fields
        .into_iter()
        .map(|(name, value)| {
            let new = changes.iter().find(|(known, _)| *known == name);
            (
                name.to_owned(),
                new.map_or(value, |(_, new)| (*new).to_owned()),
            )
        })
        .collect()
}

async fn save_event(creator: &Client, event: &Value, fields: &[(String, String)]) -> Answer {
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    creator
        .form("/fn/events/update", &edit_path(event), &fields)
        .await
}

on_both_engines! {
    async fn a_picture_of_each_format_is_stored_in_every_width(app) {
        let creator = app.user("creator").await;
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let event = creator.event().await;
            assert_eq!(event["pictureUrl"], Value::Null);
            let answer = put_picture(&creator, &event, encode(&two_halves(2000, 1300), format)).await;
            assert_eq!(answer.header("etag"), "\"2\"");
            let event = answer.expect(200);
            let address = event["pictureUrl"].as_str().unwrap().to_owned();
            for (width, height) in [(480, 300), (960, 600), (1600, 1000)] {
                let (answer, bytes) = fetch(app, &address.replace("1600", &width.to_string())).await;
                assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
                assert_eq!(answer.header("x-content-type-options"), "nosniff");
                assert_eq!(answer.header("content-type"), "image/jpeg");
                assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin");
                let image = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap();
                assert_eq!(image.dimensions(), (width, height));
                assert!(is_near(image.get_pixel(10, height / 2), RED));
                assert!(is_near(image.get_pixel(width - 10, height / 2), BLUE));
            }
            let current = creator.get(&path("events", &event)).await.expect(200);
            assert_eq!((&current["pictureUrl"], &current["version"]), (&json!(address), &json!(2)));
        }
        let listed = app.anonymous().get("/api/events").await.expect(200);
        assert!(listed["events"][0]["pictureUrl"].is_string(), "{listed}");
        app.assert_sound().await;
    }

    async fn a_picture_is_rotated_and_its_metadata_removed(app) {
        let creator = app.user("creator").await;
        let pixels = two_halves(700, 1000);
        let (width, height) = pixels.dimensions();
        let mut as_jpeg = |exif| {
            let mut bytes = Vec::new();
            let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
            encoder.set_exif_metadata(exif).unwrap();
            encoder.write_image(&pixels, width, height, ExtendedColorType::Rgb8).unwrap();
            bytes
        };
        let mut as_png = |exif| {
            let mut bytes = Vec::new();
            let mut encoder = PngEncoder::new(&mut bytes);
            encoder.set_exif_metadata(exif).unwrap();
            encoder.write_image(&pixels, width, height, ExtendedColorType::Rgb8).unwrap();
            bytes
        };
        let mut as_webp = |exif| {
            let mut bytes = Vec::new();
            let mut encoder = WebPEncoder::new_lossless(&mut bytes);
            encoder.set_exif_metadata(exif).unwrap();
            encoder.write_image(&pixels, width, height, ExtendedColorType::Rgb8).unwrap();
            bytes
        };
        let encoders: [&mut dyn FnMut(Vec<u8>) -> Vec<u8>; 3] = [&mut as_jpeg, &mut as_png, &mut as_webp];
        for encoder in encoders {
            // Stored rotated: with 6 the left side becomes the top, with 8 the bottom.
            for (orientation, above, below) in [(6, RED, BLUE), (8, BLUE, RED)] {
                let sent = encode_with_exif(encoder, orientation);
                assert!(sent.windows(11).any(|words| words == b"Greta Garbo"));
                let event = creator.event().await;
                let event = put_picture(&creator, &event, sent).await.expect(200);
                let image = fetch_picture(app, &event).await;
                assert_eq!(image.dimensions(), (1000, 625));
                assert!(is_near(image.get_pixel(500, 10), above), "{orientation}");
                assert!(is_near(image.get_pixel(500, 614), below), "{orientation}");
                let (_, bytes) = fetch(app, event["pictureUrl"].as_str().unwrap()).await;
                for words in [&b"Greta"[..], b"Exif", b"II\x2a\0"] {
                    assert!(!bytes.windows(words.len()).any(|found| found == words));
                }
            }
        }
    }

    async fn transparent_pixels_are_blended_with_white(app) {
        let creator = app.user("creator").await;
        let glass = image::RgbaImage::from_pixel(480, 300, image::Rgba([0, 0, 0, 0]));
        let mut bytes = Cursor::new(Vec::new());
        glass.write_to(&mut bytes, ImageFormat::Png).unwrap();
        let event = put_picture(&creator, &creator.event().await, bytes.into_inner()).await.expect(200);
        assert!(is_near(fetch_picture(app, &event).await.get_pixel(240, 150), [255; 3]));
    }

    async fn invalid_pictures_are_refused_and_change_nothing(app) {
        let creator = app.user("creator").await;
        let event = creator.event().await;
        let whole = jpeg(800, 500);
        let png = encode(&two_halves(800, 500), ImageFormat::Png);
        let webp = encode(&two_halves(800, 500), ImageFormat::WebP);
        let mut gif = b"GIF89a".to_vec();
        gif.extend_from_slice(&[0; 200]);
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
        for (description, bytes) in [
            ("nothing", Vec::new()),
            ("a text", b"not a picture".to_vec()),
            ("a page", b"<!DOCTYPE html><script>alert(1)</script>".to_vec()),
            ("a drawing", svg.to_vec()),
            ("another kind", gif),
            ("a beginning", vec![0xff, 0xd8, 0xff]),
            ("half a JPEG", whole[..whole.len() / 2].to_vec()),
            ("a JPEG without its end", whole[..whole.len() - 2].to_vec()),
            ("half a PNG", png[..png.len() / 2].to_vec()),
            ("half a WebP", webp[..webp.len() / 2].to_vec()),
            ("too narrow", jpeg(479, 1000)),
            ("too low", jpeg(1000, 299)),
            ("a strip", jpeg(20_000, 10)),
        ] {
            let answer = put_picture(&creator, &event, bytes).await;
            assert_eq!(answer.status, 400, "{description}: {}", answer.text);
            answer.invalid("picture");
        }
        let picture_path = format!("{}/picture", path("events", &event));
        let text = [("content-type", "text/plain")];
        creator.send("PUT", &picture_path, &text, whole).await.refused(400, "invalid");
        assert_eq!(app.count("pictures").await, 0);
        assert_eq!(creator.get(&path("events", &event)).await.expect(200), event);
    }

    async fn oversized_pictures_are_refused_before_they_are_decoded(app) {
        let creator = app.user("creator").await;
        let event = creator.event().await;
        let picture_path = format!("{}/picture", path("events", &event));
        let refused = |answer: &str| {
            assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"too_large\""), "{answer}");
        };
        let most = 8 * 1024 * 1024;
        refused(&send_raw(app, "PUT", &picture_path, &format!("content-length: {}", most + 1), &[]).await);
        // Other routes have a smaller limit.
        let length = "content-length: 300000";
        refused(&send_raw(app, "PUT", &path("events", &event), length, &[]).await);
        // A body without Content-Length is cut off at the limit.
        let body = json!({"email": "raw@example.com", "password": PASSWORD, "name": "Raw"});
        let signed_up = app.anonymous().post("/api/user/signup", body).await;
        let cookie = signed_up.header("set-cookie").split(';').next().unwrap().to_owned();
        let mut chunk = format!("{:x}\r\n", most + 1).into_bytes();
        chunk.resize(chunk.len() + most + 1, 0);
        let head = format!("cookie: {cookie}\r\ntransfer-encoding: chunked");
        refused(&send_raw(app, "PUT", &picture_path, &head, &chunk).await);

        // Small files that would be decoded to 41 megapixels and to four billion pixels.
        let mut bomb = Vec::new();
        let flat = vec![0; 8200 * 5001];
        PngEncoder::new(&mut bomb).write_image(&flat, 8200, 5001, ExtendedColorType::L8).unwrap();
        assert!(bomb.len() < 1024 * 1024);
        put_picture(&creator, &event, bomb.clone()).await.invalid("picture");
        let mut false_size = jpeg(800, 500);
        let frame = false_size.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        false_size[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        put_picture(&creator, &event, false_size).await.invalid("picture");
        assert_eq!(app.count("pictures").await, 0);
    }

    async fn only_the_creator_can_set_a_picture(app) {
        let (creator, other) = (app.user("creator").await, app.user("other").await);
        let event = creator.event().await;
        let small = jpeg(480, 300);
        put_picture(&app.anonymous(), &event, small.clone()).await.refused(401, "sign_in_required");
        put_picture(&other, &event, small.clone()).await.refused(404, "not_found");
        remove_picture(&app.anonymous(), &event).await.refused(401, "sign_in_required");
        remove_picture(&other, &event).await.refused(404, "not_found");
        let unknown = json!({"id": "00000000-0000-7000-8000-000000000000"});
        put_picture(&creator, &unknown, small.clone()).await.refused(404, "not_found");
        let from_elsewhere = [("content-type", "image/jpeg"), ("origin", "https://evil.example")];
        let picture_path = format!("{}/picture", path("events", &event));
        creator.send("PUT", &picture_path, &from_elsewhere, small).await.refused(403, "forbidden");
        assert_eq!(app.events_of(&event).await.len(), 1);
    }

    async fn a_picture_is_replaced_and_removed(app) {
        let creator = app.user("creator").await;
        let event = creator.event().await;
        let first = put_picture(&creator, &event, jpeg(1600, 1000)).await.expect(200);
        let second = put_picture(&creator, &event, jpeg(640, 400)).await.expect(200);
        assert_ne!(first["pictureUrl"], second["pictureUrl"]);
        assert_eq!(app.count("pictures").await, 2, "480 and 640 wide");
        let gone = app.anonymous().get(first["pictureUrl"].as_str().unwrap()).await;
        assert_eq!((gone.status, gone.header("cache-control")), (404, "no-store"));
        let wider = second["pictureUrl"].as_str().unwrap().replace("640", "960");
        assert_eq!(app.anonymous().get(&wider).await.status, 404);

        let picture_path = format!("{}/picture", path("events", &event));
        let stale = [("if-match", "\"2\"")];
        creator.send("DELETE", &picture_path, &stale, "").await.refused(412, "precondition_failed");
        let stale = [JPEG_TYPE[0], stale[0]];
        creator.send("PUT", &picture_path, &stale, jpeg(480, 300)).await.refused(412, "precondition_failed");
        assert_eq!(creator.send("DELETE", &picture_path, &[("if-match", "\"3\"")], "").await.status, 204);
        assert_eq!(remove_picture(&creator, &event).await.status, 204, "removing a missing picture succeeds");
        let event = creator.get(&path("events", &event)).await.expect(200);
        assert_eq!((&event["pictureUrl"], &event["version"]), (&Value::Null, &json!(4)));
        assert_eq!(app.count("pictures").await, 0);
        let versions: Vec<i64> = app.events_of(&event).await.into_iter().map(|(_, version)| version).collect();
        assert_eq!(versions, [1, 2, 3, 4]);
        app.assert_sound().await;
    }

    async fn of_two_concurrent_replacements_one_fails_and_stores_nothing(app) {
        let creator = app.user("creator").await;
        let event = creator.event().await;
        let picture_path = format!("{}/picture", path("events", &event));
        let now = [JPEG_TYPE[0], ("if-match", "\"1\"")];
        let replacements = (0..6).map(|one| creator.send("PUT", &picture_path, &now, jpeg(480 + one * 10, 400)));
        let answers = futures::future::join_all(replacements).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        for answer in lost {
            answer.refused(412, "precondition_failed");
        }
        // Without a version, each succeeds or reports a conflict.
        let replacements = (0..6).map(|one| put_picture(&creator, &event, jpeg(480 + one * 10, 400)));
        for answer in futures::future::join_all(replacements).await {
            if answer.status != 200 {
                answer.refused(409, "version_conflict");
            }
        }
        let event = creator.get(&path("events", &event)).await.expect(200);
        assert_eq!(fetch_picture(app, &event).await.height(), event["pictureUrl"].as_str().unwrap()
            .rsplit('/').next().unwrap().trim_end_matches(".jpg").parse::<u32>().unwrap() * 5 / 8);
        let digests = app.number("SELECT COUNT(DISTINCT digest) AS n FROM pictures").await;
        assert_eq!(digests, 1, "only one picture is stored");
        app.assert_tables().await;
        app.assert_sound().await;
    }

    async fn a_picture_of_a_past_event_can_be_removed_but_not_set(app) {
        let creator = app.user("creator").await;
        let soon = jiff::Timestamp::from_second(app.clock_seconds() + 3600).unwrap();
        let event = creator.event_with(json!({"startsAt": soon.to_string()})).await;
        put_picture(&creator, &event, jpeg(480, 300)).await.expect(200);
        app.clock.advance(3600);
        put_picture(&creator, &event, jpeg(500, 400)).await.refused(409, "event_over");
        let page = creator.page(&edit_path(&event)).await;
        assert!(page.text.contains("This event has begun") && !page.text.contains("Save the changes"));
        assert!(page.text.contains("Remove the picture") && !page.text.contains("Replace the picture"));
        assert_eq!(remove_picture(&creator, &event).await.status, 204);
    }

    async fn invalid_picture_urls_are_not_found(app) {
        let digest = "0123456789abcdef0123456789abcdef";
        for address in [
            "/pictures/x/480.jpg".to_owned(), format!("/pictures/{digest}/480.jpg"),
            format!("/pictures/{digest}/480"), format!("/pictures/{digest}/%00.jpg"),
            format!("/pictures/{digest}/99999999999999.jpg"), "/pictures/%00/480.jpg".to_owned(),
        ] {
            let answer = app.anonymous().get(&address).await;
            assert_eq!((answer.status, answer.header("cache-control")), (404, "no-store"), "{address}");
        }
    }

    async fn pages_show_the_picture_instead_of_the_poster(app) {
        let creator = app.user("creator").await;
        let event = creator.event().await;
        let event_page = format!("/events/{}", id(&event));
        let with_poster = app.anonymous().page(&event_page).await.text;
        assert!(with_poster.contains(POSTER_MARKUP) && with_poster.contains("/share.png"));
        let event = put_picture(&creator, &event, jpeg(1000, 625)).await.expect(200);
        let address = event["pictureUrl"].as_str().unwrap();
        let page = app.anonymous().page(&event_page).await;
        assert!(page.header("content-security-policy").contains("img-src 'self'"));
        let srcset = format!(
            "{} 480w, {} 960w, {address} 1000w",
            address.replace("1000", "480"), address.replace("1000", "960")
        );
        for part in ["fetchpriority=\"high\"", "width=\"1000\"", "height=\"625\"", "alt=\"\"", &srcset] {
            assert!(page.text.contains(part), "{part}: {}", page.text);
        }
        assert!(!page.text.contains("loading=\"lazy\"") && !page.text.contains(POSTER_MARKUP));
        let absolute = format!("{}{address}", app.base);
        let shared = format!("content=\"{absolute}\"");
        assert!(page.text.contains(&shared) && page.text.contains("og:image:width"), "{}", page.text);
        assert!(page.text.contains(&format!("\"image\":[\"{absolute}\"]")), "{}", page.text);
        let home = app.anonymous().page("/").await.text;
        assert!(home.contains(&srcset) && !home.contains("fetchpriority"), "{home}");
        let data = creator.get("/account/data.json").await.expect(200);
        assert_eq!(data["events"][0]["pictureUrl"], address);
    }

    async fn a_picture_can_be_uploaded_on_the_edit_page(app) {
        let (creator, other) = (app.user("creator").await, app.user("other").await);
        let event = creator.event().await;
        let (page, event_page) = (edit_path(&event), format!("/events/{}", id(&event)));
        assert_eq!(app.anonymous().page(&page).await.header("location"), format!("/signin?next={page}"));
        assert_eq!(other.page(&page).await.status, 404);
        assert!(!other.page(&event_page).await.text.contains(&page));
        assert!(creator.page(&event_page).await.text.contains(&page));
        creator.ticket(&event, 2500).await;
        other.ticket(&event, 2500).await;
        assert!(creator.page("/selling").await.text.contains(&page));
        assert!(!other.page("/selling").await.text.contains(&page));

        for (sent, expected) in [
            (Vec::new(), "Choose a picture first."),
            (b"words".to_vec(), "Use a picture in the format JPEG, PNG or WebP."),
            (vec![0xff; 9 * 1024 * 1024], "This file is too large. Use one of at most 8 MB."),
            (vec![0xff; 70 * 1024 * 1024], "This file is too large. Use one of at most 8 MB."),
            (jpeg(479, 400), "This picture is too small."),
        ] {
            let answer = submit_picture(&creator, &event, &sent).await;
            assert_eq!(answer.header("location"), page, "{}", answer.text);
            let shown = creator.page(&page).await.text;
            assert!(shown.contains("role=\"alert\"") && shown.contains("id=\"event-picture-picture-error\""));
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        let answer = submit_picture(&other, &event, &jpeg(480, 300)).await;
        assert_eq!(answer.header("location"), page);
        assert!(submit_picture(&app.anonymous(), &event, b"").await.header("location").starts_with("/signin"));
        let huge = send_raw(app, "POST", "/fn/events/put_picture", "content-length: 600000000", &[]).await;
        assert!(huge.starts_with("HTTP/1.1 413"), "{huge}");
        let bare = [("content-type", "multipart/form-data"), ("accept", "text/html")];
        assert_eq!(creator.send("POST", "/fn/events/put_picture", &bare, "x").await.status, 400);
        assert_eq!(app.count("pictures").await, 0);

        assert_eq!(submit_picture(&creator, &event, &jpeg(480, 300)).await.header("location"), page);
        let shown = creator.page(&page).await.text;
        assert!(shown.contains("The picture is saved") && shown.contains("Replace the picture"));
        assert!(shown.contains("/480.jpg"));
        let answer = creator.form("/fn/events/remove_picture", &page, &[("event", id(&event))]).await;
        assert_eq!(answer.header("location"), page);
        let shown = creator.page(&page).await.text;
        assert!(shown.contains("The picture is removed.") && !shown.contains("/480.jpg"));
        app.assert_tables().await;
    }

    async fn an_event_can_be_changed_on_the_edit_page(app) {
        let (creator, other) = (app.user("creator").await, app.user("other").await);
        let exact = json!({"startsAt": "2031-05-01T19:30:05Z"});
        let event = creator.event_with(exact).await;
        let page = edit_path(&event);
        for (field, wrong) in [("title", ""), ("venue", ""), ("city", ""), ("country", "XX"), ("date", "soon"),
            ("time", ""), ("time_zone", "Leeds"), ("date", "2020-01-01"), ("category", "opera")]
        {
            let fields = form_fields(&creator, &event, &[("description", "Kept words"), (field, wrong)]).await;
            assert_eq!(save_event(&creator, &event, &fields).await.header("location"), page);
            let shown = creator.page(&page).await.text;
            assert!(shown.contains(&format!("id=\"event-{field}-error\"")), "{field}: {shown}");
            assert!(shown.contains("Kept words"), "{field}");
        }
        let fields = form_fields(&creator, &event, &[]).await;
        assert_eq!(save_event(&other, &event, &fields).await.header("location"), page);
        assert_eq!(creator.get(&path("events", &event)).await.expect(200), event, "nothing is written");

        let long = "A long evening. ".repeat(300);
        let fields = form_fields(&creator, &event, &[("title", "Later Show"), ("description", &long), ("category", "music")]).await;
        assert_eq!(save_event(&creator, &event, &fields).await.header("location"), format!("/events/{}", id(&event)));
        let shown = creator.page(&format!("/events/{}", id(&event))).await.text;
        assert!(shown.contains("Your changes are saved") && shown.contains("Later Show"));
        let now = creator.get(&path("events", &event)).await.expect(200);
        assert_eq!(now["description"], long.trim());
        assert_eq!((&now["category"], &now["version"]), (&json!("music"), &json!(2)));
        assert_eq!(now["startsAt"], event["startsAt"], "with its seconds, because it was not edited");

        let fields = form_fields(&creator, &event, &[("date", "2031-12-01")]).await;
        save_event(&creator, &event, &fields).await;
        let now = creator.get(&path("events", &event)).await.expect(200);
        assert_eq!(now["startsAt"], "2031-12-01T20:30:00Z");
        app.assert_tables().await;
    }

    async fn a_conflicting_save_keeps_typed_text_and_shows_concurrent_changes(app) {
        let creator = app.user("creator").await;
        let event = creator.event().await;
        let long = "What I typed meanwhile. ".repeat(200);
        let mine = form_fields(&creator, &event, &[("title", "Mine"), ("description", &long)]).await;
        let theirs = json!({"version": 1, "title": "Theirs", "city": "York"});
        creator.put(&path("events", &event), theirs).await.expect(200);

        let page = edit_path(&event);
        assert_eq!(save_event(&creator, &event, &mine).await.header("location"), page);
        let shown = creator.page(&page).await.text;
        for part in ["This was changed in the meantime", "Since you opened this form", "Theirs", "York",
            "value=\"Mine\"", "value=\"York\"", long.trim()]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let again: Vec<(String, String)> = mine.into_iter()
            .map(|(name, value)| match name.as_str() {
                "version" | "marks" => { let now = hidden_field(&shown, &name); (name, now) }
                "city" => (name, "York".to_owned()),
                _ => (name, value),
            })
            .collect();
        save_event(&creator, &event, &again).await;
        let now = creator.get(&path("events", &event)).await.expect(200);
        assert_eq!((&now["title"], &now["city"], &now["version"]), (&json!("Mine"), &json!("York"), &json!(3)));

        let late = form_fields(&creator, &event, &[("title", "Mine")]).await;
        put_picture(&creator, &event, jpeg(480, 300)).await.expect(200);
        save_event(&creator, &event, &late).await;
        assert!(creator.page(&page).await.text.contains("Only the picture was changed"));
        app.assert_tables().await;
    }
}
