//! The fuzz targets in unit tests: their properties, without libFuzzer.

use std::fs;
use std::path::Path;

/// Checks what is kept in the corpus of a target, then `rounds` inputs that are bred from it at random, the same in
/// each run.
pub fn run(target: &str, rounds: u32, check: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let files = fs::read_dir(corpus.join(target)).expect(target);
    let mut paths: Vec<_> = files.map(|file| file.expect(target).path()).collect();
    paths.sort();
    let kept: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| fs::read(path).expect(target))
        .collect();
    assert!(kept.len() >= 15, "{} files for {target}", kept.len());
    for (bytes, path) in kept.iter().zip(&paths) {
        let shown = Shown(bytes);
        println!("{}", path.display()); // shown when it fails
        check(bytes);
        drop(shown);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        let bytes = random.breed(&kept);
        let shown = Shown(&bytes);
        check(&bytes);
        drop(shown);
    }
}

/// Says what was being checked when the check panics.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("input: {}", self.0.escape_ascii());
        }
    }
}

/// xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // the low bits are the worse ones
        (self.0 >> 16) as usize % end.max(1)
    }

    /// One of `kept` with up to four small changes, some of them pieces of another one.
    fn breed(&mut self, kept: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = kept[self.below(kept.len())].clone();
        for _ in 0..=self.below(4) {
            let (at, from) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
            match (self.below(6), bytes.get_mut(at)) {
                (0, Some(byte)) => *byte ^= 1 << self.below(8),
                (1, Some(byte)) => *byte = [0, 1, b'\n', b' ', 0x7f, 0xff][self.below(6)],
                (2, Some(_)) => drop(bytes.remove(at)),
                (3, _) => bytes.insert(at, self.below(256) as u8),
                (4, _) => drop(bytes.drain(at.min(from)..at.max(from))),
                _ => {
                    let other = &kept[self.below(kept.len())];
                    let start = self.below(other.len());
                    let end = other.len().min(start + self.below(32));
                    bytes.splice(at..at, other[start..end].iter().copied());
                }
            }
        }
        bytes
    }
}
