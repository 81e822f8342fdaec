//! Members that are added at run time, in balancer-manager.

use crate::common::pool::*;
use crate::common::processes::{leader, takeover};
use crate::common::*;
use live_kit::{
    Backend, Builder, Httpd, MANAGER, Manager, Mpm, Type, World, answers, eventually, pause,
    scenario_within,
};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);
/// The balancer with its first member; the others are added.
const GROWS: &str = "<Proxy balancer://pool>
        ProxyLive on
        BalancerMember http://one.test:9000
        ProxySet growth=5
    </Proxy>
    ProxyPass / balancer://pool/";

fn growing() -> String {
    format!("{MANAGER}\n{GROWS}")
}

/// What the leader says of a member that it took up.
fn taken_up(httpd: &Httpd, member: &str) -> usize {
    httpd.logged(&format!("worker {member}: added at run time: live"))
}

/// Adds a member, waits until it is taken up, and enables it.
#[track_caller]
fn add(httpd: &Httpd, manager: &Manager, member: &str) {
    let before = taken_up(httpd, member);
    manager.add(member);
    eventually(PATIENCE, || taken_up(httpd, member) > before);
    manager.edit(member, "w_status_D=0");
}

/// Starts and waits until the configured member is followed.
fn start_growing(builder: Builder, one: &Backend) -> Httpd {
    let httpd = builder.start();
    wait_known(&httpd, "one.test");
    wait_probed(&[one]);
    httpd
}

/// A member comes while there is load: probed by one prober while it is disabled, used when it is enabled, out and
/// back by probes, and its name is followed.
fn is_taken_up(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    let moved = backend("C", "127.0.0.4");
    set_members(w);
    w.dns.set("two.test", short(&[IP_B]));
    // More threads than connections: event closes kept-alive ones when it has none left.
    let builder = w.httpd().mpm(mpm).threads(16).live(&growing());
    let httpd = start_growing(troubled(builder), &a);
    let manager = httpd.manager("pool");
    let load = httpd.load().clients(8).start();
    manager.add(TWO);
    wait_known(&httpd, "two.test");
    wait_probed(&[&b]);
    assert!(manager.has(TWO, "Dis"));
    let before = b.probed();
    pause(5.0);
    let probes = b.probed() - before;
    assert!(
        (1..=5).contains(&probes),
        "{probes} probes in 5 s, every 2 s"
    );
    assert_eq!((b.requests(), taken_up(&httpd, TWO)), (0, 1));
    // It is down when it is enabled: no request meets it.
    b.kill();
    wait_down(&httpd, TWO);
    assert!(manager.has(TWO, "Dis"), "still disabled");
    manager.edit(TWO, "w_status_D=0");
    assert_eq!(used(&httpd), ["A"]);
    assert_eq!(attempts(&httpd, IP_B), 0);
    b.revive();
    eventually(BACK, || used(&httpd) == ["A", "B"]);
    // It dies: found by the probes, and nobody notices.
    b.kill();
    wait_down(&httpd, TWO);
    assert!(manager.has(TWO, "HcFl"));
    b.revive();
    wait_up(&httpd, TWO);
    eventually(BACK, || used(&httpd) == ["A", "B"]);
    load.stop().assert_clean(PROMPT);
    // Its name moves.
    w.dns.set("two.test", short(&["127.0.0.4"]));
    eventually(PATIENCE, || used(&httpd) == ["A", "C"]);
    assert!(moved.probed() > 0);
}

#[test]
fn a_member_is_taken_up_event() {
    scenario_within(LIMIT, |w: &mut World| is_taken_up(w, Mpm::Event));
}

#[test]
fn a_member_is_taken_up_prefork() {
    scenario_within(LIMIT, |w: &mut World| is_taken_up(w, Mpm::Prefork));
}

