//! What the requests of a load met.

use crate::client::Failure;
use crate::sanitizer;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What one request met.
#[derive(Debug, Clone)]
pub struct Record {
    /// Id of the request, also in [`crate::Seen::id`].
    pub id: u64,
    pub method: String,
    /// With its query.
    pub path: String,
    /// Bytes of the request's body.
    pub length: usize,
    /// Its checksum; see [`crate::checksum`].
    pub sum: u64,
    pub start: Instant,
    pub took: Duration,
    /// 0 when there was no whole answer.
    pub status: u16,
    /// Identity of the backend; empty when none answered.
    pub backend: String,
    /// Pid of the httpd child; 0 when unknown.
    pub child: u32,
    pub failure: Option<Failure>,
    /// Not the first request of its connection.
    pub reused: bool,
}

impl Record {
    /// No whole answer, or a status of 400 and above.
    pub fn failed(&self) -> bool {
        self.failure.is_some() || self.status >= 400
    }
}

/// The records of a load, by start time.
#[derive(Debug, Clone, Default)]
pub struct Records(pub Vec<Record>);

impl Records {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Requests without a whole answer or with a status of 400 and above.
    pub fn failed(&self) -> Vec<&Record> {
        self.0.iter().filter(|r| r.failed()).collect()
    }

    /// Requests that met this failure.
    pub fn with_failure(&self, failure: &Failure) -> Vec<&Record> {
        self.0
            .iter()
            .filter(|r| r.failure.as_ref() == Some(failure))
            .collect()
    }

    /// Longest time of a request; zero without requests.
    pub fn slowest(&self) -> Duration {
        self.0.iter().map(|r| r.took).max().unwrap_or_default()
    }

    /// Requests that started at `instant` or later.
    pub fn since(&self, instant: Instant) -> Records {
        Records(
            self.0
                .iter()
                .filter(|r| r.start >= instant)
                .cloned()
                .collect(),
        )
    }

    /// Requests that started before `instant`.
    pub fn before(&self, instant: Instant) -> Records {
        Records(
            self.0
                .iter()
                .filter(|r| r.start < instant)
                .cloned()
                .collect(),
        )
    }

    /// Number of answers per backend; failed requests are not counted.
    pub fn by_backend(&self) -> BTreeMap<String, usize> {
        count(
            self.0
                .iter()
                .filter(|r| r.failure.is_none())
                .map(|r| r.backend.clone()),
        )
    }

    /// Number of requests per child; without those of unknown child.
    pub fn by_child(&self) -> BTreeMap<u32, usize> {
        count(self.0.iter().filter(|r| r.child != 0).map(|r| r.child))
    }

    /// Number of answers per status; 0 stands for none.
    pub fn by_status(&self) -> BTreeMap<u16, usize> {
        count(self.0.iter().map(|r| r.status))
    }

    /// Answers of this backend.
    pub fn from(&self, backend: &str) -> Records {
        Records(
            self.0
                .iter()
                .filter(|r| r.backend == backend)
                .cloned()
                .collect(),
        )
    }

    /// # Panics
    /// When a request failed, when one took longer than `limit`, or when there was none.
    #[track_caller]
    pub fn assert_clean(&self, limit: Duration) {
        assert!(!self.is_empty(), "no requests");
        let failed = self.failed();
        assert!(
            failed.is_empty(),
            "{} of {} requests failed; the first: {:?}",
            failed.len(),
            self.len(),
            failed[0]
        );
        let limit = limit * sanitizer::slower();
        let slow: Vec<_> = self.0.iter().filter(|r| r.took > limit).collect();
        assert!(
            slow.is_empty(),
            "{} requests took over {limit:?}; the first: {:?}",
            slow.len(),
            slow[0]
        );
    }
}

fn count<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}
