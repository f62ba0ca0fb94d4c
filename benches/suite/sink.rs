//! A fast receiver of deliveries, on a thread of its own over plain sockets: an HTTP server costs as much as a client, and here both
//! share the machine. Under `/dead` it takes the request and never answers.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One delivery that came in.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    pub id: String,
    /// Whom it is about, in Marketo; nobody in a request that is no event.
    pub person: i64,
    /// Count of the person's events.
    pub sequence: usize,
}

/// Listens as long as the process runs.
pub struct Sink {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Sink {
    pub fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&kept)));
                }
            });
        });
        Self { url, received }
    }

    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// When the last of them came in.
    pub fn received_last(&self) -> Instant {
        self.received.lock().unwrap().iter().map(|one| one.at).max().unwrap()
    }

    /// What has come in since it was asked last.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn serve(mut stream: TcpStream, kept: Arc<Mutex<Vec<Received>>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer = Vec::with_capacity(8192);
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let header = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default().to_owned()
        };
        let length: usize = header("content-length:").parse().ok()?;
        while buffer.len() < end + length {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        let at = Instant::now();
        if head.starts_with("POST /dead") {
            std::future::pending::<()>().await;
        }
        let body = String::from_utf8_lossy(&buffer[end..end + length]).into_owned();
        buffer.drain(..end + length);
        let number = |name: &str| {
            let digits = body.rsplit_once(name).map_or("", |(_, rest)| rest);
            digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse::<i64>().unwrap_or(0)
        };
        let sequence = usize::try_from(number("\"sequence\":")).unwrap_or(0);
        let received = Received { at, id: header("webhook-id:"), person: number("\"marketo_id\":"), sequence };
        kept.lock().unwrap().push(received);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
    }
}
