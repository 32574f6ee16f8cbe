//! Server functions of events.

use super::Facts;
use crate::events::{FIELDS, is_unchanged};
use jiff::{SignedDuration, Timestamp};
use leptos::{
    server,
    server_fn::codec::{MultipartData, MultipartFormData},
};
use model::{
    error::{AppError, AppResult, FieldError},
    events::{Category, CreateEvent, Events, PlaceFields, UpdateEvent, moment_if_given, starts_at},
    money::Currency,
};

const NAMES: &[(&str, &str)] = &[
    ("startsAt", "date"),
    ("endsAt", "end_time"),
    ("salesUntil", "sales_time"),
    ("timeZone", "time_zone"),
];

/// Messages above the fields that were filled in from the place, or are unusual there.
const CHECK_NEW: &str = "The event is not created yet. Check these fields, and press the button again if they are right:";
const CHECK_CHANGED: &str =
    "Nothing is saved yet. Check these fields, and press the button again if they are right:";

impl Facts {
    fn starts_at(&self) -> Result<Timestamp, Vec<FieldError>> {
        starts_at(&self.date, &self.time, &self.time_zone)
    }

    fn ends_at(&self) -> Result<Option<Timestamp>, Vec<FieldError>> {
        let fields = [("end_date", &*self.end_date), ("end_time", &*self.end_time)];
        moment_if_given(fields, &self.date, &self.time_zone)
    }

    fn sales_until(&self) -> Result<Option<Timestamp>, Vec<FieldError>> {
        let fields = [
            ("sales_date", &*self.sales_date),
            ("sales_time", &*self.sales_time),
        ];
        moment_if_given(fields, &self.date, &self.time_zone)
    }

    /// Builds the request to create an event. Errors: all invalid fields.
    async fn create_request(
        &self,
        events: &dyn Events,
        currency: &str,
    ) -> Result<CreateEvent, AppError> {
        let country = if self.country.is_empty() {
            let message = "Choose a country. We could not find it from the city.";
            Err(vec![FieldError::new("country", message)])
        } else {
            Ok(())
        };
        let zone = if self.time_zone.is_empty() && country.is_ok() {
            let message = "Choose a time zone. This country has several.";
            Err(vec![FieldError::new("time_zone", message)])
        } else {
            Ok(())
        };
        let (when, end, sales) = (self.starts_at(), self.ends_at(), self.sales_until());
        let unknown = |_| vec![FieldError::new("currency", "Choose one of the currencies.")];
        let money: Result<Currency, _> = currency.parse().map_err(unknown);
        let kind = parse_category(&self.category);
        if let (Ok(()), Ok(starts_at), Ok(ends_at), Ok(sales_until), Ok(currency), Ok(category)) =
            (&country, &when, &end, &sales, &money, &kind)
        {
            return Ok(CreateEvent {
                ends_at: *ends_at,
                sales_until: *sales_until,
                category: *category,
                ..self.text_request(*starts_at, *currency)
            });
        }
        let starts_at = when.as_ref().ok().copied();
        let others = [
            country.err(),
            money.err(),
            kind.err().map(|wrong| vec![wrong]),
        ];
        let times = [zone.err(), when.err(), end.err(), sales.err()];
        Err(self
            .all_errors(events, others.into_iter().chain(times), starts_at)
            .await)
    }

    /// Builds the request to update an event. `version` and `marks` are those of the event when the form was
    /// shown. Errors: all invalid fields.
    async fn update_request(
        &self,
        events: &dyn Events,
        marks: &str,
        version: &str,
    ) -> Result<UpdateEvent, AppError> {
        // The fields have no seconds, so only a time that was edited is sent.
        let is_edited = |names: &[&str]| self.is_changed(marks, names);
        let when = is_edited(&["date", "time", "time_zone"]).then(|| self.starts_at());
        // An end without a date is on the day of the start.
        let end = is_edited(&["date", "end_date", "end_time", "time_zone"]).then(|| self.ends_at());
        let sales = is_edited(&["date", "sales_date", "sales_time", "time_zone"])
            .then(|| self.sales_until());
        let (when, end, sales) = (when.transpose(), end.transpose(), sales.transpose());
        let kind = parse_category(&self.category);
        let (Ok(starts_at), Ok(ends_at), Ok(sales_until), Ok(category)) =
            (&when, &end, &sales, &kind)
        else {
            let starts_at = when.as_ref().ok().copied().flatten();
            let kind = kind.err().map(|wrong| vec![wrong]);
            let wrong = [when.err(), end.err(), sales.err(), kind];
            return Err(self.all_errors(events, wrong, starts_at).await);
        };
        Ok(UpdateEvent {
            title: Some(self.title.clone()),
            venue: Some(self.venue.clone()),
            city: Some(self.city.clone()),
            country: Some(self.country.clone()),
            starts_at: *starts_at,
            ends_at: *ends_at,
            sales_until: *sales_until,
            time_zone: Some(self.time_zone.clone()),
            currency: None,
            description: Some(self.description.clone()),
            category: Some(*category),
            // No event has version 0, so a missing version is a conflict.
            version: version.parse().unwrap_or(0),
        })
    }

