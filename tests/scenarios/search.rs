//! The system's resolver files: search list, `ndots`, trailing dots, name servers, `/etc/hosts`, and their changes.

use crate::common::*;
use live_kit::{Dns, Fault, Httpd, Type, World, answers, eventually, pause, scenario};
use std::time::{Duration, Instant};

/// Files are looked at once a second; a change is in force within this time.
const SEEN: Duration = Duration::from_secs(3);

/// A short name as people write it inside a cluster.
const SHORT: &str = "ProxyPass / http://app:9000/ live=on";

/// A httpd that follows the short name `app`.
fn start_short(w: &mut World) -> Httpd {
    let httpd = w.httpd().live(SHORT).expect("DNS fails").start();
    wait_known(&httpd, "app");
    httpd
}

/// Queries for A records of `name`.
fn asked(w: &World, name: &str) -> usize {
    w.dns.count(name, Type::A)
}

#[test]
fn nxdomain_goes_on_to_the_next_suffix() {
    scenario(|w: &mut World| {
        let _backends = backends();
        w.resolv_conf("nameserver 127.0.0.1\nsearch one.test two.test\n");
        w.dns.set("app.two.test", short(&[IP_A]));
        let httpd = start_short(w);
        all_children_use(&httpd, "/", "A");
        assert!(asked(w, "app.one.test") > 0 && asked(w, "app") == 0);
        // the first suffix has the name now: it wins
        w.dns.set("app.one.test", short(&[IP_B]));
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "B");
        // and loses it again
        w.dns.remove("app.one.test");
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "A");
        assert_eq!(httpd.logged("DNS fails"), 0);
    });
}

/// A name that exists without any address (NODATA for A and AAAA) is no answer either.
#[test]
fn no_data_goes_on_to_the_next_suffix() {
    scenario(|w: &mut World| {
        let _backends = backends();
        w.resolv_conf("nameserver 127.0.0.1\nsearch one.test two.test\n");
        w.dns.set("app.one.test", short(&[]));
        w.dns.set("app.two.test", short(&[IP_A]));
        let httpd = start_short(w);
        all_children_use(&httpd, "/", "A");
    });
}

/// The second suffix has a wildcard that answers everything with a stranger's address.
#[test]
fn an_error_does_not_go_on_to_a_stranger() {
    scenario(|w: &mut World| {
        let (_a, stranger) = backends();
        w.resolv_conf(
            "nameserver 127.0.0.1\nsearch one.test two.test\noptions timeout:1 attempts:1\n",
        );
        w.dns.set("app.one.test", short(&[IP_A]));
        w.dns.set("*.two.test", short(&[IP_B]));
        let httpd = start_short(w);
        for fault in [Fault::ServFail, Fault::Refused, Fault::Silent] {
            w.dns.fail("app.one.test", fault);
            w.dns.forget();
            let load = httpd.load().clients(4).start();
            eventually(Duration::from_secs(6), || asked(w, "app.one.test") >= 2);
            pause(1.2);
            load.stop().assert_clean(QUICK);
            all_children_use(&httpd, "/", "A");
            assert_eq!(asked(w, "app.two.test"), 0, "{fault:?}: the search went on");
            w.dns.heal("*");
            let healed = httpd.logged("DNS answers again");
            eventually(Duration::from_secs(10), || {
                httpd.logged("DNS answers again") > healed
            });
        }
        // one family failing is an error too
        w.dns.fail_type("app.one.test", Type::Aaaa, Fault::ServFail);
        w.dns.fail_type("app.one.test", Type::A, Fault::NxDomain);
        pause(3.0);
        all_children_use(&httpd, "/", "A");
        assert_eq!((asked(w, "app.two.test"), stranger.accepted()), (0, 0));
        assert_eq!(httpd.logged("addresses"), 1, "addresses never changed");
    });
}

