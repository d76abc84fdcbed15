//! No import circle of more than three files inside a crate.
//!
//! This is an approximation by text, without tests. `crate::`, `self::` and `super::` paths, and paths that
//! start with a child module, count as imports of the file that they lead to. `pub use` is followed but not
//! counted, so the `mod.rs` of a folder joins nothing. Inline modules count as their file, macros are not
//! expanded, glob re-exports lead to the `mod.rs`. A circle is a set of files that all reach each other.
//! Read next: `rust_text.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::rules::files::is_test_file;
use crate::rust_text;
use crate::workspace::Workspace;

const LARGEST: usize = 3;

/// A module path inside a crate; the root is empty.
type Module = Vec<String>;

/// One crate's files by module, and what its modules hand on under which name.
#[derive(Default)]
struct Modules {
    files: BTreeMap<Module, String>,
    handed_on: BTreeMap<(Module, String), Module>,
}

/// Finds circles that are too large.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Vec<(Module, &str, &str)>> = BTreeMap::new();
    for file in workspace
        .rust_files()
        .filter(|file| !is_test_file(&file.path))
    {
        if let Some((folder, inside)) = file.path.split_once("/src/") {
            let module = module_of(inside);
            crates
                .entry(folder)
                .or_default()
                .push((module, &file.path, &file.text));
        }
    }
    let mut findings = Vec::new();
    for files in crates.values() {
        let imports = imports(files);
        for circle in circles(&imports) {
            if circle.len() > LARGEST {
                findings.push(finding(&circle, &imports));
            }
        }
    }
    findings
}

/// Names every arrow of the circle, so that one can be chosen to go.
fn finding(circle: &[String], imports: &BTreeMap<String, BTreeSet<String>>) -> Finding {
    let arrows: Vec<String> = circle
        .iter()
        .map(|from| {
            let to: Vec<&str> = imports
                .get(from)
                .into_iter()
                .flatten()
                .filter(|to| circle.contains(to))
                .map(|to| inside(to))
                .collect();
            format!("\n    {} -> {}", inside(from), to.join(", "))
        })
        .collect();
    Finding::new(
        "circles",
        circle.first().cloned().unwrap_or_default(),
        format!(
            "{} files import each other in a circle; move what they share to a file of its own that \
             imports none of them{}",
            circle.len(),
            arrows.concat()
        ),
    )
}

fn inside(path: &str) -> &str {
    path.split_once("/src/").map_or(path, |(_, inside)| inside)
}

fn module_of(inside: &str) -> Module {
    let stem = inside.strip_suffix(".rs").unwrap_or(inside);
    let mut parts: Module = stem.split('/').map(str::to_owned).collect();
    let front_page = parts.last().is_some_and(|last| {
        last == "mod" || (parts.len() == 1 && (last == "lib" || last == "main"))
    });
    if front_page {
        parts.pop();
    }
    parts
}

/// Who imports whom, by path.
fn imports(files: &[(Module, &str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
    let mut modules = Modules::default();
    for (module, path, _) in files {
        modules.files.insert(module.clone(), (*path).to_owned());
    }
    let mut found = Vec::new();
    for (module, path, text) in files {
        let code = rust_text::without_tests(&rust_text::mask(text));
        for import in paths(&rust_text::tokens(&code), module, &modules) {
            if import.handed_on {
                if let Some(name) = import.name {
                    let key = (module.clone(), name);
                    modules.handed_on.insert(key, import.path);
                }
            } else {
                found.push(((*path).to_owned(), import.path));
            }
        }
    }
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, path) in found {
        if let Some(to) = modules.file_of(&path, 0)
            && to != from
        {
            edges.entry(from).or_default().insert(to);
        }
    }
    edges
}

impl Modules {
    /// The file a path inside the crate leads to.
    fn file_of(&self, path: &[String], depth: usize) -> Option<String> {
        const FAR_ENOUGH: usize = 8;
        let mut module = Module::new();
        for (index, part) in path.iter().enumerate() {
            let mut deeper = module.clone();
            deeper.push(part.clone());
            if self.files.contains_key(&deeper) {
                module = deeper;
                continue;
            }
            let handed = self.handed_on.get(&(module.clone(), part.clone()));
            if let Some(target) = handed
                && depth < FAR_ENOUGH
            {
                let onward = [target.as_slice(), &path[index + 1..]].concat();
                return self.file_of(&onward, depth + 1);
            }
            break;
        }
        self.files.get(&module).cloned()
    }
}

/// A path a file mentions.
struct Import {
    path: Module,
    /// The name it is known by in the importing module.
    name: Option<String>,
    handed_on: bool,
}

/// Every path into the own crate that the tokens of a module mention.
fn paths(tokens: &[&str], module: &Module, modules: &Modules) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = at == 0 || !matches!(tokens[at - 1], "::" | "." | "mod");
        let continued = tokens.get(at + 1) == Some(&"::");
        let base = if starts && continued {
            base_of(tokens, at, module, modules)
        } else {
            None
        };
        let Some((base, next)) = base else {
            at += 1;
            continue;
        };
        let handed_on = is_handed_on(tokens, at);
        let mut leaves = Vec::new();
        at = tree(tokens, next, &base, &mut leaves).max(at + 1);
        imports.extend(leaves.into_iter().map(|(path, name)| Import {
            path,
            name,
            handed_on,
        }));
    }
    imports
}

