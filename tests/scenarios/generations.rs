//! Children of an earlier configuration that still serve: they follow what has changed since the reload, also where the
//! reload took the worker out of the configuration.

use crate::common::pool::*;
use crate::common::processes::leader;
use crate::common::status::*;
use crate::common::*;
use live_kit::{
    Httpd, MANAGER, Mpm, Request, Signal, World, all_at_once, eventually, pause, scenario_within,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Room for the children that stay beside the new ones.
fn room(mpm: Mpm) -> &'static str {
    match mpm {
        Mpm::Prefork => "ServerLimit 24\nMaxRequestWorkers 24\nMinSpareServers 4\n",
        _ => "MinSpareThreads 28\n",
    }
}

/// A request of which a child has got a part: it goes on in that child after a reload.
struct Begun(TcpStream);

impl Begun {
    fn get(httpd: &Httpd, path: &str) -> Self {
        let mut client = TcpStream::connect(httpd.addr()).expect("connect to httpd");
        let line = format!("GET {path} HTTP/1.0\r\n");
        client.write_all(line.as_bytes()).expect("half a request");
        Self(client)
    }

    /// Sends the rest: status (0: none), backend and body.
    fn finish(mut self) -> (u16, String, String) {
        let _ = self.0.write_all(b"Host: front.test\r\n\r\n");
        let mut answer = Vec::new();
        let _ = self.0.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let backend = head.lines().find_map(|l| l.strip_prefix("X-Backend: "));
        let backend = backend.unwrap_or_default().to_owned();
        (status.unwrap_or(0), backend, body.to_owned())
    }

    /// The same without the body.
    fn reply(self) -> (u16, String) {
        let (status, backend, _) = self.finish();
        (status, backend)
    }
}

/// A member that was down at the reload has come back since: a request that outlives the reload is rescued to it.
fn a_member_has_come_back(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_members(w);
    let text = format!("{}{}", room(mpm), pool(""));
    let mut httpd = start_pool(troubled(w.httpd().mpm(mpm).live(&text)), &[&a, &b]);
    b.kill();
    wait_down(&httpd, TWO);
    let request = Request::get("/?delay=15000");
    let mut pending = all_at_once(httpd.addr(), &request, 1, Duration::from_secs(40));
    eventually(PATIENCE, || a.busy() == 1);
    httpd.graceful();
    b.revive();
    wait_up(&httpd, TWO);
    pause(1.0);
    a.kill();
    let reply = pending.remove(0).join().expect("a client");
    let reply = reply.expect("an answer");
    assert_eq!((reply.status, reply.backend.as_str()), (200, "B"));
    // One word for each change, however many generations there are.
    assert_eq!((downs(&httpd, TWO), ups(&httpd, TWO)), (1, 1));
}

#[test]
fn a_member_has_come_back_event() {
    scenario_within(LIMIT, |w: &mut World| a_member_has_come_back(w, Mpm::Event));
}

#[test]
fn a_member_has_come_back_prefork() {
    scenario_within(LIMIT, |w: &mut World| {
        a_member_has_come_back(w, Mpm::Prefork)
    });
}

/// The children that mark an old generation are killed one after the other: the next one goes on.
#[test]
fn whoever_is_left_marks() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{}{}", room(Mpm::Event), pool(""));
        // When old children are killed httpd loses sight of new ones, and ends these by force.
        let builder = troubled(w.httpd().live(&text))
            .expect("still did not exit, sending")
            .expect("children are killed successively");
        let mut httpd = start_pool(builder, &[&a, &b]);
        b.kill();
        wait_down(&httpd, TWO);
        let old = httpd.children();
        // Some in each child.
        let begun: Vec<_> = (0..4 * old.len())
            .map(|_| Begun::get(&httpd, "/"))
            .collect();
        pause(0.5);
        httpd.graceful();
        let left = || {
            let now = httpd.children();
            old.iter()
                .copied()
                .filter(|p| now.contains(p))
                .collect::<Vec<_>>()
        };
        eventually(PATIENCE, || httpd.children().len() > left().len());
        let held = left();
        assert!(held.len() > 1, "of {old:?} are left {held:?}");
        // All but the one that was born last.
        for pid in &held[..held.len() - 1] {
            httpd.kill9(*pid);
        }
        eventually(PATIENCE, || left().len() == 1);
        b.revive();
        wait_up(&httpd, TWO);
        pause(1.0);
        a.kill();
        wait_down(&httpd, ONE);
        pause(1.0);
        let replies: Vec<_> = begun.into_iter().map(Begun::reply).collect();
        let answered = replies.iter().filter(|(status, _)| *status != 0);
        let answered: Vec<_> = answered.collect();
        assert!(!answered.is_empty(), "{replies:?}");
        assert!(
            answered.iter().all(|r| (r.0, r.1.as_str()) == (200, "B")),
            "{replies:?}"
        );
    });
}

