//! The start and end of an event in the venue's time zone and, if different, in the viewer's. Only the browser
//! knows the viewer's time zone; an inline script adds it while the page is parsed, which avoids a layout
//! shift. Without JavaScript only the venue's time is shown.

use leptos::{nonce::use_nonce, prelude::*};
use model::events::Event;

/// Adds the viewer's time to the preceding `<time>`, with the day if that differs.
const YOUR_TIME: &str = r#"(()=>{const t=document.currentScript.previousElementSibling,at=new Date(t.dateTime),end=t.dataset.end&&new Date(t.dataset.end),f=(of,o,timeZone)=>new Intl.DateTimeFormat("en-GB",{...o,timeZone}).format(of).replace(/\s/g," "),day={weekday:"short",day:"numeric",month:"short"},clock={hour:"numeric",minute:"2-digit",hour12:true},venue=t.dataset.zone,named=(of,other)=>(other?f(of,day)+", ":"")+f(of,clock);try{const other=d=>f(d,day)!==f(d,day,venue);if([at,end].some(d=>d&&(other(d)||f(d,clock)!==f(d,clock,venue))))t.append(" · "+named(at,other(at))+(end?" – "+named(end,other(end)||f(end,day)!==f(at,day)):"")+" your time")}catch{}})()"#;

/// `Thursday 1 May 2031, 8:30 pm BST`, with the end if it is known, and for a viewer in Berlin ` · 9:30 pm your time`.
pub fn event_time(event: &Event) -> AnyView {
    view! {
        <span>
            <time
                datetime=event.starts_at.to_string()
                data-zone=event.time_zone.clone()
                data-end=event.ends_at.map(|end| end.to_string())
            >
                {event.when_in_full()}
            </time>
            <script nonce=use_nonce() inner_html=YOUR_TIME></script>
        </span>
    }
    .into_any()
}
