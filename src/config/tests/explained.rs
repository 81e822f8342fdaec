//! What is in force for a worker, and where it is said to be from.

use super::super::explain::{Explained, Facts, time};
use super::super::lines::Directive;
use super::*;
use std::time::Duration;

const FACTS: Facts = Facts {
    host: "app.test",
    numeric: false,
    places: None,
    shared: None,
};

/// Value and origin of a parameter; None when it is not shown.
fn value<'a>(explained: &'a Explained, name: &str) -> Option<(&'a str, &'a str)> {
    let found = explained.values.iter().find(|value| value.name == name)?;
    Some((&found.value, &found.from))
}

#[track_caller]
fn expect(explained: &Explained, wanted: &[(&str, &str, &str)]) {
    for (name, text, from) in wanted {
        assert_eq!(value(explained, name), Some((*text, *from)), "{name}");
    }
}

#[track_caller]
fn absent(explained: &Explained, names: &[&str]) {
    for name in names {
        assert_eq!(value(explained, name), None, "{name}");
    }
}

#[test]
fn every_origin() {
    let c = five_levels();
    let all = c.explain(&SUBJECT, &FACTS);
    let section = "ProxyLive in <Proxy \"balancer://app\"> (a.conf:9)";
    expect(
        &all,
        &[
            ("live", "on", section),
            ("livetemplate", "mine", "its own line"),
            ("liveuri", "/l", "its own line"),
            (
                "livefall",
                "6",
                "template mine (a.conf:1), named by its own line",
            ),
            (
                "liverise",
                "7",
                &format!("template proxy (a.conf:1), named by {section}"),
            ),
            (
                "liveport",
                "8",
                "template vhost (a.conf:1), named by ProxyLive in the virtual host (a.conf:9)",
            ),
            (
                "livefamily",
                "ipv4",
                "template server (a.conf:1), named by ProxyLive in the server (a.conf:9)",
            ),
            ("livettl", "1s-1h", "default"),
            ("livestale", "forever", "default"),
            ("liveinterval", "2s", "default"),
            ("livetimeout", "500ms", "default"),
            ("liveexpect", "200-399", "default"),
            ("livelastresort", "on", "default"),
            ("liverescue", "on", "default"),
        ],
    );
    assert_eq!(all.from, section);
    // as it is in force
    assert_eq!(settings(&c).rules.fall, 6);
}

#[test]
fn defaults_follow_from_the_worker() {
    let mut c = config();
    write(&mut c, "live=observe");
    let subject = Subject {
        scheme: "https",
        port: 443,
        ..SUBJECT
    };
    let all = c.explain(&subject, &FACTS);
    expect(
        &all,
        &[
            ("live", "observe", "its own line"),
            ("liveprobe", "tls", "default for https"),
            ("livehost", "app.test", "default: the worker's host"),
            ("liveport", "443", "default: the worker's port"),
        ],
    );
    absent(&all, &["livetemplate", "liveuri", "liveexpect"]);
    absent(&c.explain(&SUBJECT, &FACTS), &["livehost"]);
}

#[test]
fn modes_and_their_origins() {
    let mut c = config();
    let mode = |c: &Config| {
        let all = c.explain(&SUBJECT, &FACTS);
        assert_eq!(all.mode == Mode::Off, all.values.is_empty());
        (all.mode, all.from)
    };
    assert_eq!(mode(&c), (Mode::Off, "default".into()));
    let off = proxy_live(Mode::Off, "");
    c.defaults().set(VHOST, None, off).unwrap();
    let from = "ProxyLive in the virtual host (a.conf:9)";
    assert_eq!(mode(&c), (Mode::Off, from.into()));
    template(&mut c, "mine live=observe");
    write(&mut c, "livetemplate=mine");
    let from = "template mine (a.conf:1), named by its own line";
    assert_eq!(mode(&c), (Mode::Observe, from.into()));
    write(&mut c, "live=off");
    assert_eq!(mode(&c), (Mode::Off, "its own line".into()));
}

