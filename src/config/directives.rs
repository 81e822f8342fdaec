//! The arguments of `ProxyLive` and `ProxyLiveResolver`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::origin::{Said, Scope};
use super::params::{Mode, ReadTime};
use super::resolver::{ResolverConfig, Servers};
use super::values::{self, positive_time};

/// The longest time for one try of a name server.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The value of a `ProxyLive` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Live {
    pub mode: Mode,
    /// The name of a template.
    pub template: Option<String>,
    /// `file:line`.
    pub place: String,
}

impl Live {
    /// Reads the arguments of `ProxyLive` (`template` is empty if not given).
    pub fn read(mode: &str, template: &str, place: String) -> Result<Self, String> {
        Ok(Self {
            mode: values::mode(mode)?,
            template: (!template.is_empty()).then(|| template.to_owned()),
            place,
        })
    }
}

/// Values of `ProxyLive` by server and, inside, by balancer ("" for the server itself).
#[derive(Default, Debug)]
pub struct Defaults {
    in_force: HashMap<(usize, String), Live>,
    /// Lines that name a template, also those that a later line of the same place replaces.
    naming: Vec<Live>,
}

impl Defaults {
    /// Remembers `ProxyLive` of a server (a key), or of a `<Proxy "balancer://...">` section in it.
    /// The error says what is wrong with the section.
    pub fn set(&mut self, server: usize, section: Option<&str>, live: Live) -> Result<(), String> {
        let balancer = match section {
            None => String::new(),
            Some(url) => balancer_name(url).ok_or_else(|| {
                format!(
                    "stands in <Proxy \"{url}\">: it is allowed in <Proxy \"balancer://...\">, in \
                     virtual hosts and in the server; for a single worker write live=on on its \
                     ProxyPass or ProxySet line"
                )
            })?,
        };
        if live.template.is_some() {
            self.naming.push(live.clone());
        }
        self.in_force.insert((server, balancer), live);
        Ok(())
    }

    /// What covers a plain worker or a balancer's member of this server (a key), the nearest first.
    pub fn levels(&self, server: usize, main: usize, balancer: Option<&str>) -> Vec<Said<'_>> {
        let section = balancer.and_then(balancer_name);
        let at = |s: usize, name: &str| self.in_force.get_key_value(&(s, name.to_owned()));
        let of_section = section.and_then(|name| at(server, &name).or_else(|| at(main, &name)));
        let of_main = (server != main).then(|| at(main, "")).flatten();
        let levels = [of_section, at(server, ""), of_main];
        let levels = levels.into_iter().flatten();
        levels
            .map(|((of, name), live)| Said {
                scope: match (name.as_str(), *of == main) {
                    ("", true) => Scope::Server,
                    ("", false) => Scope::VirtualHost,
                    (name, _) => Scope::Section(name),
                },
                live,
            })
            .collect()
    }

    /// The lines that name a template.
    pub fn naming(&self) -> &[Live] {
        &self.naming
    }
}

/// `balancer://Name/path` as mod_proxy keeps it (ap_proxy_define_balancer): lower case, no path.
fn balancer_name(url: &str) -> Option<String> {
    let lower = url.to_ascii_lowercase();
    let host = lower.strip_prefix("balancer://")?;
    let host = host.split('/').next().unwrap_or_default();
    (!host.is_empty() && !host.contains(['*', '?', '['])).then(|| format!("balancer://{host}"))
}