/// `ndots` decides whether the name or the search list comes first; the file changes while httpd runs.
#[test]
fn ndots_and_its_change() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let conf =
            |ndots: u32| format!("nameserver 127.0.0.1\nsearch one.test\noptions ndots:{ndots}\n");
        w.resolv_conf(&conf(2));
        w.dns.set("app.svc", short(&[IP_A]));
        w.dns.set("app.svc.one.test", short(&[IP_B]));
        let httpd = w
            .httpd()
            .live("ProxyPass / http://app.svc:9000/ live=on")
            .start();
        wait_known(&httpd, "app.svc");
        all_children_use(&httpd, "/", "B");
        assert_eq!(
            asked(w, "app.svc"),
            0,
            "one dot is less than two: the search list comes first"
        );
        w.resolv_conf(&conf(1));
        let changed = Instant::now();
        eventually(SEEN, || httpd.get("/").backend == "A");
        // at the latest with the next answer after the change was seen
        assert!(changed.elapsed() < SEEN);
        pause(0.2);
        w.dns.forget();
        all_children_use(&httpd, "/", "A");
        pause(1.2);
        assert!(asked(w, "app.svc") > 0);
        assert_eq!(
            asked(w, "app.svc.one.test"),
            0,
            "one dot is enough: the name as it is comes first"
        );
    });
}

/// A dot at the end means exactly this name, whatever the search list says.
#[test]
fn a_trailing_dot_ends_the_search() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        w.resolv_conf("nameserver 127.0.0.1\nsearch one.test\noptions ndots:5\n");
        w.dns.set("app.zone", short(&[IP_A]));
        w.dns.set("app.zone.one.test", short(&["127.0.0.4"]));
        let text = "ProxyPass / http://app.zone.:9000/ live=on";
        let httpd = w.httpd().live(text).expect("DNS fails").start();
        wait_known(&httpd, "app.zone.");
        all_children_use(&httpd, "/", "A");
        w.dns.set("app.zone", short(&[IP_B]));
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "B");
        // also when the name is gone
        w.dns.remove("app.zone");
        after_ttl(Instant::now(), 1);
        all_children_use(&httpd, "/", "B");
        assert_eq!(asked(w, "app.zone.one.test"), 0);
        assert!(a.requests() > 0 && b.requests() > 0);
    });
}

/// `/etc/hosts`: an entry appears, changes, goes. The TTL of the DNS answer is ten minutes: nothing waits for it.
#[test]
fn a_hosts_entry_appears_changes_and_goes() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let _c = backend("C", "127.0.0.4");
        w.dns.set("app.test", answers(&[IP_A], 600));
        let httpd = start_following(w.httpd().live(FOLLOW));
        all_children_use(&httpd, "/", "A");

        w.hosts("127.0.0.3 other app.test # comes before DNS\n");
        eventually(SEEN, || httpd.get("/").backend == "B");
        pause(0.2);
        all_children_use(&httpd, "/", "B");
        assert_eq!(
            httpd.logged("127.0.0.2 -> 127.0.0.3 (from the hosts file)"),
            1
        );

        w.dns.forget();
        w.hosts("127.0.0.4 APP.Test.\n");
        eventually(SEEN, || httpd.get("/").backend == "C");
        pause(0.2);
        all_children_use(&httpd, "/", "C");
        assert_eq!(
            httpd.logged("127.0.0.3 -> 127.0.0.4 (from the hosts file)"),
            1
        );
        assert_eq!(
            w.dns.queries().len(),
            0,
            "the entry answers for both families"
        );

        w.hosts("");
        eventually(SEEN, || httpd.get("/").backend == "A");
        pause(0.2);
        all_children_use(&httpd, "/", "A");
        assert_eq!(httpd.logged("127.0.0.4 -> 127.0.0.2 (TTL 600 s"), 1);
    });
}

