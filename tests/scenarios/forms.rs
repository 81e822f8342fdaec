//! Where a worker can be written: each form, in virtual hosts and Locations, is really followed; `ProxyLive` at
//! each level, its precedence proved by what moves and what does not.

use crate::common::places::*;
use crate::common::*;
use live_kit::{Httpd, World, eventually, scenario};
use std::time::{Duration, Instant};

/// Moves every name from A to B; those in `follow` move in every child, those in `stay` in none. `url` makes
/// the path of a name.
fn move_and_compare(
    w: &World,
    httpd: &Httpd,
    follow: &[&str],
    stay: &[&str],
    url: impl Fn(&str) -> String,
) {
    for name in follow.iter().chain(stay) {
        all_children_use(httpd, &url(name), "A");
    }
    let known = || {
        follow
            .iter()
            .all(|name| httpd.logged(&format!("name {name}.test: addresses none ->")) == 1)
    };
    eventually(Duration::from_secs(5), known);
    set_all(w, follow, IP_B);
    set_all(w, stay, IP_B);
    after_ttl(Instant::now(), 1);
    for name in follow {
        all_children_use(httpd, &url(name), "B");
    }
    for name in stay {
        all_children_use(httpd, &url(name), "A");
        assert_eq!(
            httpd.logged(&format!("name {name}.test")),
            0,
            "{name} is asked for"
        );
    }
}

const FORMS: [&str; 12] = [
    "pass",
    "outside",
    "inside",
    "set",
    "section",
    "args",
    "location",
    "match",
    "inlocation",
    "rewrite",
    "last",
    "upper",
];

/// Every form in which the interface allows `live=on`; each name is the first part of its path.
const FORMS_TEXT: &str = "
    ProxyPass /pass/ http://pass.test:9000/ live=on

    BalancerMember balancer://outside http://outside.test:9000 live=on
    ProxyPass /outside/ balancer://outside/

    <Proxy \"balancer://inside\">
        BalancerMember \"http://inside.test:9000\" route=1 live=on
        ProxySet lbmethod=byrequests
    </Proxy>
    ProxyPass /inside/ balancer://inside/

    ProxyPass /set/ http://set.test:9000/
    ProxySet http://set.test:9000/ live=on

    <Proxy \"http://section.test:9000/\">
        ProxySet live=on livettl=1s-10s
    </Proxy>
    ProxyPass /section/ http://section.test:9000/

    <Proxy \"http://args.test:9000/\" live=on>
    </Proxy>
    ProxyPass /args/ http://args.test:9000/

    <Location /location/>
        ProxyPass http://location.test:9000/ live=on
    </Location>

    ProxyPassMatch ^/match/(.*)$ http://match.test:9000/$1 live=on enablereuse=on

    <LocationMatch ^/inlocation/(?<rest>.*)$>
        ProxyPassMatch http://inlocation.test:9000/$1 live=on enablereuse=on
    </LocationMatch>

    <Proxy \"http://rewrite.test:9000/\">
        ProxySet live=on
    </Proxy>
    RewriteEngine on
    RewriteRule ^/rewrite(.*)$ http://rewrite.test:9000$1 [P]

    ProxyPass /last/ http://last.test:9000/ retry=0 live=off
    ProxySet http://last.test:9000/ live=on

    ProxyPass /upper/ HTTP://Upper.TEST:9000/ live=ON

    ProxyPass /plain/ http://plain.test:9000/
    <Proxy balancer://plain>
        BalancerMember http://plainmember.test:9000
    </Proxy>
    ProxyPass /plainmember/ balancer://plain/";

const PLAIN: [&str; 2] = ["plain", "plainmember"];

#[test]
fn every_form_in_the_main_server() {
    scenario(|w: &mut World| {
        let (a, _b) = backends();
        set_all(w, &FORMS, IP_A);
        set_all(w, &PLAIN, IP_A);
        let httpd = builder(w).module("rewrite").live(FORMS_TEXT).start();
        move_and_compare(w, &httpd, &FORMS, &PLAIN, |name| format!("/{name}/x"));
        assert!(
            a.open() > 0,
            "the workers without live keep their connections"
        );
    });
}

#[test]
fn every_form_in_a_virtual_host() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_all(w, &FORMS, IP_A);
        set_all(w, &PLAIN, IP_A);
        let text = format!(
            "<VirtualHost *:8080>\nServerName other.front\n</VirtualHost>
             <VirtualHost *:8080>\nServerName one.front\n{FORMS_TEXT}\n</VirtualHost>"
        );
        let httpd = builder(w).module("rewrite").live(&text).start();
        move_and_compare(w, &httpd, &FORMS, &PLAIN, |name| {
            format!("http://one.front/{name}/x")
        });
    });
}

