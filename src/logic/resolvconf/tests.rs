use super::*;

fn parse(text: &str) -> ResolvConf {
    ResolvConf::parse(text, "node", &|name| (name == "eth0").then_some(7))
}

fn servers(text: &str) -> Vec<String> {
    parse(text)
        .servers
        .iter()
        .map(SocketAddr::to_string)
        .collect()
}

#[test]
fn an_empty_file_means_this_machine() {
    assert_eq!(parse(""), ResolvConf::default());
    assert_eq!(
        parse("# nothing\n; here\n\nnameserver\n"),
        ResolvConf::default()
    );
    assert_eq!(servers("nameserver nonsense\n"), ["127.0.0.1:53"]);
    assert_eq!(parse("").timeout_s, 5);
    assert_eq!(parse("").attempts, 2);
}

#[test]
fn name_servers() {
    let text = "\
nameserver 10.0.0.1
  nameserver\tfd00::53 # the other
nameserver fe80::1%none
nameserver fe80::1%eth0 trailing
nameserver 10.0.0.9
";
    let wanted = ["10.0.0.1:53", "[fd00::53]:53", "[fe80::1%7]:53"];
    assert_eq!(servers(text), wanted);
    let this = "nameserver 0.0.0.0\nnameserver ::\n";
    assert_eq!(servers(this), ["127.0.0.1:53", "[::1]:53"]);
}

#[test]
fn the_last_search_list_counts() {
    let search = |text: &str| parse(text).rules.search;
    assert_eq!(search("search a.test b.test"), ["a.test", "b.test"]);
    assert_eq!(
        search("domain a.test\nsearch b.test c.test"),
        ["b.test", "c.test"]
    );
    assert_eq!(search("search b.test c.test\ndomain a.test x"), ["a.test"]);
    assert_eq!(search("search a.test # b.test"), ["a.test"]);
    assert!(search("search .").contains(&".".to_owned()));
    assert!(search("search").is_empty());
}

#[test]
fn the_host_name_gives_a_search_list_when_there_is_none() {
    let search = |text, host| ResolvConf::parse(text, host, &|_| None).rules.search;
    assert_eq!(search("", "node.dc.test"), ["dc.test"]);
    assert_eq!(search("search a.test", "node.dc.test"), ["a.test"]);
    assert!(search("", "node").is_empty());
    assert!(search("", "node.").is_empty());
    assert!(search("", "").is_empty());
}

#[test]
fn options() {
    let conf = parse("options ndots:5 timeout:1 attempts:3 rotate edns0 use-vc\n");
    assert_eq!((conf.rules.ndots, conf.timeout_s, conf.attempts), (5, 1, 3));
    assert!(conf.use_vc);
    let conf = parse("options ndots:99 timeout:99\noptions attempts:99\n");
    assert_eq!(
        (conf.rules.ndots, conf.timeout_s, conf.attempts),
        (15, 30, 5)
    );
    let conf = parse("options ndots:0 timeout:0 attempts:0\n");
    assert_eq!((conf.rules.ndots, conf.timeout_s, conf.attempts), (0, 1, 1));
    let conf = parse("options ndots:x timeout: attempts ndots:-1 unknown:7\n");
    assert_eq!(conf, ResolvConf::default());
    assert!(parse("options usevc").use_vc);
    assert!(!parse("#options use-vc").use_vc);
}

#[test]
fn whatever_is_in_the_file_is_no_trouble() {
    let wild =
        "nameserver 1.2.3.4.5\nsearch \u{fffd}\u{0}\noptions :::: :1 ndots:99999999999\n\t\n";
    let conf = parse(wild);
    assert_eq!(conf.servers, ResolvConf::default().servers);
    assert_eq!(conf.rules.ndots, 1);
}
