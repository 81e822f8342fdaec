//! A reload takes no serving instance out: the readiness URL is asked all the time, and says 200.

use crate::common::pool::*;
use crate::common::processes::{leader, leaders, numbers, spare};
use crate::common::status::*;
use crate::common::*;
use live_kit::{
    Httpd, Load, MANAGER, Mpm, Signal, World, answers, eventually, pause, scenario_within,
};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);

/// Asks again and again, each time on a new connection.
fn ask(httpd: &Httpd, path: &str) -> Load {
    let load = httpd.load().clients(2).per_connection(1);
    load.pause(Duration::from_millis(2)).path(path).start()
}

/// Every answer was 200. (A connection that a killed child had taken gets none.)
#[track_caller]
fn only_200(load: Load) {
    let records = load.stop();
    let statuses = records.by_status();
    assert!(statuses.get(&200) > Some(&100), "{statuses:?}");
    assert!(
        statuses.keys().all(|status| [0, 200].contains(status)),
        "{statuses:?}"
    );
}

/// Reloads that only change routes: the workers are others, their backends are not.
fn other_routes(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    set_members(w);
    let text = |n: usize| {
        let [one, two] = ["a", "b"].map(|member| format!("route={member}{n}"));
        format!("{}\n{PAGES}\n{}", spare(mpm), pool_of(&one, &two, ""))
    };
    let mut httpd = start_pool(troubled(w.httpd().mpm(mpm).live(&text(0))), &[&a, &b]);
    eventually(PATIENCE, || ready(&httpd).0 == 200);
    let asking = [(); 2].map(|()| ask(&httpd, "/live-ready"));
    for n in 1..=8 {
        httpd.rewrite(&text(n));
        httpd.graceful();
        pause(0.7);
    }
    asking.into_iter().for_each(only_200);
    drop((a, b));
}

#[test]
fn other_routes_event() {
    scenario_within(LIMIT, |w: &mut World| other_routes(w, Mpm::Event));
}

#[test]
fn other_routes_prefork() {
    scenario_within(LIMIT, |w: &mut World| other_routes(w, Mpm::Prefork));
}

/// A reload brings a worker whose name is not known yet, and one that DNS does not know at all: the first gets the time
/// it takes, the second makes it 503 after a while.
#[test]
fn new_names() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        w.dns.set("new.test", answers(&[IP_B], 600));
        w.dns.delay("new.test", Duration::from_millis(700));
        let text = |more: &str| format!("{PAGES}\n{more}\n{}", pool(""));
        let builder = troubled(w.httpd().live(&text(""))).expect("DNS fails");
        let mut httpd = start_pool(builder, &[&a, &b]);
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let asking = ask(&httpd, "/live-ready");
        httpd.rewrite(&text("ProxyPass /new/ http://new.test:9000/ live=on"));
        httpd.graceful();
        eventually(PATIENCE, || state(&httpd, "http://new.test:9000/") == "up");
        only_200(asking);
        httpd.rewrite(&text("ProxyPass /none/ http://none.test:9000/ live=on"));
        httpd.graceful();
        assert_eq!(ready(&httpd).0, 200, "that may still come");
        eventually(Duration::from_secs(20), || ready(&httpd).0 == 503);
        assert!(
            ready(&httpd)
                .1
                .contains("http://none.test:9000/ waits for DNS"),
            "{:?}",
            ready(&httpd)
        );
        assert_eq!(ready_of(&httpd, "?balancer=pool").0, 200);
    });
}

/// The leader stands still while a reload makes all workers new ones.
#[test]
fn the_leader_stands_still() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = |n: usize| {
            let route = format!("route=r{n}");
            format!(
                "{}\n{PAGES}\n{}",
                spare(Mpm::Event),
                pool_of(&route, &route, "")
            )
        };
        let builder = troubled(w.httpd().live(&text(0)))
            .expect("silent")
            .expect("AH0");
        let mut httpd = start_pool(builder, &[&a, &b]);
        eventually(PATIENCE, || ready(&httpd).0 == 200);
        let asking = ask(&httpd, "/live-ready");
        let old = leader(&httpd);
        httpd.signal(old, Signal::STOP);
        httpd.rewrite(&text(1));
        httpd.graceful();
        pause(5.0);
        httpd.signal(old, Signal::CONT);
        pause(1.0);
        let records = asking.stop();
        let bad: Vec<_> = records
            .0
            .iter()
            .filter(|r| ![0, 200].contains(&r.status))
            .collect();
        assert!(bad.is_empty(), "{bad:?}");
    });
}