/// Members of the name (and port) of a configured one have their queries (and probes) together with it.
#[test]
fn names_and_probes_are_shared() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, _b) = backends();
        let other = Backend::start("O", "127.0.0.2:9001");
        set_members(w);
        let second = GROWS
            .replace("pool", "second")
            .replace("/ bal", "/second/ bal");
        let second = second.replace("BalancerMember http://one.test:9000", "");
        let text = format!("{second}\n{}", growing());
        let httpd = start_growing(w.httpd().live(&text), &a);
        w.dns.forget();
        add(&httpd, &httpd.manager("second"), ONE);
        add(&httpd, &httpd.manager("pool"), "http://one.test:9001");
        wait_probed(&[&other]);
        let before = (a.probed(), other.probed());
        pause(6.0);
        let probes = (a.probed() - before.0, other.probed() - before.1);
        assert!((1..=6).contains(&probes.0), "{probes:?} in 6 s, every 2 s");
        assert!((1..=6).contains(&probes.1), "{probes:?} in 6 s, every 2 s");
        assert_eq!(w.dns.count("one.test", Type::A), 0);
        assert_eq!(used(&httpd), ["A", "O"]);
        assert_eq!(httpd.get("/second/").backend, "A");
    });
}

/// The leader dies right after the member came, and later once more: what follows it knows all.
#[test]
fn the_leader_is_killed() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        w.dns.set("two.test", short(&[IP_B]));
        let _moved = backend("C", "127.0.0.4");
        let httpd = start_growing(troubled(w.httpd().live(&growing())), &a);
        let manager = httpd.manager("pool");
        let dead = leader(&httpd);
        manager.add(TWO);
        httpd.kill9(dead);
        takeover(&httpd, dead);
        wait_probed(&[&b]);
        manager.edit(TWO, "w_status_D=0");
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        // What children that come later see of it is not what the others saw.
        manager.edit(TWO, "w_wr=two&w_ls=0&w_lf=2");
        let dead = leader(&httpd);
        httpd.kill9(dead);
        takeover(&httpd, dead);
        w.dns.set("two.test", short(&["127.0.0.4"]));
        eventually(PATIENCE, || used(&httpd) == ["A", "C"]);
        assert!(taken_up(&httpd, TWO) <= 1, "once at most");
    });
}

/// A balancer that begins without any member; no other worker is live.
#[test]
fn an_empty_balancer() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let empty = GROWS.replace("BalancerMember http://one.test:9000", "");
        let text = format!("{MANAGER}\n{empty}");
        let httpd = troubled(w.httpd().threads(16).live(&text)).start();
        let manager = httpd.manager("pool");
        for member in [ONE, TWO] {
            add(&httpd, &manager, member);
        }
        wait_probed(&[&a, &b]);
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        let load = httpd.load().clients(8).start();
        pause(0.5);
        a.kill();
        wait_down(&httpd, ONE);
        assert_eq!(used(&httpd), ["B"]);
        load.stop().assert_clean(PROMPT);
    });
}

/// Without BalancerPersist a reload forgets members, with it they come back.
fn after_a_reload(w: &mut World, persist: bool) {
    let (a, b) = backends();
    set_members(w);
    let more = if persist { "BalancerPersist On\n" } else { "" };
    let text = format!("{more}{}", growing());
    let mut httpd = start_growing(troubled(w.httpd().live(&text)), &a);
    let manager = httpd.manager("pool");
    add(&httpd, &manager, TWO);
    eventually(BACK, || used(&httpd) == ["A", "B"]);
    httpd.graceful();
    pause(1.0);
    let before = b.probed();
    if persist {
        eventually(PATIENCE, || taken_up(&httpd, TWO) == 2);
        eventually(PATIENCE, || b.probed() > before);
        b.kill();
        wait_down(&httpd, TWO);
        assert_eq!(used(&httpd), ["A"]);
        b.revive();
        eventually(BACK, || used(&httpd) == ["A", "B"]);
        httpd.stop();
        httpd.start_again();
        eventually(PATIENCE, || taken_up(&httpd, TWO) == 3);
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    } else {
        let manager = httpd.manager("pool");
        pause(3.0);
        assert_eq!(used(&httpd), ["A"]);
        assert_eq!(b.probed(), before);
        assert_eq!(manager.members(), [ONE]);
        // Added once more, to slots that were freed.
        add(&httpd, &manager, TWO);
        eventually(PATIENCE, || b.probed() > before);
        eventually(BACK, || used(&httpd) == ["A", "B"]);
    }
}

#[test]
fn a_reload_forgets() {
    scenario_within(LIMIT, |w: &mut World| after_a_reload(w, false));
}

#[test]
fn a_reload_with_balancer_persist() {
    scenario_within(LIMIT, |w: &mut World| after_a_reload(w, true));
}

