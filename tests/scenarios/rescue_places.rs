//! A rescue works wherever httpd lets a request begin: error pages, parts of a page, rewritten requests.

use crate::common::noted::*;
use crate::common::pool::*;
use crate::common::*;
use live_kit::{Mode, Request, World, eventually, pause, scenario};
use std::fs;

/// A page of this server, and one that a backend gives and that is rescued on its way.
#[test]
fn error_documents() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let pages = "ProxyPass /sorry !
            ErrorDocument 502 /sorry
            ErrorDocument 503 /sorry
            ProxyErrorOverride On
            <Location /proxied>
                ErrorDocument 502 /page
                ErrorDocument 503 /page
            </Location>";
        set_members(w);
        let pool = sticky_pool("", "", "");
        let builder = troubled(w.httpd().live(&format!("{FRESH}\n{pages}\n{pool}")));
        let httpd = start_pool(builder, &[&a, &b]);
        fs::write(httpd.root().join("htdocs/sorry"), "We are sorry").expect("a page");
        let mut client = kept_alive(&httpd, &get_to("one", "/"));
        let path = "/x?die=reset";
        let reply = client.send(&get_to("one", path)).expect("an answer");
        is_error(&reply);
        assert_eq!(reply.text(), "We are sorry");
        assert_eq!(receivers(&[&a, &b], path), ["A", "B"]);
        let post = to("one", Request::post("/post?die=close", 5000));
        let reply = client.send(&post).expect("an answer");
        is_error(&reply);
        assert_eq!(reply.text(), "We are sorry");
        assert_eq!(receivers(&[&a, &b], &post.path), ["A"]);
        is_well(&httpd, "one", &a);
        is_well(&httpd, "two", &b);
        let path = "/proxied?die=reset";
        a.mode(Mode::ResetRequest);
        let reply = client.send(&get_to("one", path)).expect("an answer");
        is_error(&reply);
        assert_eq!(reply.backend, "B");
        assert!(reply.text().contains("path=/page"), "{}", reply.text());
        assert_eq!(receivers(&[&a, &b], path), ["A", "B"]);
        assert_eq!(receivers(&[&a, &b], "/page"), ["A", "B"]);
    });
}

/// What a backend answered is no failure, whoever writes the page.
#[test]
fn proxy_error_override() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let builder = fresh(w, "", "", "").config("ProxyErrorOverride On");
        let httpd = start_pool(builder, &[&a, &b]);
        let mut client = kept_alive(&httpd, &get_to("one", "/"));
        a.mode(Mode::Status(503));
        let reply = client.send(&get_to("one", "/own")).expect("an answer");
        assert_eq!((reply.status, reply.backend.as_str()), (503, ""));
        assert_eq!(receivers(&[&a, &b], "/own"), ["A"]);
        a.mode(Mode::ResetRequest);
        let reply = client.send(&get_to("one", "/x")).expect("an answer");
        is_from(&reply, "B");
        b.mode(Mode::Status(404));
        let reply = client.send(&get_to("one", "/y")).expect("an answer");
        assert_eq!((reply.status, reply.backend.as_str()), (404, ""));
        assert_eq!(receivers(&[&a, &b], "/y"), ["A", "B"]);
        no_errors(&httpd, &[ONE, TWO]);
    });
}

/// A page of two parts from backends: each part is a request of its own.
#[test]
fn included_parts() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let pool = sticky_pool("", "", "").replace("ProxyPass / ", "ProxyPass /app/ ");
        set_members(w);
        let text = format!(
            "{FRESH}\n{pool}
            <Directory \"{}\">
                Require all granted
                Options +Includes
                SetOutputFilter INCLUDES
            </Directory>",
            w.dir.join("httpd1/htdocs").display()
        );
        let builder = troubled(w.httpd().module("include").module("filter").live(&text));
        let httpd = start_pool(builder, &[&a, &b]);
        let page = "begin <!--#include virtual=\"/app/first\" --> middle \
                    <!--#include virtual=\"/app/second\" --> finis\n";
        fs::write(httpd.root().join("htdocs/page.html"), page).expect("a page");
        let ask = || {
            let reply = httpd.send(&get_to("one", "/page.html")).expect("a page");
            assert_eq!(reply.status, 200);
            reply.text()
        };
        let parts = |text: &str| {
            let at = |what: &str| {
                text.find(what)
                    .unwrap_or_else(|| panic!("no {what}: {text}"))
            };
            let order = ["begin", "path=/first", "middle", "path=/second", "finis"].map(at);
            assert!(order.is_sorted(), "{text}");
            let from = |name: &str| text.matches(&format!("backend={name}\n")).count();
            (from("A"), from("B"))
        };
        assert_eq!(parts(&ask()), (2, 0));
        a.mode(Mode::ResetRequest);
        assert_eq!(parts(&ask()), (0, 2));
        assert_eq!((a.requests(), b.requests()), (4, 2));
        a.mode(Mode::Hang);
        let pending = send_all(&httpd, &get_to("one", "/page.html"), 1);
        wait_requests(&a, 5);
        w.vanish(IP_A);
        for reply in answers_of(pending) {
            assert_eq!(parts(&reply.text()), (0, 2));
        }
    });
}

/// mod_rewrite in a directory redirects inside of the server; `[P]` in the server config proxies by itself, to a
/// balancer and to a plain worker.
#[test]
fn rewritten_requests() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        set_app(w, &[IP_A, IP_B]);
        let pool = sticky_pool("", "", "").replace("ProxyPass / ", "ProxyPass /app/ ");
        let text = format!(
            "{FRESH}\n{pool}
            <Proxy http://app.test:9000>
                ProxySet live=on
            </Proxy>
            RewriteEngine On
            RewriteRule ^/rules/(.*) balancer://pool/$1 [P]
            RewriteRule ^/plain/(.*) http://app.test:9000/$1 [P]
            <Directory \"{}\">
                Require all granted
                Options +FollowSymLinks
                RewriteEngine On
                RewriteRule ^old/(.*)$ /app/$1 [L]
            </Directory>",
            w.dir.join("httpd1/htdocs").display()
        );
        let builder = troubled(w.httpd().module("rewrite").live(&text));
        let httpd = start_pool(builder, &[&a, &b]);
        wait_known(&httpd, "app.test");
        for path in ["/rules/x", "/old/x"] {
            is_from(&httpd.send(&get_to("one", path)).expect("an answer"), "A");
            a.mode(Mode::ResetRequest);
            is_from(&httpd.send(&get_to("one", path)).expect("an answer"), "B");
            a.revive();
        }
        assert_eq!(receivers(&[&a, &b], "/x"), ["A", "A", "A", "A", "B", "B"]);
        a.mode(Mode::Hang);
        b.forget();
        let mut pending = send_all(&httpd, &get_to("one", "/rules/dead"), 2);
        pending.extend(send_all(&httpd, &get_to("one", "/old/dead"), 2));
        // One child may get them all; it takes the other address for connections some time later.
        pending.extend(send_all(&httpd, &Request::get("/plain/dead"), 4));
        pause(0.3);
        pending.extend(send_all(&httpd, &Request::get("/plain/dead"), 4));
        eventually(SOON, || receivers(&[&a, &b], "/dead").len() == 12);
        let waiting = receivers(&[&a], "/dead").len();
        assert!((5..=12).contains(&waiting), "{waiting} wait for A");
        w.vanish(IP_A);
        answers_of(pending).iter().for_each(|r| is_from(r, "B"));
        assert_eq!(receivers(&[&b], "/dead").len(), 12);
    });
}
