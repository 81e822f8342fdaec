//! What holds for every resolv.conf, hosts file, and series of answers. Shared by the fuzz target and its unit test;
//! whoever includes this file has the module `question` in scope.
//!
//! The input is text in three parts with lines `--` between them: a name, the families that are wanted and a host
//! name, then what the name servers say (two letters for each question, A and AAAA); resolv.conf; the hosts file.

use std::net::{IpAddr, Ipv4Addr};

use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::{Name, RecordType};

use super::question::dns_name;
use crate::logic::addr::{Addr, Families, Family};
use crate::logic::answer::{Failure, Lookup, Outcome};
use crate::logic::hosts::{Hosts, parse_addr};
use crate::logic::record::Source;
use crate::logic::resolvconf::{PORT, ResolvConf};
use crate::logic::search::{Search, is_localhost};

/// Panics when `bytes` are understood otherwise than promised.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, "\n--\n");
    let mut part = || parts.next().unwrap_or_default();
    let (asker, resolv, hosts) = (part(), part(), part());
    let (line, answers) = asker.split_once('\n').unwrap_or((asker, ""));
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let want = match words.next() {
        Some("ipv4") => Families::V4,
        Some("ipv6") => Families::V6,
        _ => Families::ANY,
    };
    // the kernel's host name; what is no such name is not worth a look
    let mut host = words.next().unwrap_or("node").to_owned();
    host.retain(|c| c.is_ascii_alphanumeric() || "-.".contains(c));

    let conf = ResolvConf::parse(resolv, &host, &scope);
    heeded(&conf, resolv);
    same(&conf, resolv, &host);
    let file = Hosts::parse(hosts, &scope);
    entries(&file, hosts, name);
    match file.answer(name, want) {
        Some(lookup) => local(&lookup, name, want, &file),
        None => asked(name, want, &conf, answers),
    }
}

/// There is one interface.
fn scope(name: &str) -> Option<u32> {
    (name == "eth0").then_some(7)
}

/// The limits of the C library.
fn heeded(conf: &ResolvConf, text: &str) {
    assert!((1..=3).contains(&conf.servers.len()));
    for server in &conf.servers {
        assert!(server.port() == PORT && !server.ip().is_unspecified());
    }
    assert!((1..=30).contains(&conf.timeout_s) && (1..=5).contains(&conf.attempts));
    assert!(conf.rules.ndots <= 15);
    let blank = |c: char| c.is_ascii_whitespace() || "#;".contains(c);
    for suffix in &conf.rules.search {
        assert!(!suffix.is_empty() && !suffix.contains(blank), "{suffix:?}");
    }
    let words = text.split_ascii_whitespace().count();
    assert!(conf.rules.search.len() <= words.max(1));
}

/// What says the same is read alike: in other words, with comments, with other ends of lines.
fn same(conf: &ResolvConf, text: &str, host: &str) {
    let mut lines: Vec<String> = Vec::new();
    for server in &conf.servers {
        let scope = match server {
            std::net::SocketAddr::V6(server) if server.scope_id() != 0 => {
                format!("%{}", server.scope_id())
            }
            _ => String::new(),
        };
        lines.push(format!("nameserver {}{scope}", server.ip()));
    }
    lines.push(format!("search {}", conf.rules.search.join(" ")));
    let (ndots, timeout, attempts) = (conf.rules.ndots, conf.timeout_s, conf.attempts);
    let vc = if conf.use_vc { "use-vc" } else { "" };
    lines.push(format!(
        "options ndots:{ndots} timeout:{timeout} attempts:{attempts} {vc}"
    ));
    let written = lines.join("\n");
    let commented = format!("# x\n{text}\n;nameserver 192.0.2.9\n#options ndots:9");
    let (other, host) = ("other.domain.test", host);
    for (text, host) in [
        (written, other),
        (commented, host),
        (text.replace('\n', "\r\n"), host),
    ] {
        assert_eq!(&ResolvConf::parse(&text, host, &scope), conf, "{text:?}");
    }
}

/// A name has the addresses of its lines, in their order, each once.
fn entries(file: &Hosts, text: &str, name: &str) {
    let same = |a: &str, b: &str| {
        let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        bare(a) == bare(b)
    };
    let mut wanted: Vec<Addr> = Vec::new();
    for line in text.lines() {
        let line = &line[..line.find('#').unwrap_or(line.len())];
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some((first, names)) = words.split_first() else {
            continue;
        };
        if let Some(addr) = parse_addr(first, &scope)
            && names.iter().any(|other| same(other, name))
            && !wanted.contains(&addr)
        {
            wanted.push(addr);
        }
    }
    assert_eq!(file.get(name), wanted);
    assert_eq!(file.get(&name.to_ascii_uppercase()), wanted);
}

