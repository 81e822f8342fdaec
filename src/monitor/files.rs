//! Small system files: read, and read again when they change.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most that is read of a file, in bytes.
const MAX_SIZE: u64 = 16 << 20;

/// A file that is looked at now and then.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// Reads the file for the first time. A file that is missing or not readable is empty.
    pub fn open(path: &Path) -> (Self, String) {
        let mut watched = Self {
            path: path.to_owned(),
            stamp: None,
        };
        let text = watched.read_again();
        (watched, text)
    }

    /// The new text when the file is another one than last time: one `stat`, and a read
    /// only after a change.
    pub fn poll(&mut self) -> Option<String> {
        if stamp(&self.path) == self.stamp {
            return None;
        }
        Some(self.read_again())
    }

    fn read_again(&mut self) -> String {
        // Stamped before it is read: a change in between is seen next time.
        self.stamp = stamp(&self.path);
        read(&self.path)
    }
}

/// The text of a file, bytes that are not UTF-8 replaced; empty when it cannot be read.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    // Opening a pipe or a device could block.
    let regular = fs::metadata(path).is_ok_and(|meta| meta.is_file());
    if regular && let Ok(file) = fs::File::open(path) {
        // What was read before an error is all there is.
        let _ = file.take(MAX_SIZE).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp {
        device: meta.dev(),
        inode: meta.ino(),
        size: meta.size(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}

/// The machine's host name; empty when the kernel does not tell.
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// The index of a network interface by its name.
pub fn interface_index(name: &str) -> Option<u32> {
    // The name becomes a part of a path.
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return None;
    }
    let path = Path::new("/sys/class/net").join(name).join("ifindex");
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_once() {
        let dir = std::env::temp_dir().join(format!("live-files-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("hosts");
        let (mut watched, text) = Watched::open(&path);
        assert_eq!((text.as_str(), watched.poll()), ("", None));

        fs::write(&path, "one").unwrap();
        assert_eq!(watched.poll().as_deref(), Some("one"));
        assert_eq!(watched.poll(), None);

        // The same size, put in place by a rename as editors do.
        fs::write(dir.join("new"), "two").unwrap();
        fs::rename(dir.join("new"), &path).unwrap();
        assert_eq!(watched.poll().as_deref(), Some("two"));

        fs::write(&path, [b'a', 0xff]).unwrap();
        assert_eq!(watched.poll().as_deref(), Some("a\u{fffd}"));

        fs::remove_file(&path).unwrap();
        assert_eq!(watched.poll().as_deref(), Some(""));
        assert_eq!(watched.poll(), None);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn interfaces_have_an_index() {
        assert_eq!(interface_index("lo"), Some(1));
        assert_eq!(interface_index("no-such-interface"), None);
        assert_eq!(interface_index("../net/lo"), None);
        assert_eq!(interface_index(""), None);
    }
}
