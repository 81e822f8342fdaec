use super::*;
use crate::logic::addr::Families;
use directives::Live;
use params::tests::time;

mod contradictions;
mod explained;
mod fuzzed;

const MAIN: usize = 1;
const VHOST: usize = 2;
const OTHER: usize = 3;
const WORKER: usize = 10;

fn config() -> Config {
    Config::default()
}

fn proxy_live(mode: Mode, template: &str) -> Live {
    Live {
        mode,
        template: (!template.is_empty()).then(|| template.to_owned()),
        place: "a.conf:9".into(),
    }
}

fn template(c: &mut Config, line: &str) {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let outcome = c.templates().define(&words, "a.conf:1".into(), &time);
    outcome.expect(line);
}

/// Writes parameters on the worker's line.
fn write(c: &mut Config, line: &str) {
    for (key, value) in line.split_whitespace().flat_map(|w| w.split_once('=')) {
        assert_eq!(c.worker(WORKER).set(key, value, &time), Ok(true), "{key}");
    }
}

/// A member in a virtual host.
const SUBJECT: Subject = Subject {
    shared_key: WORKER,
    server: VHOST,
    main: MAIN,
    balancer: Some("balancer://app"),
    scheme: "http",
    port: 80,
    hchecked: false,
    left: false,
};

fn settings(c: &Config) -> Settings {
    let balancer = Some("balancer://app");
    c.settings(WORKER, VHOST, MAIN, balancer, "http").unwrap()
}

/// Every level with a template that says something of its own.
fn five_levels() -> Config {
    let mut c = config();
    template(
        &mut c,
        "server liveuri=/s livefall=9 liverise=9 liveport=9 livefamily=ipv4 livehost=s",
    );
    template(
        &mut c,
        "vhost liveprobe=http liveuri=/v livefall=8 liverise=8 liveport=8",
    );
    template(&mut c, "proxy livefall=7 liverise=7 liveuri=/p");
    template(&mut c, "mine livefall=6 liveuri=/m");
    for (server, section, name) in [
        (MAIN, None, "server"),
        (VHOST, None, "VHOST"),
        (VHOST, Some("balancer://app"), "proxy"),
    ] {
        let live = proxy_live(Mode::On, name);
        c.defaults().set(server, section, live).unwrap();
    }
    write(&mut c, "livetemplate=mine liveuri=/l");
    c
}

#[test]
fn values_are_merged_key_by_key() {
    let c = five_levels();
    let s = settings(&c);
    assert_eq!((s.uri.as_str(), s.rules.fall, s.rules.rise), ("/l", 6, 7));
    assert_eq!(
        (s.port, s.probe, s.families),
        (Some(8), Probe::Http, Families::V4)
    );
    assert_eq!(s.host.as_deref(), Some("s"));
    assert_eq!(c.check_worker(&SUBJECT), Ok(()));
    // a worker without a line, such as one that was added later
    let added = c
        .settings(99, VHOST, MAIN, Some("balancer://app"), "http")
        .unwrap();
    assert_eq!((added.uri.as_str(), added.rules.fall), ("/p", 7));
    let plain = c.settings(99, VHOST, MAIN, None, "http").unwrap();
    assert_eq!((plain.uri.as_str(), plain.rules.fall), ("/v", 8));
    let other = c.settings(99, OTHER, MAIN, None, "https").unwrap();
    assert_eq!((other.uri.as_str(), other.probe), ("/s", Probe::Tls));
}

#[test]
fn a_template_before_or_after_its_use() {
    let mut c = config();
    write(&mut c, "live=on livetemplate=later");
    assert_eq!(settings(&c).rules.fall, 2);
    template(&mut c, "LATER livefall=5");
    assert_eq!(settings(&c).rules.fall, 5);
}

