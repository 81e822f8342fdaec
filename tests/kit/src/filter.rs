//! Packets that do not arrive: rules of nftables in the scenario's network namespace.

use crate::world::run;

/// The input hook, not output: there a dropped packet is an error for the sender.
const TABLE: &str = "add table inet kit
add set inet kit gone4 { type ipv4_addr; }
add set inet kit gone6 { type ipv6_addr; }
add chain inet kit input { type filter hook input priority 0; }
add rule inet kit input ip daddr @gone4 drop
add rule inet kit input ip saddr @gone4 drop
add rule inet kit input ip6 daddr @gone6 drop
add rule inet kit input ip6 saddr @gone6 drop";

/// The rules; made at the first use.
#[derive(Default)]
pub(crate) struct Filter {
    made: bool,
}

impl Filter {
    pub(crate) fn vanish(&mut self, addr: &str) {
        self.element("add", addr);
    }

    pub(crate) fn appear(&mut self, addr: &str) {
        self.element("delete", addr);
    }

    pub(crate) fn appear_all(&mut self) {
        self.need();
        for set in ["gone4", "gone6"] {
            nft(&["flush", "set", "inet", "kit", set]);
        }
    }

    /// Does `verdict` with the next `n` SYNs to this port.
    pub(crate) fn first_syns(&mut self, addr: &str, port: u16, n: u32, verdict: &[&str]) {
        self.need();
        let (port, burst) = (port.to_string(), n.to_string());
        let which = ["add", "rule", "inet", "kit", "input", family(addr), "daddr"];
        let syn = ["tcp", "flags", "&", "(syn|ack)", "==", "syn"];
        // A bucket of `n` tokens that gets the next one tomorrow.
        let limit = ["limit", "rate", "1/day", "burst", &burst, "packets"];
        let words = [
            &which[..],
            &[addr, "tcp", "dport", &port],
            &syn,
            &limit,
            verdict,
        ];
        nft(&words.concat());
    }

    fn element(&mut self, action: &str, addr: &str) {
        self.need();
        let set = match family(addr) {
            "ip" => "gone4",
            _ => "gone6",
        };
        let element = format!("{{ {addr} }}");
        nft(&[action, "element", "inet", "kit", set, &element]);
    }

    fn need(&mut self) {
        if !self.made {
            nft(&[TABLE]);
            self.made = true;
        }
    }
}

fn nft(args: &[&str]) {
    run("nft", args);
}

fn family(addr: &str) -> &'static str {
    if addr.contains(':') { "ip6" } else { "ip" }
}
