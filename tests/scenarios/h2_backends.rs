//! Members that speak HTTP/2, which mod_proxy_http2 serves: their deaths are rescued like those of others.

use crate::common::http2_members::*;
use crate::common::pool::*;
use crate::common::*;
use live_kit::{
    Framing, H2Backend, H2Death, H2Mode, Httpd, Mpm, Request, World, answers, pause, scenario,
};
use std::net::TcpListener;

/// Both members answer once, or a third failure in a row would be their own; their pooled connections end, or the
/// next failure would look like a keep-alive race.
#[track_caller]
fn well(httpd: &Httpd, a: &H2Backend, b: &H2Backend) {
    for (member, name, route) in [(a, "A", "a"), (b, "B", "b")] {
        member.revive();
        let reply = httpd
            .send(&bound(Request::get("/"), route))
            .expect("an answer");
        assert_eq!((reply.status, reply.backend.as_str()), (200, name));
        member.reset_all();
    }
    pause(0.1);
    executed([a, b]);
}

/// Each way to die before anything has reached the client: what is safe to repeat is answered by B, everything
/// else fails once; the next request finds A in use again.
fn deaths(w: &mut World, mpm: Mpm) {
    let (a, b) = pair();
    set_members(w);
    let builder = server(w).mpm(mpm).live(&members("h2c", ""));
    let httpd = start_pool(builder, &[]);
    let ways = [
        (H2Death::Reset, "reset"),
        (H2Death::Close, "closed"),
        (H2Death::Head, "reset"),
    ];
    for (death, word) in ways {
        for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
            well(&httpd, &a, &b);
            a.mode(H2Mode::Die(death));
            let rescued = (200, "B".into(), format!("2 {word}"));
            assert_eq!(
                to_a(&httpd, Request::new(method, "/")),
                rescued,
                "{death:?} {method}"
            );
            let both = [(format!("A {method}"), 1), (format!("B {method}"), 1)];
            assert_eq!(executed([&a, &b]), both, "{death:?}");
        }
        let uploads = [
            ("POST", 0),
            ("POST", BODY),
            ("PUT", BODY),
            ("POST", 300_000),
        ];
        for (method, length) in uploads {
            well(&httpd, &a, &b);
            a.mode(H2Mode::Die(death));
            let request = Request::upload(method, "/", length);
            assert_eq!(
                to_a(&httpd, request),
                (502, String::new(), "1".into()),
                "{death:?}"
            );
            let seen = a.seen();
            assert!(
                seen.iter().all(|s| (s.length, s.sum) == whole(length)),
                "{seen:?}"
            );
            assert_eq!(
                executed([&a, &b]),
                [(format!("A {method}"), 1)],
                "{death:?}"
            );
        }
        a.revive();
        assert_eq!(
            to_a(&httpd, Request::get("/")),
            (200, "A".into(), "1".into())
        );
        executed([&a, &b]);
        // on a pooled connection it would look like a keep-alive race; the budget has room again
        pause(1.0);
        a.reset_all();
    }
}

#[test]
fn deaths_event() {
    scenario(|w: &mut World| deaths(w, Mpm::Event));
}

#[test]
fn deaths_prefork() {
    scenario(|w: &mut World| deaths(w, Mpm::Prefork));
}

/// A pooled connection that its member closes just as a request is sent: the session stays there, on a fresh one.
#[test]
fn keep_alive_race() {
    scenario(|w: &mut World| {
        let a = H2Backend::start("A", &format!("{IP_A}:9000"));
        let b = H2Backend::start("B", &format!("{IP_B}:9000"));
        set_members(w);
        let builder = server(w).children(1).live(&members("h2c", ""));
        let httpd = start_pool(builder, &[]);
        for (death, word) in [(H2Death::Reset, "reset"), (H2Death::Close, "closed")] {
            assert_eq!(to_a(&httpd, Request::get("/")).0, 200);
            executed([&a, &b]);
            // the connection is in the pool
            pause(0.5);
            a.mode(H2Mode::Once(death));
            let again = (200, "A".into(), format!("2 {word}"));
            assert_eq!(to_a(&httpd, Request::get("/")), again);
            assert_eq!(executed([&a, &b]), [("A GET".to_owned(), 2)]);
            pause(0.5);
            a.mode(H2Mode::Once(death));
            let (status, ..) = to_a(&httpd, Request::post("/", 0));
            assert_eq!(
                (status, executed([&a, &b])),
                (502, vec![("A POST".to_owned(), 1)])
            );
        }
    });
}

/// With every member dying a request visits two of them and fails once, with httpd's own words; the client's
/// connection goes on.
#[test]
fn both_die() {
    scenario(|w: &mut World| {
        let (a, b, httpd) = start_members(w, "");
        let mut client = httpd.client();
        for death in [H2Death::Reset, H2Death::Close, H2Death::Head] {
            for _ in 0..3 {
                well(&httpd, &a, &b);
                a.mode(H2Mode::Die(death));
                b.mode(H2Mode::Die(death));
                let reply = client.send(&Request::get("/")).expect("an answer");
                assert_one_answer(&reply);
                assert_eq!((reply.status, reply.backend.as_str()), (502, ""));
                let all = [("A GET".to_owned(), 1), ("B GET".to_owned(), 1)];
                assert_eq!(executed([&a, &b]), all);
            }
        }
        a.revive();
        b.revive();
        let reply = client.send(&Request::get("/")).expect("an answer");
        assert_eq!(reply.status, 200);
    });
}

