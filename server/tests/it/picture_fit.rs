//! The visible part of a picture, and the picture form of a newly created event.

use crate::{
    pictures::{JPEG_TYPE, RED, encode, fetch_picture, id, is_near, submit_picture_at},
    support::{App, on_both_engines, path},
};
use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage};

const GREEN: [u8; 3] = [30, 160, 60];

/// A red picture with green bands at top and bottom. If both are visible, so is the whole picture.
fn with_bands(width: u32, height: u32) -> RgbImage {
    let band = height / 8;
    RgbImage::from_fn(width, height, |_, y| {
        Rgb(if (band..height - band).contains(&y) {
            RED
        } else {
            GREEN
        })
    })
}

on_both_engines! {
    async fn the_visible_part_is_chosen_and_a_square_poster_is_shown_whole(app) {
        let creator = app.user("creator").await;
        let event = creator.event().await;
        let poster = encode(&with_bands(1000, 1000), ImageFormat::Png);
        let picture_path = format!("{}/picture", path("events", &event));
        let ends = |image: &DynamicImage| {
            let (width, height) = image.dimensions();
            assert_eq!(height, width * 5 / 8);
            [10, height - 11].map(|y| is_near(image.get_pixel(width / 2, y), GREEN))
        };
        for (fit, expected) in [
            ("", [true, true]), ("?fit=auto", [true, true]), ("?fit=whole", [true, true]),
            ("?fit=start", [true, false]), ("?fit=end", [false, true]), ("?fit=middle", [false, false]),
        ] {
            let answer = creator.send("PUT", &format!("{picture_path}{fit}"), &JPEG_TYPE, poster.clone()).await;
            assert_eq!(ends(&fetch_picture(app, &answer.expect(200)).await), expected, "{fit}");
        }
        let tall = encode(&with_bands(1000, 2000), ImageFormat::Png);
        for (fit, expected) in [("start", [true, false]), ("end", [false, true]), ("auto", [true, true])] {
            let fields = [("fit", fit), ("after", "sell")];
            let page = format!("/events/{}/picture", id(&event));
            let answer = submit_picture_at(&creator, &event, &page, &fields, &tall).await;
            assert_eq!(answer.header("location"), format!("/sell?event={}", id(&event)));
            let event = creator.get(&path("events", &event)).await.expect(200);
            assert_eq!(ends(&fetch_picture(app, &event).await), expected, "{fit}");
        }
        creator.send("PUT", &format!("{picture_path}?fit=upside"), &JPEG_TYPE, poster).await.invalid("fit");
        app.assert_sound().await;
    }

    async fn a_refused_picture_leaves_the_new_event_unchanged(app) {
        let creator = app.user("creator").await;
        let event = creator.event().await;
        let page = format!("/events/{}/picture", id(&event));
        for sent in [b"words".to_vec(), vec![0xff; 70 * 1024 * 1024]] {
            let answer = submit_picture_at(&creator, &event, &page, &[("fit", "start"), ("after", "sell")], &sent).await;
            assert_eq!(answer.header("location"), page);
            let shown = creator.page(&page).await.text;
            assert!(shown.contains("event-picture-picture-error"), "{shown}");
        }
        assert_eq!(creator.get(&path("events", &event)).await.expect(200), event);
        let other = app.user("other").await;
        assert_eq!(other.page(&page).await.status, 404);
    }
}