/// What pages say in a child of the old configuration.
#[test]
fn the_pages_of_an_old_child() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{}{PAGES}\n{}", room(Mpm::Event), pool(""));
        let mut httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        b.kill();
        wait_down(&httpd, TWO);
        let asked = Begun::get(&httpd, "/live-ready");
        let page = Begun::get(&httpd, "/live-status?format=json");
        pause(0.5);
        httpd.graceful();
        b.revive();
        wait_up(&httpd, TWO);
        a.kill();
        wait_down(&httpd, ONE);
        pause(1.0);
        assert_eq!(ready(&httpd), (200, "ready".to_owned()));
        let (status, _, text) = asked.finish();
        assert_eq!((status, text.as_str()), (200, "ready\n"));
        let (status, _, text) = page.finish();
        assert_eq!(status, 200);
        let page: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(page["epoch"], 1, "another child has answered");
        assert_eq!(page["ready"]["ready"], true);
        for (name, state) in [(ONE, "down"), (TWO, "up")] {
            assert_eq!(worker(&page, name)["state"], state, "{name}");
        }
    });
}

/// A reload takes workers out of the configuration: while children of the old one are left their names are followed and
/// their addresses probed, and no longer.
#[test]
fn removed_workers_are_followed() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_a, b) = backends();
        let c = backend("C", "127.0.0.4");
        set_app(w, &[IP_A]);
        set_members(w);
        w.dns.set("gone.test", short(&[IP_A]));
        let gone = "ProxyPass /gone/ http://gone.test:9000/ live=on";
        let members = pool("").replace("ProxyPass / ", "ProxyPass /pool/ ");
        let text = |more: &str| format!("{}{PAGES}\n{more}\n{FOLLOW}", room(Mpm::Event));
        let builder = troubled(w.httpd().live(&text(&format!("{gone}\n{members}"))));
        let mut httpd = start_following(builder.threads(16));
        wait_known(&httpd, "gone.test");
        wait_probed(&[&b]);
        let begin = |path: &str| Begun::get(&httpd, path);
        let moved = begin("/gone/x");
        let down = [begin("/gone/x"), begin("/live-status?format=json")];
        let others: Vec<_> = (0..4).map(|_| begin("/pool/x")).collect();
        let back = [begin("/gone/x"), begin("/live-status?format=json")];
        pause(0.5);
        httpd.rewrite(&text(""));
        httpd.graceful();
        assert_eq!(httpd.get("/").backend, "A");
        // Its name moves.
        w.dns.set("gone.test", short(&["127.0.0.4"]));
        after_ttl(std::time::Instant::now(), 1);
        pause(1.0);
        assert_eq!(moved.reply(), (200, "C".to_owned()));
        // Its backend dies, and so does a member.
        c.kill();
        b.kill();
        pause(4.0);
        let [request, page] = down;
        assert_eq!(request.reply(), (503, String::new()));
        let states = |page: Begun, state: &str| {
            let page: serde_json::Value = serde_json::from_str(&page.finish().2).expect("JSON");
            assert_eq!(page["epoch"], 1, "another child has answered");
            let (gone, two) = ("http://gone.test:9000/", worker(&page, TWO));
            assert_eq!(worker(&page, gone)["state"], state, "{page:#}");
            assert_eq!(two["state"], state, "{page:#}");
            assert_eq!(worker(&page, ONE)["state"], "up");
        };
        states(page, "down");
        let tried = attempts(&httpd, IP_B);
        for request in others {
            assert_eq!(request.reply(), (200, "A".to_owned()));
        }
        assert_eq!(
            attempts(&httpd, IP_B),
            tried,
            "a request met the dead member"
        );
        // They return.
        c.revive();
        b.revive();
        pause(5.0);
        let [request, page] = back;
        assert_eq!(request.reply(), (200, "C".to_owned()));
        states(page, "up");
        // The last child of the old configuration ends.
        pause(4.0);
        w.dns.forget();
        let probed = c.probed();
        pause(4.0);
        let asked = w.dns.queries();
        assert!(asked.iter().all(|q| q.name == "app.test"), "{asked:?}");
        assert_eq!(c.probed(), probed);
    });
}

