//! What the module writes to the error log at which LogLevel.

use crate::common::*;
use live_kit::{Builder, Httpd, Type, World, eventually, pause, scenario};
use std::time::{Duration, Instant};

/// Lines of the module within 6 s of steady load at a TTL of 1 s.
fn steady(w: &mut World, level: &str) -> Vec<String> {
    let _backends = backends();
    set_app(w, &[IP_A]);
    let httpd = start_following(w.httpd().log_level(level).live(FOLLOW));
    pause(1.0);
    let before = httpd.live_lines().len();
    assert!(before > 0);
    w.dns.forget();
    let records = httpd.load().run(Duration::from_secs(6));
    records.assert_clean(QUICK);
    assert!(w.dns.count("app.test", Type::A) >= 4, "DNS was not asked");
    let lines = httpd.live_lines().split_off(before);
    lines.into_iter().map(|l| l.text).collect()
}

#[test]
fn a_steady_state_is_silent() {
    scenario(|w: &mut World| {
        let lines = steady(w, "info proxy_live:trace1");
        assert!(lines.is_empty(), "{lines:#?}");
    });
}

#[test]
fn trace2_tells_each_look_up() {
    scenario(|w: &mut World| {
        let lines = steady(w, "info proxy_live:trace2");
        assert!(lines.len() >= 4, "{lines:#?}");
    });
}

fn texts(httpd: &Httpd) -> Vec<String> {
    httpd.live_lines().into_iter().map(|l| l.text).collect()
}

/// httpd passes `notice` at every LogLevel: a move is seen in production, first addresses are not.
#[test]
fn a_move_is_told_at_warn() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let builder: Builder = w.httpd().log_level("warn").live(FOLLOW);
        let httpd = builder.start();
        // The second question: the first answer has been adopted.
        eventually(Duration::from_secs(5), || {
            w.dns.count("app.test", Type::A) >= 2
        });
        all_children_use(&httpd, "/", "A");
        assert!(texts(&httpd).is_empty(), "{:#?}", texts(&httpd));
        set_app(w, &[IP_B]);
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "B");
        let lines = texts(&httpd);
        let line = format!("name app.test: addresses {IP_A} -> {IP_B} ");
        assert!(lines.len() == 1 && lines[0].contains(&line), "{lines:#?}");
    });
}