    /// A request with the fields that need no parsing.
    fn text_request(&self, starts_at: Timestamp, currency: Currency) -> CreateEvent {
        CreateEvent {
            title: self.title.clone(),
            venue: self.venue.clone(),
            city: self.city.clone(),
            country: self.country.clone(),
            starts_at,
            ends_at: None,
            sales_until: None,
            time_zone: self.time_zone.clone(),
            currency,
            description: Some(self.description.clone()),
            category: Category::Other,
        }
    }

    /// All errors: those of fields that could not be parsed, and those of the other fields. To check the
    /// others, fields that could not be parsed are replaced by valid values.
    async fn all_errors(
        &self,
        events: &dyn Events,
        parse_errors: impl IntoIterator<Item = Option<Vec<FieldError>>>,
        starts_at: Option<Timestamp>,
    ) -> AppError {
        let mut wrong: Vec<FieldError> = Vec::new();
        for error in parse_errors.into_iter().flatten().flatten() {
            if wrong.iter().all(|known| known.field != error.field) {
                wrong.push(error);
            }
        }
        let tomorrow = || context::now().checked_add(SignedDuration::from_hours(24));
        let starts_at = starts_at.or_else(|| tomorrow().ok());
        let currency = Currency::all().find(|currency| currency.is_accepted());
        let others = match (starts_at, currency) {
            (Some(starts_at), Some(currency)) => {
                events.check(self.text_request(starts_at, currency)).await
            }
            _ => Ok(()),
        };
        let mut error = context::merge_errors(wrong, others, NAMES);
        if let AppError::Invalid(fields) = &mut error {
            // In the order of the form.
            let place = |name: &str| FIELDS.iter().position(|(field, _)| *field == name);
            fields.sort_by_key(|wrong| place(&wrong.field).unwrap_or(FIELDS.len()));
        }
        error
    }

    fn place(&self, currency: &str) -> PlaceFields {
        PlaceFields {
            city: self.city.clone(),
            country: self.country.clone(),
            time_zone: self.time_zone.clone(),
            currency: currency.to_owned(),
        }
    }

    /// The fields and the currency, with country, time zone and currency of `place`.
    fn with_place(self, place: &PlaceFields) -> (Self, String) {
        let facts = Self {
            country: place.country.clone(),
            time_zone: place.time_zone.clone(),
            ..self
        };
        (facts, place.currency.clone())
    }

    /// The place that the user confirms by sending the form again.
    fn confirmation(&self, currency: &str) -> String {
        format!("{} {} {currency}", self.country, self.time_zone)
    }

    /// Whether one of these fields was edited since the form was shown.
    fn is_changed(&self, marks: &str, names: &[&str]) -> bool {
        self.each()
            .any(|(name, _, text)| names.contains(&name) && !is_unchanged(marks, name, text))
    }
}

fn parse_category(text: &str) -> Result<Category, FieldError> {
    if text.is_empty() {
        return Ok(Category::Other);
    }
    let unknown = |_| FieldError::new("category", "Choose one of the categories.");
    text.parse().map_err(unknown)
}