/// Reads the arguments of `ProxyLiveResolver`. The error is the end of a sentence that begins with
/// the directive's name.
pub fn resolver(args: &str, time: ReadTime) -> Result<ResolverConfig, String> {
    let mut config = ResolverConfig::default();
    let mut servers = Vec::new();
    let mut system = false;
    for word in args.split_whitespace() {
        let word = word.trim_matches('"');
        match word.split_once('=') {
            Some((key, value)) if key.eq_ignore_ascii_case("timeout") => {
                let timeout = positive_time(value, time).filter(|t| *t <= LONGEST_TIMEOUT);
                config.timeout = Some(timeout.ok_or_else(|| {
                    format!("timeout must be a time from 1ms to 60s; read '{value}'")
                })?);
            }
            Some((key, value)) if key.eq_ignore_ascii_case("attempts") => {
                let attempts = value.parse().ok().filter(|n| (1..=10).contains(n));
                config.attempts = Some(attempts.ok_or_else(|| {
                    format!("attempts must be a number from 1 to 10; read '{value}'")
                })?);
            }
            None if word.eq_ignore_ascii_case("system") => system = true,
            _ => servers.push(server(word)?),
        }
    }
    match (system, servers.is_empty()) {
        (true, true) => config.servers = Servers::System,
        (false, false) => config.servers = Servers::Explicit(servers),
        _ => {
            return Err(format!(
                "takes either system or addresses of name servers; read '{}'",
                args.trim()
            ));
        }
    }
    Ok(config)
}

/// Reads the argument of `ProxyLiveDrainFile`: `path` as written, `whole` below the ServerRoot. The error is the
/// end of a sentence that begins with the directive's name.
pub fn drain_file(
    path: &str,
    whole: &str,
    is_dir: &dyn Fn(&str) -> bool,
) -> Result<String, String> {
    if path.is_empty() || path.ends_with('/') || whole.is_empty() || is_dir(whole) {
        return Err(format!(
            "takes the path of a file, which need not exist, such as /run/apache2/drain; read '{path}'"
        ));
    }
    let dir = whole.rsplit_once('/').map_or("", |(dir, _)| dir);
    if !dir.is_empty() && !is_dir(dir) {
        return Err(format!(
            "names a file in {dir}, which is no directory: make it, or choose another one; read '{path}'"
        ));
    }
    Ok(whole.to_owned())
}

