//! The server and the way to reach it: what all subcommands that connect have in common.

use crate::failure::Failure;
use crate::output::{Line, Output};
use crate::values;
use clap::{Args, ValueEnum};
use sansocket_tokio::{Client, ClientSocket, ConnectionEvent, TransportKind};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
#[cfg(feature = "tls")]
use tokio_rustls::rustls;

/// The options of all subcommands that connect.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Address of the server: http, https, ws or wss (http if it names none). Its path names a namespace
    pub(crate) url: String,
    /// Namespace to join, instead of the address's; `connect` and `listen` take several
    #[arg(short, long = "namespace", value_name = "NAME")]
    namespaces: Vec<String>,
    /// Auth to send when joining: a JSON object, or @FILE with one
    #[arg(long, value_name = "JSON", value_parser = values::auth)]
    pub(crate) auth: Option<Box<RawValue>>,
    /// Header to add to each request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Query parameter to add to each request; may be given several times
    #[arg(long = "query", value_name = "KEY=VALUE", value_parser = parameter)]
    queries: Vec<(String, String)>,
    /// Path of Socket.IO on the server
    #[arg(long, default_value = "/socket.io/")]
    path: String,
    /// Transport to use; if given twice, the first one opens the session [default: polling, then websocket]
    #[arg(long = "transport", value_name = "NAME")]
    transports: Vec<Transport>,
    /// Certificates (PEM) to trust instead of the system's, for https and wss
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
    /// Forward proxy to use, as `http://[USER:PASSWORD@]HOST:PORT`, or `none` [default: what HTTP_PROXY, HTTPS_PROXY,
    /// ALL_PROXY and NO_PROXY say]
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Do not reconnect when the connection is lost
    #[arg(long)]
    no_reconnect: bool,
    /// Time limit for connecting, for joining and for each acknowledgement
    #[arg(long, value_name = "SECS", default_value = "20", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Print JSON lines, for scripts
    #[arg(long)]
    pub(crate) json: bool,
    /// Report changes of the connection on stderr
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Transport {
    Polling,
    Websocket,
}

/// A client that is still to be connected, and its sockets in the namespaces of the options.
pub(crate) struct Sockets {
    pub(crate) client: Client,
    pub(crate) all: Vec<ClientSocket>,
    pub(crate) cause: Cause,
}

/// The server's mistake for which the last session was closed, if that was the reason.
#[derive(Clone, Default)]
pub(crate) struct Cause(Arc<Mutex<Option<String>>>);

impl Cause {
    /// The end of the connection, as a failure.
    pub(crate) fn failure(&self) -> Failure {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(mistake) => {
                Failure::failed(format_args!("the connection was closed for the server's mistake: {mistake}"))
            }
            None => Failure::failed("the server disconnected"),
        }
    }
}

impl Target {
    /// Returns whether the user has chosen no transport.
    pub(crate) fn any_transport(&self) -> bool {
        self.transports.is_empty()
    }

    /// The one namespace for what has no client.
    #[cfg(feature = "bus")]
    pub(crate) fn namespace(&self) -> Result<&str, Failure> {
        match &self.namespaces[..] {
            [] => Ok("/"),
            [name] => Ok(name),
            _ => Err(Failure::Usage("only one --namespace is allowed here".to_owned())),
        }
    }

    /// Makes one client.
    pub(crate) fn client(&self, output: &Arc<Output>) -> Result<Sockets, Failure> {
        self.client_by(&self.transports(), output)
    }

    fn transports(&self) -> Vec<TransportKind> {
        if self.transports.is_empty() {
            return vec![TransportKind::Polling, TransportKind::WebSocket];
        }
        let kind = |transport: &Transport| match transport {
            Transport::Polling => TransportKind::Polling,
            Transport::Websocket => TransportKind::WebSocket,
        };
        self.transports.iter().map(kind).collect()
    }