/// Entries with several addresses and families; those of other names do not matter.
#[test]
fn hosts_entries_of_both_families() {
    scenario(|w: &mut World| {
        w.add_address("fd00::2");
        let (_four, _six) = (backend("FOUR", IP_A), backend("SIX", "fd00::2"));
        let _wrong = backend("WRONG", IP_B);
        w.dns.set("app.test", answers(&[IP_B], 600));
        w.hosts("127.0.0.2 app.test\nfd00::2 app.test\n");
        let text = format!("{FOLLOW}\nSetEnv proxy-nokeepalive 1\nProxyLiveResolver system");
        let httpd = start_following(w.httpd().live(&text));
        let records = httpd.load().clients(4).run(Duration::from_secs(1));
        records.assert_clean(QUICK);
        let by = records.by_backend();
        assert_eq!(
            by.keys().map(String::as_str).collect::<Vec<_>>(),
            ["FOUR", "SIX"],
            "{by:?}"
        );
        assert_eq!(w.dns.queries().len(), 0);
        // another name's entry comes: nobody asks, nothing changes
        w.hosts("127.0.0.2 app.test\nfd00::2 app.test\n127.0.0.9 else.test\n");
        pause(1.5);
        assert_eq!((w.dns.queries().len(), httpd.logged("addresses")), (0, 1));
        // one family only: the entry still answers for both
        w.hosts("fd00::2 app.test\n");
        eventually(SEEN, || {
            httpd.logged("-> fd00::2 (from the hosts file)") == 1
        });
        pause(0.2);
        all_children_use(&httpd, "/", "SIX");
        assert_eq!(w.dns.queries().len(), 0);
    });
}

/// Another name server is written into resolv.conf.
#[test]
fn the_name_server_moves() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let other = Dns::start("127.0.0.9:53");
        set_app(w, &[IP_A]);
        other.set("app.test", short(&[IP_B]));
        let httpd = start_following(w.httpd().live(FOLLOW));
        all_children_use(&httpd, "/", "A");
        let load = httpd.load().start();
        w.resolv_conf("nameserver 127.0.0.9\n");
        eventually(SEEN, || httpd.get("/").backend == "B");
        pause(0.2);
        load.stop().assert_clean(QUICK);
        all_children_use(&httpd, "/", "B");
        w.dns.forget();
        pause(1.5);
        assert_eq!(
            w.dns.queries().len(),
            0,
            "the old server is not asked any more"
        );
    });
}

/// DNS fails until somebody repairs resolv.conf: the pause of the backoff (8 s by then) is not waited for.
#[test]
fn a_repaired_resolv_conf_helps_at_once() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let other = Dns::start("127.0.0.9:53");
        set_app(w, &[IP_A]);
        other.set("app.test", short(&[IP_B]));
        let httpd = start_following(w.httpd().live(FOLLOW).expect("DNS fails"));
        w.dns.forget();
        w.dns.fail("app.test", Fault::ServFail);
        // failures at about 1, 2, 4, 8 s; the next try would be 8 s later
        eventually(Duration::from_secs(12), || asked(w, "app.test") >= 4);
        w.resolv_conf("nameserver 127.0.0.9\n");
        eventually(SEEN, || httpd.get("/").backend == "B");
        pause(0.2);
        all_children_use(&httpd, "/", "B");
        assert_eq!(httpd.logged("DNS answers again"), 1);
    });
}

/// The first name server is dead: it costs one time-out, not one for each look-up.
#[test]
fn a_dead_first_name_server_delays_once() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let dead = Dns::start("127.0.0.9:53");
        dead.fail("*", Fault::Silent);
        w.resolv_conf("nameserver 127.0.0.9\nnameserver 127.0.0.1\noptions timeout:1 attempts:2\n");
        set_app(w, &[IP_A]);
        let httpd = start_following(w.httpd().live(FOLLOW));
        all_children_use(&httpd, "/", "A");
        let tries = dead.count("app.test", Type::A);
        let load = httpd.load().start();
        set_app(w, &[IP_B]);
        let due = after_ttl(Instant::now(), 1);
        pause(2.0);
        assert_only(&load.stop(), due, "B");
        assert_eq!(
            dead.count("app.test", Type::A),
            tries,
            "asked again while the second one answers"
        );
    });
}
