//! What holds for every configuration. Shared by the fuzz target and its unit test.
//!
//! The input is text. Its first line is a worker's URL, then, if so, `member` and `hcmethod`. On the others stand, by
//! their first letter, arguments of ProxyLive in the server (`s`), the virtual host (`v`) and the balancer's section
//! (`b`), of ProxyLiveTemplate (`t`), ProxyLiveResolver (`r`) and ProxyLiveDrainFile (`d`), and the worker's (`w`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::directives::{self, Live};
use crate::config::explain::{Explained, Facts, Value};
use crate::config::lines::Directive;
use crate::config::params::{KEYS, Mode, Params, Probe, Settings};
use crate::config::resolver::{ResolverConfig, Servers};
use crate::config::{Config, Subject};
use crate::logic::redact;
use crate::logic::statuses::Statuses;

const WORKER: usize = 10;
const MAIN: usize = 1;
const HOST: usize = 2;
const BALANCER: &str = "balancer://b";
const SECRET: &str = "S3cr3t";
const DAYS: u64 = 24 * 3600;

/// `key=value`, the later one wins.
type Values = BTreeMap<String, String>;

/// What the configuration says, kept in the simplest way.
#[derive(Default)]
struct Said {
    worker: Values,
    templates: BTreeMap<String, (String, Values)>,
    /// By letter: mode and template.
    live: BTreeMap<char, (Mode, Option<String>)>,
}

/// Panics when `bytes` are understood otherwise than promised.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let mut words = first.split(' ');
    let url = words.next().unwrap_or_default();
    let has = |word: &str| first.split(' ').skip(1).any(|w| w == word);
    secretive(url);

    let mut config = Config::default();
    let mut said = Said::default();
    let mut lines = Vec::new();
    for (number, line) in rest.lines().enumerate() {
        let place = format!("a.conf:{number}");
        let (letter, args) = line.split_once(' ').unwrap_or((line, ""));
        match letter {
            "s" | "v" | "b" => said.proxy_live(&mut config, letter, args, place),
            "t" => said.template(&mut config, args, place),
            "w" => {
                said.line(&mut config, url, args);
                lines.push(Directive {
                    args: args.to_owned(),
                    around: url.to_owned(),
                    place,
                });
            }
            "r" => resolver(args),
            "d" => drain_file(args),
            _ => {}
        }
    }
    let subject = Subject {
        shared_key: WORKER,
        server: HOST,
        main: MAIN,
        balancer: has("member").then_some(BALANCER),
        scheme: url.split_once("://").map_or("http", |(scheme, _)| scheme),
        port: 80,
        hchecked: has("hcmethod"),
        left: false,
    };
    judge(&config, &subject, &said, &lines, &text);
}

impl Said {
    fn proxy_live(&mut self, config: &mut Config, letter: &str, args: &str, place: String) {
        let (mode, template) = args.split_once(' ').unwrap_or((args, ""));
        let live = match Live::read(mode, template, place) {
            Ok(live) => live,
            Err(error) => return names(&error, "must be", mode),
        };
        let (server, section) = match letter {
            "s" => (MAIN, None),
            "v" => (HOST, None),
            _ => (HOST, Some(BALANCER)),
        };
        let value = (live.mode, live.template.clone());
        let set = config.defaults().set(server, section, live);
        set.expect("a good place");
        self.live.extend(letter.chars().map(|c| (c, value.clone())));
    }

    fn template(&mut self, config: &mut Config, args: &str, place: String) {
        let words: Vec<String> = args.split(' ').map(str::to_owned).collect();
        let key = words[0].to_ascii_lowercase();
        match config.templates().define(&words, place, &time) {
            Ok(()) => {
                assert!(!words[0].is_empty() && words.len() > 1);
                let values: Values = words[1..].iter().map(|word| pair(word)).collect();
                assert_eq!(values.len(), words.len() - 1, "each key once");
                let old = self.templates.insert(key, (words[0].clone(), values));
                assert!(old.is_none(), "defined twice");
            }
            Err(error) => {
                let told = [
                    "read '",
                    "has no values",
                    "already defined",
                    "needs liveprobe",
                    "needs probes",
                    "read ",
                ];
                assert!(told.iter().any(|part| error.contains(part)), "{error}");
            }
        }
        for (key, (name, _)) in &self.templates {
            let found = config.templates().get(key);
            assert_eq!(found.map(|t| &t.name), Some(name));
        }
    }

    fn line(&mut self, config: &mut Config, url: &str, args: &str) {
        for (key, value) in args.split(' ').filter_map(|word| word.split_once('=')) {
            let before = config.worker(WORKER).clone();
            let lower = key.to_ascii_lowercase();
            match config.write(WORKER, url, key, value, &time) {
                Ok(ours) => {
                    let known = KEYS.contains(&&*lower) || lower == "livetemplate";
                    assert_eq!(ours, known, "{key}");
                    if ours {
                        self.worker.insert(lower, value.to_owned());
                    }
                }
                Err(error) => {
                    assert!(error.starts_with(&format!("{lower} must be ")), "{error}");
                    if error.ends_with(" bytes") {
                        assert!(lower == "liveuri" && value.len() > 1024);
                    } else {
                        names(&error, "must be", value);
                    }
                    assert_eq!(*config.worker(WORKER), before, "half of it is taken");
                }
            }
        }
    }