    /// Makes one client, with these transports.
    pub(crate) fn client_by(
        &self,
        transports: &[TransportKind],
        output: &Arc<Output>,
    ) -> Result<Sockets, Failure> {
        let url = if self.url.contains("://") { self.url.clone() } else { format!("http://{}", self.url) };
        #[cfg(not(feature = "tls"))]
        if ["https:", "wss:"].iter().any(|scheme| url.starts_with(scheme)) {
            let message = "this build has no TLS: install sansocket-cli with its feature `tls`";
            return Err(Failure::Usage(message.to_owned()));
        }
        let mut builder = Client::builder(&url)
            .path(&self.path)
            .transports(transports.iter().copied())
            .reconnection(!self.no_reconnect)
            .timeout(self.timeout)
            .join_timeout(self.timeout);
        builder = match self.proxy.as_deref() {
            None => builder.proxy_from_env(),
            Some("none") => builder,
            Some(address) => builder.proxy(address, None),
        };
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        for (key, value) in &self.queries {
            builder = builder.query(key, value);
        }
        #[cfg(feature = "tls")]
        if let Some(path) = &self.ca {
            builder = builder.tls(trusting(path)?);
        }
        let (verbose, told, cause) = (self.verbose, output.clone(), Cause::default());
        let noted = cause.clone();
        builder = builder.on_connection_event(move |state| {
            if let ConnectionEvent::Closed { detail, .. } = state {
                *noted.0.lock().unwrap_or_else(PoisonError::into_inner) =
                    detail.as_ref().map(|mistake| crate::show::printable(&mistake.to_string()));
            }
            if verbose {
                tell(state, &told);
            }
        });
        let client = builder.build()?;
        let all: Vec<_> = if self.namespaces.is_empty() {
            vec![client.socket().clone()]
        } else {
            self.namespaces.iter().map(|name| client.namespace(name)).collect()
        };
        if let Some(auth) = &self.auth {
            for socket in &all {
                socket.auth(auth).map_err(|error| Failure::Usage(error.to_string()))?;
            }
        }
        Ok(Sockets { client, all, cause })
    }

    /// Makes one client for a subcommand that is about one namespace.
    pub(crate) fn only(&self, output: &Arc<Output>) -> Result<(Client, ClientSocket), Failure> {
        self.only_of(self.client(output)?)
    }

    /// The one socket of a client.
    pub(crate) fn only_of(&self, sockets: Sockets) -> Result<(Client, ClientSocket), Failure> {
        let Sockets { client, mut all, .. } = sockets;
        match (all.pop(), all.pop()) {
            (Some(socket), None) => Ok((client, socket)),
            _ => Err(Failure::Usage("only one --namespace is allowed here".to_owned())),
        }
    }
}

impl Sockets {
    /// Connects all sockets.
    pub(crate) async fn connect(&self) -> Result<(), Failure> {
        for socket in &self.all {
            socket.connect().await.map_err(|error| Failure::connect(socket.name(), &error))?;
        }
        Ok(())
    }
}

/// Closes the session in order: everything that was emitted arrives, and the server learns of the end.
pub(crate) async fn leave(client: &Client, limit: Duration) -> Result<(), Failure> {
    client.close();
    let closed = tokio::time::timeout(limit, client.closed()).await;
    closed.map_err(|_| Failure::failed("the server did not take everything in time"))
}

#[cfg(feature = "tls")]
fn trusting(path: &str) -> Result<Arc<rustls::ClientConfig>, Failure> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let bad = |error: &dyn std::fmt::Display| Failure::Usage(format!("no certificates in `{path}`: {error}"));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        return Err(bad(&"the file has none in PEM form"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Failure::failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Reports a change of the connection.
fn tell(state: &ConnectionEvent, output: &Output) {
    let again = |retry: &Option<Duration>| match retry {
        Some(delay) => format!(", again in {:.1} s", delay.as_secs_f64()),
        None => String::new(),
    };
    let (name, words) = match state {
        ConnectionEvent::Dialing { attempt: 0 } => ("dialing", "dialing".to_owned()),
        ConnectionEvent::Dialing { attempt } => ("dialing", format!("dialing, attempt {attempt}")),
        ConnectionEvent::Failed { error, retry_in } => ("failed", format!("{error}{}", again(retry_in))),
        ConnectionEvent::Open { .. } => ("open", "a session is open".to_owned()),
        ConnectionEvent::Upgraded => ("upgraded", "upgraded to WebSocket".to_owned()),
        ConnectionEvent::UpgradeFailed(error) => ("upgrade failed", format!("stays on polling: {error}")),
        ConnectionEvent::Closed { reason, detail, retry_in, .. } => {
            let detail = detail.as_ref().map_or(String::new(), |detail| format!(" ({detail})"));
            ("closed", format!("the session ended: {reason}{detail}{}", again(retry_in)))
        }
        ConnectionEvent::GaveUp => ("gave up", "gave up".to_owned()),
        // The client may have further states in a later version.
        _ => return,
    };
    let words = crate::show::printable(&words);
    output.remark(
        || format!("* {words}"),
        || Line::new("state").string("state", name).string("message", &words),
    );
}

/// Reads a number of seconds.
pub(crate) fn seconds(typed: &str) -> Result<Duration, String> {
    let seconds: f64 = typed.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    // Longer than anybody waits, and short enough for every clock.
    if !(seconds > 0.0 && seconds <= 31_536_000.0) {
        return Err("must be more than 0 seconds, and at most a year".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn header(typed: &str) -> Result<(String, String), String> {
    let (name, value) = typed.split_once(':').ok_or("must be `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn parameter(typed: &str) -> Result<(String, String), String> {
    let (key, value) = typed.split_once('=').ok_or("must be `key=value`")?;
    Ok((key.to_owned(), value.to_owned()))
}
