//! Updates a part of the page to match what the server has just rendered. Nodes that already match are not
//! touched, so that input, open details and focus stay.
//!
//! Elements with an id are matched by it among their siblings, others by position. An element marked `data-kept`
//! keeps its attributes.

use wasm_bindgen::JsCast;
use web_sys::{Element, Node};

/// Makes `old` equal to `new`, from another document. Moves nodes out of `new`.
pub fn morph(old: &Element, new: &Element) {
    if !old.has_attribute("data-kept") {
        attributes(old, new);
    }
    children(old, new);
}

fn attributes(old: &Element, new: &Element) {
    for name in old.get_attribute_names() {
        let name = name.as_string().unwrap_or_default();
        if !new.has_attribute(&name) {
            let _ = old.remove_attribute(&name);
        }
    }
    for name in new.get_attribute_names() {
        let name = name.as_string().unwrap_or_default();
        if let Some(value) = new.get_attribute(&name)
            && old.get_attribute(&name).as_ref() != Some(&value)
        {
            let _ = old.set_attribute(&name, &value);
        }
    }
}

fn children(old: &Element, new: &Element) {
    // Removed elements first, so that the remaining ones need not move.
    let mut next = old.first_child();
    while let Some(node) = next {
        next = node.next_sibling();
        if id_of(&node).is_some_and(|id| child(new, &id).is_none()) {
            let _ = old.remove_child(&node);
        }
    }
    let mut here = old.first_child();
    let mut next = new.first_child();
    while let Some(wanted) = next {
        next = wanted.next_sibling();
        let found = match id_of(&wanted) {
            Some(id) => child(old, &id),
            None => here
                .clone()
                .filter(|node| id_of(node).is_none() && node.node_name() == wanted.node_name()),
        };
        let Some(node) = found else {
            let _ = old.insert_before(&wanted, here.as_ref());
            continue;
        };
        if here.as_ref() == Some(&node) {
            here = node.next_sibling();
        } else {
            let _ = old.insert_before(&node, here.as_ref());
        }
        make_equal(&node, &wanted);
    }
    while let Some(node) = here {
        here = node.next_sibling();
        let _ = old.remove_child(&node);
    }
}

fn make_equal(old: &Node, new: &Node) {
    match (old.dyn_ref::<Element>(), new.dyn_ref::<Element>()) {
        (Some(old), Some(new)) => morph(old, new),
        _ => {
            let text = new.node_value();
            if old.node_value() != text {
                old.set_node_value(text.as_deref());
            }
        }
    }
}

fn id_of(node: &Node) -> Option<String> {
    let id = node.dyn_ref::<Element>()?.id();
    (!id.is_empty()).then_some(id)
}

/// The child with this id.
fn child(of: &Element, id: &str) -> Option<Node> {
    let found: Node = of.owner_document()?.get_element_by_id(id)?.into();
    (found.parent_node().as_ref() == Some(of.as_ref())).then_some(found)
}
