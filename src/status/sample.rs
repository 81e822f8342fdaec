//! Made-up servers, to test the renderers with and to look at the page.

mod hostile;
mod parts;

use super::model::*;
pub use hostile::hostile;
use parts::*;

/// 2026-03-14 03:07:30 UTC.
pub const NOW_MS: u64 = 1_773_457_650_000;

/// Text that leaves its place wherever it is not escaped.
pub const HOSTILE: &str = "<script>alert(\"1\")</script>&amp;' -->\\\"\n# EOF\n\u{202e}\u{1b}[2J\u{0}\r ]]> \u{e4}\u{4f60}";

fn balancer(name: &str, members: Vec<Worker>) -> Balancer {
    Balancer {
        name: format!("balancer://{name}"),
        servers: vec!["www.example.com:443".to_owned()],
        ready: true,
        members,
    }
}

fn base() -> Status {
    Status {
        format: FORMAT,
        version: "0.6.0".to_owned(),
        time_at_ms: NOW_MS,
        pid: 41_207,
        server: "www.example.com:443".to_owned(),
        epoch: 3,
        leader: Leader {
            pid: Some(41_205),
            since_at_ms: Some(ago(7_390)),
            heartbeat_age_ms: Some(120),
            lost: false,
        },
        ready: Ready {
            ready: true,
            text: "ready".to_owned(),
        },
        board: board(3),
        counters: Counters {
            dns_queries: 246,
            probes: 14_768,
            takeovers: 1,
            address_changes: 4,
            health_changes: 5,
            ..Counters::default()
        },
        ..Status::default()
    }
}

fn board(used: u64) -> Board {
    let slots = |used, capacity| Use { used, capacity };
    Board {
        names: slots(used, 4_096),
        targets: slots(used, 8_192),
        workers: slots(used + 1, 16_384),
        children: slots(4, 2_048),
        reserved_bytes: 67_108_864,
        used_bytes: 42_496 + used * 4_096,
    }
}

/// Nothing configured.
pub fn empty() -> Status {
    Status {
        ready: Ready {
            ready: true,
            text: "ready: no live worker".to_owned(),
        },
        ..base()
    }
}

/// All is well.
pub fn healthy() -> Status {
    let members = vec![
        worker("app1.example.com", "1", vec![address("192.0.2.11", 410)]),
        worker("app2.example.com", "2", vec![address("192.0.2.12", 380)]),
        worker("app3.example.com", "3", vec![address("192.0.2.13", 1_290)]),
    ];
    let lb = worker(
        "backend-lb.eu-central-1.example.net",
        "",
        vec![
            address("198.51.100.7", 900),
            address("198.51.100.93", 870),
            address("203.0.113.20", 2_300),
        ],
    );
    Status {
        balancers: vec![balancer("shop", members)],
        workers: vec![lb],
        names: vec![
            name("app1.example.com", &["192.0.2.11"]),
            name("app2.example.com", &["192.0.2.12"]),
            name("app3.example.com", &["192.0.2.13"]),
            name(
                "backend-lb.eu-central-1.example.net",
                &["198.51.100.7", "198.51.100.93", "203.0.113.20"],
            ),
        ],
        events: vec![
            event(
                5_020,
                EventKind::Dns,
                [
                    "backend-lb.eu-central-1.example.net",
                    "",
                    "198.51.100.7 198.51.100.93",
                    "198.51.100.7 198.51.100.93 203.0.113.20",
                    "",
                ],
            ),
            event(
                7_390,
                EventKind::Module,
                ["", "", "", "", "child 41205 leads"],
            ),
        ],
        ..base()
    }
}

/// A member down, others in every other state.
pub fn troubled() -> Status {
    let mut status = healthy();
    status.balancers = vec![shop(), only()];
    status.balancers[1].ready = false;
    status.workers.push(Worker {
        state: State::Starting,
        since_at_ms: None,
        probe: None,
        reason: "DNS has not answered yet".to_owned(),
        ..worker("fresh.example.com", "", Vec::new())
    });
    status.left = vec![Left {
        worker: "http://legacy.example.com".to_owned(),
        server: "www.example.com:443".to_owned(),
        reason: "reached through ProxyRemote".to_owned(),
    }];
    status.ready = Ready {
        ready: false,
        text: "not ready: balancer://reports has no usable member".to_owned(),
    };
    status.counters.probe_failures = 112;
    status.events.splice(0..0, trouble());
    status
}

/// A balancer with members in many states.
fn shop() -> Balancer {
    let down = Worker {
        state: State::Down,
        reason: "192.0.2.12 connection refused".to_owned(),
        since_at_ms: Some(ago(186)),
        httpd_failed: true,
        requests: Requests {
            ended: 3,
            retried: 17,
            rescued: 16,
            failed: 1,
        },
        ..worker(
            "app2.example.com",
            "2",
            vec![down_address("192.0.2.12", "connection refused", 186)],
        )
    };
    let error = Worker {
        state: State::Error,
        reason: "set by mod_proxy; probes succeed: it is released after 2 of them".to_owned(),
        since_at_ms: Some(ago(2)),
        httpd_error: true,
        ..worker("app4.example.com", "4", vec![address("192.0.2.14", 620)])
    };
    let held = Worker {
        held: true,
        ..worker(
            "app5.example.com",
            "5",
            vec![Address {
                held: true,
                failures: 3,
                successes: 0,
                ..address("2001:db8:8:4::2d", 700)
            }],
        )
    };
    let disabled = Worker {
        admin: vec![Admin::Disabled, Admin::HotStandby],
        ..worker("app3.example.com", "3", vec![address("192.0.2.13", 1_290)])
    };
    let off = Worker {
        live: Live::Off,
        dns: None,
        probe: None,
        since_at_ms: None,
        ..worker("old.example.com", "", Vec::new())
    };
    let up = worker("app1.example.com", "1", vec![address("192.0.2.11", 410)]);
    balancer("shop", vec![up, down, disabled, error, held, off])
}