/// Each virtual host's ProxyLive counts for members of its balancers; a balancer that it inherits has its members in
/// all of them.
#[test]
fn virtual_hosts() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        let c = backend("C", "127.0.0.4");
        set_members(w);
        for (name, ip) in [("three.test", "127.0.0.4"), ("four.test", IP_A)] {
            w.dns.set(name, answers(&[ip], 600));
        }
        let balancer = |name: &str| {
            format!(
                "<Proxy balancer://{name}>\nBalancerMember http://one.test:9000\nProxySet growth=3\n</Proxy>
                ProxyPass /{name}/ balancer://{name}/\n"
            )
        };
        let text = format!(
            "{MANAGER}\nProxyLiveTemplate quick liveinterval=500ms\n{shared}
            <VirtualHost *:8080>\nServerName off.front\n{MANAGER}\n</VirtualHost>
            <VirtualHost *:8080>\nServerName on.front\n{MANAGER}\nProxyLive on quick\n{own}\n</VirtualHost>
            <VirtualHost *:8080>\nServerName none.front\nProxyPassInherit off\n{MANAGER}\n{none}\n</VirtualHost>",
            shared = balancer("shared"),
            own = balancer("own"),
            none = balancer("none"),
        );
        let httpd = w.httpd().live(&text).start();
        wait_known(&httpd, "one.test");
        // The template of the virtual host.
        let own = httpd.manager("own").of("on.front");
        add(&httpd, &own, TWO);
        wait_probed(&[&b]);
        let before = b.probed();
        pause(5.0);
        let probes = b.probed() - before;
        assert!(
            (5..=12).contains(&probes),
            "{probes} probes in 5 s, every 500 ms"
        );
        // An inherited balancer, through the page of another virtual host: live because one of them wants it so.
        let shared = httpd.manager("shared").of("off.front");
        add(&httpd, &shared, "http://three.test:9000");
        wait_probed(&[&c]);
        let url = "http://on.front/shared/";
        eventually(BACK, || (0..8).any(|_| httpd.get(url).backend == "C"));
        // ProxyLive is not for this one.
        let none = httpd.manager("none").of("none.front");
        none.add("http://four.test:9000");
        pause(2.0);
        assert_eq!(w.dns.count("four.test", Type::A), 0);
        assert_eq!(httpd.logged("four.test:9000: added at run time"), 0);
        none.edit("http://four.test:9000", "w_status_D=0");
        assert_eq!(httpd.get("http://none.front/none/").backend, "A");
        assert!(a.probed() > 0);
    });
}

/// Many come in a row while there is load, each in another child: none is lost, none is taken up twice, and no
/// request notices.
fn many(w: &mut World, mpm: Mpm) {
    const MANY: usize = 20;
    let (a, b) = backends();
    set_members(w);
    let member = |n: usize| format!("http://m{n}.test:9000");
    for n in 0..MANY {
        w.dns.set(&format!("m{n}.test"), answers(&[IP_B], 600));
    }
    let text = growing().replace("growth=5", "growth=50");
    let httpd = start_growing(troubled(w.httpd().mpm(mpm).threads(16).live(&text)), &a);
    let manager = httpd.manager("pool");
    let load = httpd.load().clients(2).start();
    for n in 0..MANY {
        manager.add(&member(n));
        manager.edit(&member(n), "w_status_D=0");
    }
    let all = || (0..MANY).all(|n| taken_up(&httpd, &member(n)) == 1);
    eventually(PATIENCE, all);
    pause(1.0);
    load.stop().assert_clean(PROMPT);
    assert_eq!(httpd.logged(": added at run time: live"), MANY);
    assert_eq!(manager.members().len(), 1 + MANY);
    // One target each, since each has a name of its own.
    wait_probed(&[&b]);
    b.kill();
    eventually(PATIENCE, || {
        (0..MANY).all(|n| manager.has(&member(n), "HcFl"))
    });
    assert_eq!(used(&httpd), ["A"]);
}

#[test]
fn many_members_event() {
    scenario_within(LIMIT, |w: &mut World| many(w, Mpm::Event));
}

#[test]
fn many_members_prefork() {
    scenario_within(LIMIT, |w: &mut World| many(w, Mpm::Prefork));
}
