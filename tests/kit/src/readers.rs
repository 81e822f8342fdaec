//! Programs that others wrote, as readers of what the module shows: HTML by tidy and html5lib, metrics by Prometheus'
//! own tool and its strict OpenMetrics parser.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

/// Debian's own, which has the packages; another one may come first in the path.
const PYTHON: &str = "/usr/bin/python3";

/// Runs a program (Debian packages: see `apxs/packages`) on `input`: whether it was content, and everything it wrote.
pub fn run(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program}: {error} (./apxs/test installs what is missing)")
        });
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = thread::scope(|scope| {
        // it may write before it has read everything
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().expect("it ends")
    });
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

/// tidy has no word against a page, and html5lib in its strict mode, which stops at the first error, reads it: with nothing of what came
/// from outside among its elements.
#[track_caller]
pub fn assert_html(name: &str, page: &str) {
    const READ: &str = "
import sys, html5lib
data = sys.stdin.buffer.read()
tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(data, transport_encoding='utf-8')
assert not list(tree.iter('script')) and not list(tree.iter('img')) and len(list(tree.iter('h1'))) == 1
assert all(not key.startswith('on') for one in tree.iter() for key in one.keys())
ids = [one.get('id') for one in tree.iter() if one.get('id')]
assert len(ids) == len(set(ids)), ids
for link in tree.iter('a'):
    href = link.get('href')
    assert href[0] in '/?#' and not href.startswith('//'), href
    assert not href.startswith('#') or href[1:] in ids, href
";
    let (good, told) = run("tidy", &["-q", "-e", "-utf8"], page);
    assert!(good && told.is_empty(), "{name}: {told}");
    let (good, told) = run(PYTHON, &["-c", READ], page);
    assert!(good && told.is_empty(), "{name}: {told}");
}

/// Another program's parser reads it.
#[track_caller]
pub fn assert_json(name: &str, text: &str) {
    let (good, told) = run(PYTHON, &["-m", "json.tool", "--compact"], text);
    assert!(good && told.contains("\"format\":1"), "{name}: {told}");
}

/// Prometheus' tool reads the metrics (its text format) and finds nothing against their names, types and helps.
#[track_caller]
pub fn assert_prometheus(name: &str, metrics: &str) {
    let (good, told) = run("promtool", &["check", "metrics"], metrics);
    assert!(good && told.is_empty(), "{name}: {told}");
}

/// The strict parser of OpenMetrics reads every sample.
#[track_caller]
pub fn assert_openmetrics(name: &str, metrics: &str) {
    const READ: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
data = sys.stdin.buffer.read().decode('utf-8')
print(sum(len(family.samples) for family in text_string_to_metric_families(data)))
";
    let lines = metrics.lines();
    let samples = lines.filter(|line| !line.starts_with('#')).count();
    let (good, told) = run(PYTHON, &["-c", READ], metrics);
    assert!(
        good && told.trim() == samples.to_string(),
        "{name}: {samples} samples, {told}"
    );
}