/// A member that came at run time was down at the reload, which forgot it: nobody probes it any more, and so the old
/// children do not keep it out for ever.
#[test]
fn a_member_of_run_time_is_set_free() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!(
            "{}{MANAGER}
            <Proxy balancer://pool>
                ProxyLive on
                BalancerMember {ONE}
                ProxySet growth=5
            </Proxy>
            ProxyPass / balancer://pool/",
            room(Mpm::Event)
        );
        let mut httpd = troubled(w.httpd().threads(16).live(&text)).start();
        wait_known(&httpd, "one.test");
        wait_probed(&[&a]);
        let manager = httpd.manager("pool");
        manager.add(TWO);
        wait_probed(&[&b]);
        manager.edit(TWO, "w_status_D=0");
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        b.kill();
        wait_down(&httpd, TWO);
        let begun = Begun::get(&httpd, "/");
        pause(0.5);
        httpd.graceful();
        b.revive();
        pause(2.0);
        a.kill();
        wait_down(&httpd, ONE);
        pause(0.5);
        assert_eq!(begun.reply(), (200, "B".to_owned()));
    });
}

/// The new configuration has no live worker: after a while nobody leads, and what was marked in the old children is taken
/// back there.
#[test]
fn nothing_is_kept_out_without_a_leader() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{}{}", room(Mpm::Event), pool(""));
        let mut httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        b.kill();
        wait_down(&httpd, TWO);
        let begun = Begun::get(&httpd, "/");
        pause(0.5);
        httpd.rewrite(&text.replace("live=on", "live=off"));
        httpd.graceful();
        // An old child leads for 5 s, until there would be a new one, and is missed after 3 s.
        eventually(PATIENCE, || told(&httpd, TWO, "down -> up") == 1);
        b.revive();
        a.kill();
        assert_eq!(begun.reply(), (200, "B".to_owned()));
        // That is how it was configured.
        assert_eq!(httpd.logged("has been silent"), 0);
    });
}

/// A worker came with one reload and went with the next one, behind the back of a child that is older than both: nobody
/// asks for it on behalf of that child.
#[test]
fn what_an_old_child_never_knew() {
    scenario_within(LIMIT, |w: &mut World| {
        let (_a, b) = backends();
        set_app(w, &[IP_A]);
        w.dns.set("gone.test", short(&[IP_B]));
        let text = |more: &str| format!("{}{more}\n{FOLLOW}", room(Mpm::Event));
        let mut httpd = start_following(w.httpd().threads(16).live(&text("")));
        let begun = Begun::get(&httpd, "/");
        pause(0.5);
        httpd.rewrite(&text("ProxyPass /gone/ http://gone.test:9000/ live=on"));
        httpd.graceful();
        wait_known(&httpd, "gone.test");
        wait_probed(&[&b]);
        httpd.rewrite(&text(""));
        httpd.graceful();
        // The children that knew it end.
        pause(5.0);
        w.dns.forget();
        let probed = b.probed();
        pause(4.0);
        let asked = w.dns.queries();
        assert!(asked.iter().all(|q| q.name == "app.test"), "{asked:?}");
        assert_eq!(b.probed(), probed);
        assert_eq!(begun.reply(), (200, "A".to_owned()));
    });
}

/// The leader of the new children falls silent: what was marked in the old ones is taken back as well, and comes back
/// with the leader. One word for all of them.
#[test]
fn the_leader_falls_silent_for_old_children() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = format!("{}{}", room(Mpm::Event), pool(""));
        let builder = troubled(w.httpd().threads(16).live(&text)).expect("has been silent");
        // The stopped leader finds itself late.
        let builder = builder.expect("probes are late");
        let mut httpd = start_pool(builder, &[&a, &b]);
        b.kill();
        wait_down(&httpd, TWO);
        let old = httpd.children();
        let lost: Vec<_> = (0..4).map(|_| Begun::get(&httpd, "/")).collect();
        let heard: Vec<_> = (0..4).map(|_| Begun::get(&httpd, "/")).collect();
        pause(0.5);
        httpd.graceful();
        eventually(PATIENCE, || !old.contains(&leader(&httpd)));
        let leader = leader(&httpd);
        httpd.signal(leader, Signal::STOP);
        eventually(PATIENCE, || httpd.logged("has been silent") == 1);
        pause(1.0);
        // As stock httpd: some try it, and go to the other one.
        let tried = attempts(&httpd, IP_B);
        for request in lost {
            assert_eq!(request.reply(), (200, "A".to_owned()));
        }
        assert!(attempts(&httpd, IP_B) > tried, "nobody tried it");
        httpd.signal(leader, Signal::CONT);
        eventually(PATIENCE, || httpd.logged("is heard again") == 1);
        pause(2.0);
        let tried = attempts(&httpd, IP_B);
        for request in heard {
            assert_eq!(request.reply(), (200, "A".to_owned()));
        }
        assert_eq!(attempts(&httpd, IP_B), tried);
        assert_eq!(ups(&httpd, TWO), 1);
    });
}
