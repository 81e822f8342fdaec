//! A rescue obeys the rules of mod_proxy's balancers, and works wherever httpd lets a request begin.

use crate::common::noted::*;
use crate::common::pool::*;
use crate::common::*;
use live_kit::{MANAGER, Mode, Mpm, Request, World, answers, eventually, pause, scenario};
use std::time::Instant;

const IP_C: &str = "127.0.0.4";
const THREE: &str = "http://three.test:9000";

/// The client of a member that has died gets the route of the one that answered.
fn sticky_client_moves(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    let cookie = "Header add Set-Cookie \"ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/\" env=BALANCER_ROUTE_CHANGED";
    let builder = fresh(w, "", "", "").mpm(mpm).config(cookie);
    let httpd = start_pool(builder, &[&a, &b]);
    let reply = httpd.send(&get_to("one", "/")).expect("an answer");
    is_from(&reply, "A");
    assert_eq!(reply.header("set-cookie"), None);
    a.mode(Mode::ResetRequest);
    let reply = httpd.send(&get_to("one", "/")).expect("an answer");
    is_from(&reply, "B");
    assert_eq!(reply.header("set-cookie"), Some("ROUTEID=.two; path=/"));
    a.mode(Mode::Hang);
    let pending = send_all(&httpd, &get_to("one", "/waits"), 2);
    wait_requests(&a, 4);
    w.vanish(IP_A);
    for reply in answers_of(pending) {
        is_from(&reply, "B");
        assert_eq!(reply.header("set-cookie"), Some("ROUTEID=.two; path=/"));
    }
}

#[test]
fn sticky_client_moves_event() {
    scenario(|w: &mut World| sticky_client_moves(w, Mpm::Event));
}

#[test]
fn sticky_client_moves_prefork() {
    scenario(|w: &mut World| sticky_client_moves(w, Mpm::Prefork));
}

/// `nofailover=On`: a session that must not move is told so, soon; its member is not blamed for one reset.
fn nofailover(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    let builder = fresh(w, "", "", "ProxySet nofailover=On").mpm(mpm);
    let httpd = start_pool(builder, &[&a, &b]);
    a.mode(Mode::ResetRequest);
    let mut client = httpd.client();
    is_error(&client.send(&get_to("one", "/reset")).expect("an answer"));
    assert_eq!(receivers(&[&a, &b], "/reset"), ["A"]);
    a.revive();
    let reply = client.send(&get_to("one", "/again")).expect("an answer");
    is_from(&reply, "A");
    no_errors(&httpd, &[ONE, TWO]);
    a.mode(Mode::Hang);
    let before = a.requests();
    let pending = send_all(&httpd, &get_to("one", "/dead"), 3);
    wait_requests(&a, before + 3);
    w.vanish(IP_A);
    let start = Instant::now();
    for reply in answers_of(pending) {
        assert_eq!(reply.status, 503);
    }
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(receivers(&[&b], "/dead").is_empty());
    wait_down(&httpd, ONE);
    pause(0.2);
    let start = Instant::now();
    let reply = httpd.send(&get_to("one", "/later")).expect("an answer");
    assert_eq!(reply.status, 503);
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
}

#[test]
fn nofailover_event() {
    scenario(|w: &mut World| nofailover(w, Mpm::Event));
}

#[test]
fn nofailover_prefork() {
    scenario(|w: &mut World| nofailover(w, Mpm::Prefork));
}