/// Errors are answered by a document of this server, once, not by what mod_proxy_http2 sends at first.
#[test]
fn error_documents() {
    scenario(|w: &mut World| {
        let (a, b) = pair();
        set_members(w);
        let text = format!(
            "Alias /sorry {root}/htdocs/sorry.html
            <Location /sorry>\nRequire all granted\n</Location>
            ProxyPass /sorry !
            {}
            ErrorDocument 502 /sorry
            ErrorDocument 503 /sorry",
            members("h2c", "liveprobe=off"),
            root = w.dir.join("httpd1").display()
        );
        let builder = server(w).module("alias").live(&text);
        let httpd = start_pool(builder, &[]);
        std::fs::write(httpd.root().join("htdocs/sorry.html"), "sorry").expect("a document");
        let mut client = httpd.client();
        a.mode(H2Mode::Die(H2Death::Reset));
        b.mode(H2Mode::Die(H2Death::Reset));
        for status in [502, 502, 503, 503] {
            if status == 503 {
                a.kill();
                b.kill();
            }
            for request in [Request::get("/"), Request::post("/", BODY)] {
                let reply = client.send(&request).expect("an answer");
                assert_eq!((reply.status, reply.text().as_str()), (status, "sorry"));
            }
        }
    });
}

/// Nothing was sent to a member that refuses connections: the other one gets everything, bodies whole.
#[test]
fn refused() {
    scenario(|w: &mut World| {
        let (a, b, httpd) = start_members(w, "liveprobe=off retry=1");
        a.kill();
        let mut requests = vec![Request::get("/"), Request::post("/", 0)];
        for length in [1, BODY, 5_000_000] {
            let post = Request::post("/", length);
            requests.extend([post.clone(), post.framed(Framing::Open)]);
        }
        for request in requests {
            let length = request.body.len();
            let reached = to_a(&httpd, request);
            assert_eq!(reached, (200, "B".into(), "2".into()), "{length} bytes");
            let seen: Vec<_> = b.seen().iter().map(|s| (s.length, s.sum)).collect();
            assert_eq!(seen, [whole(length)]);
            executed([&a, &b]);
            // A is tried once more
            pause(1.1);
        }
    });
}

/// An answer that breaks off in its body is not begun again, and nothing is put behind it: the client sees that it
/// is not whole.
#[test]
fn half_a_body() {
    scenario(|w: &mut World| {
        let (a, b, httpd) = start_members(w, "");
        for death in ["body", "stream"] {
            for bytes in [
                "bytes=1000",
                "bytes=1000&open=1",
                "bytes=500000",
                "bytes=500000&open=1",
            ] {
                let answer = raw(&httpd, &format!("/?{bytes}&die={death}"));
                let head = "HTTP/1.1 200 OK";
                assert!(answer.starts_with(head), "{death}, {bytes}: {answer}");
                let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
                let strange = body
                    .trim_matches(|c: char| c == '.' || c.is_ascii_hexdigit() || c.is_whitespace());
                assert_eq!(strange, "");
                assert!(!body.ends_with("\r\n0\r\n\r\n"), "the end of chunks");
                assert_eq!(executed([&a, &b]), [("A GET".to_owned(), 1)]);
            }
        }
        assert_eq!(httpd.get("/").status, 200);
    });
}

/// A hung member: GETs are answered by the other one after the response time-out, POSTs get 504.
#[test]
fn hung() {
    scenario(|w: &mut World| {
        let (a, b, httpd) = start_members(w, "timeout=1");
        a.mode(H2Mode::Hang);
        let rescued = (200, "B".into(), "2 timeout".into());
        assert_eq!(to_a(&httpd, Request::get("/")), rescued);
        assert_eq!(
            executed([&a, &b]),
            [("A GET".to_owned(), 1), ("B GET".to_owned(), 1)]
        );
        for length in [0, BODY] {
            let (status, ..) = to_a(&httpd, Request::post("/", length));
            assert_eq!(
                (status, executed([&a, &b])),
                (504, vec![("A POST".to_owned(), 1)])
            );
        }
    });
}