/// `address`, `address:port`, `[ipv6]` or `[ipv6]:port`; the port is 53 if not given.
fn server(word: &str) -> Result<SocketAddr, String> {
    let bare = word
        .strip_prefix('[')
        .and_then(|w| w.strip_suffix(']'))
        .unwrap_or(word);
    bare.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, 53))
        .or_else(|_| word.parse::<SocketAddr>())
        .ok()
        .filter(|server| server.port() != 0 && !server.ip().is_unspecified())
        .ok_or_else(|| {
            format!(
                "takes system or IP addresses such as 192.0.2.1, 192.0.2.1:5353 or [2001:db8::1]:53, \
                 and timeout=, attempts=; read '{word}'"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Option<i64> {
        let (number, factor) = match text.strip_suffix("ms") {
            Some(number) => (number, 1000),
            None => (text.strip_suffix('s').unwrap_or(text), 1_000_000),
        };
        Some(number.parse::<i64>().ok()? * factor)
    }

    fn read(args: &str) -> Result<ResolverConfig, String> {
        resolver(args, &time)
    }

    #[test]
    fn good_resolvers() {
        assert!(matches!(read("system").unwrap().servers, Servers::System));
        let c =
            read("127.0.0.1 192.0.2.1:5353 [::1]:54 2001:db8::1 timeout=500ms attempts=3").unwrap();
        let Servers::Explicit(servers) = c.servers else {
            panic!("explicit servers expected")
        };
        let text: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let want = [
            "127.0.0.1:53",
            "192.0.2.1:5353",
            "[::1]:54",
            "[2001:db8::1]:53",
        ];
        assert_eq!(text, want);
        assert_eq!(c.timeout, Some(Duration::from_millis(500)));
        assert_eq!(c.attempts, Some(3));
        assert_eq!(read("system attempts=1").unwrap().attempts, Some(1));
    }

    #[test]
    fn wrong_resolvers_say_what_was_read() {
        for (args, part) in [
            ("", "either system or addresses"),
            ("timeout=2s", "either system or addresses"),
            ("system 127.0.0.1", "either system or addresses"),
            ("dns.example.com", "read 'dns.example.com'"),
            ("127.0.0.1:0", "read '127.0.0.1:0'"),
            ("127.0.0.1:99999", "read '127.0.0.1:99999'"),
            ("0.0.0.0", "read '0.0.0.0'"),
            ("127.0.0.1 timeout=", "timeout must be a time"),
            ("127.0.0.1 timeout=-1s", "read '-1s'"),
            ("127.0.0.1 timeout=61s", "from 1ms to 60s"),
            ("127.0.0.1 timeout=60001ms", "from 1ms to 60s"),
            ("127.0.0.1 attempts=0", "read '0'"),
            ("127.0.0.1 attempts=11", "from 1 to 10"),
            ("127.0.0.1 retries=2", "read 'retries=2'"),
        ] {
            let message = read(args).expect_err(args);
            assert!(message.contains(part), "{args}: {message}");
        }
    }

    #[test]
    fn drain_files() {
        let file = |path: &str| drain_file(path, path, &|dir| ["/run", "/etc/x"].contains(&dir));
        assert_eq!(file("/run/drain"), Ok("/run/drain".into()));
        assert_eq!(file("/drain"), Ok("/drain".into()));
        for (path, part) in [
            ("", "path of a file"),
            ("/run/", "path of a file"),
            ("/etc/x", "path of a file"),
            ("/none/drain", "in /none, which is no directory"),
        ] {
            let message = file(path).expect_err(path);
            let read = message.ends_with(&format!("read '{path}'"));
            assert!(message.contains(part) && read, "{path}: {message}");
        }
        assert!(
            drain_file("x", "", &|_| false).is_err(),
            "httpd cannot read it"
        );
    }

    fn live(mode: &str, template: &str) -> Live {
        Live::read(mode, template, "a.conf:1".into()).unwrap()
    }

    #[test]
    fn lines_of_proxylive() {
        let read = live("OBSERVE", "web");
        assert_eq!(read.mode, Mode::Observe);
        assert_eq!(read.template.as_deref(), Some("web"));
        assert_eq!(live("off", "").template, None);
        let message = Live::read("web", "", String::new()).unwrap_err();
        assert_eq!(message, "must be on, off or observe; read 'web'");
    }

    #[test]
    fn sections_must_name_a_balancer() {
        let mut d = Defaults::default();
        for url in ["*", "http://app.test/", "balancer://", "balancer://*"] {
            let message = d.set(1, Some(url), live("on", "")).expect_err(url);
            assert!(message.contains(url), "{message}");
        }
        let on = live("on", "");
        d.set(1, Some("BALANCER://App/x"), on.clone()).unwrap();
        let levels = d.levels(1, 1, Some("balancer://app"));
        assert_eq!(levels.len(), 1);
        assert_eq!(levels[0].live, &on);
        assert_eq!(levels[0].scope, Scope::Section("balancer://app"));
        assert!(d.levels(1, 1, None).is_empty());
    }

    #[test]
    fn levels_are_in_order_and_later_lines_replace() {
        let mut d = Defaults::default();
        let section = Some("balancer://b");
        for (server, section, template) in [
            (1, None, "replaced"),
            (1, None, "main"),
            (2, None, "vhost"),
            (1, section, "section of main"),
            (3, section, "section"),
        ] {
            d.set(server, section, live("on", template)).unwrap();
        }
        let of = |server, balancer| -> Vec<&str> {
            let levels = d.levels(server, 1, balancer);
            levels
                .iter()
                .flat_map(|l| l.live.template.as_deref())
                .collect()
        };
        assert_eq!(of(1, None), ["main"]);
        assert_eq!(of(2, None), ["vhost", "main"]);
        assert_eq!(of(2, section), ["section of main", "vhost", "main"]);
        assert_eq!(of(3, section), ["section", "main"]);
        assert_eq!(of(3, Some("balancer://other")), ["main"]);
        assert_eq!(d.naming().len(), 5);
    }
}
