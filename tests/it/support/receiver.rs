//! A receiver of deliveries, as bad as it has to be: it keeps what it was sent, and answers as it was told.
//!
//! Speaks HTTP/1.1 over plain sockets, since a server that is well made could not hang, reset or lie.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::eventually;

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status, more headers as they are written, a body.
    Answer(u16, &'static str, &'static str),
    /// Nothing, ever.
    Hang,
    /// The connection is reset.
    Reset,
    /// 200, and a body without end.
    Endless,
    /// 200 with a length that never comes.
    Lie,
}

/// What came in.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}

type Behaviour = Arc<dyn Fn(usize, &Received) -> Reply + Send + Sync>;

/// Listens until it is dropped.
pub struct Receiver {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    pub async fn good() -> Self {
        Self::that(|_, _| Reply::Answer(200, "", "thanks")).await
    }

    /// One that answers as this says, which is given how many came before.
    pub async fn that(behaviour: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let (kept, behaviour): (_, Behaviour) = (Arc::clone(&received), Arc::new(behaviour));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&behaviour)));
            }
        });
        Self { url, received, task }
    }

    /// One that has stopped listening.
    pub async fn closed() -> Self {
        let receiver = Self::good().await;
        receiver.task.abort();
        eventually("the port to be closed", Duration::from_secs(10), async || {
            receiver.task.is_finished().then_some(())
        })
        .await;
        receiver
    }

    /// What has come in so far, in the order of its arrival.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The ids of what has come in, each as often as it came.
    pub fn ids(&self) -> Vec<String> {
        self.received().iter().map(|received| received.header("webhook-id").to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, kept: Arc<Mutex<Vec<Received>>>, behaviour: Behaviour) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let request = read(&mut stream, &mut buffer).await?;
        let before = {
            let mut kept = kept.lock().unwrap();
            kept.push(request.clone());
            kept.len() - 1
        };
        match behaviour(before, &request) {
            Reply::Answer(status, headers, body) => {
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.ok()?;
            }
            Reply::Hang => std::future::pending().await,
            Reply::Reset => {
                // Without a farewell: what was written is thrown away.
                stream.set_zero_linger().ok()?;
                return None;
            }
            Reply::Endless => {
                stream.write_all(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
                loop {
                    stream.write_all(b"400\r\n").await.ok()?;
                    stream.write_all(&[b'x'; 1024]).await.ok()?;
                    stream.write_all(b"\r\n").await.ok()?;
                }
            }
            Reply::Lie => {
                stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 9999999999\r\n\r\nno more").await.ok()?;
                std::future::pending().await
            }
        }
    }
}

pub(super) async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (first.next()?, first.next()?);
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    let headers: Vec<(String, String)> = lines.filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(Ok(0), |(_, value)| value.parse());
    let length: usize = length.ok()?;
    while buffer.len() < end + 4 + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&buffer[end + 4..end + 4 + length]).into_owned();
    buffer.drain(..end + 4 + length);
    Some(Received { method, path, headers, body })
}
