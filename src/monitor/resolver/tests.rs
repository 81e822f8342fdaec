use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;

use super::dns::GRACE;
use super::test_server::{Asked, DnsServer, Reply, ips};
use super::*;
use crate::logic::addr::Addr;

mod names;
mod servers;

const TRY: Duration = Duration::from_millis(300);

fn config(servers: &[SocketAddr]) -> ResolverConfig {
    ResolverConfig {
        servers: Servers::Explicit(servers.to_vec()),
        timeout: Some(TRY),
        attempts: Some(1),
    }
}

fn resolver(server: &DnsServer) -> Resolver {
    Resolver::new(&config(&[server.addr]))
}

fn list(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Addresses { addrs, .. } => addrs.iter().map(Addr::to_string).collect(),
        other => vec![format!("{other:?}")],
    }
}

fn ttl(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Addresses { ttl, .. } => *ttl,
        other => panic!("{other:?}"),
    }
}

fn names(server: &DnsServer) -> Vec<String> {
    let asked = server.asked().into_iter();
    asked
        .filter(|asked| !asked.v6)
        .map(|asked| asked.name)
        .collect()
}

const SERVFAIL: Reply = Reply::Code(ResponseCode::ServFail);
const NXDOMAIN: Reply = Reply::Code(ResponseCode::NXDomain);

