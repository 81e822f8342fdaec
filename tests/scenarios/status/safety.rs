//! What the pages must not do: tell secrets, let text from outside become markup, disturb requests.

use crate::common::pool::*;
use crate::common::status::*;
use crate::common::*;
use live_kit::{Mpm, RawClient, World, eventually, scenario, scenario_within};
use std::time::Duration;

const FORMS: [&str; 5] = [
    "/live-status",
    "/live-status?format=json",
    "/live-status?format=openmetrics",
    "/live-ready",
    "/server-status",
];

/// Secrets of workers, credentials in URLs, tokens of health pages: nowhere, neither in pages nor in the log.
#[test]
fn no_secrets() {
    scenario_within(Duration::from_secs(90), |w: &mut World| {
        const SECRETS: [&str; 3] = ["s3cret-of-ajp", "pa55word", "t0ken"];
        let (a, b) = backends();
        set_members(w);
        let text = format!(
            "<Location /server-status>\nSetHandler server-status\n</Location>\nProxyPass /server-status !\n{PAGES}\n\
             LoadModule proxy_ajp_module /usr/lib/apache2/modules/mod_proxy_ajp.so\n\
             ProxyPass /ajp/ ajp://127.0.0.2:9000/ live=on secret=s3cret-of-ajp\n\
             ProxyPass /user/ http://user:pa55word@127.0.0.3:9000/x/ live=on\n\
             ProxyPass /left/ http://user:pa55word@two.test:9000/ live=on disablereuse=on\n\
             <Proxy balancer://pool>\n\
             BalancerMember {ONE} live=on liveprobe=http liveuri=/healthz?token=t0ken\n\
             BalancerMember http://user:pa55word@two.test:9000 live=on\n\
             ProxySet failonstatus=500\n</Proxy>\nProxyPass / balancer://pool/"
        );
        let builder = troubled(w.httpd().log_level("info proxy_live:trace8").live(&text));
        let httpd = builder.start();
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        b.kill();
        a.kill();
        eventually(PATIENCE, || ready(&httpd).0 == 503);
        for form in FORMS {
            let text = httpd.get(form).text();
            for secret in SECRETS {
                assert!(!text.contains(secret), "{form}: {secret} in {text}");
            }
        }
        let page = httpd.get("/live-status?format=json").text();
        assert!(
            page.contains("http://127.0.0.3:9000/x/") && page.contains("\"left\":[{"),
            "{page}"
        );
        for line in httpd.live_lines() {
            assert!(
                SECRETS.iter().all(|secret| !line.text.contains(secret)),
                "{line:?}"
            );
        }
    });
}

/// Text from outside stays text: a backend's name, a route, the filter of the page.
#[test]
fn text_stays_text() {
    scenario(|w: &mut World| {
        let (_a, _b) = backends();
        set_members(w);
        let text = format!("{PAGES}\n{}", pool_of("\"route=<b>&amp;\"", "", ""));
        let httpd = w.httpd().live(&text).start();
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let filter = "/live-status?worker=%3Cscript%3Ealert(1)%3C/script%3E%22%27%0A";
        let page = httpd.get(filter).text();
        assert!(
            !page.contains("<script") && !page.contains("<b>&amp;"),
            "{page}"
        );
        assert!(
            page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;&amp;amp;"),
            "{page}"
        );
        let policy = httpd.get(filter);
        let policy = policy.header("Content-Security-Policy").expect("a policy");
        assert!(policy.contains("default-src 'none'"), "{policy}");
        let json = httpd.get(&format!("{filter}&format=json"));
        let value: serde_json::Value = serde_json::from_slice(&json.body).expect("JSON");
        assert_eq!(value["filter"], "<script>alert(1)</script>\"'\n");
        // Bytes that are no text at all.
        let mut raw = RawClient::connect(httpd.addr());
        raw.send(b"GET /live-status?worker=\xff%00 HTTP/1.1\r\nHost: front.test\r\nConnection: close\r\n\r\n");
        assert_eq!(raw.answer("GET").status(), 400);
    });
}

/// Everybody asks for everything, again and again, while members come and go and the server is reloaded: requests do
/// not notice.
fn under_load(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_members(w);
    let text = format!("{PAGES}\n{}", pool("liveinterval=200ms"));
    let children = if mpm == Mpm::Prefork { 10 } else { 3 };
    let builder = troubled(w.httpd().mpm(mpm).children(children).threads(8).live(&text));
    let mut httpd = start_pool(builder, &[&a, &b]);
    eventually(PATIENCE, || ready(&httpd).0 == 200);
    // A kept-alive client can lose a request to a reload of any httpd: here each has a connection of its own.
    let load = httpd.load().clients(2).per_connection(1).start();
    let pages: Vec<_> = FORMS[..4]
        .iter()
        .map(|form| httpd.load().clients(1).per_connection(1).path(form).start())
        .collect();
    for round in 0..3 {
        a.kill();
        eventually(PATIENCE, || state(&httpd, ONE) == "down");
        if round == 1 {
            httpd.graceful();
        }
        a.revive();
        eventually(BACK, || state(&httpd, ONE) == "up");
    }
    let records = load.stop();
    let wrong = records.0.iter().filter(|r| r.status != 200).count();
    assert_eq!(wrong, 0, "of {}", records.0.len());
    for page in pages {
        let records = page.stop();
        let wrong: Vec<_> = records.0.iter().filter(|r| r.status != 200).collect();
        assert!(
            wrong.is_empty() && records.0.len() > 20,
            "{wrong:?} of {}",
            records.0.len()
        );
    }
}

#[test]
fn under_load_event() {
    scenario_within(Duration::from_secs(120), |w: &mut World| {
        under_load(w, Mpm::Event)
    });
}

#[test]
fn under_load_prefork() {
    scenario_within(Duration::from_secs(120), |w: &mut World| {
        under_load(w, Mpm::Prefork)
    });
}
