//! An HTTP server that keeps what it was sent and answers as it was told, 200 otherwise.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use flate2::read::GzDecoder;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The server. It ends with the test's runtime.
pub(crate) struct Receiver {
    origin: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    answers: Mutex<VecDeque<Response>>,
}

/// One request as it came.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path and query, or the whole address where it was sent to a proxy.
    pub(crate) path: String,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        Self::serve(listener, origin)
    }

    pub(crate) async fn start_tls(acceptor: TlsAcceptor) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let origin = format!("https://localhost:{}", tcp.local_addr().expect("an address").port());
        Self::serve(TlsListener { tcp, acceptor }, origin)
    }

    fn serve<L: Listener>(listener: L, origin: String) -> Self
    where
        L::Addr: std::fmt::Debug,
    {
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(take).layer(DefaultBodyLimit::disable()).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, shared }
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Where to post to.
    pub(crate) fn url(&self) -> String {
        format!("{}/ingest?index=x", self.origin)
    }

    /// The answer to the next request that has none yet.
    pub(crate) fn answer(&self, status: StatusCode, headers: &[(&str, &str)], body: &str) {
        let mut response = (status, body.to_owned()).into_response();
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).expect("a name");
            response.headers_mut().insert(name, HeaderValue::try_from(*value).expect("a value"));
        }
        self.shared.answers.lock().expect("not poisoned").push_back(response);
    }

    /// The requests since the last time.
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.shared.requests.lock().expect("not poisoned"))
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.requests.lock().expect("not poisoned").push(Request { method, path: uri.to_string(), headers, body });
    shared.answers.lock().expect("not poisoned").pop_front().unwrap_or_else(|| StatusCode::OK.into_response())
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The body without its compression.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        match self.header("content-encoding") {
            Some("gzip") => GzDecoder::new(&self.body[..]).read_to_string(&mut text).expect("gzip"),
            Some(other) => panic!("{other}"),
            None => (&self.body[..]).read_to_string(&mut text).expect("UTF-8"),
        };
        text
    }

    /// The numbers of the events in it.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let text = self.text();
        let values: Vec<serde_json::Value> = match text.starts_with('[') {
            true => serde_json::from_str(&text).expect("an array"),
            false => text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect(),
        };
        values.iter().map(|event| event["sequence"].as_u64().expect("a number")).collect()
    }
}

/// TLS in front of the server.
struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.tcp.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
