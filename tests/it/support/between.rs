//! What stands between two: a vendor's door that misbehaves where it is told to, and a wire to a database that can be cut.
//!
//! `Between` speaks HTTP over plain sockets, since a server that is well made could not drip or bomb, and passes on whatever it is
//! not told to spoil. `Wire` knows no protocol: it passes bytes on, swallows them, or hangs up.

use std::future::pending;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use super::receiver::{Received, read};

/// What a door does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mischief {
    /// Nothing: the request is passed on, and so is the answer.
    Pass,
    /// Sends to itself, again and again.
    Redirect,
    /// One byte at a time, without an end in sight.
    Drip,
    /// 100 MB, and says so.
    Huge,
    /// 100 MB, a piece at a time.
    Endless,
    /// A few hundred kilobytes that unpack to 200 MB.
    Bomb,
    /// 200, and bytes that are no JSON.
    Garbage,
    /// 200 and JSON, but not what the vendor answers.
    Stranger,
}

impl Mischief {
    /// All that is one.
    pub const ALL: [Self; 7] =
        [Self::Redirect, Self::Drip, Self::Huge, Self::Endless, Self::Bomb, Self::Garbage, Self::Stranger];
}

type Behaviour = Arc<dyn Fn(&Received) -> Mischief + Send + Sync>;

/// A door before a vendor. Listens until it is dropped.
pub struct Between {
    pub url: String,
    sent: Arc<AtomicU64>,
    bent: Bent,
    task: tokio::task::JoinHandle<()>,
}

/// What is written in the place of what, in answers that are passed on.
type Bent = Arc<Mutex<Option<(String, String)>>>;

impl Between {
    /// Before the vendor at this address.
    pub async fn start(upstream: &str, behaviour: impl Fn(&Received) -> Mischief + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (own, upstream, sent) = (url.clone(), upstream.to_owned(), Arc::new(AtomicU64::new(0)));
        let (count, behaviour): (_, Behaviour) = (Arc::clone(&sent), Arc::new(behaviour));
        let bent = Bent::default();
        let in_answers = bent.clone();
        let client = reqwest::Client::builder()
            .no_proxy()
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (own, upstream, bent) = (own.clone(), upstream.clone(), in_answers.clone());
                let door = Door { own, upstream, client: client.clone(), bent };
                tokio::spawn(door.serve(stream, Arc::clone(&behaviour), Arc::clone(&count)));
            }
        });
        Self { url, sent, bent, task }
    }

    /// From now on answers say the one where the vendor says the other; none for as they are.
    pub fn bend(&self, words: Option<(&str, &str)>) {
        *self.bent.lock().unwrap() = words.map(|(said, heard)| (said.to_owned(), heard.to_owned()));
    }

    /// Bytes of mischief that were taken from it.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Door {
    own: String,
    upstream: String,
    client: reqwest::Client,
    bent: Bent,
}

impl Door {
    async fn serve(self, mut stream: TcpStream, behaviour: Behaviour, sent: Arc<AtomicU64>) -> Option<()> {
        let mut buffer = Vec::new();
        loop {
            let request = read(&mut stream, &mut buffer).await?;
            match behaviour(&request) {
                Mischief::Pass => self.pass_on(&mut stream, &request).await?,
                mischief => {
                    self.misbehave(&mut stream, mischief, &sent).await?;
                    // Whoever has had enough of it comes by another connection.
                    return None;
                }
            }
        }
    }

