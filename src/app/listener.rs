//! The listener: takes connections, and says of each request whom it comes from.
//!
//! Owns what holds before any of the rooms sees a request: how many connections there are, how long headers and bodies may take,
//! how large headers may be, which address a request is counted under, and that nobody but a proxy of ours speaks of certificates.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;
use axum::{BoxError, Router};
use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

use crate::config::Config;
use crate::door::Proxies;

/// Bytes that a request line and its headers may have; what is longer is answered 431.
const LONGEST_HEAD: u16 = 32 * 1024;
/// Headers of a request.
const MOST_HEADERS: usize = 100;
/// Requests at the same time on one connection that multiplexes.
const STREAMS: u32 = 32;
/// How often a connection that multiplexes is asked whether somebody is still there.
const ALIVE: Duration = Duration::from_secs(20);
/// Pause after the system had no more sockets for us.
const EXHAUSTED: Duration = Duration::from_millis(200);

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What holds of every connection.
pub(super) struct Gate {
    proxies: Proxies,
    certificate_header: Option<HeaderName>,
    most_connections: usize,
    header_timeout: Duration,
    body_timeout: Duration,
}

impl Gate {
    pub(super) fn new(config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            proxies: Proxies::new(&config.server.trusted_proxies),
            certificate_header: HeaderName::try_from(&config.webhooks.certificate_header).ok(),
            most_connections: usize::try_from(limits.max_connections).unwrap_or(Semaphore::MAX_PERMITS),
            header_timeout: limits.header_timeout,
            body_timeout: limits.body_timeout,
        }
    }

    /// The request as the rooms see it: with the address it is counted under, and a body that ends in time.
    fn pass<B>(&self, peer: IpAddr, request: Request<B>) -> Request
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let (forwarded, listed) = (lines(&parts.headers, header::FORWARDED), lines(&parts.headers, X_FORWARDED_FOR));
        let client = self.proxies.client(peer, &forwarded, &listed);
        parts.extensions.insert(client);
        if let Some(name) = self.certificate_header.as_ref().filter(|_| !self.proxies.trusts(peer)) {
            parts.headers.remove(name);
        }
        let body = if body.is_end_stream() { Body::empty() } else { timed(Body::new(body), self.body_timeout) };
        Request::from_parts(parts, body)
    }
}

fn lines(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
}

/// A body that has failed when it is not there in time: not the pause between two of its parts is counted, which a sender of one
/// byte at a time never exceeds, but all of it.
fn timed(body: Body, longest: Duration) -> Body {
    let late = Box::pin(tokio::time::timeout(longest, std::future::pending::<()>()));
    let chunks = stream::unfold(Some((body.into_data_stream(), late)), async |reading| {
        let (mut chunks, late) = reading?;
        match select(chunks.next(), late).await {
            Either::Left((chunk, late)) => Some((chunk?.map_err(BoxError::from), Some((chunks, late)))),
            Either::Right(_) => Some((Err("the body came too slowly".into()), None)),
        }
    });
    Body::from_stream(chunks)
}

/// Takes connections until told to stop, and ends when the last of them has.
pub(super) async fn serve(listener: TcpListener, router: Router, gate: Gate, stop: CancellationToken) {
    let gate = Arc::new(gate);
    let connections = Arc::new(Semaphore::new(gate.most_connections.min(Semaphore::MAX_PERMITS)));
    let open = TaskTracker::new();
    while let Some((stream, peer, permit)) = stop.run_until_cancelled(accept(&listener, &connections)).await.flatten() {
        let door = Door { gate: gate.clone(), peer: peer.ip(), router: router.clone(), begun: Arc::default() };
        let connection = hold(stream, door, stop.clone());
        open.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
    // Whoever comes now is refused at once instead of being kept waiting.
    drop(listener);
    open.close();
    open.wait().await;
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, permit)),
            // Of one connection that has gone already, or of too many; the listener itself does not fail.
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                let _ = tokio::time::timeout(EXHAUSTED, std::future::pending::<()>()).await;
            }
        }
    }
}

/// Serves one connection to its end. One that does nothing is ended: the time for headers begins with the first byte, and of a
/// connection that multiplexes not at all.
async fn hold(stream: TcpStream, door: Door, stop: CancellationToken) {
    let (idle, begun) = (door.gate.header_timeout, door.begun.clone());
    let mut builder = Builder::new(TokioExecutor::new());
    let longest = usize::from(LONGEST_HEAD);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(longest).max_headers(MOST_HEADERS);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(ALIVE).keep_alive_timeout(ALIVE);
    builder.http2().max_header_list_size(LONGEST_HEAD.into()).max_concurrent_streams(STREAMS);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(door)));
    let (mut seen, mut told) = (0, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended badly");
                }
                return;
            }
            () = stop.cancelled(), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = tokio::time::timeout(idle, std::future::pending::<()>()) => {
                let requests = begun.load(Ordering::Relaxed);
                if requests == 0 {
                    return;
                }
                // What is being answered is answered to its end.
                if requests == seen {
                    connection.as_mut().graceful_shutdown();
                }
                seen = requests;
            }
        }
    }
}

/// The service of one connection.
#[derive(Clone)]
struct Door {
    gate: Arc<Gate>,
    peer: IpAddr,
    router: Router,
    /// Requests so far.
    begun: Arc<AtomicUsize>,
}

impl<B> Service<Request<B>> for Door
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Box::pin(self.router.clone().oneshot(self.gate.pass(self.peer, request)))
    }
}

#[cfg(test)]
mod tests;