/// Creates an event, and redirects to its picture form.
#[server(prefix = "/fn", endpoint = "events/create")]
pub async fn create(
    #[server(flatten)] facts: Facts,
    #[server(default)] currency: String,
    #[server(default)] sure: String,
) -> Result<(), AppError> {
    let events = context::port::<dyn Events>()?;
    let proposal = events.propose_place(facts.place(&currency));
    // A refused form shows what was typed; proposals are shown only for confirmation.
    let typed = (facts.clone(), currency.clone());
    let (facts, currency) = facts.with_place(&proposal.place);
    let refuse = |error| {
        let (facts, currency) = &typed;
        let values = facts.typed([("currency", currency.as_str()), ("sure", &sure)]);
        context::refuse(FACTS_FORM, context::at_fields(error, NAMES), &values)
    };
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return refuse(error),
    };
    let request = match facts.create_request(&*events, &currency).await {
        Ok(request) => request,
        Err(error) => return refuse(error),
    };
    let asked = facts.confirmation(&currency);
    if context::posted_by_form() && sure != asked && proposal.has_questions() {
        let values = facts.typed([("currency", currency.as_str()), ("sure", asked.as_str())]);
        context::ask_to_review(FACTS_FORM, CHECK_NEW, proposal.questions(), &values);
        return Ok(());
    }
    // Sending the form twice creates one event.
    let own = match events.list_own(&viewer).await {
        Ok(own) => own,
        Err(error) => return refuse(error),
    };
    if let Some(event) = own.iter().find(|event| event.matches(&request)) {
        context::notice(format!("You have created {} already.", event.title));
        context::redirect(&format!("/sell?event={}", event.id));
        return Ok(());
    }
    match events.create(&viewer, request).await {
        Ok(event) => {
            context::notice(format!(
                "{} is created. You can add a picture, and then list your tickets.",
                event.title
            ));
            context::redirect(&format!("/events/{}/picture", event.id));
            Ok(())
        }
        Err(error) => refuse(error),
    }
}

/// Updates an event, and redirects to its page. `marks` and `version` are those of the event when the form
/// was shown.
#[server(prefix = "/fn", endpoint = "events/update")]
pub async fn update(
    #[server(default)] event: String,
    #[server(default)] version: String,
    #[server(default)] marks: String,
    #[server(default)] sure: String,
    #[server(flatten)] facts: Facts,
) -> Result<(), AppError> {
    let events = context::port::<dyn Events>()?;
    let refuse = |error| {
        let values = facts.typed([
            ("version", version.as_str()),
            ("marks", &marks),
            ("sure", &sure),
        ]);
        context::refuse(FACTS_FORM, context::at_fields(error, NAMES), &values)
    };
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return refuse(error),
    };
    let request = match facts.update_request(&*events, &marks, &version).await {
        Ok(request) => request,
        Err(error) => return refuse(error),
    };
    let Ok(id) = event.parse() else {
        return refuse(AppError::NotFound);
    };
    let (unusual, asked) = (
        events.propose_place(facts.place("")).unusual,
        facts.confirmation(""),
    );
    if context::posted_by_form()
        && sure != asked
        && facts.is_changed(&marks, &["country", "time_zone"])
        && !unusual.is_empty()
    {
        let before = [
            ("version", version.as_str()),
            ("marks", &marks),
            ("sure", &asked),
        ];
        context::ask_to_review(FACTS_FORM, CHECK_CHANGED, unusual, &facts.typed(before));
        return Ok(());
    }
    match events.update(&viewer, id, request, None).await {
        Ok(event) => {
            let announced = [
                "title",
                "venue",
                "city",
                "country",
                "date",
                "time",
                "time_zone",
                "end_date",
                "end_time",
            ];
            context::notice(if facts.is_changed(&marks, &announced) {
                "Your changes are saved, and visitors see them. Everybody who has bought a ticket gets a mail about it in a few minutes."
            } else {
                "Your changes are saved, and visitors see them."
            });
            context::redirect(&format!("/events/{}", event.id));
            Ok(())
        }
        Err(error) => refuse(error),
    }
}