    fn named(&self, name: Option<&String>) -> Option<&(String, Values)> {
        self.templates.get(&name?.to_ascii_lowercase())
    }

    /// The levels that cover the worker, the farthest first, each with the beginning of its origin in words.
    fn levels(&self, member: bool) -> Vec<(String, &Values)> {
        let mut levels = Vec::new();
        for (letter, place) in [
            ('s', "the server"),
            ('v', "the virtual host"),
            ('b', "<Proxy"),
        ] {
            let live = self.live.get(&letter).filter(|_| letter != 'b' || member);
            if let Some((name, values)) = self.named(live.and_then(|(_, name)| name.as_ref())) {
                levels.push((
                    format!("template {name} (*), named by ProxyLive in {place}"),
                    values,
                ));
            }
        }
        if let Some((name, values)) = self.named(self.worker.get("livetemplate")) {
            levels.push((
                format!("template {name} (*), named by its own line"),
                values,
            ));
        }
        levels.push(("its own line".into(), &self.worker));
        levels
    }

    /// The worker's own mode, that of its template, of the nearest ProxyLive.
    fn mode(&self, member: bool) -> Mode {
        let own = self.named(self.worker.get("livetemplate"));
        let own = own.and_then(|(_, values)| values.get("live"));
        let word = self
            .worker
            .get("live")
            .or(own)
            .map(|word| word.to_ascii_lowercase());
        match word.as_deref() {
            Some("on") => return Mode::On,
            Some("off") => return Mode::Off,
            Some("observe") => return Mode::Observe,
            _ => {}
        }
        let near = ['b', 'v', 's']
            .into_iter()
            .filter(|letter| *letter != 'b' || member);
        let mut live = near.filter_map(|letter| self.live.get(&letter));
        live.next().map_or(Mode::Off, |(mode, _)| *mode)
    }
}

fn judge(config: &Config, subject: &Subject, said: &Said, lines: &[Directive], text: &str) {
    let (member, scheme) = (subject.balancer.is_some(), subject.scheme);
    let settings = config.settings(WORKER, HOST, MAIN, subject.balancer, scheme);
    let (mode, levels) = (said.mode(member), said.levels(member));
    let mut merged = Params::default();
    for (key, value) in levels.iter().flat_map(|(_, values)| *values) {
        assert_eq!(
            merged.set(key, value, &time),
            Ok(true),
            "it was taken before"
        );
    }
    let wanted = (mode != Mode::Off).then(|| merged.settings(mode, scheme));
    assert_eq!(settings, wanted, "the nearest level wins, for each key");

    let places = config.places(lines);
    for (key, value) in &said.worker {
        if let Some(place) = places.of(WORKER, key) {
            let line = lines
                .iter()
                .find(|line| line.place == place)
                .expect("one of these");
            let args = line.args.to_ascii_lowercase();
            assert!(args.contains(key), "{key}={value} at {place}");
        }
    }
    let facts = Facts {
        host: "app.test",
        places: Some(&places),
        ..Facts::default()
    };
    let explained = config.explain(subject, &facts);
    assert_eq!(explained.mode, mode);
    let checked = config.check_worker(subject).and(config.check_names());
    if let Some(settings) = &settings {
        in_range(settings);
        shown(&explained, merged, settings, scheme);
        for value in &explained.values {
            from(value, &levels);
        }
    } else {
        assert!(explained.values.is_empty());
    }
    if let Err(error) = &checked {
        let hints = ["write ", "remove ", "known: ", "there are no templates"];
        assert!(hints.iter().any(|hint| error.contains(hint)), "{error}");
    }
    if only_hidden(text) {
        let told = format!("{checked:?} {explained:?}");
        assert!(!told.contains(SECRET), "{told}");
    }
}

/// What docs/directives.md says.
fn in_range(s: &Settings) {
    let (ms, days) = (Duration::from_millis, |n| Duration::from_secs(n * DAYS));
    assert!(ms(100) <= s.ttl.min && s.ttl.min <= s.ttl.max && s.ttl.max <= days(366));
    assert!(
        s.stale.is_none_or(|t| t >= ms(1) && t <= days(366)),
        "{:?}",
        s.stale
    );
    assert!((100..=3_600_000).contains(&s.rules.interval_ms));
    assert!((10..=60_000).contains(&s.rules.timeout_ms));
    assert!((1..=100).contains(&s.rules.fall) && (1..=100).contains(&s.rules.rise));
    assert!(!s.families.is_empty() && s.port != Some(0));
    assert!(s.uri.starts_with('/') && s.uri.len() <= 1024);
    assert!(s.uri.bytes().all(|b| b.is_ascii_graphic() && b != b'#'));
    assert_eq!(
        Statuses::parse(&s.expect.to_string()).as_ref(),
        Some(&s.expect)
    );
    assert!((100..=599).any(|status| s.expect.contains(status)));
    assert!(!s.expect.contains(99) && !s.expect.contains(600));
    if let Some(host) = &s.host {
        assert!((1..=253).contains(&host.len()));
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        assert!(host.bytes().all(good), "{host:?}");
    }
    assert!(!s.eager || s.rescue && matches!(s.probe, Probe::Tls | Probe::Http));
}

