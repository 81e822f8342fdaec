//! Every file of httpd-conf/ is loaded by a real httpd and does what it says; every example of the documents
//! is valid.

mod common;

use common::*;
use live_kit::{Backend, World, scenario};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("httpd-conf")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A new example needs a scenario here.
#[test]
fn every_example_is_known() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("httpd-conf")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    assert_eq!(names, ["alb.conf", "proxy_live.conf", "proxy_live.load"]);
}

#[test]
fn the_load_file_is_what_a2enmod_expects() {
    let load = text("proxy_live.load");
    assert!(load.starts_with("# Depends: proxy\n"), "{load}");
    assert!(load.contains("\nLoadModule proxy_live_module /"), "{load}");
    assert!(load.trim_end().ends_with("/mod_proxy_live.so"), "{load}");
}

/// As shipped, and with every commented default made real.
#[test]
fn the_configuration_file() {
    scenario(|w: &mut World| {
        let shipped = text("proxy_live.conf");
        let defaults: String = shipped
            .lines()
            .map(|line| line.replacen("    #ProxyLive", "    ProxyLive", 1) + "\n")
            .collect();
        assert_ne!(shipped, defaults, "no commented defaults found");
        for text in [shipped, defaults] {
            let (ok, said) = w.httpd().live(&text).check();
            assert!(ok, "{said}");
        }
    });
}

#[test]
fn alb() {
    scenario(|w: &mut World| {
        let _a = Backend::start("A", "127.0.0.2:80");
        let _b = Backend::start("B", "127.0.0.3:80");
        w.dns.set("backend.example.com", short(&[IP_A]));
        let example = text("alb.conf");
        let httpd = w.httpd().listen("127.0.0.1:80").live(&example).start();
        wait_known(&httpd, "backend.example.com");
        assert_eq!(httpd.get("/").backend, "A");
        w.dns.set("backend.example.com", short(&[IP_B]));
        after_ttl(Instant::now(), 1);
        assert_eq!(httpd.get("/").backend, "B");
    });
}

/// The blocks of the documents that are marked as httpd's configuration, as a reader copies them.
fn blocks(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let parts = text.split("```apache\n").skip(1);
    parts
        .map(|part| part.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn every_block_of_the_documents_is_valid() {
    scenario(|w: &mut World| {
        for file in ["README.md", "docs/directives.md"] {
            let blocks = blocks(file);
            assert!(!blocks.is_empty(), "{file}: no examples found");
            for block in blocks {
                let (ok, said) = w.httpd().live(&block).check();
                assert!(ok, "{file}:\n{block}\n{said}");
            }
        }
    });
}
