//! httpd-conf/status.conf: page, readiness URL, mod_status, and an access log that says which backend served.

use super::*;
use crate::common::noted::{get_to, sticky_pool};
use crate::common::pool::{set_members, start_pool, troubled};
use crate::common::status::ready;
use live_kit::Mode;
use std::process::Command;

/// With what is commented out made real.
fn adapted() -> String {
    let text = text("status.conf");
    [
        ("    #Require", "    Require"),
        (
            "#ProxyLiveDrainFile \"/run/apache2/drain\"",
            "ProxyLiveDrainFile run/drain",
        ),
        (
            "#CustomLog \"${APACHE_LOG_DIR}/access.log\"",
            "CustomLog logs/live.log",
        ),
        ("    #ProxyPass", "    ProxyPass"),
    ]
    .into_iter()
    .fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[test]
fn status() {
    scenario(|w: &mut World| {
        let (ok, said) = w
            .httpd()
            .without("status")
            .module("authz_host")
            .live(&text("status.conf"))
            .check();
        assert!(ok, "as shipped: {said}");
        let (a, b) = backends();
        set_members(w);
        let text = format!("{}\n{}", adapted(), sticky_pool("", "", ""));
        let builder = w.httpd().module("authz_host").live(&text);
        let httpd = start_pool(troubled(builder), &[&a, &b]);
        eventually(Duration::from_secs(10), || ready(&httpd).0 == 200);
        for path in ["/live-status", "/live-status?format=json", "/server-status"] {
            let page = httpd.get(path);
            assert!(
                page.status == 200 && page.text().contains("http://one.test:9000"),
                "{path}"
            );
        }
        let lines = || fs::read_to_string(httpd.root().join("logs/live.log")).unwrap_or_default();
        httpd.send(&get_to("one", "/calm")).unwrap();
        let calm = " http://one.test:9000 127.0.0.2:9000 1 \"\"\n";
        eventually(QUICK, || {
            lines()
                .lines()
                .any(|l| l.contains("/calm") && format!("{l}\n").ends_with(calm))
        });
        // The machine goes while a request waits there.
        a.mode(Mode::Hang);
        let waiting = all_at_once(
            httpd.addr(),
            &get_to("one", "/waits"),
            1,
            Duration::from_secs(30),
        );
        eventually(Duration::from_secs(5), || a.requests() > 1);
        w.vanish(IP_A);
        let reply = waiting
            .into_iter()
            .next()
            .unwrap()
            .join()
            .unwrap()
            .expect("an answer");
        assert_eq!((reply.status, reply.backend.as_str()), (200, "B"));
        let rescued = " http://two.test:9000 127.0.0.3:9000 2 \"dead\"";
        eventually(QUICK, || {
            lines()
                .lines()
                .any(|l| l.contains("/waits") && l.ends_with(rescued))
        });
    });
}

/// Nobody from elsewhere sees it.
#[test]
fn status_is_for_this_machine_alone() {
    scenario(|w: &mut World| {
        w.add_address("192.0.2.1");
        w.add_address("192.0.2.2");
        let open = "<Location /open>\nSetHandler proxy-live-status\n</Location>";
        let text = format!("{}\n{open}", text("status.conf"));
        let builder = w.httpd().module("authz_host").live(&text);
        let httpd = builder.listen("192.0.2.1:80").expect("AH01630").start();
        // Another address than the server's own is another machine to `Require local`.
        let from = |client: &str, path: &str| {
            let url = format!("http://{}{path}", httpd.addr());
            let options = [
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--interface",
                client,
            ];
            let output = Command::new("curl").args(options).arg(url).output();
            let output = output.expect("curl (./apxs/test installs what is missing)");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert_eq!(from("192.0.2.2", "/open"), "200", "there is a way");
        for path in [
            "/live-status",
            "/live-status?format=json",
            "/live-ready",
            "/server-status",
        ] {
            assert_eq!(from("192.0.2.2", path), "403", "{path}");
            assert_eq!(from("192.0.2.1", path), "200", "{path}");
        }
    });
}
