//! Forms: fields with labels, hints and errors, filled in again after the server refused them. Does not
//! validate.

use super::raw::text_area;
use context::{self, Flash};
use islands::ShowPassword;
use leptos::{prelude::*, server_fn::ServerFn};

/// One form of a page, with the flash of its last submission.
#[derive(Debug, Clone, Default)]
pub struct Form {
    name: String,
    flash: Option<Flash>,
    labels: &'static [(&'static str, &'static str)],
}

impl Form {
    /// The form of this name. Ignores a flash of another form.
    pub fn new(name: impl Into<String>, flash: Option<&Flash>) -> Self {
        let name = name.into();
        let flash = flash.filter(|flash| flash.form == name).cloned();
        Self {
            name,
            flash,
            labels: &[],
        }
    }

    /// Whether the server sent it back, with errors or for review.
    pub fn was_refused(&self) -> bool {
        self.sent_back().is_some()
    }

    fn sent_back(&self) -> Option<&Flash> {
        // A good flash without a message only fills in values.
        let flash = self.flash.as_ref();
        flash.filter(|flash| !flash.good || !flash.message.is_empty())
    }

    /// The value that was entered in a field, or `otherwise`.
    pub fn value(&self, field: &str, otherwise: impl Into<String>) -> String {
        let values = self.flash.iter().flat_map(|flash| &flash.values);
        values
            .into_iter()
            .find(|(name, _)| name == field)
            .map_or_else(|| otherwise.into(), |(_, value)| value.clone())
    }

    /// The error of a field.
    pub fn error(&self, field: &str) -> Option<String> {
        let wrong = self.flash.iter().filter(|flash| !flash.good);
        let fields = wrong.flat_map(|flash| &flash.fields);
        fields
            .into_iter()
            .find(|wrong| wrong.field == field)
            .map(|wrong| wrong.message.clone())
    }

    /// The message above the field errors: an error without a field, or why fields need review.
    fn message(&self) -> Option<String> {
        let flash = self.flash.as_ref()?;
        let at_a_field = flash.fields.iter().any(|wrong| !wrong.field.is_empty());
        let is_draft = !flash.page.is_empty();
        (!at_a_field || flash.good || is_draft).then(|| flash.message.clone())
    }

    /// Sets the labels by which [`problem_at_top`] names fields: pairs of name and label.
    #[must_use]
    pub fn labelled(self, labels: &'static [(&'static str, &'static str)]) -> Self {
        Self { labels, ..self }
    }

    /// The label of a field; without one, its name in words: `face_value` becomes Face value.
    fn label_of(&self, field: &str) -> String {
        if let Some((_, label)) = self.labels.iter().find(|(name, _)| *name == field) {
            return (*label).to_owned();
        }
        if field == "email" {
            return "E-mail".to_owned();
        }
        let mut letters = field.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        first.chain(letters).collect::<String>().replace('_', " ")
    }

    fn id(&self, field: &str) -> String {
        format!("{}-{field}", self.name)
    }
}

/// The message of a form that was sent back: a box that gets the focus, with a link to each field that is wrong
/// or needs review.
pub fn problem_at_top(form: &Form) -> Option<AnyView> {
    let flash = form.sent_back().cloned()?;
    let (class, role) = if flash.good {
        ("notice", "status")
    } else {
        context::mark_refusal();
        ("notice notice-bad", "alert")
    };
    let message = form
        .message()
        .unwrap_or_else(|| "Please look at this again:".to_owned());
    let links: Vec<_> = flash
        .fields
        .into_iter()
        .filter(|wrong| !wrong.field.is_empty())
        .map(|wrong| {
            let text = format!("{}: {}", form.label_of(&wrong.field), wrong.message);
            view! { <li><a href=format!("#{}", form.id(&wrong.field))>{text}</a></li> }
        })
        .collect();
    let links = (!links.is_empty()).then(|| view! { <ul class="problems">{links}</ul> });
    let said = view! {
        <div class=class role=role tabindex="-1" autofocus=true>
            <p>{message}</p>
            {links}
        </div>
    };
    Some(said.into_any())
}

/// A form that the browser posts natively to a server function, with or without JavaScript. Only the server
/// validates it, so that all errors are shown at once.
pub fn post_to<F: ServerFn>(class: &'static str, fields: impl IntoView) -> impl IntoView {
    view! {
        <form
            action=context::form_address(F::url())
            method="post"
            class=non_empty(class)
            novalidate=true
        >
            {fields.into_any()}
        </form>
    }
}