    async fn pass_on(&self, stream: &mut TcpStream, request: &Received) -> Option<()> {
        let method = request.method.parse().ok()?;
        let mut passed = self.client.request(method, format!("{}{}", self.upstream, request.path));
        let own = ["host", "content-length", "connection", "accept-encoding", "transfer-encoding"];
        for (name, value) in request.headers.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
            passed = passed.header(name, value);
        }
        let answer = passed.body(request.body.clone()).send().await.ok()?;
        let mut head = format!("HTTP/1.1 {} x\r\n", answer.status().as_u16());
        for (name, value) in answer.headers().iter().filter(|(name, _)| !own.contains(&name.as_str())) {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().ok()?));
        }
        let mut body = answer.bytes().await.ok()?.to_vec();
        if let Some((said, heard)) = &*self.bent.lock().unwrap() {
            body = String::from_utf8_lossy(&body).replace(said, heard).into_bytes();
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()
    }

    async fn misbehave(&self, stream: &mut TcpStream, mischief: Mischief, sent: &AtomicU64) -> Option<()> {
        let head = |more: &str| format!("HTTP/1.1 200 x\r\ncontent-type: application/json\r\n{more}\r\n\r\n");
        match mischief {
            Mischief::Pass => {}
            Mischief::Redirect => {
                let to = format!("HTTP/1.1 302 x\r\nlocation: {}/again\r\ncontent-length: 0\r\n\r\n", self.own);
                stream.write_all(to.as_bytes()).await.ok()?;
            }
            Mischief::Drip => {
                stream.write_all(head("content-length: 1000000").as_bytes()).await.ok()?;
                loop {
                    stream.write_all(b" ").await.ok()?;
                    sent.fetch_add(1, Ordering::Relaxed);
                    let _ = tokio::time::timeout(Duration::from_millis(50), pending::<()>()).await;
                }
            }
            Mischief::Huge => {
                stream.write_all(head(&format!("content-length: {}", 100 << 20)).as_bytes()).await.ok()?;
                for _ in 0..100 {
                    stream.write_all(&[b' '; 1 << 20]).await.ok()?;
                    sent.fetch_add(1 << 20, Ordering::Relaxed);
                }
            }
            Mischief::Endless => {
                stream.write_all(head("transfer-encoding: chunked").as_bytes()).await.ok()?;
                for _ in 0..100 {
                    stream.write_all(b"100000\r\n").await.ok()?;
                    stream.write_all(&[b' '; 1 << 20]).await.ok()?;
                    stream.write_all(b"\r\n").await.ok()?;
                    sent.fetch_add(1 << 20, Ordering::Relaxed);
                }
            }
            Mischief::Bomb => {
                let packed = bomb();
                let more = format!("content-encoding: gzip\r\ncontent-length: {}", packed.len());
                stream.write_all(head(&more).as_bytes()).await.ok()?;
                stream.write_all(packed).await.ok()?;
                sent.fetch_add(packed.len() as u64, Ordering::Relaxed);
            }
            Mischief::Garbage => {
                stream.write_all(head("content-length: 6").as_bytes()).await.ok()?;
                stream.write_all(b"{\xff\x00\"\\u").await.ok()?;
            }
            Mischief::Stranger => {
                let body = br#"{"success":true,"result":{"records":"all of them"},"totalSize":"many"}"#;
                stream.write_all(head(&format!("content-length: {}", body.len())).as_bytes()).await.ok()?;
                stream.write_all(body).await.ok()?;
            }
        }
        Some(())
    }
}

/// 200 MB of nothing, packed.
fn bomb() -> &'static [u8] {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    BOMB.get_or_init(|| {
        let packed = Command::new("sh").args(["-c", "head -c 209715200 /dev/zero | gzip -c"]).output().unwrap();
        assert!(packed.status.success() && packed.stdout.len() < 1 << 20);
        packed.stdout
    })
}

/// What a wire does with what is sent over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Up,
    /// Bytes go nowhere, and nobody is told.
    Swallows,
    /// Connections are closed, and new ones too.
    Cut,
}

/// A wire to a server. Goes on until it is dropped.
pub struct Wire {
    pub port: u16,
    line: watch::Sender<Line>,
    /// Connections that are numbered below this are dead for good, and nobody is told.
    dead: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    /// To the socket at this path.
    pub async fn to_socket(path: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (line, state) = watch::channel(Line::Up);
        let (dead, opened) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (end, count) = (dead.clone(), opened.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if *state.borrow() == Line::Cut {
                    continue;
                }
                let (path, state) = (path.clone(), state.clone());
                let fate = Fate { number: count.fetch_add(1, Ordering::SeqCst), dead: end.clone() };
                tokio::spawn(async move {
                    let server = UnixStream::connect(path).await.ok()?;
                    let (from_client, to_client) = stream.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = carry(from_client, to_server, state.clone(), &fate) => {}
                        () = carry(from_server, to_client, state, &fate) => {}
                    }
                    Some(())
                });
            }
        });
        Self { port, line, dead, opened, task }
    }

    pub fn up(&self) {
        self.line.send_replace(Line::Up);
    }

    pub fn swallows(&self) {
        self.line.send_replace(Line::Swallows);
    }

    /// What is sent over the connections of now goes nowhere for good, and nobody is told; new ones are as ever.
    pub fn freeze(&self) {
        self.dead.store(self.opened.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection among those over a wire.
struct Fate {
    number: u64,
    dead: Arc<AtomicU64>,
}

impl Fate {
    fn is_dead(&self) -> bool {
        self.number < self.dead.load(Ordering::SeqCst)
    }
}

/// One direction. What was swallowed is never sent, so that a connection that lost bytes is of no use any more, as after a partition.
async fn carry(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
    fate: &Fate,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut lost = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = line.changed() => {
                let now = *line.borrow();
                // A partition that ends is told by a reset, as a firewall that has forgotten the connection does.
                if changed.is_err() || now == Line::Cut || (now == Line::Up && lost) {
                    return;
                }
                continue;
            }
        };
        let Ok(length @ 1..) = read else { return };
        match *line.borrow() {
            Line::Up if !lost && !fate.is_dead() => {}
            Line::Cut => return,
            _ => {
                lost = true;
                continue;
            }
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
