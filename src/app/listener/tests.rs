//! The listener over real sockets: slow, large, many; and what proxies say.

use std::net::SocketAddr;

use axum::Extension;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::door::Client;

const NAP: Duration = Duration::from_millis(300);

async fn listening(more: &str) -> (SocketAddr, CancellationToken) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let limits = "[limits]\nheader_timeout = \"300ms\"\nbody_timeout = \"300ms\"\nmax_connections = 2\n";
    std::fs::write(file.path(), format!("{limits}{more}")).unwrap();
    let config = Config::load(Some(file.path()), std::iter::empty()).unwrap();
    let router = Router::new()
        .route("/who", get(async |Extension(client): Extension<Client>| client.address().to_string()))
        .route("/certificate", get(async |headers: HeaderMap| headers.get("x-client-cert").map_or("none", |_| "some")))
        .route("/length", post(async |body: Bytes| body.len().to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(serve(listener, router, Gate::new(&config), stop.clone()));
    (address, stop)
}

/// What is answered to these bytes until the connection is closed; empty when it is closed without a word.
async fn say(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    heard(&mut stream).await
}

async fn heard(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // A reset after the answer is an end too.
    let _ = tokio::time::timeout(Duration::from_secs(20), read).await.expect("the connection stays open");
    String::from_utf8_lossy(&answer).into_owned()
}

fn asked(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[tokio::test]
async fn who_says_nothing_or_says_it_slowly_is_not_waited_for() {
    let (address, _stop) = listening("").await;
    let head = "POST /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(body(&say(address, &format!("{head}12345")).await), "5");
    for silent in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /who HTTP/1.1\r\nHost"] {
        let answer = say(address, silent).await;
        assert!(!answer.contains("200 OK"), "{silent:?} was answered {answer}");
    }
    // A byte now and then: it is the whole that has its time.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut dripping = tokio::time::interval(NAP / 4);
    for _ in 0..4 {
        dripping.tick().await;
        let _ = stream.write_all(b"1").await;
    }
    dripping.tick().await;
    let answer = heard(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_is_done_with_is_closed_and_frees_its_place() {
    let (address, _stop) = listening("").await;
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        idle.push(stream);
    }
    // The third is answered once one of the two is gone.
    assert_eq!(body(&say(address, &asked("/who", "")).await), "127.0.0.1");
    for mut stream in idle {
        assert!(heard(&mut stream).await.ends_with("127.0.0.1"));
    }
}

#[tokio::test]
async fn headers_that_are_too_large_or_too_many_are_refused() {
    let (address, _stop) = listening("").await;
    let many: String = (0..200).map(|n| format!("a{n}: b\r\n")).collect();
    for more in [format!("a: {}\r\n", "b".repeat(64 * 1024)), many] {
        let answer = say(address, &asked("/who", &more)).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    assert_eq!(body(&say(address, &asked("/who", "a: b\r\n")).await), "127.0.0.1");
}

#[tokio::test]
async fn proxies_of_ours_are_believed_and_nobody_else() {
    let said = "X-Forwarded-For: 1.2.3.4, 198.51.100.7\r\nX-Client-Cert: abc\r\n";
    let (stranger, _stop) = listening("[webhooks]\ncertificate_header = \"\"\n").await;
    assert_eq!(body(&say(stranger, &asked("/who", said)).await), "127.0.0.1");
    let named = "[webhooks]\ncertificate_header = \"X-Client-Cert\"\n[server]\ntrusted_proxies = ";
    let (stranger, _stop) = listening(&format!("{named}[\"10.0.0.0/8\"]\n")).await;
    assert_eq!(body(&say(stranger, &asked("/who", said)).await), "127.0.0.1");
    assert_eq!(body(&say(stranger, &asked("/certificate", said)).await), "none");
    let (ours, _stop) = listening(&format!("{named}[\"127.0.0.0/8\"]\n")).await;
    assert_eq!(body(&say(ours, &asked("/who", said)).await), "198.51.100.7");
    assert_eq!(body(&say(ours, &asked("/certificate", said)).await), "some");
}

#[tokio::test]
async fn told_to_stop_it_answers_what_it_has_and_takes_no_more() {
    let (address, stop) = listening("").await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1").await.unwrap();
    // Answered on another connection, so the first one has been taken.
    assert_eq!(body(&say(address, &asked("/who", "")).await), "127.0.0.1");
    stop.cancel();
    stream.write_all(b"2").await.unwrap();
    assert_eq!(body(&heard(&mut stream).await), "2");
    assert!(TcpStream::connect(address).await.is_err());
}
