//! The status page and its other forms, as programs that others wrote read them: HTML by tidy and html5lib, the page
//! in a browser, metrics by Prometheus' own tool and its strict OpenMetrics parser.
//!
//! `LIVE_PICTURES=directory` keeps pictures of the page.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use live_kit::{Browser, View, assert_html, assert_json, assert_openmetrics, assert_prometheus};
use mod_proxy_live::status::html::html;
use mod_proxy_live::status::json::json;
use mod_proxy_live::status::model::Status;
use mod_proxy_live::status::openmetrics::{Dialect, text};
use mod_proxy_live::status::sample;

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
fn html_is_valid() {
    for (name, page) in pages() {
        assert_html(name, &page);
    }
}

#[test]
fn json_is_json() {
    for (name, status) in sample::all() {
        assert_json(name, &json(&status));
    }
}

#[test]
fn metrics_are_read() {
    for (name, status) in sample::all() {
        assert_prometheus(name, &text(&status, Dialect::Prometheus));
        assert_openmetrics(name, &text(&status, Dialect::OpenMetrics));
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
            look.keep(name, view);
            look.assert_whole(&url, view);
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