/// Workers and levels: `on_*` must follow, `off_*` must not. The prefix of a path is the virtual host.
const LEVELS: &str = "
    ProxyLive on
    ProxyPass /on-a/ http://on-a.test:9000/
    ProxyPass /off-a/ http://off-a.test:9000/ live=off
    <Proxy balancer://main-off>
        ProxyLive off
        BalancerMember http://off-b.test:9000
    </Proxy>
    ProxyPass /off-b/ balancer://main-off/

    <VirtualHost *:8080>
        ServerName inherits.front
        ProxyPass /on-c/ http://on-c.test:9000/
        ProxyPass /off-c/ http://off-c.test:9000/ live=off
    </VirtualHost>

    <VirtualHost *:8080>
        ServerName off.front
        ProxyLive off
        ProxyPass /off-d/ http://off-d.test:9000/
        ProxyPass /on-d/ http://on-d.test:9000/ live=on
        <Proxy \"balancer://On\">
            ProxyLive on
            BalancerMember http://on-e.test:9000
        </Proxy>
        ProxyPass /on-e/ balancer://on/
        <Proxy \"balancer://on2\">
            ProxyLive on
            BalancerMember http://off-e.test:9000 live=off
        </Proxy>
        ProxyPass /off-e/ balancer://on2/
        <Proxy balancer://bare>
            BalancerMember http://off-f.test:9000
        </Proxy>
        ProxyPass /off-f/ balancer://bare/
    </VirtualHost>

    <VirtualHost *:8080>
        ServerName on.front
        ProxyLive on
        <Proxy balancer://off>
            ProxyLive off
            BalancerMember http://off-g.test:9000
        </Proxy>
        ProxyPass /off-g/ balancer://off/
        <Proxy balancer://off2>
            BalancerMember http://on-g.test:9000 live=on
            ProxyLive off
        </Proxy>
        ProxyPass /on-g/ balancer://off2/
    </VirtualHost>";

#[test]
fn the_nearest_level_wins() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let follow = ["on-a", "on-c", "on-d", "on-e", "on-g"];
        let stay = [
            "off-a", "off-b", "off-c", "off-d", "off-e", "off-f", "off-g",
        ];
        set_all(w, &follow, IP_A);
        set_all(w, &stay, IP_A);
        // requests of unknown hosts are answered by the first virtual host, which inherits from the main server
        let httpd = builder(w).live(LEVELS).start();
        let host = |name: &str| match name.split_once('-').map(|(_, letter)| letter) {
            Some("d" | "e" | "f") => "off.front",
            Some("g") => "on.front",
            _ => "inherits.front",
        };
        move_and_compare(w, &httpd, &follow, &stay, |name| {
            format!("http://{}/{name}/x", host(name))
        });
    });
}

/// Nothing said in the main server; each level can switch it on for itself alone.
#[test]
fn one_level_on_its_own() {
    scenario(|w: &mut World| {
        let _backends = backends();
        let follow = ["on-a", "on-b", "on-c"];
        let stay = ["off-b", "off-c"];
        set_all(w, &follow, IP_A);
        set_all(w, &stay, IP_A);
        let text = "
            <Proxy balancer://main>
                ProxyLive on
                BalancerMember http://on-a.test:9000
            </Proxy>
            ProxyPass /on-a/ balancer://main/
            <VirtualHost *:8080>
                ServerName inherits.front
            </VirtualHost>
            <VirtualHost *:8080>
                ServerName on.front
                ProxyLive on
                ProxyPass /on-b/ http://on-b.test:9000/
            </VirtualHost>
            <VirtualHost *:8080>
                ServerName bare.front
                ProxyPass /off-b/ http://off-b.test:9000/
                <Proxy balancer://bare>
                    BalancerMember http://off-c.test:9000
                </Proxy>
                ProxyPass /off-c/ balancer://bare/
                ProxyPass /on-c/ http://on-c.test:9000/ live=on
            </VirtualHost>";
        let httpd = builder(w).live(text).start();
        let host = |name: &str| match name {
            "on-b" => "on.front",
            "off-b" | "off-c" | "on-c" => "bare.front",
            _ => "inherits.front",
        };
        move_and_compare(w, &httpd, &follow, &stay, |name| {
            format!("http://{}/{name}/x", host(name))
        });
        // the virtual hosts that inherit the balancer share its members
        all_children_use(&httpd, "http://on.front/on-a/x", "B");
    });
}
