//! The browser of the kit notices what it is there to notice.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use live_kit::{Browser, View};

/// Answers every request with this page and status.
fn serve(status: &'static str, page: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let length = page.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            );
        }
    });
    format!("http://{address}/")
}

const HEAD: &str = "<!DOCTYPE html><html lang=en><meta name=viewport content='width=device-width'><link rel=icon href='data:,'>";

fn look(status: &'static str, body: &str, view: View) -> live_kit::Look {
    let page = format!("{HEAD}{body}").leak();
    Browser::start().look(&serve(status, page), view)
}

#[test]
fn a_page_that_fits() {
    let body = "<title>Fits</title><body style='margin:0'><p>words</p><details><summary>more</summary>folded</details>";
    let look = look("404 Not Found", body, View::PHONE);
    assert_eq!(
        (look.status, look.title.as_str(), look.width),
        (404, "Fits", 360)
    );
    assert!(
        look.text.contains("words") && !look.text.contains("folded"),
        "{}",
        look.text
    );
    // the icon's data URL may be told as well
    assert!(
        look.fetched[0].starts_with("http://127.0.0.1:"),
        "{:?}",
        look.fetched
    );
    assert!(
        look.fetched[1..].iter().all(|url| url == "data:,"),
        "{:?}",
        look.fetched
    );
    assert!(look.png.starts_with(b"\x89PNG"));
}

#[test]
fn a_page_that_is_too_wide() {
    let body = "<title>Wide</title><div style='width:700px'>wide</div>";
    assert!(look("200 OK", body, View::PHONE).width >= 700);
}

#[test]
fn what_is_fetched_and_what_fails() {
    let body = "<title>Bad</title><img src=/picture.png alt=x><script>nothing()</script>";
    let look = look("200 OK", body, View::DESKTOP);
    assert!(
        look.fetched.iter().any(|url| url.ends_with("/picture.png")),
        "{:?}",
        look.fetched
    );
    assert!(
        look.complaints
            .iter()
            .any(|c| c.contains("nothing is not defined")),
        "{:?}",
        look.complaints
    );
}

#[test]
fn light_and_dark() {
    let body = "<title>Mode</title><style>.d{display:none}@media(prefers-color-scheme:dark){.d{display:block}.l{display:none}}</style><p class=l>light<p class=d>dark";
    assert_eq!(look("200 OK", body, View::DESKTOP).text.trim(), "light");
    assert_eq!(
        look("200 OK", body, View::DESKTOP.dark()).text.trim(),
        "dark"
    );
}
