//! A real browser: Debian's Chromium without a screen, driven by its DevTools protocol.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

/// A page that takes longer than this to load, or a browser that says nothing for so long, is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Nothing of its own on the network, nothing that needs a screen, a sandbox or much /dev/shm.
const OPTIONS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--ignore-certificate-errors",
    "--remote-debugging-pipe",
];

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub width: u32,
    pub height: u32,
    /// The user prefers dark pages.
    pub dark: bool,
    /// As a phone does it: `meta viewport` counts.
    pub phone: bool,
}

impl View {
    /// A desktop's window.
    pub const DESKTOP: Self = Self {
        width: 1280,
        height: 900,
        dark: false,
        phone: false,
    };
    /// A small phone.
    pub const PHONE: Self = Self {
        width: 360,
        height: 740,
        dark: false,
        phone: true,
    };

    /// The same for a user who prefers dark pages.
    pub fn dark(self) -> Self {
        Self { dark: true, ..self }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Look {
    /// Status of the answer; 0 for a file.
    pub status: u16,
    pub title: String,
    /// The text as it is seen, what is folded up not among it.
    pub text: String,
    /// Width of the page: more than [`View::width`] means that it must be scrolled.
    pub width: u32,
    /// Height of the whole page.
    pub height: u32,
    /// URLs that were fetched, the page itself first.
    pub fetched: Vec<String>,
    /// What the browser has to say against it: errors of scripts, blocked or failed loads.
    pub complaints: Vec<String>,
    /// Picture of the whole page (PNG, 8,000 pixels high at most).
    pub png: Vec<u8>,
}

impl Look {
    /// Keeps the picture.
    pub fn save(&self, file: &Path) {
        fs::write(file, &self.png).expect("the picture can be written");
    }

    /// Keeps the picture in the directory that `LIVE_PICTURES` names, if it is set.
    pub fn keep(&self, name: &str, view: View) {
        if let Some(directory) = env::var_os("LIVE_PICTURES") {
            let mode = if view.dark { "dark" } else { "light" };
            let file = format!("{name}-{}-{mode}.png", view.width);
            self.save(&Path::new(&directory).join(file));
        }
    }

    /// It fits into its window, fetched nothing but itself, and the browser has no complaints.
    #[track_caller]
    pub fn assert_whole(&self, url: &str, view: View) {
        assert!(
            self.width <= view.width,
            "{url}: {} wide in {view:?}",
            self.width
        );
        let own = |fetched: &String| fetched == url || fetched == "data:,";
        assert!(self.fetched.iter().all(own), "{:?}", self.fetched);
        assert!(self.complaints.is_empty(), "{url}: {:?}", self.complaints);
    }
}

/// A Chromium that runs until this is dropped.
pub struct Browser {
    chromium: Child,
    pipe: UnixStream,
    /// What was read, up to the NUL behind each message.
    unread: Vec<u8>,
    profile: PathBuf,
    last_id: u64,
    /// The tab's events since the page was asked for.
    events: Vec<Value>,
}

impl Browser {
    /// Starts one. On a machine under load Chromium sometimes ends by itself before it has said a word: again then.
    pub fn start() -> Self {
        for _ in 0..5 {
            let mut browser = Self::launch();
            if browser.says_something() {
                return browser;
            }
        }
        panic!("Chromium does not start (is the package chromium installed?)");
    }

    fn says_something(&mut self) -> bool {
        let hello = b"{\"id\":0,\"method\":\"Browser.getVersion\"}\0";
        let mut piece = [0; 4_096];
        let mut said = Vec::new();
        if self.pipe.write_all(hello).is_err() {
            return false;
        }
        while !said.ends_with(&[0]) {
            match self.pipe.read(&mut piece) {
                Ok(count) if count > 0 => said.extend(&piece[..count]),
                _ => return false,
            }
        }
        true
    }

    fn launch() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("live-browser-{}-{number}", std::process::id());
        let profile = env::temp_dir().join(name);
        fs::create_dir_all(&profile).expect("a directory for the browser");
        let (pipe, theirs) = UnixStream::pair().expect("a pair of sockets");
        pipe.set_read_timeout(Some(LIMIT)).expect("a time limit");
        // Chromium reads commands from descriptor 3 and writes to 4. In a group of its own: it has many children.
        let chromium = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&0 0</dev/null", "sh", "chromium"])
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .env("HOME", &profile)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Self {
            chromium,
            pipe,
            unread: Vec::new(),
            profile,
            last_id: 0,
            events: Vec::new(),
        }
    }

    /// Loads the page in a new tab and looks at it.
    pub fn look(&mut self, url: &str, view: View) -> Look {
        let tab = self.ask("", "Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": tab["targetId"], "flatten": true});
        let attached = self.ask("", "Target.attachToTarget", target);
        let session = text(&attached["sessionId"]);
        for domain in [
            "Page.enable",
            "Network.enable",
            "Log.enable",
            "Runtime.enable",
        ] {
            self.ask(&session, domain, json!({}));
        }
        self.set(&session, view);
        self.events.clear();
        let answer = self.ask(&session, "Page.navigate", json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        self.wait_for(&session, "Page.loadEventFired");
        let look = self.see(&session);
        self.ask(
            "",
            "Target.closeTarget",
            json!({"targetId": tab["targetId"]}),
        );
        look
    }

    fn set(&mut self, session: &str, view: View) {
        let metrics = json!({
            "width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": view.phone,
        });
        self.ask(session, "Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if view.dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask(session, "Emulation.setEmulatedMedia", features);
    }

    fn see(&mut self, session: &str) -> Look {
        const SEEN: &str = "JSON.stringify([document.title, document.body.innerText, \
            document.documentElement.scrollWidth, document.documentElement.scrollHeight])";
        let seen = self.ask(session, "Runtime.evaluate", json!({"expression": SEEN}));
        let seen: Value = serde_json::from_str(&text(&seen["result"]["value"])).expect("JSON");
        let (width, height) = (number(&seen[2]), number(&seen[3]));
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height.min(8_000), "scale": 1});
        let shot = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = self.ask(session, "Page.captureScreenshot", shot);
        let events = std::mem::take(&mut self.events);
        let of = |method: &'static str| {
            events
                .iter()
                .filter(move |e| e["method"] == method)
                .map(|e| &e["params"])
        };
        let status = of("Network.responseReceived").find(|e| e["type"] == "Document");
        Look {
            status: status.map_or(0, |e| number(&e["response"]["status"]) as u16),
            title: text(&seen[0]),
            text: text(&seen[1]),
            width,
            height,
            fetched: of("Network.requestWillBeSent")
                .map(|e| text(&e["request"]["url"]))
                .collect(),
            complaints: [
                "Log.entryAdded",
                "Runtime.exceptionThrown",
                "Network.loadingFailed",
            ]
            .into_iter()
            .flat_map(of)
            .map(Value::to_string)
            .collect(),
            png: from_base64(&text(&picture["data"])),
        }
    }

    /// Sends a command and waits for its result.
    fn ask(&mut self, session: &str, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut command = json!({"id": id, "method": method, "params": params});
        if !session.is_empty() {
            command["sessionId"] = json!(session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.pipe
            .write_all(&bytes)
            .expect("Chromium reads (is the package chromium installed?)");
        loop {
            let message = self.read();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn wait_for(&mut self, session: &str, method: &str) {
        let is_it = |event: &Value| event["method"] == method && event["sessionId"] == session;
        let began = Instant::now();
        while !self.events.iter().any(is_it) {
            assert!(began.elapsed() < LIMIT, "no {method} within {LIMIT:?}");
            let message = self.read();
            self.events.push(message);
        }
    }

    /// The next message.
    fn read(&mut self) -> Value {
        let mut piece = [0; 65_536];
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&message[..end]).expect("a message in JSON");
            }
            let count = self
                .pipe
                .read(&mut piece)
                .expect("Chromium answers in time");
            assert!(
                count > 0,
                "Chromium has ended (is the package chromium installed?)"
            );
            self.unread.extend(&piece[..count]);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.chromium.id() as i32) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.chromium.wait();
        // its children may still be writing at that moment
        for _ in 0..20 {
            if fs::remove_dir_all(&self.profile).is_ok() || !self.profile.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u32 {
    value.as_f64().unwrap_or_default() as u32
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0);
    for byte in text.bytes() {
        let Some(digit) = DIGITS.iter().position(|d| *d == byte) else {
            break; // the padding
        };
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::from_base64;

    #[test]
    fn base64() {
        assert_eq!(from_base64("bGl2ZQ=="), b"live");
        assert_eq!(from_base64("+/+A"), [0xfb, 0xff, 0x80]);
        assert_eq!(from_base64(""), b"");
    }
}