/// What members answer passes as it is, whatever its form, whether requests are rescued or not.
#[test]
fn answers_pass() {
    scenario(|w: &mut World| {
        let (_a, _b) = pair();
        set_members(w);
        let text = format!(
            "{}
            <Location />\nHeader unset X-Env\n</Location>
            <Proxy balancer://stock>
                BalancerMember h2c://one.test:9000 live=on liverescue=off route=a
            </Proxy>
            ProxyPass /stock/ balancer://stock/",
            members("h2c", "")
        );
        let httpd = start_pool(server(w).live(&text), &[]);
        let paths = [
            "?bytes=0",
            "?bytes=0&open=1",
            "?bytes=1",
            "?bytes=70000&open=1",
            "?bytes=30000000",
            "?status=204&bytes=0&open=1",
            "?status=304&bytes=0&open=1",
            "?status=404",
            "?status=503",
        ];
        for (method, path) in paths.iter().flat_map(|p| [("GET", p), ("HEAD", p)]) {
            let answers = ["/", "/stock/"].map(|place| {
                let request = bound(Request::new(method, &format!("{place}{path}")), "a");
                let reply = httpd.send(&request).expect("an answer");
                let names = [
                    "content-length",
                    "transfer-encoding",
                    "set-cookie",
                    "x-backend",
                ];
                let fields = names.map(|name| reply.header(name).map(str::to_owned));
                (reply.status, fields, reply.body)
            });
            let [ours, stock] = answers;
            assert_eq!((ours.0, &ours.1), (stock.0, &stock.1), "{method} {path}");
            assert!(
                ours.2 == stock.2,
                "{method} {path}: bodies of {} and {}",
                ours.2.len(),
                stock.2.len()
            );
        }
    });
}

/// `ProxyErrorOverride`: an error that a member answers is an answer; nobody else is asked.
#[test]
fn error_override() {
    scenario(|w: &mut World| {
        let (a, b) = pair();
        set_members(w);
        let text = format!(
            "{}
            ErrorDocument 404 \"{WORDS}\"
            ProxyErrorOverride On
            <Proxy balancer://stock>
                BalancerMember h2c://one.test:9000 live=on liverescue=off route=a
            </Proxy>
            ProxyPass /stock/ balancer://stock/",
            members("h2c", "").replace("ProxyPass / ", "ProxyPass /ours/ ")
        );
        let httpd = start_pool(server(w).live(&text), &[]);
        for status in [404, 502, 503] {
            let answers = ["/ours/", "/stock/"].map(|place| {
                let get = Request::get(&format!("{place}?status={status}"));
                let reply = httpd.send(&bound(get, "a")).expect("an answer");
                assert_eq!(
                    executed([&a, &b]),
                    [("A GET".to_owned(), 1)],
                    "{place} {status}"
                );
                (reply.status, reply.text())
            });
            assert_eq!(answers[0], answers[1]);
            assert_eq!(answers[0].0, status);
        }
    });
}

/// Sub-requests: each part of a page is rescued for itself, and fails for itself.
#[test]
fn parts_of_a_page() {
    scenario(|w: &mut World| {
        let (a, b) = pair();
        set_members(w);
        let text = format!(
            "Alias /page {root}/htdocs
            <Directory {root}/htdocs>
                Options +Includes
                ForceType text/html
                SetOutputFilter INCLUDES
                Require all granted
            </Directory>
            ProxyPass /page !
            {}",
            members("h2c", ""),
            root = w.dir.join("httpd1").display()
        );
        let builder = server(w).module("alias").module("include");
        let httpd = start_pool(builder.live(&text).expect("[include:error]"), &[]);
        let page = "<p>1</p><!--#include virtual=\"/one?bytes=10\" --><p>2</p>\n\
                    <!--#include virtual=\"/two?bytes=20\" --><p>3</p>";
        std::fs::write(httpd.root().join("htdocs/page.shtml"), page).expect("a page");
        let whole = "<p>1</p>..........<p>2</p>\n....................<p>3</p>";
        let get = || {
            httpd
                .send(&bound(Request::get("/page/page.shtml"), "a"))
                .expect("a page")
        };
        assert_eq!((get().text().as_str(), a.seen().len()), (whole, 2));
        executed([&a, &b]);
        a.mode(H2Mode::Die(H2Death::Reset));
        a.reset_all();
        assert_eq!(
            (get().text().as_str(), b.seen().len()),
            (whole, 2),
            "rescued"
        );
        b.mode(H2Mode::Die(H2Death::Reset));
        b.reset_all();
        let reply = get();
        assert_eq!(reply.status, 200);
        let text = reply.text();
        assert!(
            text.starts_with("<p>1</p>") && text.ends_with("<p>3</p>"),
            "{text}"
        );
        assert!(!text.contains(".."), "{text}");
    });
}

/// A server that is about to stop refuses a stream that it has not looked at (GOAWAY): mod_proxy_http2 itself
/// repeats it, also a POST.
#[test]
fn refused_streams() {
    scenario(|w: &mut World| {
        w.dns.set("app.test", answers(&[IP_A], 600));
        let text = "ProxyPass / h2c://app.test:9000/ live=on liveprobe=off";
        let httpd = start_following(server(w).live(text));
        for method in ["GET", "POST"] {
            let listener = TcpListener::bind((IP_A, 9000)).expect("a port");
            let refused = std::thread::spawn(move || refuse_stream(listener));
            let reply = httpd.send(&Request::new(method, "/")).expect("an answer");
            let (a, _old) = refused.join().expect("a stream was refused");
            assert_eq!((reply.status, reply.backend.as_str()), (200, "A"));
            assert_eq!(a.seen().len(), 1);
        }
    });
}
