//! When an event begins: always by the clocks of its venue, and where the viewer's own show another
//! time, by theirs as well. Which zone that is only their browser knows; a few lines run while the
//! page is read, so that nothing moves once it is seen. Without JavaScript the venue's time stands
//! alone.

use super::{Event, when_in_full};
use leptos::{nonce::use_nonce, prelude::*};

/// Adds the viewer's time to the `<time>` that stands before it. The day is named where it is another.
const YOUR_TIME: &str = r#"(()=>{const t=document.currentScript.previousElementSibling,at=new Date(t.dateTime),f=(o,timeZone)=>new Intl.DateTimeFormat("en-GB",{...o,timeZone}).format(at).replace(/\s/g," "),day={weekday:"short",day:"numeric",month:"short"},clock={hour:"numeric",minute:"2-digit",hour12:true},venue=t.dataset.zone;try{const d=f(day),c=f(clock),other=d!==f(day,venue);if(other||c!==f(clock,venue))t.append(" · "+(other?d+", ":"")+c+" your time")}catch{}})()"#;

/// `Thursday 1 May 2031, 8:30 pm BST`, and for a viewer in Berlin ` · 9:30 pm your time`.
pub fn begins(event: &Event) -> AnyView {
    view! {
        <span>
            <time datetime=event.starts_at.to_string() data-zone=event.time_zone.clone()>
                {when_in_full(event.starts_at, &event.time_zone)}
            </time>
            <script nonce=use_nonce() inner_html=YOUR_TIME></script>
        </span>
    }
    .into_any()
}
