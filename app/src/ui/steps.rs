//! The progress through a process of several steps.

use leptos::prelude::*;

/// The numbered steps; `now` is the index of the current one. Shows nothing without it.
pub fn steps(names: &[&'static str], now: Option<usize>) -> Option<AnyView> {
    let now = now?;
    let steps = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let class = if index < now {
                "step step-done"
            } else {
                "step"
            };
            view! {
                <li class=class aria-current=(index == now).then_some("step")>
                    <span class="step-number" aria-hidden="true">{index + 1}</span>
                    {*name}
                </li>
            }
        })
        .collect_view();
    Some(view! { <ol class="steps" aria-label="Steps">{steps}</ol> }.into_any())
}
