//! `docs/unsafe.md` lists every use of `unsafe`, and every function in C. It ages with the code, so it is compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const DOC: &str = "docs/unsafe.md";
const FFI: &str = "src/ffi";

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All files below `dir` that end so.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("an entry of a directory").path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.extension().is_some_and(|own| own == end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A line without its comment and what stands between quotation marks.
fn code(line: &str) -> String {
    let mut code = String::new();
    for (at, piece) in line.split('"').enumerate() {
        if at % 2 == 0 {
            let end = piece.find("//");
            code += &piece[..end.unwrap_or(piece.len())];
            if end.is_some() {
                break;
            }
        }
    }
    code
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// How often each function uses `unsafe` (unit tests as `tests`, what is outside of functions as "").
fn uses(source: &str) -> BTreeMap<String, usize> {
    let mut uses = BTreeMap::new();
    let (mut function, mut tests) = (String::new(), false);
    for line in source.lines() {
        let code = code(line);
        let words: Vec<&str> = words(&code).collect();
        tests |= words == ["mod", "tests"];
        let fn_at = words.iter().position(|word| *word == "fn");
        let name = fn_at.and_then(|at| words.get(at + 1));
        // `fn(` is a type.
        if let Some(name) = name.filter(|name| code.contains(&format!("fn {name}"))) {
            function = (*name).to_owned();
        } else if code.starts_with("unsafe impl") || code.starts_with("#[unsafe") {
            function.clear();
        }
        let count = words.iter().filter(|word| **word == "unsafe").count();
        if count > 0 {
            let place = if tests { "tests" } else { &function };
            *uses.entry(place.to_owned()).or_default() += count;
        }
    }
    uses
}

/// The functions that a C file defines: their bodies begin with a line of a brace.
fn c_functions(source: &str) -> Vec<String> {
    let (mut found, mut head) = (Vec::new(), "");
    for line in source.lines() {
        if line == "{" {
            let name = head.split('(').next().and_then(|text| words(text).last());
            found.extend(name.map(str::to_owned));
        } else if line.starts_with(|c: char| c.is_alphabetic()) {
            head = line;
        }
    }
    found
}

/// The sections of the document: heading "### `file`...", the number in it, and the text.
fn sections(doc: &str) -> BTreeMap<String, (Option<usize>, String)> {
    let mut sections = BTreeMap::new();
    for section in doc.split("\n### `").skip(1) {
        let section = section.split("\n## ").next().unwrap_or_default();
        let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
        let (name, rest) = heading.split_once('`').unwrap_or((heading, ""));
        let count = words(rest).find_map(|word| word.parse().ok());
        sections.insert(name.to_owned(), (count, text.to_owned()));
    }
    sections
}

#[test]
fn every_use_of_unsafe_is_in_the_document() {
    let mut wrong = Vec::new();
    let mut sections = sections(&read(&root().join(DOC)));
    let dir = root().join(FFI);
    for path in files(&dir, "rs") {
        let name = path
            .strip_prefix(&dir)
            .expect("below")
            .display()
            .to_string();
        let uses = uses(&read(&path));
        let count: usize = uses.values().sum();
        let section = sections.remove(&name);
        if count == 0 {
            continue;
        }
        let (told, text) = section.unwrap_or_default();
        if told != Some(count) {
            let told = told.map_or("nothing".into(), |told| told.to_string());
            wrong.push(format!(
                "{name} has {count} uses of `unsafe`, its heading says {told}"
            ));
        }
        let missing =
            |function: &&String| !function.is_empty() && !text.contains(&format!("`{function}`"));
        let missing = uses.keys().filter(missing);
        wrong.extend(missing.map(|function| format!("{name}: `{function}` is not in its table")));
    }
    for path in files(&dir, "c") {
        let name = path
            .strip_prefix(&dir)
            .expect("below")
            .display()
            .to_string();
        let (_, text) = sections.remove(&name).unwrap_or_default();
        let functions = c_functions(&read(&path));
        let missing = functions
            .iter()
            .filter(|one| !text.contains(&format!("`{one}`")));
        wrong.extend(missing.map(|function| format!("{name}: `{function}` is not in its table")));
    }
    wrong.extend(
        sections
            .keys()
            .map(|name| format!("{name} is in the document, but not in {FFI}")),
    );
    assert!(
        wrong.is_empty(),
        "{DOC} does not say what the code does. Review what has changed (is its SAFETY comment true of this very \
         call, what of httpd does it rely on, what would break it and how would that be seen?), then bring the \
         heading's number and the row in the file's table up to date:\n  {}",
        wrong.join("\n  ")
    );
}

#[test]
fn there_is_no_unsafe_outside_of_ffi() {
    let mut wrong = Vec::new();
    let ffi = root().join(FFI);
    let mut sources = vec![root().join("build.rs")];
    for dir in ["src", "tests", "fuzz/fuzz_targets"] {
        let dir = root().join(dir);
        sources.extend(
            dir.is_dir()
                .then(|| files(&dir, "rs"))
                .into_iter()
                .flatten(),
        );
    }
    for path in sources.iter().filter(|path| !path.starts_with(&ffi)) {
        if !uses(&read(path)).is_empty() {
            wrong.push(path.display().to_string());
        }
    }
    assert!(
        wrong.is_empty(),
        "`unsafe` belongs into {FFI} alone: give it a safe function there. It was found in {wrong:?}"
    );
}

#[test]
fn the_count_leaves_comments_and_texts_out() {
    let source = [
        "// SAFETY: UNSAFE",
        "fn first() { text('UNSAFE //'); UNSAFE { a() } }",
        "#![deny(UNSAFE_code)]",
        "type F = UNSAFE extern 'C' fn(i32);",
        "UNSAFE impl Send for T {}",
        "mod tests {",
        "    fn x() { UNSAFE { b() } }",
    ];
    let source = source
        .join("\n")
        .replace("UNSAFE", "unsafe")
        .replace('\'', "\u{22}");
    let uses = uses(&source);
    let has = |place: &str| uses.get(place).copied();
    assert_eq!(
        (has("first"), has(""), has("tests")),
        (Some(2), Some(1), Some(1))
    );
    assert_eq!(uses.values().sum::<usize>(), 4);
    let c = "/* a */\nint one(int a,\n        int b)\n{\n    if (x) {\n    }\n}\nstruct s {\n};\nstatic char *two(void)\n{\n}\n";
    assert_eq!(c_functions(c), ["one", "two"]);
}