/// What is answered here is an address, stands in the file, or is this machine; only what is wanted is told.
fn local(lookup: &Lookup, name: &str, want: Families, file: &Hosts) {
    assert_eq!(
        (lookup.source, lookup.queries, lookup.by),
        (Source::Hosts, 0, None)
    );
    let literal: Option<IpAddr> = name.parse().ok();
    for family in [Family::V4, Family::V6] {
        let outcome = lookup.outcome(family);
        assert_eq!(*outcome == Outcome::NotAsked, !want.has(family));
        let Outcome::Addresses { addrs, .. } = outcome else {
            continue;
        };
        assert!(!addrs.is_empty());
        for addr in addrs {
            assert_eq!(addr.family(), family);
            let known = match literal {
                Some(ip) => addr.ip == ip,
                None => {
                    file.get(name).contains(addr) || is_localhost(name) && addr.ip.is_loopback()
                }
            };
            assert!(known, "{addr} for {name}");
        }
    }
    assert!(lookup.gave_addresses() || literal.is_some());
}

/// Which names DNS is asked for, and when that ends.
fn asked(name: &str, want: Families, conf: &ResolvConf, answers: &str) {
    assert!(
        !is_localhost(name) && name.parse::<IpAddr>().is_err(),
        "{name} asked of DNS"
    );
    let mut letters = answers.chars().filter(|c| !c.is_whitespace());
    let mut search = Search::new(name, &conf.rules);
    let mut asked = Vec::new();
    let mut ended = false;
    while let Some(candidate) = search.next() {
        assert!(!ended, "{candidate} after an answer or an error");
        assert!(!asked.contains(&candidate), "{candidate} twice");
        assert!(asked.len() <= conf.rules.search.len());
        asked.push(candidate);
        let Some(question) = asked.last().and_then(|name| dns_name(name)) else {
            continue;
        };
        can_be_sent(&question);
        let outcomes = [Family::V4, Family::V6].map(|family| match want.has(family) {
            true => outcome(letters.next(), family),
            false => Outcome::NotAsked,
        });
        ended = outcomes
            .iter()
            .any(|o| matches!(o, Outcome::Addresses { .. } | Outcome::Failed(_)));
        search.answered(&outcomes[0], &outcomes[1]);
    }
    in_order(name, conf, &asked, ended);
}

fn outcome(letter: Option<char>, family: Family) -> Outcome {
    let ip = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        Family::V6 => Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into(),
    };
    match letter {
        Some('a') => Outcome::Addresses {
            addrs: vec![Addr { ip, scope: 0 }],
            ttl: 1,
        },
        Some('e') => Outcome::Empty,
        Some('t') => Outcome::Failed(Failure::Timeout),
        Some('s') => Outcome::Failed(Failure::ServFail),
        Some('g') => Outcome::Failed(Failure::Garbage),
        _ => Outcome::NoName,
    }
}

/// The suffixes in their order; the name as it is first or last, as `ndots` says; nothing else.
fn in_order(name: &str, conf: &ResolvConf, asked: &[String], ended: bool) {
    let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_owned();
    let plain = bare(name);
    let absolute = format!("{plain}.");
    assert!(!asked.is_empty());
    if name.ends_with('.') {
        assert_eq!(asked, [absolute], "a final dot means this name");
        return;
    }
    // the absolute name as a suffix says it (`search .`) may come anywhere
    let suffixes: Vec<String> = conf.rules.search.iter().map(|s| bare(s)).collect();
    let dots = plain.matches('.').count();
    let first = dots >= conf.rules.ndots as usize;
    assert!(!first || asked[0] == absolute, "{asked:?}");
    let mut from = 0;
    for (at, one) in asked.iter().enumerate() {
        let is = |suffix: &String| {
            *one == format!("{plain}.{suffix}.") || suffix.is_empty() && *one == absolute
        };
        match suffixes[from..].iter().position(is) {
            Some(_) if first && at == 0 => {}
            Some(next) => from += next + 1,
            None => assert!(
                *one == absolute && (at == 0 || at == suffixes.len() || at + 1 == asked.len()),
                "{one} at {at} of {asked:?}"
            ),
        }
    }
    if !ended {
        let all =
            |suffix: &String| suffix.is_empty() || asked.contains(&format!("{plain}.{suffix}."));
        assert!(
            suffixes.iter().all(all) && asked.contains(&absolute),
            "{asked:?}"
        );
    }
}

/// A whole name that comes back from the wire as it was sent.
fn can_be_sent(name: &Name) {
    assert!(name.is_fqdn() && !name.is_root(), "{name}");
    assert!(name.iter().all(|label| (1..=63).contains(&label.len())));
    assert!(name.iter().map(|label| label.len() + 1).sum::<usize>() <= 254);
    let mut message = Message::query();
    message.add_query(Query::query(name.clone(), RecordType::A));
    let bytes = message.to_vec().expect("a message");
    let back = Message::from_vec(&bytes).expect("the same message");
    assert_eq!(back.queries[0].name(), name);
}