/// Sets the picture of an event, and redirects to the page that the form names.
#[server(prefix = "/fn", endpoint = "events/put_picture", input = MultipartFormData)]
pub async fn put_picture(form: MultipartData) -> Result<(), AppError> {
    use crate::events::picture_form::After;
    use model::events::Pictures;
    let pictures = context::port::<dyn Pictures>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse(PICTURE_FORM, error, &[]),
    };
    let sent = read_picture(form).await;
    let done = match (sent.event.parse(), sent.picture) {
        (_, Err(error)) => Err(error),
        (Err(_), _) => Err(AppError::NotFound),
        (Ok(id), Ok(bytes)) => {
            let fit = sent.fit.parse().unwrap_or_default();
            pictures.put_picture(&viewer, id, bytes, fit, None).await
        }
    };
    let values = [("fit", sent.fit.as_str())];
    match done {
        Ok(event) => {
            let (notice, page) = match After::parse(&sent.after) {
                After::Edit => (
                    "The picture is saved, and visitors see it.",
                    format!("/events/{}/edit", event.id),
                ),
                After::Sell => (
                    "The picture is saved. Now list your tickets.",
                    format!("/sell?event={}", event.id),
                ),
            };
            context::notice(notice);
            context::redirect(&page);
            Ok(())
        }
        Err(error) => context::refuse(PICTURE_FORM, error, &values),
    }
}

/// Removes the picture of an event, and redirects back to the form.
#[server(prefix = "/fn", endpoint = "events/remove_picture")]
pub async fn remove_picture(#[server(default)] event: String) -> Result<(), AppError> {
    use model::events::Pictures;
    let pictures = context::port::<dyn Pictures>()?;
    let viewer = match context::require_viewer() {
        Ok(viewer) => viewer,
        Err(error) => return context::refuse(PICTURE_FORM, error, &[]),
    };
    let done = match event.parse() {
        Ok(id) => pictures.remove_picture(&viewer, id, None).await,
        Err(_) => Err(AppError::NotFound),
    };
    match done {
        Ok(event) => {
            context::notice("The picture is removed.");
            context::redirect_back(&format!("/events/{}/edit", event.id));
            Ok(())
        }
        Err(error) => context::refuse(PICTURE_FORM, error, &[]),
    }
}

/// The name of the form for an event's details.
pub(crate) const FACTS_FORM: &str = "event";

/// The error message for a picture with too many bytes.
pub fn too_large() -> String {
    let most = model::events::PICTURE_BYTES_MAX / 1024 / 1024;
    format!("This file is too large. Use one of at most {most} MB.")
}

/// The name of the form for an event's picture.
pub const PICTURE_FORM: &str = "event-picture";

/// The parts of the picture form.
struct SentPicture {
    event: String,
    fit: String,
    after: String,
    picture: AppResult<Vec<u8>>,
}

/// Reads the body to its end, so that the browser shows the response, but keeps no more than a picture may
/// have.
async fn read_picture(form: MultipartData) -> SentPicture {
    let (mut event, mut fit, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let picture = read_parts(form, &mut event, &mut fit, &mut after).await;
    let text = |bytes| String::from_utf8(bytes).unwrap_or_default();
    SentPicture {
        event: text(event),
        fit: text(fit),
        after: text(after),
        picture,
    }
}

async fn read_parts(
    form: MultipartData,
    event: &mut Vec<u8>,
    fit: &mut Vec<u8>,
    after: &mut Vec<u8>,
) -> AppResult<Vec<u8>> {
    use model::events::PICTURE_BYTES_MAX;
    const TEXT_BYTES_MAX: usize = 64;
    let broken = || {
        AppError::invalid(
            "picture",
            "The file did not arrive completely. Send it again.",
        )
    };
    let mut form = form.into_inner().ok_or_else(broken)?;
    let (mut picture, mut is_too_large) = (Vec::new(), false);
    while let Some(mut part) = form.next_field().await.map_err(|_| broken())? {
        let (into, most) = match part.name() {
            Some("event") => (&mut *event, TEXT_BYTES_MAX),
            Some("fit") => (&mut *fit, TEXT_BYTES_MAX),
            Some("after") => (&mut *after, TEXT_BYTES_MAX),
            Some("picture") => (&mut picture, PICTURE_BYTES_MAX),
            _ => continue,
        };
        while let Some(chunk) = part.chunk().await.map_err(|_| broken())? {
            if into.len() + chunk.len() <= most {
                into.extend_from_slice(&chunk);
            } else {
                is_too_large = true;
            }
        }
    }
    if is_too_large {
        return Err(AppError::invalid("picture", too_large()));
    }
    if picture.is_empty() {
        return Err(AppError::invalid("picture", "Choose a picture first."));
    }
    Ok(picture)
}
