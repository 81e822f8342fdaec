use std::collections::HashSet;

use super::super::sample;
use super::*;

fn openmetrics(status: &Status) -> String {
    text(status, Dialect::OpenMetrics)
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(
        text.lines().any(|found| found == line),
        "no line {line} in\n{text}"
    );
}

#[test]
fn openmetrics_as_documented() {
    let text = openmetrics(&sample::troubled());
    for line in [
        "# TYPE proxy_live_build info",
        "proxy_live_build_info{version=\"0.6.0\"} 1",
        "proxy_live_ready 0",
        "proxy_live_epoch 3",
        "proxy_live_leader_up 1",
        "# UNIT proxy_live_leader_start_time_seconds seconds",
        "proxy_live_leader_start_time_seconds 1773450260.000",
        "proxy_live_leader_heartbeat_age_seconds 0.120",
        "proxy_live_board_used{kind=\"names\"} 3",
        "proxy_live_board_capacity{kind=\"children\"} 2048",
        "# UNIT proxy_live_board_used_bytes bytes",
        "# TYPE proxy_live_probes counter",
        "# HELP proxy_live_probes Probes that ended.",
        "proxy_live_probes_total 14768",
        "proxy_live_balancer_ready{balancer=\"balancer://shop\",server=\"www.example.com:443\"} 1",
        "proxy_live_balancer_ready{balancer=\"balancer://reports\",server=\"www.example.com:443\"} 0",
        "proxy_live_name_addresses{name=\"app1.example.com\"} 1",
        "proxy_live_name_ttl_seconds{name=\"app1.example.com\"} 60",
        "proxy_live_name_ttl_left_seconds{name=\"app1.example.com\"} 24.000",
        "proxy_live_name_failing{name=\"app1.example.com\",family=\"ipv4\"} 0",
        "proxy_live_name_last_good_timestamp_seconds{name=\"app1.example.com\",family=\"ipv4\"} 1773457614.000",
    ] {
        has(&text, line);
    }
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn a_member_and_its_address() {
    let text = openmetrics(&sample::troubled());
    let labels = "balancer=\"balancer://shop\",worker=\"http://app2.example.com:8080\",\
                  server=\"www.example.com:443\",route=\"2\"";
    for (name, more, value) in [
        ("worker_state", ",state=\"down\"", "1"),
        ("worker_state", ",state=\"up\"", "0"),
        ("worker_state_timestamp_seconds", "", "1773457464.000"),
        ("worker_observed", "", "0"),
        ("worker_held", "", "0"),
        ("worker_admin", ",bit=\"disabled\"", "0"),
        ("worker_requests_total", ",outcome=\"rescued\"", "16"),
        ("address_up", ",address=\"192.0.2.12\"", "0"),
        ("address_held", ",address=\"192.0.2.12\"", "0"),
        (
            "address_consecutive_failures",
            ",address=\"192.0.2.12\"",
            "94",
        ),
        (
            "address_probe_duration_seconds",
            ",address=\"192.0.2.12\"",
            "0.000150",
        ),
        (
            "address_probe_timestamp_seconds",
            ",address=\"192.0.2.12\"",
            "1773457649.360",
        ),
    ] {
        has(
            &text,
            &format!("proxy_live_{name}{{{labels}{more}}} {value}"),
        );
    }
    let plain = "proxy_live_worker_state{balancer=\"\",worker=\"http://fresh.example.com:8080\",\
                 server=\"www.example.com:443\",route=\"\",state=\"starting\"} 1";
    has(&text, plain);
}

#[test]
fn prometheus_names_its_families_like_the_samples() {
    let text = text(&sample::healthy(), Dialect::Prometheus);
    for line in [
        "# TYPE proxy_live_build_info gauge",
        "# TYPE proxy_live_probes_total counter",
        "# HELP proxy_live_probes_total Probes that ended.",
    ] {
        has(&text, line);
    }
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
}

#[test]
fn an_observed_worker_and_what_it_would_be() {
    let text = openmetrics(&sample::observing());
    let labels = "balancer=\"balancer://shop\",worker=\"http://app2.example.com:8080\",\
                  server=\"www.example.com:443\",route=\"2\"";
    has(&text, &format!("proxy_live_worker_observed{{{labels}}} 1"));
    has(
        &text,
        &format!("proxy_live_worker_state{{{labels},state=\"up\"}} 1"),
    );
    has(
        &text,
        &format!("proxy_live_worker_would_be_state{{{labels},state=\"down\"}} 1"),
    );
}

/// Every line is a comment or one sample, and no two samples are the same series.
#[track_caller]
fn well_formed(text: &str) {
    let mut seen = HashSet::new();
    for line in text.lines() {
        assert!(
            line.starts_with("# ") || line.starts_with("proxy_live_"),
            "{line}"
        );
        if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series.to_owned()), "twice: {line}");
        }
    }
}

#[test]
fn hostile_text_stays_in_its_label() {
    let hostile = sample::hostile();
    for dialect in [Dialect::OpenMetrics, Dialect::Prometheus] {
        let text = text(&hostile, dialect);
        // all workers have the same labels here: the first one of each balancer's name counts
        well_formed(&text);
        assert!(
            text.contains(
                "worker=\"<script>alert(\\\"1\\\")</script>&amp;' -->\\\\\\\"\\n# EOF\\n"
            )
        );
        assert!(!text.contains('\0'));
    }
}

#[test]
fn the_same_worker_twice_is_one_series() {
    let mut status = sample::healthy();
    let again = status.balancers[0].members[0].clone();
    status.balancers[0].members.push(again.clone());
    status.names.push(status.names[0].clone());
    let address = again.addresses[0].clone();
    status.balancers[0].members[1]
        .addresses
        .push(address.clone());
    status.balancers[0].members[1].addresses.push(address);
    well_formed(&openmetrics(&status));
    // the same URL in another server is another worker
    let mut other = again;
    other.server = "other.example.com:443".to_owned();
    status.workers.push(other);
    let text = openmetrics(&status);
    well_formed(&text);
    assert!(text.contains("server=\"other.example.com:443\",route=\"1\",state=\"up\"} 1"));
}

#[test]
fn the_same_in_each_run() {
    for (_, status) in sample::all() {
        assert_eq!(openmetrics(&status), openmetrics(&status));
        well_formed(&openmetrics(&status));
    }
}
