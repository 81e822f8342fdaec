//! Servers that are dead, fail or are slow, and who is asked next.

use super::*;

#[tokio::test]
async fn a_dead_first_server_delays_once() {
    // Nobody reads there.
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = DnsServer::new(|_| ips(&["10.0.0.1", "fd00::1"]));
    let resolver = Resolver::new(&config(&[dead.local_addr().unwrap(), server.addr]));
    let start = Instant::now();
    let lookup = resolver.lookup("app.test", Families::ANY, None).await;
    let first = start.elapsed();
    assert_eq!(
        (list(&lookup.v4), lookup.queries),
        (vec!["10.0.0.1".into()], 4)
    );
    assert!(first >= TRY && first < TRY * 2, "{first:?}");
    let start = Instant::now();
    let lookup = resolver.lookup("app.test", Families::ANY, None).await;
    assert_eq!(
        (list(&lookup.v6), lookup.queries),
        (vec!["fd00::1".into()], 2)
    );
    assert!(start.elapsed() < TRY / 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn every_kind_of_failure_goes_on_to_the_next_server() {
    let good = DnsServer::new(|_| ips(&["10.0.0.1"]));
    let bad = [
        SERVFAIL,
        Reply::Code(ResponseCode::Refused),
        Reply::Code(ResponseCode::NotImp),
        Reply::Garbage,
        Reply::WrongId,
        Reply::Silence,
    ];
    for reply in bad {
        let server = DnsServer::new({
            let reply = reply.clone();
            move |_| reply.clone()
        });
        let resolver = Resolver::new(&config(&[server.addr, good.addr]));
        let lookup = resolver.lookup("app.test", Families::V4, None).await;
        assert_eq!(list(&lookup.v4), ["10.0.0.1"], "{reply:?}");
        assert_eq!(lookup.by, Some(good.addr));
        // The one that answered is asked first from now on.
        let before = server.count();
        resolver.lookup("app.test", Families::V4, None).await;
        assert_eq!(server.count(), before, "{reply:?}");
    }
}

#[tokio::test]
async fn a_server_that_stops_is_left_and_a_no_is_an_answer() {
    let one = DnsServer::new(|_| NXDOMAIN);
    let two = DnsServer::new(|_| ips(&["10.0.0.2"]));
    let resolver = Resolver::new(&config(&[one.addr, two.addr]));
    let lookup = resolver.lookup("app.test", Families::V4, None).await;
    assert_eq!((lookup.v4, two.count()), (Outcome::NoName, 0));
    one.set(|_| SERVFAIL);
    let lookup = resolver.lookup("app.test", Families::V4, None).await;
    assert_eq!(list(&lookup.v4), ["10.0.0.2"]);
    // And back, when the other one stops in its turn.
    one.set(|_| ips(&["10.0.0.1"]));
    two.set(|_| Reply::Silence);
    let lookup = resolver.lookup("app.test", Families::V4, None).await;
    assert_eq!(list(&lookup.v4), ["10.0.0.1"]);
}

#[tokio::test]
async fn a_closed_port_is_noticed_at_once() {
    let closed = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let resolver = Resolver::new(&config(&[closed]));
    let start = Instant::now();
    let lookup = resolver.lookup("app.test", Families::ANY, None).await;
    assert_eq!(lookup.v4, Outcome::Failed(Failure::Network));
    assert_eq!(lookup.v6, Outcome::Failed(Failure::Network));
    assert!(start.elapsed() < TRY, "{:?}", start.elapsed());
}

#[tokio::test]
async fn tries_are_attempts_times_servers() {
    let one = DnsServer::new(|_| SERVFAIL);
    let two = DnsServer::new(|_| Reply::Garbage);
    let mut config = config(&[one.addr, two.addr]);
    config.attempts = Some(3);
    let lookup = Resolver::new(&config)
        .lookup("app.test", Families::V4, None)
        .await;
    assert!(matches!(lookup.v4, Outcome::Failed(_)));
    assert_eq!((one.count(), two.count(), lookup.queries), (3, 3, 6));
}

#[tokio::test]
async fn a_slow_server_is_asked_once() {
    let late = |_: &Asked| {
        let reply = ips(&["10.0.0.1", "fd00::1"]);
        Reply::Late(Duration::from_millis(800), Box::new(reply))
    };
    let server = DnsServer::new(late);
    let mut config = config(&[server.addr]);
    (config.timeout, config.attempts) = (None, None);
    let lookup = Resolver::new(&config)
        .lookup("app.test", Families::ANY, None)
        .await;
    assert_eq!(list(&lookup.v4), ["10.0.0.1"]);
    assert_eq!((lookup.queries, server.count()), (2, 2));
}

#[tokio::test]
async fn a_slow_family_does_not_hold_up_the_other() {
    for slow_v6 in [true, false] {
        let server = DnsServer::new(move |asked| match asked.v6 == slow_v6 {
            true => Reply::Late(
                Duration::from_millis(250),
                Box::new(ips(&["10.0.0.1", "fd00::1"])),
            ),
            false => ips(&["10.0.0.1", "fd00::1"]),
        });
        let resolver = resolver(&server);
        let parts = std::sync::Mutex::new(Vec::new());
        let start = Instant::now();
        let early = |lookup| parts.lock().unwrap().push((start.elapsed(), lookup));
        let view = resolver.view();
        let last = view
            .lookup_in_parts("app.test", Families::ANY, None, Some(&early))
            .await;
        let (after, first) = parts.lock().unwrap().pop().unwrap();
        assert!(
            after >= GRACE && after < Duration::from_millis(200),
            "{after:?}"
        );
        let (fast, slow) = match slow_v6 {
            true => (Family::V4, Family::V6),
            false => (Family::V6, Family::V4),
        };
        assert!(matches!(first.outcome(fast), Outcome::Addresses { .. }));
        assert_eq!(
            (first.outcome(slow), &*first.candidate),
            (&Outcome::Pending, "app.test.")
        );
        assert_eq!(last.outcome(fast), &Outcome::NotAsked);
        assert!(matches!(last.outcome(slow), Outcome::Addresses { .. }));
        assert_eq!((first.queries, last.queries), (1, 1));
        assert_eq!((first.by, last.by), (Some(server.addr), Some(server.addr)));
        assert_eq!(parts.lock().unwrap().len(), 0);
    }
}

#[tokio::test]
async fn nothing_goes_out_early_without_need() {
    let server = DnsServer::new(|asked| match asked.v6 {
        true => Reply::Late(Duration::from_millis(150), Box::new(NXDOMAIN)),
        false => ips(&[]),
    });
    let early = |lookup: Lookup| panic!("{lookup:?}");
    let view = resolver(&server).view();
    // Nothing in the fast one, and then both in time.
    let lookup = view
        .lookup_in_parts("app.test", Families::ANY, None, Some(&early))
        .await;
    assert_eq!((lookup.v4, lookup.v6), (Outcome::Empty, Outcome::NoName));
    server.set(|_| ips(&["10.0.0.1", "fd00::1"]));
    let lookup = view
        .lookup_in_parts("app.test", Families::ANY, None, Some(&early))
        .await;
    assert_eq!(
        (list(&lookup.v4), list(&lookup.v6)),
        (vec!["10.0.0.1".into()], vec!["fd00::1".into()])
    );
}