/// Each value is shown as it may be written: written once more it changes nothing.
fn shown(explained: &Explained, mut params: Params, settings: &Settings, scheme: &str) {
    let mut settings = settings.clone();
    for Value { name, value, from } in &explained.values {
        // the worker's own host and port
        let default = from.starts_with("default") && ["livehost", "liveport"].contains(name);
        if value == "-" || default {
            continue;
        }
        if *name == "liveuri" {
            assert!(!value.contains('?') || value.ends_with("?..."));
            settings.uri.clone_from(value);
        }
        assert_eq!(params.set(name, value, &time), Ok(true), "{name}={value}");
    }
    assert_eq!(params.settings(explained.mode, scheme), settings);
}

/// A value is from the nearest level that gives it.
fn from(value: &Value, levels: &[(String, &Values)]) {
    let gives = |(_, values): &&(String, &Values)| values.contains_key(value.name);
    let near = levels
        .iter()
        .rev()
        .find(gives)
        .filter(|_| value.name != "live");
    match near {
        // what has no effect may say why instead
        _ if value.name == "live" || value.value == "-" => {}
        None => assert!(value.from.starts_with("default"), "{value:?}"),
        Some((words, _)) => {
            let (begin, end) = words.split_once('*').unwrap_or((words, ""));
            let fits = value.from.starts_with(begin) && value.from.contains(end);
            assert!(fits, "{value:?} but {words}");
        }
    }
}

/// No credentials and no query is shown of a URL like this one.
fn secretive(url: &str) {
    let once = redact::url(url);
    assert_eq!(redact::url(&once), once);
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@').unwrap_or(("u", authority));
    for full in [
        format!("{scheme}://{user}:{SECRET}@{host}{path}?k={SECRET}"),
        format!("{scheme}://{SECRET}@{user}@{host}?{path}{SECRET}"),
    ] {
        let hidden = redact::url(&full);
        let elsewhere = url.contains(SECRET);
        assert!(elsewhere || !hidden.contains(SECRET), "{full}: {hidden}");
    }
}

/// Whether secrets stand only where they are to be hidden: in the URL's credentials and query, in queries of liveuri.
fn only_hidden(text: &str) -> bool {
    let hidden = |word: &str| match (word.split_once('='), word.split_once(SECRET)) {
        (_, None) => true,
        (Some((key, _)), Some((before, _))) => {
            key.eq_ignore_ascii_case("liveuri") && before.contains('?')
        }
        _ => false,
    };
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let url = first.split(' ').next().unwrap_or_default();
    let mut lines = rest.lines();
    !redact::url(url).contains(SECRET)
        && lines.all(|line| match line.split_once(' ') {
            Some(("w" | "t", args)) => args.split(' ').all(hidden),
            _ => !line.contains(SECRET),
        })
}

fn resolver(args: &str) {
    match directives::resolver(args, &time) {
        Ok(config) => {
            let ResolverConfig {
                servers,
                timeout,
                attempts,
            } = &config;
            if let Servers::Explicit(servers) = servers {
                let good = |s: &std::net::SocketAddr| s.port() != 0 && !s.ip().is_unspecified();
                assert!(!servers.is_empty() && servers.iter().all(good));
            }
            let most = Duration::from_secs(60);
            assert!(
                timeout.is_none_or(|t| !t.is_zero() && t <= most),
                "{timeout:?}"
            );
            assert!(attempts.is_none_or(|n| (1..=10).contains(&n)));
            let again = directives::resolver(&config.to_string(), &time);
            assert_eq!(again.as_ref(), Ok(&config), "{config}");
        }
        Err(error) => assert!(error.contains("read '") && error.ends_with('\''), "{error}"),
    }
}

fn drain_file(path: &str) {
    let is_dir = |dir: &str| dir == "/run";
    match directives::drain_file(path, path, &is_dir) {
        Ok(file) => assert!(file == path && !file.ends_with('/') && !is_dir(&file)),
        Err(error) => names(&error, "a file", path),
    }
}

/// An error says what is expected and what was read.
fn names(error: &str, expected: &str, read: &str) {
    assert!(error.contains(expected), "{error}");
    assert!(error.ends_with(&format!("read '{read}'")), "{error}");
}

fn pair(word: &str) -> (String, String) {
    let (key, value) = word.split_once('=').expect("key=value");
    (key.to_ascii_lowercase(), value.to_owned())
}

/// As ap_timeout_parameter_parse() reads a number of seconds.
fn time(text: &str) -> Option<i64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let mut unit = unit.bytes().map(|b| b.to_ascii_lowercase());
    let factor = match (unit.next(), unit.next()) {
        (None | Some(b's'), _) => 1_000_000,
        (Some(b'h'), _) => 3_600_000_000,
        (Some(b'm'), Some(b's')) => 1_000,
        (Some(b'm'), Some(b'i')) => 60_000_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}
