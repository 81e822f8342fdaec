//! The status page and its other forms, as programs that others wrote read them: HTML by tidy and html5lib, the page
//! in a browser, metrics by Prometheus' own tool and its strict OpenMetrics parser.
//!
//! `LIVE_PICTURES=directory` keeps pictures of the page.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use live_kit::{Browser, Look, View};
use mod_proxy_live::status::html::html;
use mod_proxy_live::status::json::json;
use mod_proxy_live::status::model::Status;
use mod_proxy_live::status::openmetrics::{Dialect, text};
use mod_proxy_live::status::sample;

/// Debian's own, which has the packages; another one may come first in the path.
const PYTHON: &str = "/usr/bin/python3";

/// Runs a program on `input`: whether it was content, and everything it wrote.
fn run(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program}: {error} (./apxs/test installs what is missing)")
        });
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = thread::scope(|scope| {
        // it may write before it has read everything
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().expect("it ends")
    });
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

/// The page as it is without and with all that a query may ask for.
fn pages() -> Vec<(&'static str, String)> {
    let page = |(name, status): (&'static str, Status)| (name, html(&status, None, "/live-status"));
    let mut pages: Vec<_> = sample::all().into_iter().map(page).collect();
    let mut filtered = sample::troubled();
    filtered.filter = Some("http://app2.example.com:8080".to_owned());
    pages.push(("filtered", html(&filtered, Some(10), "/live-status")));
    pages
}

#[test]
fn tidy_has_nothing_to_say() {
    for (name, page) in pages() {
        let (good, told) = run("tidy", &["-q", "-e", "-utf8"], &page);
        assert!(good && told.is_empty(), "{name}: {told}");
    }
}

/// html5lib in its strict mode stops at the first error; and what it has read is the page, with nothing of what came
/// from outside among its elements.
#[test]
fn html5lib_reads_it_without_an_error() {
    const READ: &str = "
import sys, html5lib
data = sys.stdin.buffer.read()
tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(data, transport_encoding='utf-8')
assert not list(tree.iter('script')) and not list(tree.iter('img')) and len(list(tree.iter('h1'))) == 1
assert all(not key.startswith('on') for one in tree.iter() for key in one.keys())
ids = [one.get('id') for one in tree.iter() if one.get('id')]
assert len(ids) == len(set(ids)), ids
for link in tree.iter('a'):
    href = link.get('href')
    assert href[0] in '/?#' and not href.startswith('//'), href
    assert not href.startswith('#') or href[1:] in ids, href
";
    for (name, page) in pages() {
        let (good, told) = run(PYTHON, &["-c", READ], &page);
        assert!(good && told.is_empty(), "{name}: {told}");
    }
}

#[test]
fn json_is_json() {
    for (name, status) in sample::all() {
        let text = json(&status);
        let (good, told) = run(PYTHON, &["-m", "json.tool", "--compact"], &text);
        assert!(good && told.contains("\"format\":1"), "{name}: {told}");
    }
}

/// Prometheus' tool reads the metrics and finds nothing against their names, types and helps.
#[test]
fn promtool_has_nothing_to_say() {
    for (name, status) in sample::all() {
        let metrics = text(&status, Dialect::Prometheus);
        let (good, told) = run("promtool", &["check", "metrics"], &metrics);
        assert!(good && told.is_empty(), "{name}: {told}");
    }
}

/// The strict parser of OpenMetrics reads every sample.
#[test]
fn openmetrics_reads_it_without_an_error() {
    const READ: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
data = sys.stdin.buffer.read().decode('utf-8')
print(sum(len(family.samples) for family in text_string_to_metric_families(data)))
";
    for (name, status) in sample::all() {
        let metrics = text(&status, Dialect::OpenMetrics);
        let samples = metrics
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count();
        let (good, told) = run(PYTHON, &["-c", READ], &metrics);
        assert!(
            good && told.trim() == samples.to_string(),
            "{name}: {samples} samples, {told}"
        );
    }
}

/// A directory with the pages as files, gone at the end.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        let directory = env::temp_dir().join(format!("live-pages-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        Self(directory)
    }

    fn url(&self, name: &str, page: &str) -> String {
        let file = self.0.join(format!("{name}.html"));
        fs::write(&file, page).expect("a file");
        format!("file://{}", file.display())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn keep(look: &Look, name: &str, view: View) {
    if let Some(directory) = env::var_os("LIVE_PICTURES") {
        let mode = if view.dark { "dark" } else { "light" };
        let file = format!("{name}-{}-{mode}.png", view.width);
        look.save(&Path::new(&directory).join(file));
    }
}

/// On a desktop and on a phone, light and dark: it fits, it fetches nothing, and the browser has no complaints.
#[test]
fn a_browser_shows_it() {
    let files = Files::new();
    let mut browser = Browser::start();
    for (name, page) in pages() {
        let url = files.url(name, &page);
        for view in [
            View::DESKTOP,
            View::PHONE,
            View::DESKTOP.dark(),
            View::PHONE.dark(),
        ] {
            let look = browser.look(&url, view);
            keep(&look, name, view);
            assert!(
                look.width <= view.width,
                "{name}: {} wide in {view:?}",
                look.width
            );
            assert!(
                look.fetched.iter().all(|f| *f == url || f == "data:,"),
                "{:?}",
                look.fetched
            );
            assert!(look.complaints.is_empty(), "{name}: {:?}", look.complaints);
            assert!(look.title.contains("worker"), "{}", look.title);
            assert!(look.text.contains("Events"), "{}", look.text);
            assert!(look.png.starts_with(b"\x89PNG"));
        }
    }
}

/// A thousand workers: below 2 MB. (The time is told, not judged here: the build may not be optimized.)
#[test]
fn a_thousand_workers() {
    let status = sample::many(1_000);
    let began = Instant::now();
    let page = html(&status, None, "/live-status");
    println!("{} bytes in {:?}", page.len(), began.elapsed());
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
}
