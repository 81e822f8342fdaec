//! The kit fails where it must: each scenario here is run as a failing one by its twin.

use live_kit::{Backend, World, scenario, scenario_within};
use std::process::Command;
use std::time::Duration;

/// Set by the twins; without it the failing scenarios do nothing.
const ARMED: &str = "LIVE_KIT_ARMED";

/// Runs the test `name` of this binary, which must fail; what it printed.
fn failing(name: &str) -> String {
    let mut command = Command::new(std::env::current_exe().expect("path of this program"));
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(ARMED, "1");
    let output = command.output().expect("run the twin");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{name} passed:\n{text}");
    if let Some((_, rest)) = text.split_once("files of the failed scenario: ") {
        let _ = std::fs::remove_dir_all(rest.lines().next().unwrap_or_default());
    }
    text
}

fn armed() -> bool {
    std::env::var_os(ARMED).is_some()
}

#[test]
fn twin_warning() {
    if armed() {
        scenario(|w: &mut World| {
            let httpd = w
                .httpd()
                .config("ProxyPass / http://127.0.0.2:9000/")
                .start();
            assert_eq!(httpd.get("/").status, 503);
        });
    }
}

#[test]
fn a_warning_fails_the_scenario() {
    let text = failing("twin_warning");
    assert!(
        text.contains("AH00957") && text.contains("end of the error log"),
        "{text}"
    );
}

#[test]
fn twin_assertion() {
    if armed() {
        scenario(|w: &mut World| {
            let _httpd = w.httpd().start();
            panic!("this is wrong");
        });
    }
}

#[test]
fn a_panic_fails_it_and_prints_the_log() {
    let text = failing("twin_assertion");
    assert!(
        text.contains("this is wrong") && text.contains("resuming normal operations"),
        "{text}"
    );
}

#[test]
fn twin_too_long() {
    if armed() {
        scenario_within(Duration::from_secs(1), |_: &mut World| {
            live_kit::pause(60.0)
        });
    }
}

#[test]
fn the_time_limit_holds() {
    assert!(failing("twin_too_long").contains("did not end within 1s"));
}

#[test]
fn twin_leftovers() {
    if armed() {
        scenario(|w: &mut World| {
            let _a = Backend::start("A", "127.0.0.2:9000");
            let sleeper = Command::new("sleep").arg("60").spawn();
            std::mem::forget(sleeper);
            std::fs::write("/dev/shm/left", w.dir.display().to_string()).expect("a file");
        });
    }
}

#[test]
fn leftovers_fail_it() {
    let text = failing("twin_leftovers");
    assert!(
        text.contains("(sleep)") && text.contains("shared memory /dev/shm/left"),
        "{text}"
    );
}

#[test]
fn twin_crash() {
    if armed() {
        scenario(|w: &mut World| {
            let httpd = w.httpd().start();
            httpd.signal(httpd.children()[0], live_kit::Signal::SEGV);
            live_kit::pause(1.5);
        });
    }
}

#[test]
fn a_crash_fails_it() {
    let text = failing("twin_crash");
    assert!(text.contains("exit signal Segmentation fault"), "{text}");
}
