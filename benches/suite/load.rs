//! Requests over plain sockets on a thread of its own: an HTTP client costs as much as a server, and here both share the machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Headers, each with its line end, and the body of the next request; asked once for each.
pub type Next = Arc<dyn Fn() -> (String, String) + Send + Sync>;

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub connections: usize,
    pub time: Duration,
    /// Requests a second, whether or not those before are answered; none for as fast as the connections go.
    pub rate: Option<f64>,
}

/// What was answered.
#[derive(Debug, Default)]
pub struct Loaded {
    /// As it should be.
    pub good: usize,
    /// From when each was due to its answer, in milliseconds.
    pub millis: Vec<f64>,
}

impl Load {
    /// Posts to an address; what is answered otherwise than wanted is not counted.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub async fn post(self, url: &str, wanted: StatusCode, next: Next) -> Loaded {
        let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
        let (host, path) = (host.to_owned(), path.to_owned());
        let blast = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connections = Vec::new();
                for _ in 0..self.connections {
                    connections.push(Connection::open(&host).await);
                }
                let (start, mut tasks) = (Instant::now(), tokio::task::JoinSet::new());
                for (n, mut connection) in connections.into_iter().enumerate() {
                    let (host, path, next) = (host.clone(), path.clone(), Arc::clone(&next));
                    let every = self.rate.map(|rate| Duration::from_secs_f64(self.connections as f64 / rate));
                    tasks.spawn(async move {
                        let mut loaded = Loaded::default();
                        // Evenly among those of the other connections.
                        let mut due = start
                            + every.map_or(Duration::ZERO, |every| every.mul_f64(n as f64 / self.connections as f64));
                        while due.max(Instant::now()) < start + self.time {
                            match every {
                                Some(every) => {
                                    tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
                                    loaded.send(&mut connection, &host, &path, due, wanted, &next).await;
                                    due += every;
                                }
                                None => loaded.send(&mut connection, &host, &path, Instant::now(), wanted, &next).await,
                            }
                        }
                        loaded
                    });
                }
                let mut all = Loaded::default();
                for loaded in tasks.join_all().await {
                    all.good += loaded.good;
                    all.millis.extend(loaded.millis);
                }
                all
            })
        };
        tokio::task::spawn_blocking(blast).await.unwrap()
    }
}

impl Loaded {
    async fn send(
        &mut self,
        connection: &mut Connection,
        host: &str,
        path: &str,
        due: Instant,
        wanted: StatusCode,
        next: &Next,
    ) {
        let (headers, body) = next();
        let status = connection.post(host, path, &headers, &body).await;
        self.good += usize::from(status == wanted);
        self.millis.push(due.elapsed().as_secs_f64() * 1000.0);
    }
}

/// One connection that is kept alive.
struct Connection {
    stream: tokio::net::TcpStream,
    read: Vec<u8>,
}

impl Connection {
    async fn open(host: &str) -> Self {
        let stream = tokio::net::TcpStream::connect(host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::with_capacity(4096) }
    }

    async fn post(&mut self, host: &str, path: &str, headers: &str, body: &str) -> StatusCode {
        let request =
            format!("POST /{path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.read.clear();
        loop {
            assert_ne!(self.stream.read_buf(&mut self.read).await.unwrap(), 0, "the server closed the connection");
            if let Some(status) = whole(&self.read) {
                return status;
            }
        }
    }
}

/// The status of an answer that has arrived up to its `Content-Length`.
fn whole(answer: &[u8]) -> Option<StatusCode> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).unwrap().to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let length: usize = length.trim().parse().unwrap();
    (answer.len() >= head + length).then(|| text[9..12].parse().unwrap())
}
