use super::super::model::{AddressState, State};
use super::super::sample;
use super::text::{Text, ago, bytes, clock, encode, full, grouped, millis, setting, took};
use super::*;
use maud::Render;

fn page(status: &Status) -> String {
    html(status, None, "/live")
}

#[track_caller]
fn has(page: &str, text: &str) {
    assert!(page.contains(text), "no {text}");
}

#[test]
fn hostile_text_stays_text() {
    let page = html(&sample::hostile(), Some(10), "/live");
    assert_eq!(page.matches("<script").count(), 0);
    assert_eq!(page.matches("<style>").count(), 1);
    has(
        &page,
        "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;' --&gt;\\&quot;\u{fffd}# EOF",
    );
    let body = &page[page.find("</style>").unwrap()..];
    assert!(!body.contains(|c: char| c.is_control() || c == '\u{202e}'));
    has(
        body,
        "?worker=%3Cscript%3Ealert%28%221%22%29%3C%2Fscript%3E%26amp%3B%27%20--%3E%5C%22%0A%23%20EOF%0A%E2%80%AE%1B%5B2J%00%0D%20%5D%5D%3E%20%C3%A4%E4%BD%A0&amp;refresh=10#events",
    );
}

#[test]
fn says_the_worst_first() {
    let title = |status: &Status| {
        let page = page(status);
        let at = page.find("<h1>").unwrap() + 4;
        page[at..at + page[at..].find('<').unwrap()].to_owned()
    };
    assert_eq!(title(&sample::empty()), "No live workers");
    assert_eq!(title(&sample::healthy()), "All 4 workers up");
    assert_eq!(title(&sample::troubled()), "1 of 9 workers down, not ready");
    assert_eq!(
        title(&sample::leaderless()),
        "1 of 9 workers down, no leader, not ready"
    );
    assert_eq!(
        title(&sample::dns_failing()),
        "All 4 workers up, DNS fails for 3 names"
    );
    assert_eq!(
        title(&sample::observing()),
        "All 4 workers up, 1 would not be"
    );
    let page = page(&sample::troubled());
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
    // the balancer that nobody can use, then the one with a member down, and in it that member
    assert!(at("<h2 class=\"n\">balancer://reports") < at("<h2 class=\"n\">balancer://shop"));
    assert!(at("http://app2.example.com:8080</a>") < at("http://app1.example.com:8080</a>"));
    assert!(at(">Events</h2>") < at(">Module</h2>"));
}

#[test]
fn every_state_is_a_word() {
    let page = page(&sample::troubled());
    for mark in [
        "<b class=\"s d\">down</b>",
        "<b class=\"s l\">last resort</b>",
        "<b class=\"s e\">error</b>",
        "<b class=\"s t\">starting</b>",
        "<b class=\"s u\">up</b>",
        "<b class=\"s h\">held by a storm</b>",
        "<i>disabled</i> <i>hot standby</i>",
        "<i>live=off</i>",
        ">Err</abbr>",
        ">HcFl</abbr>",
        "requests: 3 ended, 17 retried, 16 rescued, 1 failed",
        "reached through ProxyRemote",
    ] {
        has(&page, mark);
    }
    // and a symbol, which the style sheet gives to each class of a state
    for class in ["u", "d", "e", "l", "h", "t", "o"] {
        has(STYLE, &format!(".{class}::before{{content:\""));
    }
}

#[test]
fn observed_workers_say_what_they_would_be() {
    has(
        &page(&sample::observing()),
        "would be <b class=\"s d\">down</b>",
    );
}

#[test]
fn times() {
    let now = sample::NOW_MS;
    let shown = |at| clock(at, now).into_string();
    assert_eq!(
        shown(now),
        "<time datetime=\"2026-03-14T03:07:30Z\">03:07:30</time>"
    );
    assert_eq!(
        shown(now - 4 * 3_600_000),
        "<time datetime=\"2026-03-13T23:07:30Z\">2026-03-13 23:07:30</time>"
    );
    for (seconds, day) in [
        (0, "1970-01-01 00:00:00"),
        (951_782_399, "2000-02-28 23:59:59"),
        (951_782_400, "2000-02-29 00:00:00"),
        (1_709_251_199, "2024-02-29 23:59:59"),
        (4_107_542_400, "2100-03-01 00:00:00"),
    ] {
        has(
            &full(seconds * 1_000).into_string(),
            &format!(">{day} UTC<"),
        );
    }
    assert!(full(u64::MAX).into_string().contains("UTC"));
    let past = |ms: u64| ago(now - ms, now);
    assert_eq!(past(0), "now");
    assert_eq!(past(640), "0.6 s ago");
    assert_eq!(past(9_999), "9.9 s ago");
    assert_eq!(past(119_999), "119 s ago");
    assert_eq!(past(180_000), "3 min ago");
    assert_eq!(past(7_200_000), "2 h ago");
    assert_eq!(past(172_800_000), "2 d ago");
    assert_eq!(ago(now + 11_000, now), "in 11 s");
}