/// Members that came at run time keep their counts through reloads; a balancer that has lost all its members cannot
/// serve.
#[test]
fn members_of_run_time() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, _b) = backends();
        set_members(w);
        let pool = |member: &str| {
            format!(
                "BalancerPersist On\n{MANAGER}\n{PAGES}\n{FRESH}\nProxyLive on\n<Proxy balancer://pool>\n{member}\n\
                 ProxySet growth=5\n</Proxy>\nProxyPass / balancer://pool/"
            )
        };
        let builder =
            troubled(w.httpd().live(&pool(&format!("BalancerMember {TWO}")))).expect("AH02551");
        let mut httpd = builder.start();
        eventually(PATIENCE, || state(&httpd, TWO) == "up");
        httpd.manager("pool").add(ONE);
        httpd.manager("pool").edit(ONE, "w_status_D=0");
        // Before, it is out as soon as the leader looks. Each child finds it by itself.
        wait_known(&httpd, "one.test");
        eventually(PATIENCE, || {
            let page = json(&httpd);
            page.to_string().contains(ONE) && worker(&page, ONE)["state"] == "up"
        });
        a.mode(live_kit::Mode::Hang);
        let waiting = live_kit::all_at_once(
            httpd.addr(),
            &live_kit::Request::get("/x"),
            6,
            Duration::from_secs(20),
        );
        eventually(PATIENCE, || a.requests() >= 2);
        a.close_all();
        waiting.into_iter().for_each(|one| drop(one.join()));
        a.mode(live_kit::Mode::Ok);
        let retried = |httpd: &Httpd| {
            let labels = format!("worker=\"{ONE}\",outcome=\"retried\"");
            metric(httpd, "proxy_live_worker_requests_total", &labels)
        };
        eventually(PATIENCE, || retried(&httpd) >= 1.0);
        let before = retried(&httpd);
        let asking = ask(&httpd, "/live-ready");
        for _ in 0..3 {
            httpd.graceful();
            pause(0.7);
        }
        only_200(asking);
        eventually(PATIENCE, || json(&httpd).to_string().contains(ONE));
        assert!(retried(&httpd) >= before, "{} {before}", retried(&httpd));
        httpd.rewrite(&pool(""));
        httpd.graceful();
        eventually(PATIENCE, || ready(&httpd).0 == 503);
        assert_eq!(
            ready(&httpd).1,
            "not ready: balancer://pool has no usable member"
        );
    });
}

/// Leaders and other children are killed, names move, connections end, the server is reloaded: all of it under load.
fn in_turmoil(w: &mut World, mpm: Mpm) {
    let (a, b) = backends();
    let names = ["one.test", "two.test", "plain.test"];
    let set = |w: &World, ips: [&str; 3]| {
        names
            .iter()
            .zip(ips)
            .for_each(|(name, ip)| w.dns.set(name, answers(&[ip], 1)));
    };
    set(w, [IP_A, IP_B, IP_A]);
    let text = format!(
        "{}\n{PAGES}\nProxyPass /plain/ http://plain.test:9000/ live=on\n{}",
        spare(mpm),
        pool("liveinterval=500ms")
    );
    // AH00045: httpd does not always reach a child that it has just started; without the module, too.
    let builder = troubled(w.httpd().mpm(mpm).live(&text))
        .expect("signal")
        .expect("AH00045");
    let mut httpd = builder
        .expect("AH00046")
        .expect("heard again")
        .expect("silent")
        .start();
    eventually(PATIENCE, || ready(&httpd).0 == 200);
    let load = httpd.load().clients(2).start();
    let asking = ["/live-ready", "/live-ready?balancer=pool"].map(|path| ask(&httpd, path));
    let mut random = numbers(77);
    for _ in 0..24 {
        match random(6) {
            0 => leaders(&httpd).iter().for_each(|pid| httpd.kill9(*pid)),
            1 => {
                let children = httpd.children();
                let at = random(children.len().max(1) as u64) as usize;
                children
                    .get(at)
                    .into_iter()
                    .for_each(|pid| httpd.kill9(*pid));
            }
            2 => httpd.graceful(),
            3 => set(w, [IP_B, IP_B, IP_B]),
            4 => set(w, [IP_A, IP_B, IP_A]),
            _ => {
                w.refuse_next(IP_A, 9000, 1);
                a.reset_all();
                b.close_all();
            }
        }
        pause(0.5);
    }
    asking.into_iter().for_each(only_200);
    load.stop();
}

#[test]
fn in_turmoil_event() {
    scenario_within(LIMIT, |w: &mut World| in_turmoil(w, Mpm::Event));
}

#[test]
fn in_turmoil_prefork() {
    scenario_within(LIMIT, |w: &mut World| in_turmoil(w, Mpm::Prefork));
}