/// mod_proxy does not leave a usable member with `status=+I` for another one: its requests fail, with an answer.
#[test]
fn a_member_that_ignores_errors() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let httpd = start_pool(fresh(w, "status=+I", "", ""), &[&a, &b]);
        let mut client = kept_alive(&httpd, &get_to("one", "/"));
        a.mode(Mode::ResetRequest);
        for n in 0..4 {
            let path = format!("/reset?n={n}");
            is_error(&client.send(&get_to("one", &path)).expect("an answer"));
            assert_eq!(receivers(&[&a, &b], &path), ["A"]);
        }
        no_errors(&httpd, &[ONE, TWO]);
        a.revive();
        is_from(&client.send(&get_to("one", "/")).expect("an answer"), "A");
        a.mode(Mode::Hang);
        let before = a.requests();
        let pending = send_all(&httpd, &get_to("one", "/dead"), 3);
        wait_requests(&a, before + 3);
        w.vanish(IP_A);
        let start = Instant::now();
        let replies = answers_of(pending);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        // once the probes have taken it out, mod_proxy goes on even so
        let moved = receivers(&[&b], "/dead").len();
        replies
            .iter()
            .filter(|r| r.status != 200)
            .for_each(is_error);
        assert_eq!(replies.iter().filter(|r| r.status == 200).count(), moved);
    });
}

/// A member that the administrator has taken out is no refuge.
#[test]
fn a_disabled_member() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let httpd = start_pool(fresh(w, "", "status=+D", ""), &[&a, &b]);
        let mut client = kept_alive(&httpd, &Request::get("/"));
        a.mode(Mode::ResetRequest);
        for _ in 0..3 {
            is_error(&client.send(&Request::get("/x")).expect("an answer"));
        }
        a.mode(Mode::Hang);
        let before = a.requests();
        let pending = send_all(&httpd, &Request::get("/dead"), 3);
        wait_requests(&a, before + 3);
        w.vanish(IP_A);
        let start = Instant::now();
        answers_of(pending).iter().for_each(is_error);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(b.requests(), 0);
        no_errors(&httpd, &[ONE, TWO]);
    });
}

/// Nobody else can answer: the only member of a pool, and a plain worker whose name has one address.
#[test]
fn nobody_else() {
    scenario(|w: &mut World| {
        let a = backend("A", IP_A);
        set_app(w, &[IP_A]);
        let text = format!(
            "{FRESH}\n{NOTED}
            <Proxy balancer://pool>
                BalancerMember http://app.test:9000 live=on
            </Proxy>
            ProxyPass /pool/ balancer://pool/
            ProxyPass / http://app.test:9000/ live=on"
        );
        let httpd = start_following(troubled(w.httpd().live(&text)));
        wait_probed(&[&a]);
        for path in ["/pool/reset", "/reset"] {
            let mut client = kept_alive(&httpd, &Request::get("/"));
            a.mode(Mode::ResetRequest);
            is_error(&client.send(&Request::get(path)).expect("an answer"));
            a.revive();
            let reply = client.send(&Request::get("/pool/"));
            is_from(&reply.expect("an answer"), "A");
            assert_eq!(noted(&httpd, path).facts(), ("127.0.0.2:9000", 1, ""));
        }
        assert_eq!(receivers(&[&a], "/reset").len(), 2);
        a.mode(Mode::Hang);
        let mut pending = send_all(&httpd, &Request::get("/pool/dead"), 2);
        pending.extend(send_all(&httpd, &Request::get("/dead"), 2));
        eventually(SOON, || receivers(&[&a], "/dead").len() == 4);
        w.vanish(IP_A);
        let start = Instant::now();
        answers_of(pending).iter().for_each(is_error);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        w.appear_all();
        a.revive();
        eventually(PATIENCE, || httpd.get("/pool/").backend == "A");
        eventually(PATIENCE, || httpd.get("/").backend == "A");
    });
}

/// What may be done twice goes on, whatever was asked; the rest does not.
#[test]
fn methods() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let httpd = start_pool(fresh(w, "", "", ""), &[&a, &b]);
        a.mode(Mode::ResetRequest);
        let mut client = kept_alive(&httpd, &get_to("two", "/"));
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "PUT"] {
            let mut request = get_to("one", &format!("/{method}"));
            request.method = method.to_owned();
            is_from(&client.send(&request).expect("an answer"), "B");
            assert_eq!(receivers(&[&a, &b], &request.path), ["A", "B"]);
            is_well(&httpd, "one", &a);
            a.mode(Mode::ResetRequest);
        }
        for method in ["POST", "PATCH", "PROPFIND", "get", "UNHEARD"] {
            let mut request = get_to("one", &format!("/{method}"));
            request.method = method.to_owned();
            is_error(&client.send(&request).expect("an answer"));
            assert_eq!(receivers(&[&a, &b], &request.path), ["A"]);
            is_well(&httpd, "one", &a);
            a.mode(Mode::ResetRequest);
        }
        no_errors(&httpd, &[ONE, TWO]);
    });
}