#[test]
fn the_mode_of_proxylive_wins_over_its_template_but_not_over_the_workers() {
    let mut c = config();
    template(&mut c, "watch live=observe livefall=4");
    let off = proxy_live(Mode::Off, "watch");
    c.defaults().set(VHOST, None, off).unwrap();
    assert!(!live(&c, VHOST, None));
    // ProxyLive off still gives its values to those that are live
    write(&mut c, "live=on");
    assert_eq!(settings(&c).rules.fall, 4);
    assert!(!settings(&c).observe);
    c.worker(WORKER).live = None;
    write(&mut c, "livetemplate=watch");
    assert!(settings(&c).observe);
}

#[test]
fn missing_templates_are_named_with_the_place() {
    let mut c = config();
    template(&mut c, "web livefall=4");
    c.defaults()
        .set(VHOST, None, proxy_live(Mode::Off, "Web"))
        .unwrap();
    assert_eq!(c.check_names(), Ok(()));
    c.defaults()
        .set(MAIN, None, proxy_live(Mode::On, "wep"))
        .unwrap();
    c.defaults()
        .set(MAIN, None, proxy_live(Mode::On, ""))
        .unwrap();
    assert_eq!(
        c.check_names().unwrap_err(),
        "ProxyLive at a.conf:9: no ProxyLiveTemplate is called 'wep' (known: web)"
    );
    write(&mut c, "live=off livetemplate=api");
    assert_eq!(
        c.check_worker(&SUBJECT).unwrap_err(),
        "livetemplate: no ProxyLiveTemplate is called 'api' (known: web)"
    );
}

fn live(c: &Config, server: usize, balancer: Option<&str>) -> bool {
    c.settings(WORKER, server, MAIN, balancer, "http").is_some()
}

#[test]
fn nothing_said_means_off() {
    assert!(!live(&config(), MAIN, None));
}

#[test]
fn the_nearest_level_wins() {
    let mut c = config();
    c.defaults()
        .set(MAIN, None, proxy_live(Mode::On, ""))
        .unwrap();
    assert!(live(&c, MAIN, None) && live(&c, VHOST, None));
    c.defaults()
        .set(VHOST, None, proxy_live(Mode::Off, ""))
        .unwrap();
    assert!(!live(&c, VHOST, None) && live(&c, OTHER, None));
    c.defaults()
        .set(VHOST, Some("balancer://App/"), proxy_live(Mode::On, ""))
        .unwrap();
    assert!(live(&c, VHOST, Some("balancer://app")));
    assert!(!live(&c, VHOST, Some("balancer://other")));
    c.worker(WORKER).live = Some(Mode::Off);
    assert!(!live(&c, VHOST, Some("balancer://app")));
    c.worker(WORKER).live = Some(Mode::On);
    assert!(live(&c, VHOST, None));
}

#[test]
fn a_section_of_the_main_server_covers_inherited_balancers() {
    let mut c = config();
    c.defaults()
        .set(MAIN, Some("balancer://app"), proxy_live(Mode::On, ""))
        .unwrap();
    assert!(live(&c, VHOST, Some("balancer://app")));
    assert!(!live(&c, VHOST, None));
}

#[test]
fn observed_workers_are_live() {
    let mut c = config();
    c.defaults()
        .set(MAIN, None, proxy_live(Mode::Observe, ""))
        .unwrap();
    let settings = |c: &Config| c.settings(WORKER, MAIN, MAIN, None, "http");
    assert!(settings(&c).unwrap().observe);
    c.worker(WORKER).live = Some(Mode::On);
    assert!(!settings(&c).unwrap().observe);
}

#[test]
fn a_reset_forgets() {
    let mut c = config();
    c.worker(WORKER).live = Some(Mode::On);
    c.set_resolver(ResolverConfig::default()).unwrap();
    assert!(c.set_resolver(ResolverConfig::default()).is_err());
    c.reset();
    assert!(!live(&c, MAIN, None));
    assert!(c.set_resolver(ResolverConfig::default()).is_ok());
}
