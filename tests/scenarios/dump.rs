//! `httpd -t -D DUMP_PROXY_LIVE`: what the configuration came to.

use crate::handsoff::{LEFT_ALONE, left_alone};
use live_kit::{Builder, World, scenario};
use std::fs;

const DUMP: [&str; 2] = ["-D", "DUMP_PROXY_LIVE"];

/// What is printed for a good configuration.
fn dump(builder: &Builder) -> String {
    let output = builder.check_with(&DUMP);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.ends_with("Syntax OK\n"),
        "{said}"
    );
    assert!(!said.contains("live has no effect"), "{said}");
    String::from_utf8(output.stdout).expect("plain text")
}

/// The configuration in a file of its own, so that its lines have numbers. Places begin with `@`.
fn dump_of(w: &mut World, text: &str) -> String {
    let file = w.dir.join("live.conf");
    fs::write(&file, text).expect("a configuration");
    let builder = w.httpd().module("proxy_hcheck").live("");
    let included = format!("Include {}", file.display());
    dump(&builder.config(&included)).replace(&format!("{}:", file.display()), "@")
}

/// The lines of a worker: its own, and those that are indented more.
fn block<'a>(text: &'a str, worker: &str) -> Vec<&'a str> {
    let begin = format!("  {worker}");
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&begin));
    let first = lines
        .next()
        .unwrap_or_else(|| panic!("no {worker} in\n{text}"));
    let rest = lines.take_while(|line| line.starts_with("    "));
    std::iter::once(first).chain(rest).collect()
}

/// Value and origin of a parameter.
fn value<'a>(text: &'a str, worker: &str, name: &str) -> Option<(&'a str, &'a str)> {
    let block = block(text, worker);
    let rest = block
        .iter()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' '))?;
    let (value, from) = rest.trim_start().split_once(' ')?;
    Some((value, from.trim_start()))
}

#[track_caller]
fn expect(text: &str, worker: &str, wanted: &[(&str, &str, &str)]) {
    for (name, want, from) in wanted {
        let found = value(text, worker, name);
        assert_eq!(found, Some((*want, *from)), "{worker} {name} in\n{text}");
    }
}

/// The numbers of its lines are those of the places below.
const ORIGINS: &str = r#"ProxyLiveTemplate company livettl=2s-90s livefall=5
ProxyLiveTemplate site    livestale=10min
ProxyLiveTemplate page    liveprobe=http liveuri=/healthz liveexpect=200,204
ProxyLiveTemplate mine    liveinterval=500ms
ProxyLiveTemplate old     livefall=3
ProxyLive off company
ProxyLiveResolver 192.0.2.1 [::1]:5353 timeout=500ms
<VirtualHost *:81>
    ServerName shop.front:81
    ProxyLive observe site
    <Proxy "balancer://shop">
        ProxyLive on page
        BalancerMember "http://one.test:8080" route=1 livetemplate=mine
        BalancerMember "http://two.test:8080" route=2 \
            livetemplate=mine
        BalancerMember "https://three.test" live=off
        ProxySet growth=7
    </Proxy>
    ProxyPass "/shop" "balancer://shop"
    ProxyPass "/watched" "http://watched.test/" liverescue=off
    <Location "/here">
        ProxyPass "http://here.test/" live=on "livespread=off"
    </Location>
</VirtualHost>
<Proxy "http://main.test/" live=on>
    ProxySet livefall=3
</Proxy>
ProxyPass "/forgotten" "http://forgotten.test/"
"#;