/// A balancer whose last member stays in use.
fn only() -> Balancer {
    let last = Worker {
        state: State::LastResort,
        reason: "192.0.2.40 timed out; it is the last one".to_owned(),
        since_at_ms: Some(ago(61)),
        ..worker(
            "reports.example.com",
            "",
            vec![down_address("192.0.2.40", "timed out after 500 ms", 61)],
        )
    };
    balancer("reports", vec![last])
}

fn trouble() -> Vec<Event> {
    let app2 = "http://app2.example.com:8080";
    vec![
        event(
            61,
            EventKind::Worker,
            [
                "http://reports.example.com:8080",
                "",
                "up",
                "last resort",
                "192.0.2.40 timed out after 500 ms",
            ],
        ),
        event(
            184,
            EventKind::Requests,
            [app2, "192.0.2.12", "", "", "3 requests ended, 16 rescued"],
        ),
        event(
            186,
            EventKind::Worker,
            [app2, "", "up", "down", "192.0.2.12 connection refused"],
        ),
        event(
            186,
            EventKind::Address,
            [
                "http app2.example.com:8080/healthz",
                "192.0.2.12",
                "up",
                "down",
                "connection refused",
            ],
        ),
    ]
}

/// DNS gives errors; what was known goes on.
pub fn dns_failing() -> Status {
    let mut status = healthy();
    for (at, name) in status.names.iter_mut().enumerate() {
        name.ttl_left_ms = 0;
        name.asked_at_ms = Some(ago(3));
        name.families[0] = Family {
            good_at_ms: Some(ago(412)),
            failing_since_at_ms: Some(ago(352)),
            retry_at_ms: Some(NOW_MS + 11_000),
            failures: 15,
            error: Some(["SERVFAIL", "timed out"][at % 2].to_owned()),
            error_at_ms: Some(ago(3)),
            ..family("ipv4")
        };
    }
    status.names[3] = Name {
        source: NameSource::Hosts,
        server: None,
        ..name(
            "backend-lb.eu-central-1.example.net",
            &["198.51.100.7", "198.51.100.93", "203.0.113.20"],
        )
    };
    status.counters.dns_failures = 45;
    status.events.insert(
        0,
        event(
            352,
            EventKind::Dns,
            [
                "app1.example.com",
                "",
                "",
                "failing",
                "SERVFAIL; 192.0.2.11 is kept",
            ],
        ),
    );
    status
}

/// Nothing is touched; one member would be out.
pub fn observing() -> Status {
    let mut status = healthy();
    status.balancers[0].members = shop().members;
    status.balancers[0].members.truncate(3);
    for member in &mut status.balancers[0].members {
        member.live = Live::Observe;
        member.httpd_failed = false;
        member.would_be = Some(member.state);
        member.state = State::Up;
    }
    status.counters.observed = 9;
    status.events.insert(
        0,
        event(
            186,
            EventKind::Observe,
            [
                "http://app2.example.com:8080",
                "",
                "up",
                "down",
                "192.0.2.12 connection refused",
            ],
        ),
    );
    status
}

/// Nobody leads, and a storm.
pub fn leaderless() -> Status {
    let mut status = troubled();
    status.leader = Leader {
        pid: None,
        since_at_ms: None,
        heartbeat_age_ms: Some(4_210),
        lost: true,
    };
    status.counters.storms = 1;
    status
}

/// One balancer of so many members with one address each, some of them down, and 200 events.
pub fn many(count: usize) -> Status {
    let host = |at: usize| format!("node{at:04}.cluster.example.com");
    let ip = |at: usize| format!("10.20.{}.{}", at / 250, at % 250 + 1);
    let members = (0..count).map(|at| {
        let route = format!("r{at}");
        match at % 97 {
            13 => Worker {
                state: State::Down,
                reason: format!("{} connection refused", ip(at)),
                ..worker(
                    &host(at),
                    &route,
                    vec![down_address(&ip(at), "connection refused", 60 + at as u64)],
                )
            },
            _ => worker(
                &host(at),
                &route,
                vec![address(&ip(at), 300 + at as u32 % 700)],
            ),
        }
    });
    let old = |at: usize| {
        let subject = format!("http://{}:8080", host(at % count.max(1)));
        event(
            at as u64 * 7,
            EventKind::Worker,
            [&subject, "", "up", "down", "connection refused"],
        )
    };
    Status {
        balancers: vec![balancer("cluster", members.collect())],
        names: (0..count).map(|at| name(&host(at), &[&ip(at)])).collect(),
        events: (0..200).map(old).collect(),
        board: board(count as u64),
        ..base()
    }
}

/// All samples with a name, for tests that look at each.
pub fn all() -> Vec<(&'static str, Status)> {
    vec![
        ("empty", empty()),
        ("healthy", healthy()),
        ("troubled", troubled()),
        ("dns_failing", dns_failing()),
        ("observing", observing()),
        ("leaderless", leaderless()),
        ("hostile", hostile()),
        ("many", many(1_000)),
    ]
}
