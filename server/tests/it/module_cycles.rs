//! The top-level modules of a crate import each other without cycles, which the compiler would allow.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

type Imports = BTreeMap<String, BTreeSet<String>>;

/// The first names of the paths after each `crate::`, also of those in braces.
fn imported(source: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        let is_part = |letter: &char| letter.is_alphanumeric() || *letter == '_';
        text.trim_start().chars().take_while(is_part).collect()
    };
    let mut names = BTreeSet::new();
    for (at, _) in source.match_indices("crate::") {
        let path = &source[at + "crate::".len()..];
        let Some(list) = path.strip_prefix('{') else {
            names.insert(name(path));
            continue;
        };
        let mut depth = 0;
        let mut expects_name = true;
        for (at, letter) in list.char_indices() {
            match letter {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => expects_name = true,
                _ if expects_name && !letter.is_whitespace() => {
                    names.insert(name(&list[at..]));
                    expects_name = false;
                }
                _ => {}
            }
        }
    }
    names
}

/// The code of a file without its unit tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The imports between the top-level modules of a crate.
fn imports(sources: &Path) -> Imports {
    let mut found = Vec::new();
    files(sources, &mut found);
    let module = |path: &Path| -> String {
        let inside = path.strip_prefix(sources).unwrap();
        let first = inside.iter().next().unwrap().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    };
    let all: BTreeSet<String> = found.iter().map(|path| module(path)).collect();
    let mut imports = Imports::new();
    for path in &found {
        let name = module(path);
        let others = imported(&code(path)).into_iter();
        let others = others.filter(|other| *other != name && all.contains(other));
        imports.entry(name.clone()).or_default().extend(others);
    }
    imports
}

/// The modules that import themselves through others.
fn in_cycles(imports: &Imports) -> Vec<&String> {
    let reaches_itself = |start: &String| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = imports[start].iter().collect();
        while let Some(module) = next.pop() {
            if module == start {
                return true;
            }
            if seen.insert(module) {
                next.extend(&imports[module]);
            }
        }
        false
    };
    imports.keys().filter(|name| reaches_itself(name)).collect()
}

/// The source folders of all crates that the manifest of the workspace lists.
fn crates() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = manifest.split_once("members = [").unwrap().1;
    let members = members.split_once(']').unwrap().0.split(',');
    members
        .map(|member| root.join(member.trim().trim_matches('"')).join("src"))
        .collect()
}

#[test]
fn no_module_imports_itself_through_others() {
    let crates = crates();
    let shop = crates
        .iter()
        .find(|sources| sources.ends_with("server/shop/src"));
    let shop = imports(shop.unwrap());
    assert!(shop["orders"].contains("tickets"), "{shop:?}");
    for sources in crates {
        let imports = imports(&sources);
        let cycle = in_cycles(&imports);
        assert!(cycle.is_empty(), "{}: {cycle:?}", sources.display());
    }
}

#[test]
fn a_cycle_is_detected() {
    let source =
        "use crate::{\n    db::{Conn, Db},\n    fault,\n};\nfn f() { crate::clock::now() }";
    let names: Vec<String> = imported(source).into_iter().collect();
    assert_eq!(names, ["clock", "db", "fault"]);
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let imports = Imports::from([
        ("a".to_owned(), set(&["b"])),
        ("b".to_owned(), set(&["c"])),
        ("c".to_owned(), set(&["b"])),
    ]);
    assert_eq!(in_cycles(&imports), ["b", "c"]);
}