#[test]
fn a_hot_standby_takes_over() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let httpd = start_pool(fresh(w, "", "status=+H", ""), &[&a, &b]);
        a.mode(Mode::ResetRequest);
        is_from(&httpd.get("/reset"), "B");
        a.mode(Mode::Hang);
        let before = a.requests();
        let pending = send_all(&httpd, &Request::get("/dead"), 4);
        wait_requests(&a, before + 4);
        w.vanish(IP_A);
        answers_of(pending).iter().for_each(|r| is_from(r, "B"));
        w.appear_all();
        a.revive();
        eventually(PATIENCE, || httpd.get("/").backend == "A");
        no_errors(&httpd, &[ONE, TWO]);
    });
}

/// The next member comes from the same set.
#[test]
fn sets() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let c = backend("C", IP_C);
        w.dns.set("three.test", answers(&[IP_C], 600));
        let third = format!("BalancerMember {THREE} live=on lbset=0 route=three");
        let httpd = start_pool(fresh(w, "lbset=0", "lbset=1", &third), &[&a, &b, &c]);
        a.mode(Mode::ResetRequest);
        for n in 1..=2 {
            is_from(&httpd.send(&get_to("one", "/")).expect("an answer"), "C");
            assert_eq!((a.requests(), b.requests()), (n, 0));
        }
        is_well(&httpd, "one", &a);
        a.mode(Mode::ResetRequest);
        c.kill();
        wait_down(&httpd, THREE);
        pause(0.2);
        is_from(&httpd.send(&get_to("one", "/")).expect("an answer"), "B");
        no_errors(&httpd, &[ONE, TWO]);
    });
}

/// `maxattempts` counts further members, rescue or not.
#[test]
fn maxattempts() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let none = sticky_pool("", "", "ProxySet maxattempts=0")
            .replace("balancer://pool", "balancer://none")
            .replace("ProxyPass / ", "ProxyPass /none/ ");
        let one = pool_of(
            "route=one",
            "route=two",
            "ProxySet stickysession=ROUTEID maxattempts=1",
        );
        let text = format!("{FRESH}\n{none}\n{one}");
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        a.mode(Mode::ResetRequest);
        let mut client = kept_alive(&httpd, &get_to("two", "/none/"));
        is_error(&client.send(&get_to("one", "/none/x")).expect("an answer"));
        assert_eq!(receivers(&[&a, &b], "/x"), ["A"]);
        is_from(&client.send(&get_to("one", "/y")).expect("an answer"), "B");
        assert_eq!(receivers(&[&a, &b], "/y"), ["A", "B"]);
    });
}

/// One reset costs the others nothing when there is no other member: not even for an instant is the last one out.
fn the_only_healthy_member(w: &mut World, mpm: Mpm, more: &str) {
    let (a, b) = backends();
    set_members(w);
    let text = format!("{more}\n{MANAGER}\n{}", sticky_pool("", "", ""));
    let builder = troubled(w.httpd().mpm(mpm).children(8).live(&text));
    let httpd = start_pool(builder, &[&a, &b]);
    a.kill();
    wait_down(&httpd, ONE);
    pause(0.3);
    let load = httpd.load().clients(5).start();
    for n in 0..25 {
        let reply = httpd.send(&to("two", Request::get(&format!("/bad?n={n}&die=reset"))));
        is_error(&reply.expect("an answer"));
        pause(0.1);
        assert!(!httpd.manager("pool").has(TWO, "Err"), "after reset {n}");
    }
    let records = load.stop();
    assert!(records.len() > 100, "{}", records.len());
    records.assert_clean(SOON);
    for n in 0..25 {
        let times = receivers(&[&b], &format!("/bad?n={n}&die=reset")).len();
        assert!((1..=2).contains(&times), "{times} times");
    }
}