/// As [`post_to`], for a form with a file.
pub fn post_file_to<F: ServerFn>(class: &'static str, fields: impl IntoView) -> impl IntoView {
    view! {
        <form
            action=context::form_address(F::url())
            method="post"
            enctype="multipart/form-data"
            class=non_empty(class)
            novalidate=true
        >
            {fields.into_any()}
        </form>
    }
}

/// An input field.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// The name of the server function's argument and of its errors.
    pub name: &'static str,
    pub label: &'static str,
    /// `text` if empty.
    pub kind: &'static str,
    /// The initial value.
    pub value: String,
    /// Shown below the label.
    pub hint: Option<String>,
    pub optional: bool,
    /// The maximum length in characters.
    pub max: Option<u32>,
    /// The attribute `autocomplete`.
    pub autocomplete: &'static str,
    /// The attribute `inputmode`, which selects a phone's keyboard.
    pub inputmode: &'static str,
    /// The id of a `<datalist>`.
    pub list: &'static str,
    /// The attribute `accept` of a file input.
    pub accept: &'static str,
}

/// Label, hint, input, error.
pub fn field(form: &Form, input: Input) -> AnyView {
    let id = form.id(input.name);
    let error = form.error(input.name);
    let described = described_by(&id, input.hint.is_some(), error.is_some());
    let kind = if input.kind.is_empty() {
        "text"
    } else {
        input.kind
    };
    let is_password = kind == "password";
    let value = (!is_password && kind != "file").then(|| form.value(input.name, input.value));
    let line = view! {
        <input
            class="input"
            id=id.clone()
            name=input.name
            type=kind
            value=value
            required=!input.optional
            maxlength=input.max
            autocomplete=non_empty(input.autocomplete)
            inputmode=non_empty(input.inputmode)
            list=non_empty(input.list)
            accept=non_empty(input.accept)
            aria-invalid=error.is_some().then_some("true")
            aria-describedby=described
        />
    };
    let line = if is_password {
        let field = id.clone();
        view! { <div class="password">{line} <ShowPassword field/></div> }.into_any()
    } else {
        line.into_any()
    };
    view! {
        <div class="field">
            {label(&id, input.label, input.optional)}
            {hint(&id, input.hint)}
            {line}
            {error_below(&id, error)}
        </div>
    }
    .into_any()
}

/// Several lines of text.
pub fn area(form: &Form, input: Input) -> impl IntoView + use<> {
    let id = form.id(input.name);
    let error = form.error(input.name);
    let described = described_by(&id, input.hint.is_some(), error.is_some());
    view! {
        <div class="field">
            {label(&id, input.label, input.optional)}
            {hint(&id, input.hint)}
            <textarea
                class="input"
                id=id.clone()
                name=input.name
                rows="4"
                required=!input.optional
                maxlength=input.max
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=described
            >
                {text_area(&form.value(input.name, input.value))}
            </textarea>
            {error_below(&id, error)}
        </div>
    }
}

/// One option of a select.
#[derive(Debug, Clone)]
pub struct Choice {
    pub value: String,
    pub label: String,
}

impl Choice {
    pub fn new(value: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            label: label.into(),
        }
    }
}

/// Label, hint, select, error. `input.value` is selected initially.
pub fn choose(form: &Form, input: Input, choices: Vec<Choice>) -> AnyView {
    choose_grouped(form, input, vec![("", choices)])
}