#[test]
fn every_origin() {
    scenario(|w: &mut World| {
        let text = dump_of(w, ORIGINS);
        let version = env!("CARGO_PKG_VERSION");
        let first =
            format!("mod_proxy_live {version}: 4 live, 2 observed, 0 left to httpd, 1 not live\n");
        assert!(text.starts_with(&first), "{text}");
        for line in [
            "resolver: 192.0.2.1:53 [::1]:5353 timeout=500ms",
            "balancer://shop, in shop.front:81 (@8)",
            "  growth=7: members added at run time are live: ProxyLive in <Proxy \"balancer://shop\"> (@12)",
            "template old (@5): not used",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        let section = "ProxyLive in <Proxy \"balancer://shop\"> (@12)";
        let page = format!("template page (@3), named by {section}");
        let company = "template company (@1), named by ProxyLive in the server (@6)";
        let vhost = "ProxyLive in the virtual host (@10)";
        let site = format!("template site (@2), named by {vhost}");
        expect(
            &text,
            "http://one.test:8080 route=1: live",
            &[
                ("live", "on", section),
                ("livetemplate", "mine", "its own line (@13)"),
                ("livettl", "2s-90s", company),
                ("livefamily", "any", "default"),
                ("livestale", "10min", &site),
                ("liveprobe", "http", &page),
                ("liveuri", "/healthz", &page),
                ("liveexpect", "200,204", &page),
                ("livehost", "one.test", "default: the worker's host"),
                ("liveport", "8080", "default: the worker's port"),
                (
                    "liveinterval",
                    "500ms",
                    "template mine (@4), named by its own line (@13)",
                ),
                ("livefall", "5", company),
                ("liverise", "2", "default"),
                ("liverescue", "on", "default"),
            ],
        );
        let own = "its own line (@16)";
        block(
            &text,
            &format!("https://three.test: not live: off by {own}"),
        );
        expect(
            &text,
            "http://watched.test/: observed",
            &[
                ("live", "observe", vhost),
                ("liverescue", "off", "its own line (@20)"),
                ("liveprobe", "tcp", "default for http"),
            ],
        );
        expect(
            &text,
            "http://here.test/: live",
            &[
                ("live", "on", "its own line (@22)"),
                ("livespread", "off", "its own line (@22)"),
            ],
        );
        expect(
            &text,
            "http://main.test/: live",
            &[
                ("live", "on", "its own line (@25)"),
                ("livefall", "3", "its own line (@26)"),
            ],
        );
    });
}

/// The main server has it off, a virtual host that inherits it has not.
#[test]
fn copies_in_virtual_hosts_are_told_once() {
    scenario(|w: &mut World| {
        let mut text = "ProxyPass /app http://app.test/\n<Proxy balancer://pool>\nBalancerMember http://one.test live=on\n\
                        BalancerMember http://two.test live=on\n</Proxy>\n"
            .to_owned();
        for n in 1..=4 {
            let live = if n == 2 { "ProxyLive observe" } else { "" };
            text += &format!(
                "<VirtualHost *:81>\nServerName v{n}.front\n{live}\nProxyPass /own http://own{n}.test/\n</VirtualHost>\n"
            );
        }
        let text = dump_of(w, &text);
        let app = block(&text, "http://app.test/: observed");
        assert_eq!(text.matches("  http://app.test/").count(), 1, "{text}");
        assert!(
            app[1].starts_with("    in front.test (main server), "),
            "{text}"
        );
        assert!(app[1].ends_with(" and 2 more"), "{text}");
        let off = app.last().expect("a line");
        assert!(
            off.starts_with("    not live in front.test (main server), v"),
            "{text}"
        );
        assert!(off.ends_with(" and 1 more: off by default"), "{text}");
        block(
            &text,
            "http://two.test: live, values as http://one.test, its own line (@4)",
        );
        block(&text, "http://own1.test/: not live: off by default");
        block(
            &text,
            "http://own2.test/: observed, values as http://app.test/",
        );
    });
}

/// The first virtual host that wants it live leaves it to httpd: its values are in force in the other one.
#[test]
fn a_remote_in_one_virtual_host() {
    scenario(|w: &mut World| {
        let mut text =
            "ProxyPass /app http://app.test/\nProxyLiveTemplate five livefall=5\n".to_owned();
        let (remote, watched) = (
            "ProxyLive on five\nProxyRemote * http://remote.test:81",
            "ProxyLive observe",
        );
        // httpd has the last one first
        for (name, live) in [("watched", watched), ("remote", remote)] {
            text += &format!(
                "<VirtualHost *:81>\nServerName {name}.front\n{live}\nProxyPass /own http://{name}.test/\n</VirtualHost>\n"
            );
        }
        let text = dump_of(w, &text);
        let worker = "http://app.test/: observed";
        let vhost = "ProxyLive in the virtual host";
        let five = format!("template five (@2), named by {vhost} (@10)");
        let live = format!("{vhost} (@5)");
        expect(
            &text,
            worker,
            &[("live", "observe", &live), ("livefall", "5", &five)],
        );
        let block = block(&text, worker);
        let left = "    left to httpd in remote.front:81 (@8): a ProxyRemote takes its requests";
        assert!(block.contains(&left), "{text}");
        let off = "    not live in front.test (main server): off by default";
        assert!(block.contains(&off), "{text}");
    });
}

/// Who shares probes or a name has the rules of all.
#[test]
fn shared_rules() {
    scenario(|w: &mut World| {
        let text = "ProxyPass /one http://app.test:81/one live=on livefall=3 livettl=5s-1h
            ProxyPass /two http://app.test:81/two live=on liveinterval=1s
            ProxyPass /three http://app.test:82/three live=on";
        let text = dump_of(w, text);
        let shared = |own: &str| format!("shared with other workers; of its own {own}");
        expect(
            &text,
            "http://app.test:81/one: live",
            &[
                ("livefall", "3", "its own line (@1)"),
                ("livettl", "1s-1h", &shared("5s-1h: its own line (@1)")),
                ("liveinterval", "1s", &shared("2s: default")),
            ],
        );
        expect(
            &text,
            "http://app.test:81/two: live",
            &[
                ("livefall", "3", &shared("2: default")),
                ("liveinterval", "1s", "its own line (@2)"),
            ],
        );
        expect(
            &text,
            "http://app.test:82/three: live",
            &[
                ("livefall", "2", "default"),
                ("liveinterval", "2s", "default"),
            ],
        );
    });
}

#[test]
fn hands_off() {
    scenario(|w: &mut World| {
        let left = left_alone("/run/none").replace("OFF", "liveprobe=off liverescue=off");
        let text = format!(
            "ProxyLive on\nProxyPass /zone/ http://[fe80::1%25eth0]:9000/\n{left}
            <Proxy balancer://checked>
                BalancerMember http://checked.test:9000 hcmethod=TCP
            </Proxy>"
        );
        let text = dump_of(w, &text);
        for (path, _, reason) in LEFT_ALONE {
            let said = |l: &str| l.contains(": left to httpd: ") && l.contains(reason);
            assert!(text.lines().any(said), "{path}: {text}");
        }
        let left = text.matches(": left to httpd: ").count();
        assert!(left >= LEFT_ALONE.len(), "{text}");
        assert!(
            text.contains(&format!(
                "1 live, 0 observed, {left} left to httpd, 0 not live"
            )),
            "{text}"
        );
        let why = "mod_proxy_hcheck checks this worker (hcmethod)";
        expect(
            &text,
            "http://checked.test:9000: live",
            &[("liveprobe", "-", why)],
        );
    });
}

#[test]
fn nothing_secret() {
    scenario(|w: &mut World| {
        let text = "ProxyLiveTemplate page liveprobe=http liveuri=/healthz?token=sesame1
            ProxyPass /a http://anna:sesame2@a.test/ live=on livetemplate=page secret=sesame3
            ProxyPass /b http://bert:sesame4@b.test/ live=on disablereuse=on
            ProxyPass /c http://carl:sesame5@c.test/x
            ProxyPassMatch ^/d/(.*)$ http://d.test/?key=sesame6&x=$1 live=on liveuri=/?sesame7 liveprobe=http
            <Proxy balancer://pool>
                BalancerMember http://dora:sesame8@e.test live=observe
                BalancerMember http://emil:sesame8@f.test live=observe
            </Proxy>";
        let text = dump_of(w, text);
        for worker in [
            "http://a.test/: live",
            "http://b.test/: left",
            "http://c.test/x: not live",
            "http://d.test/?...: ",
            "http://e.test: observed",
            "http://f.test: observed, values as http://e.test",
        ] {
            block(&text, worker);
        }
        let page = "template page (@1), named by its own line (@2)";
        expect(
            &text,
            "http://a.test/",
            &[("liveuri", "/healthz?...", page)],
        );
        for secret in ["sesame", "anna", "bert", "carl", "dora", "emil", "secret"] {
            assert!(!text.contains(secret), "{secret} in\n{text}");
        }
    });
}

#[test]
fn only_when_asked_and_only_when_good() {
    scenario(|w: &mut World| {
        let good = w.httpd().live("ProxyPass /app http://app.test/ live=on");
        let output = good.check_with(&[]);
        assert!(
            output.status.success() && output.stdout.is_empty(),
            "{output:?}"
        );
        assert!(dump(&good).contains("1 live"));
        let none = dump(&w.httpd().live("ProxyPass /app http://app.test/"));
        assert!(
            none.contains(": 0 live, 0 observed, 0 left to httpd, 1 not live\n"),
            "{none}"
        );
        block(&none, "http://app.test/: not live: off by default");
        let empty = dump(&w.httpd().live(""));
        assert!(empty.ends_with("0 not live\nresolver: system\n"), "{empty}");
        for wrong in [
            "ProxyLive on nobody",
            "ProxyPass /b http://u:sesame@b.test/ live=on liveuri=/x",
        ] {
            let output = good.clone().live(wrong).check_with(&DUMP);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                !output.status.success() && output.stdout.is_empty(),
                "{output:?}"
            );
            assert!(
                said.contains("proxy_live:crit") && !said.contains("sesame"),
                "{said}"
            );
        }
    });
}
