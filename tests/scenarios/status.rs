//! The status page on a real httpd.

use live_kit::{Backend, World, answers, eventually, pause, scenario};
use std::time::Duration;

const PAGES: &str = "<Location /live-status>\nSetHandler proxy-live-status\n</Location>\n\
                     <Location /live-ready>\nSetHandler proxy-live-ready\n</Location>\n";

#[test]
fn first_look() {
    scenario(|w: &mut World| {
        let _a = Backend::start("A", "127.0.0.2:9000");
        w.dns.set("app.test", answers(&["127.0.0.2"], 1));
        let httpd = w
            .httpd()
            .live(&format!(
                "{PAGES}ProxyPass / http://app.test:9000/ live=on\n"
            ))
            .start();
        eventually(Duration::from_secs(3), || {
            httpd.get("/live-ready").status == 200
        });
        pause(3.0);
        for q in ["", "?format=json", "?format=openmetrics", "?x=1"] {
            let reply = httpd.get(&format!("/live-status{q}"));
            std::fs::create_dir_all("/tmp/look").unwrap();
            std::fs::write(
                format!("/tmp/look/page{}", q.replace(['?', '='], "_")),
                format!("{} {}", reply.status, reply.text()),
            )
            .unwrap();
        }
        println!("{}", httpd.get("/live-ready").text());
    });
}