/// As [`choose`], with the choices grouped by headings. An empty heading makes no group. If the selected value
/// is in several groups, the first is selected.
pub fn choose_grouped(
    form: &Form,
    input: Input,
    groups: Vec<(&'static str, Vec<Choice>)>,
) -> AnyView {
    let id = form.id(input.name);
    let error = form.error(input.name);
    let described = described_by(&id, input.hint.is_some(), error.is_some());
    let chosen = form.value(input.name, input.value);
    let mut none_selected = true;
    let options: Vec<AnyView> = groups
        .into_iter()
        .map(|(heading, choices)| {
            let options: Vec<_> = choices
                .into_iter()
                .map(|choice| {
                    let selected = none_selected && choice.value == chosen;
                    none_selected &= !selected;
                    view! { <option value=choice.value selected=selected>{choice.label}</option> }
                })
                .collect();
            if heading.is_empty() {
                options.into_any()
            } else {
                view! { <optgroup label=heading>{options}</optgroup> }.into_any()
            }
        })
        .collect();
    view! {
        <div class="field">
            {label(&id, input.label, input.optional)}
            {hint(&id, input.hint)}
            <select
                class="input"
                id=id.clone()
                name=input.name
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=described
            >
                {options}
            </select>
            {error_below(&id, error)}
        </div>
    }
    .into_any()
}

/// The username of a password form, for password managers. Neither visible nor sent.
pub fn username(email: impl Into<String>) -> impl IntoView {
    view! { <input type="text" autocomplete="username" value=email.into() hidden=true readonly=true/> }
}

pub fn hidden(name: &'static str, value: impl Into<String>) -> impl IntoView {
    view! { <input type="hidden" name=name value=value.into()/> }
}

fn label(id: &str, text: &'static str, optional: bool) -> impl IntoView + use<> {
    view! {
        <label class="label" for=id.to_owned()>
            {text} {optional.then(|| view! { <span class="quiet">" (optional)"</span> })}
        </label>
    }
}

fn hint(id: &str, hint: Option<String>) -> impl IntoView + use<> {
    let id = format!("{id}-hint");
    hint.map(|hint| view! { <p class="hint" id=id>{hint}</p> })
}

fn error_below(id: &str, error: Option<String>) -> impl IntoView + use<> {
    let id = format!("{id}-error");
    error.map(|error| view! { <p class="error" id=id>{error}</p> })
}

fn described_by(id: &str, hint: bool, error: bool) -> Option<String> {
    let mut by = Vec::new();
    if hint {
        by.push(format!("{id}-hint"));
    }
    if error {
        by.push(format!("{id}-error"));
    }
    (!by.is_empty()).then(|| by.join(" "))
}

fn non_empty(text: &'static str) -> Option<&'static str> {
    (!text.is_empty()).then_some(text)
}

/// The flash message of a page that belongs to no form.
pub fn flash_message(flash: Option<&Flash>) -> Option<AnyView> {
    let flash = flash.filter(|flash| flash.form.is_empty())?;
    let (class, role) = if flash.good {
        ("notice notice-good", "status")
    } else {
        context::mark_refusal();
        ("notice notice-bad", "alert")
    };
    Some(view! { <p class=class role=role>{flash.message.clone()}</p> }.into_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::error::FieldError;

    fn shown(fields: &[(&str, &str)]) -> String {
        let flash = Flash {
            form: "event".to_owned(),
            message: "Nothing was saved.".to_owned(),
            fields: fields
                .iter()
                .map(|(field, message)| FieldError::new(*field, *message))
                .collect(),
            ..Flash::default()
        };
        let html = problem_at_top(&Form::new("event", Some(&flash))).to_html();
        // Markers between texts, which depend on whether the types of views are erased.
        html.replace("<!>", "")
    }

    #[test]
    fn a_refused_form_has_a_focused_box_with_links_to_its_fields() {
        let box_ = shown(&[("time_zone", "Choose one."), ("email", "Enter one.")]);
        for part in [
            "role=\"alert\"",
            "tabindex=\"-1\"",
            "autofocus",
            "<a href=\"#event-time_zone\">Time zone: Choose one.</a>",
            "<a href=\"#event-email\">E-mail: Enter one.</a>",
        ] {
            assert!(box_.contains(part), "{part}: {box_}");
        }
        assert!(!box_.contains("Nothing was saved"));
    }

    #[test]
    fn several_lines_of_text_stay_text() {
        let typed = "\n</textarea><script>alert(1)</script> &lt;A&gt; \"b\"";
        let input = Input {
            name: "description",
            value: typed.to_owned(),
            ..Input::default()
        };
        let html = area(&Form::new("event", None), input).to_html();
        let (_, behind) = html.split_once("<textarea").unwrap();
        let (_, content) = behind.split_once('>').unwrap();
        let (content, rest) = content.split_once("</textarea>").unwrap();
        assert!(!rest.contains("script"), "{html}");
        let shown = content.strip_prefix('\n').unwrap();
        let shown = shown.replace("&lt;", "<").replace("&gt;", ">");
        assert_eq!(shown.replace("&amp;", "&"), typed, "{html}");
    }

    #[test]
    fn a_choice_in_several_groups_is_selected_once() {
        let choices = |values: &[&str]| {
            values
                .iter()
                .map(|value| Choice::new(*value, *value))
                .collect()
        };
        let input = Input {
            name: "zone",
            value: "b".to_owned(),
            ..Input::default()
        };
        let groups = vec![
            ("Often", choices(&["a", "b"])),
            ("All", choices(&["a", "b"])),
        ];
        let html = choose_grouped(&Form::new("event", None), input, groups).to_html();
        assert_eq!(html.matches("selected").count(), 1, "{html}");
        assert_eq!(html.matches("<optgroup").count(), 2, "{html}");
    }

    #[test]
    fn an_error_without_a_field_has_no_links() {
        let said = shown(&[]);
        assert!(
            said.contains("Nothing was saved.") && !said.contains("<ul"),
            "{said}"
        );
        assert!(
            !problem_at_top(&Form::new("event", None))
                .to_html()
                .contains("alert")
        );
    }
}