#[test]
fn what_means_nothing_is_shown_to_who_has_written_it() {
    let mut c = config();
    template(
        &mut c,
        "web liveprobe=http liveuri=/healthz livefall=3 livehost=h",
    );
    c.defaults()
        .set(MAIN, None, proxy_live(Mode::On, "web"))
        .unwrap();
    let from = "template web (a.conf:1), named by ProxyLive in the server (a.conf:9)";
    let useless = |why: &str| format!("{from}; no effect: {why}");
    write(&mut c, "liveprobe=tcp");
    let all = c.explain(&SUBJECT, &FACTS);
    expect(
        &all,
        &[
            ("liveuri", "-", &useless("liveprobe is not http")),
            (
                "livehost",
                "-",
                &useless("liveprobe is neither tls nor http"),
            ),
            ("livefall", "3", from),
        ],
    );
    absent(&all, &["liveexpect"]);
    write(&mut c, "liveprobe=off livettl=1s-2s");
    let all = c.explain(&SUBJECT, &FACTS);
    expect(&all, &[("livefall", "-", &useless("liveprobe is off"))]);
    absent(&all, &["livelastresort", "liverise"]);
    let numeric = Facts {
        numeric: true,
        ..FACTS
    };
    let all = c.explain(&SUBJECT, &numeric);
    let line = "its own line; no effect: the host is an address";
    expect(
        &all,
        &[("livettl", "-", line), ("liverescue", "on", "default")],
    );
    absent(&all, &["livefamily", "livestale", "livespread"]);
    let hchecked = Subject {
        hchecked: true,
        ..SUBJECT
    };
    let all = c.explain(&hchecked, &FACTS);
    let why = "mod_proxy_hcheck checks this worker (hcmethod)";
    expect(
        &all,
        &[("liveprobe", "-", why), ("livefall", "-", &useless(why))],
    );
    absent(&all, &["livestale", "liverise"]);
}

#[test]
fn eager_templates_and_workers_it_is_not_for() {
    let mut c = config();
    template(&mut c, "web liverescue=eager");
    c.defaults()
        .set(MAIN, None, proxy_live(Mode::On, "web"))
        .unwrap();
    let of = |scheme| {
        let subject = Subject { scheme, ..SUBJECT };
        let all = c.explain(&subject, &FACTS);
        value(&all, "liverescue").map(|(value, from)| (value.to_owned(), from.to_owned()))
    };
    let from = "template web (a.conf:1), named by ProxyLive in the server (a.conf:9)";
    assert_eq!(of("https"), Some(("eager".into(), from.into())));
    let vain = format!("{from}; eager is not for this worker");
    assert_eq!(of("fcgi"), Some(("on".into(), vain)));
}

#[test]
fn places_of_lines_and_shared_values() {
    let mut c = config();
    for (key, value) in [("live", "on"), ("livefall", "3"), ("liveuri", "/x?token=t")] {
        let wrote = c.write(WORKER, "http://app.test", key, value, &time_of_tests);
        assert_eq!(wrote, Ok(true));
    }
    let not_ours = c.write(WORKER, "http://app.test", "hcmethod", "GET", &time_of_tests);
    assert_eq!(not_ours, Ok(false));
    write(&mut c, "liveprobe=http");
    let line = |args: &str, place: &str| Directive {
        args: args.into(),
        around: "http://app.test".into(),
        place: place.into(),
    };
    let lines = [
        line("live=on", "b.conf:4"),
        line("livefall=3 liveuri=/x?token=t", "b.conf:6"),
    ];
    let places = c.places(&lines);
    let mut shared = settings(&c);
    shared.rules.fall = 5;
    let facts = Facts {
        places: Some(&places),
        shared: Some(&shared),
        ..FACTS
    };
    expect(
        &c.explain(&SUBJECT, &facts),
        &[
            ("live", "on", "its own line (b.conf:4)"),
            ("liveuri", "/x?...", "its own line (b.conf:6)"),
            (
                "livefall",
                "5",
                "shared with other workers; of its own 3: its own line (b.conf:6)",
            ),
            ("liverise", "2", "default"),
        ],
    );
}

fn time_of_tests(text: &str) -> Option<i64> {
    super::time(text)
}

#[test]
fn unused_templates() {
    let mut c = config();
    for name in ["one", "TWO", "three"] {
        template(&mut c, &format!("{name} livefall=3"));
    }
    write(&mut c, "livetemplate=two");
    c.defaults()
        .set(VHOST, None, proxy_live(Mode::Off, "One"))
        .unwrap();
    assert_eq!(c.unused_templates(), [("three".into(), "a.conf:1".into())]);
}

#[test]
fn times_as_they_are_written() {
    for (ms, text) in [
        (1, "1ms"),
        (500, "500ms"),
        (1_500, "1500ms"),
        (90_000, "90s"),
        (120_000, "2min"),
        (3_600_000, "1h"),
        (86_400_000, "24h"),
    ] {
        assert_eq!(time(Duration::from_millis(ms)), text);
    }
}

#[test]
fn resolvers_as_they_are_written() {
    for text in [
        "system",
        "system timeout=500ms attempts=3",
        "192.0.2.1:53 [2001:db8::1]:5353 timeout=2s",
    ] {
        let read = directives::resolver(text, &time_of_tests).unwrap();
        assert_eq!(read.to_string(), text);
    }
}