#[test]
fn the_only_healthy_member_event() {
    scenario(|w: &mut World| the_only_healthy_member(w, Mpm::Event, ""));
}

#[test]
fn the_only_healthy_member_fresh() {
    scenario(|w: &mut World| the_only_healthy_member(w, Mpm::Event, FRESH));
}

#[test]
fn the_only_healthy_member_prefork() {
    scenario(|w: &mut World| the_only_healthy_member(w, Mpm::Prefork, ""));
}

/// `failonstatus=503`: a backend's own 503 puts it in error, the 503 inside a rescue does not.
#[test]
fn failonstatus() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let httpd = start_pool(fresh(w, "", "", "ProxySet failonstatus=503"), &[&a, &b]);
        a.mode(Mode::ResetRequest);
        for _ in 0..2 {
            is_from(&httpd.send(&get_to("one", "/")).expect("an answer"), "B");
            no_errors(&httpd, &[ONE, TWO]);
        }
        // fails at both members
        is_well(&httpd, "one", &a);
        a.mode(Mode::ResetRequest);
        b.mode(Mode::ResetRequest);
        is_error(&httpd.send(&get_to("one", "/both")).expect("an answer"));
        assert_eq!(receivers(&[&a, &b], "/both"), ["A", "B"]);
        no_errors(&httpd, &[ONE, TWO]);
        b.mode(Mode::Status(503));
        a.revive();
        let reply = httpd.send(&get_to("two", "/")).expect("an answer");
        assert_eq!((reply.status, reply.backend.as_str()), (503, "B"));
        assert!(httpd.manager("pool").has(TWO, "Err"));
        no_errors(&httpd, &[ONE]);
    });
}

/// `failontimeout=On`: the member that was silent is in error, not the one that answered instead.
#[test]
fn failontimeout() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let builder = fresh(w, "timeout=1", "timeout=1", "ProxySet failontimeout=On");
        let httpd = start_pool(builder, &[&a, &b]);
        a.mode(Mode::ResetRequest);
        is_from(
            &httpd.send(&get_to("one", "/reset")).expect("an answer"),
            "B",
        );
        let post = to("one", Request::post("/post", 100));
        is_error(&httpd.send(&post).expect("an answer"));
        no_errors(&httpd, &[ONE, TWO]);
        a.mode(Mode::Hang);
        is_from(
            &httpd.send(&get_to("one", "/hang")).expect("an answer"),
            "B",
        );
        assert!(httpd.manager("pool").has(ONE, "Err"), "it was silent");
        no_errors(&httpd, &[TWO]);
        a.revive();
        pause(3.0);
        assert!(httpd.manager("pool").has(ONE, "Err"), "retry is a minute");
        is_from(&httpd.send(&get_to("one", "/")).expect("an answer"), "B");
    });
}

/// `retry=0`, as many write it: mod_proxy forgets at once that a member was in error, the rescue does not.
#[test]
fn retry_zero() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        let httpd = start_pool(fresh(w, "retry=0", "retry=0", ""), &[&a, &b]);
        a.mode(Mode::ResetRequest);
        for n in 0..5 {
            let path = format!("/reset?n={n}");
            is_from(&httpd.send(&get_to("one", &path)).expect("an answer"), "B");
            assert_eq!(receivers(&[&b], &path), ["B"]);
        }
        assert!(a.requests() >= 3, "{}", a.requests());
        a.revive();
        eventually(PATIENCE, || {
            let reply = httpd.send(&get_to("one", "/")).expect("an answer");
            reply.backend == "A"
        });
        a.mode(Mode::Hang);
        let before = a.requests();
        let pending = send_all(&httpd, &get_to("one", "/killed"), 1);
        wait_requests(&a, before + 1);
        a.kill();
        answers_of(pending).iter().for_each(|r| is_from(r, "B"));
    });
}