/// The module a path starts from and the place after its first `::`.
fn base_of(
    tokens: &[&str],
    at: usize,
    module: &Module,
    modules: &Modules,
) -> Option<(Module, usize)> {
    match tokens[at] {
        "crate" => Some((Module::new(), at + 2)),
        "self" => Some((module.clone(), at + 2)),
        "super" => {
            let mut base = module.clone();
            let mut next = at;
            while tokens.get(next) == Some(&"super") && tokens.get(next + 1) == Some(&"::") {
                base.pop();
                next += 2;
            }
            Some((base, next))
        }
        child => {
            let mut base = module.clone();
            base.push(child.to_owned());
            modules.files.contains_key(&base).then_some((base, at + 2))
        }
    }
}

/// True when the path at `at` is the head of a `pub use`.
fn is_handed_on(tokens: &[&str], at: usize) -> bool {
    if at == 0 || tokens[at - 1] != "use" {
        return false;
    }
    match tokens.get(at.wrapping_sub(2)) {
        Some(&"pub") => true,
        // `pub(crate) use` and `pub(in path) use`.
        Some(&")") => tokens[..at - 2]
            .iter()
            .rposition(|token| *token == "(")
            .is_some_and(|open| open > 0 && tokens[open - 1] == "pub"),
        _ => false,
    }
}

/// Reads a use tree or a plain path from `at`; gives its leaves and the place after it.
fn tree(
    tokens: &[&str],
    mut at: usize,
    base: &Module,
    leaves: &mut Vec<(Module, Option<String>)>,
) -> usize {
    let mut path = base.clone();
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    if tokens[at] == "," {
                        at += 1;
                    } else {
                        at = tree(tokens, at, &path, leaves).max(at + 1);
                    }
                }
                return at + 1;
            }
            Some(&"self") => {
                leaves.push((path.clone(), path.last().cloned()));
                return at + 1;
            }
            Some(word) if word.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                path.push((*word).to_owned());
                at += 1;
                if tokens.get(at) == Some(&"::") {
                    at += 1;
                    continue;
                }
                let renamed = tokens.get(at) == Some(&"as");
                let name = if renamed {
                    at += 2;
                    tokens.get(at - 1).map(|name| (*name).to_owned())
                } else {
                    path.last().cloned()
                };
                leaves.push((path, name));
                return at;
            }
            // A glob, a turbofish or the end: the path so far is what is meant.
            _ => {
                leaves.push((path, None));
                return at;
            }
        }
    }
}

/// Sets of files that all reach each other, each sorted.
fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = edges
        .keys()
        .map(|from| (from, reachable(edges, from)))
        .collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut circles = Vec::new();
    for (from, to) in &reach {
        if seen.contains(*from) || !to.contains(from) {
            continue;
        }
        let circle: Vec<String> = to
            .iter()
            .filter(|other| reach.get(*other).is_some_and(|back| back.contains(from)))
            .map(|other| (*other).clone())
            .collect();
        seen.extend(circle.iter().cloned());
        circles.push(circle);
    }
    circles
}

fn reachable<'a>(
    edges: &'a BTreeMap<String, BTreeSet<String>>,
    from: &'a String,
) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        for to in edges.get(next).into_iter().flatten() {
            if found.insert(to) {
                open.push(to);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
