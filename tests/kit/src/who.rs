//! The access log of a httpd of the kit.

use crate::records::Record;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Access log of a httpd: which child served which request.
#[derive(Debug, Clone)]
pub(crate) struct Who(pub PathBuf);

impl Who {
    /// Ids of requests and pids.
    pub(crate) fn map(&self) -> HashMap<u64, u32> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let parse = |line: &str| {
            let mut words = line.split(' ');
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        };
        text.lines().filter_map(parse).collect()
    }

    /// Sets `child`; httpd logs just after the last byte, so the last lines may be some ms away.
    pub(crate) fn fill(&self, records: &mut [Record]) {
        let end = Instant::now() + Duration::from_secs(2);
        loop {
            let map = self.map();
            for record in records.iter_mut() {
                record.child = map.get(&record.id).copied().unwrap_or(0);
            }
            let whole = records.iter().all(|r| r.child != 0 || r.failure.is_some());
            if whole || Instant::now() > end {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