#[tokio::test]
async fn both_families() {
    let server = DnsServer::new(|_| ips(&["10.0.0.1", "fd00::1", "10.0.0.2"]));
    let lookup = resolver(&server)
        .lookup("app.test", Families::ANY, None)
        .await;
    assert_eq!(list(&lookup.v4), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(list(&lookup.v6), ["fd00::1"]);
    assert_eq!(lookup.candidate, "app.test.");
    assert_eq!((lookup.source, lookup.by), (Source::Dns, Some(server.addr)));
    assert_eq!((lookup.queries, server.count()), (2, 2));
    let wanted = |asked: &Asked| asked.name == "app.test." && asked.edns && !asked.tcp;
    assert!(server.asked().iter().all(wanted), "{:?}", server.asked());
}

#[tokio::test]
async fn one_family() {
    let server = DnsServer::new(|_| ips(&["10.0.0.1", "fd00::1"]));
    let lookup = resolver(&server)
        .lookup("app.test", Families::V6, None)
        .await;
    assert_eq!(
        (lookup.v4, list(&lookup.v6)),
        (Outcome::NotAsked, vec!["fd00::1".into()])
    );
    assert_eq!((lookup.queries, server.count()), (1, 1));
}

#[tokio::test]
async fn what_servers_say_when_there_is_nothing() {
    let cases = [
        (ips(&[]), Outcome::Empty),
        (NXDOMAIN, Outcome::NoName),
        (SERVFAIL, Outcome::Failed(Failure::ServFail)),
        (
            Reply::Code(ResponseCode::Refused),
            Outcome::Failed(Failure::Refused),
        ),
        (
            Reply::Code(ResponseCode::NotAuth),
            Outcome::Failed(Failure::Code(9)),
        ),
        (
            Reply::Code(ResponseCode::Unknown(15)),
            Outcome::Failed(Failure::Code(15)),
        ),
        (Reply::Garbage, Outcome::Failed(Failure::Garbage)),
        (Reply::WrongId, Outcome::Failed(Failure::Timeout)),
        (Reply::Silence, Outcome::Failed(Failure::Timeout)),
        (
            Reply::Records(vec![("x.test.", 5, "10.6.6.6")]),
            Outcome::Empty,
        ),
    ];
    for (reply, wanted) in cases {
        let server = DnsServer::new({
            let reply = reply.clone();
            move |_| reply.clone()
        });
        let lookup = resolver(&server)
            .lookup("app.test", Families::ANY, None)
            .await;
        assert_eq!(
            (lookup.v4, lookup.v6),
            (wanted.clone(), wanted),
            "{reply:?}"
        );
        assert_eq!(lookup.queries as usize, server.count(), "{reply:?}");
        assert_eq!((lookup.queries, lookup.by), (2, None), "{reply:?}");
    }
}

#[tokio::test]
async fn the_families_fail_apart() {
    let server = DnsServer::new(|asked| {
        if asked.v6 {
            SERVFAIL
        } else {
            ips(&["10.0.0.1"])
        }
    });
    let resolver = resolver(&server);
    let lookup = resolver.lookup("app.test", Families::ANY, None).await;
    assert_eq!(list(&lookup.v4), ["10.0.0.1"]);
    assert_eq!(lookup.v6, Outcome::Failed(Failure::ServFail));
    server.set(|asked| {
        if asked.v6 {
            ips(&["fd00::1"])
        } else {
            Reply::Silence
        }
    });
    let lookup = resolver.lookup("app.test", Families::ANY, None).await;
    assert_eq!(lookup.v4, Outcome::Failed(Failure::Timeout));
    assert_eq!(list(&lookup.v6), ["fd00::1"]);
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_by_tcp() {
    let all: Vec<IpAddr> = (0..200).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let server =
        DnsServer::new(move |_| Reply::Truncated(Box::new(Reply::Addresses(60, all.clone()))));
    let lookup = resolver(&server)
        .lookup("app.test", Families::V4, None)
        .await;
    assert_eq!((list(&lookup.v4).len(), ttl(&lookup.v4)), (200, 60));
    let by_tcp: Vec<bool> = server.asked().iter().map(|asked| asked.tcp).collect();
    assert_eq!((by_tcp, lookup.queries), (vec![false, true], 2));
}

#[tokio::test]
async fn sixty_addresses_fit_in_a_packet() {
    let all: Vec<IpAddr> = (0..60).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let server = DnsServer::new(move |_| Reply::Addresses(60, all.clone()));
    let lookup = resolver(&server)
        .lookup("app.test", Families::V4, None)
        .await;
    assert_eq!((list(&lookup.v4).len(), server.count()), (60, 1));
}

#[tokio::test]
async fn aliases() {
    let server = DnsServer::new(|_| {
        Reply::Records(vec![
            ("app.test.", 300, "lb.test."),
            ("lb.test.", 20, "node.test."),
            ("node.test.", 60, "10.0.0.1"),
            ("node.test.", 30, "fd00::1"),
            ("other.test.", 1, "10.6.6.6"),
        ])
    });
    let lookup = resolver(&server)
        .lookup("app.test", Families::ANY, None)
        .await;
    assert_eq!(
        (list(&lookup.v4), ttl(&lookup.v4)),
        (vec!["10.0.0.1".into()], 20)
    );
    assert_eq!(
        (list(&lookup.v6), ttl(&lookup.v6)),
        (vec!["fd00::1".into()], 20)
    );
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn an_alias_without_its_target_is_asked_on() {
    let server = DnsServer::new(|asked| match asked.name.as_str() {
        "app.test." => Reply::Records(vec![("app.test.", 7, "lb.test.")]),
        _ => Reply::Records(vec![("lb.test.", 60, "10.0.0.1")]),
    });
    let lookup = resolver(&server)
        .lookup("app.test", Families::V4, None)
        .await;
    assert_eq!(
        (list(&lookup.v4), ttl(&lookup.v4)),
        (vec!["10.0.0.1".into()], 7)
    );
    assert_eq!(
        (names(&server), lookup.queries),
        (vec!["app.test.".into(), "lb.test.".into()], 2)
    );
    // A circle of them ends.
    server.set(|asked| match asked.name.as_str() {
        "app.test." => Reply::Records(vec![("app.test.", 7, "lb.test.")]),
        _ => Reply::Records(vec![("lb.test.", 7, "app.test.")]),
    });
    let lookup = resolver(&server)
        .lookup("app.test", Families::V4, None)
        .await;
    assert_eq!(lookup.v4, Outcome::Empty);
    assert!(lookup.queries <= 10, "{}", lookup.queries);
}

#[tokio::test]
async fn long_ttls_are_not_cut() {
    for wanted in [0, 1_000_000, 0x7fff_ffff] {
        let server = DnsServer::new(move |_| Reply::Addresses(wanted, vec![[10, 0, 0, 1].into()]));
        let lookup = resolver(&server)
            .lookup("app.test", Families::V4, None)
            .await;
        assert_eq!(ttl(&lookup.v4), wanted);
    }
}

#[tokio::test]
async fn a_server_without_edns() {
    let server = DnsServer::new(|asked| match asked.edns {
        true => Reply::Code(ResponseCode::FormErr),
        false => ips(&["10.0.0.1"]),
    });
    let lookup = resolver(&server)
        .lookup("app.test", Families::V4, None)
        .await;
    assert_eq!(
        (list(&lookup.v4), lookup.queries),
        (vec!["10.0.0.1".into()], 2)
    );
}

#[tokio::test]
async fn a_server_with_a_scope() {
    let server = DnsServer::at(Ipv6Addr::LOCALHOST.into(), |asked| {
        assert!(asked.edns);
        Reply::Truncated(Box::new(ips(&["10.0.0.1"])))
    });
    // The loopback interface has index 1.
    let addr = SocketAddrV6::new(Ipv6Addr::LOCALHOST, server.addr.port(), 0, 1);
    let resolver = Resolver::new(&config(&[addr.into()]));
    let lookup = resolver.lookup("app.test", Families::V4, None).await;
    assert_eq!(
        (list(&lookup.v4), lookup.by),
        (vec!["10.0.0.1".into()], Some(addr.into()))
    );
}

#[tokio::test]
async fn by_tcp_only() {
    let server = DnsServer::new(|_| ips(&["10.0.0.1", "fd00::1"]));
    let conf = ResolvConf {
        servers: vec![server.addr],
        use_vc: true,
        ..ResolvConf::default()
    };
    let dns = Dns::new(&ResolverConfig::default(), &conf);
    let name = Name::from_ascii("app.test.").unwrap();
    for _ in 0..2 {
        let lookup = dns.ask(&name, Families::ANY, None).await;
        assert_eq!(
            (list(&lookup.v4), list(&lookup.v6)),
            (vec!["10.0.0.1".into()], vec!["fd00::1".into()])
        );
    }
    assert!(server.asked().iter().all(|asked| asked.tcp));
}

#[tokio::test]
async fn many_at_once() {
    let server = DnsServer::new(|asked| {
        let last = asked.name[1..].split('.').next().unwrap();
        Reply::Addresses(5, vec![[10, 0, 0, last.parse().unwrap()].into()])
    });
    let resolver = resolver(&server);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200_u8 {
        let view = resolver.view();
        tasks.spawn(async move {
            let lookup = view.lookup(&format!("n{n}.test"), Families::V4, None).await;
            (n, lookup)
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (n, lookup) = done.unwrap();
        assert_eq!(list(&lookup.v4), [format!("10.0.0.{n}")]);
        assert_eq!(lookup.queries, 1);
    }
    assert_eq!(server.count(), 200);
}