#[test]
fn numbers() {
    assert_eq!(
        [millis(0), millis(410), millis(1_449), millis(12_900)],
        ["0.00", "0.41", "1.4", "12"]
    );
    assert_eq!([took(410), took(12_000_000)], ["0.41\u{a0}ms", "12\u{a0}s"]);
    assert_eq!(
        [setting(0), setting(500), setting(2_000), setting(120_000)],
        ["0 s", "500 ms", "2 s", "2 min"]
    );
    assert_eq!(
        [bytes(900), bytes(65_536), bytes(67_108_864)],
        ["900 B", "64 KiB", "64 MiB"]
    );
    assert_eq!(
        [grouped(999), grouped(1_234_567)],
        ["999", "1\u{a0}234\u{a0}567"]
    );
    assert_eq!(
        encode("a-b.c_d~/?&=%+ \u{e4}"),
        "a-b.c_d~%2F%3F%26%3D%25%2B%20%C3%A4"
    );
}

#[test]
fn text_loses_what_html_forbids() {
    let shown = |text| Text(text).render().into_string();
    assert_eq!(shown("a<b>&\"c"), "a&lt;b&gt;&amp;&quot;c");
    assert_eq!(
        shown("\0\r\n\t\u{1b}\u{85}\u{fffe}\u{fdd0}\u{10ffff}\u{202e}\u{2066}"),
        "\u{fffd}".repeat(11)
    );
    assert_eq!(shown("\u{e4}\u{4f60}"), "\u{e4}\u{4f60}");
}

#[test]
fn links_keep_the_refresh_and_drop_the_filter() {
    let mut status = sample::healthy();
    status.filter = Some("http://app1.example.com:8080".to_owned());
    let page = html(&status, Some(5), "/live");
    has(&page, "<a href=\"/live?refresh=5#events\">show all</a>");
    has(
        &page,
        "?worker=http%3A%2F%2Fapp2.example.com%3A8080&amp;refresh=5#events",
    );
    has(
        &page,
        "reloads every 5 s: <a href=\"/live?worker=http%3A%2F%2Fapp1.example.com%3A8080\">stop</a>",
    );
    let page = html(&status, None, "/live");
    has(&page, "<a href=\"/live#events\">show all</a>");
    has(
        &page,
        "<a href=\"/live?worker=http%3A%2F%2Fapp1.example.com%3A8080&amp;refresh=10\">Reload every 10 s</a>",
    );
    has(&page, "<a href=\"?format=json\">");
    has(&page, "<a href=\"?format=openmetrics\">");
    // what is no path of this server is not linked to
    for base in ["//evil.example", "javascript:alert(1)", "", "/a b", "/\"x"] {
        has(
            &html(&status, None, base),
            "<a href=\"?#events\">show all</a>",
        );
    }
}

#[test]
fn long_lists_are_folded_but_for_what_needs_a_look() {
    let page = page(&sample::many(100));
    has(&page, "<summary>99 members without trouble</summary>");
    has(&page, "<summary>100 names without trouble</summary>");
    let folded = page.find("<details>").unwrap();
    assert!(
        page.find("http://node0013.cluster.example.com:8080</a>")
            .unwrap()
            < folded
    );
    assert!(
        page.find("http://node0000.cluster.example.com:8080</a>")
            .unwrap()
            > folded
    );
}

#[test]
fn a_worker_that_is_up_with_a_bad_address_needs_a_look() {
    let mut worker = sample::healthy().workers.remove(0);
    assert!(state::is_calm(&worker));
    worker.addresses[2].state = AddressState::Down;
    assert!(!state::is_calm(&worker));
    worker.addresses.clear();
    worker.would_be = Some(State::LastResort);
    assert!(!state::is_calm(&worker));
}

/// Contrast of text as WCAG 2 measures it: at least 4.5 in both modes.
#[test]
fn colours_can_be_read() {
    let modes = STYLE.split("@media (prefers-color-scheme:dark)").take(2);
    for (mode, part) in ["light", "dark"].iter().zip(modes) {
        let colour = |name: &str| {
            let at = part.find(&format!("--{name}:#")).expect(name) + name.len() + 4;
            luminance(&part[at..])
        };
        for (text, grounds) in [
            ("text", &["bg", "card"][..]),
            ("soft", &["bg", "card"]),
            ("link", &["bg", "card"]),
            ("red", &["redbg", "card"]),
            ("amber", &["amberbg", "card"]),
            ("green", &["greenbg"]),
            ("blue", &["bluebg"]),
            ("grey", &["greybg", "card"]),
        ] {
            for ground in grounds {
                let (one, other) = (colour(text), colour(ground));
                let ratio = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                assert!(ratio >= 4.5, "{mode}: {text} on {ground}: {ratio:.2}");
            }
        }
        // graphics need 3
        let (bar, card) = (colour("bar"), colour("card"));
        let ratio = (bar.max(card) + 0.05) / (bar.min(card) + 0.05);
        assert!(ratio >= 3.0, "{mode}: bar on card: {ratio:.2}");
    }
}

/// Relative luminance of `abc` or `aabbcc`, whatever stands behind it.
fn luminance(text: &str) -> f64 {
    let digits: Vec<u32> = text.chars().map_while(|c| c.to_digit(16)).collect();
    let channel = |at: usize| {
        let value = match digits.len() {
            3 => digits[at] * 17,
            6 => digits[2 * at] * 16 + digits[2 * at + 1],
            other => panic!("{other} digits"),
        };
        let share = f64::from(value) / 255.0;
        if share <= 0.04045 {
            share / 12.92
        } else {
            ((share + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
}
