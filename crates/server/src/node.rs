//! One node: store, engine, courier, surfaces and listeners, from binding to a graceful stop.
//!
//! Listeners stop first and let requests end, then the courier lets mails end, then the store finishes what it was asked and closes.
//! Mail being down stops nothing; a task that ends by itself stops everything, because half a server helps nobody.

mod database;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use courier::{Courier, Relay, Templates, Transport};
use engine::{Algorithm, Engine, Observer, Parts, SystemClock, SystemEntropy};
use metrics_exporter_prometheus::PrometheusHandle;
use store::NodeNumber;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use web::{App, Failure, Surface};

use crate::app::{self, Application, Settings};
use crate::config::{Config, ConfigError, Origin};
use crate::control::{self, AddressRequest, Obeyed, Order};
use crate::inbox::Inbox;
use crate::serve::{Limits, serve};
use crate::telemetry::{self, Telemetry};
use crate::{dialects, janitor, operator};
use database::Opened;

/// Why a node did not come up, or fell. One sentence.
#[derive(Debug)]
pub(crate) struct NodeError(String);

impl NodeError {
    fn new(doing: &str, error: impl fmt::Display) -> Self {
        Self(format!("{doing}: {error}"))
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<ConfigError> for NodeError {
    fn from(error: ConfigError) -> Self {
        Self(error.to_string())
    }
}

impl From<web::ConfigError> for NodeError {
    fn from(error: web::ConfigError) -> Self {
        Self(error.to_string())
    }
}

/// A node whose listeners are bound: connections wait until it runs.
pub(crate) struct Node {
    origin: Origin,
    is_development: bool,
    engine: Arc<Engine>,
    store: Opened,
    courier: Courier,
    wake: Arc<Notify>,
    prometheus: PrometheusHandle,
    public: (TcpListener, Application),
    operators: Option<(TcpListener, Application)>,
    /// Only beside a database file, which is one process's.
    control: Option<(UnixListener, Application, SocketFile)>,
    slow_keys: SlowKeys,
}

/// The control socket's file, which goes with it.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good; anything else is mended by the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Binds the control socket of `database`. The database's lock is ours, so a socket that lies there belongs to nobody.
fn bind_control(database: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let path = control::socket_path(database);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok((listener, SocketFile(path)))
}

impl Node {
    /// Binds listeners, opens the database, makes keys and mounts surfaces.
    pub(crate) async fn bind(mut config: Config) -> Result<Self, NodeError> {
        let public = bind(config.listen).await?;
        let operators = match config.admin_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let origin = match config.origin.take() {
            Some(origin) => origin,
            None => Origin::parse(&format!("http://{}", local_address(&public)?))?,
        };
        config.origin = Some(origin.clone());
        if config.is_development {
            config.sender = sender(&config)?;
        }

        let wake = Arc::new(Notify::new());
        let prometheus = telemetry::count().map_err(|error| NodeError::new("cannot count", error))?;
        let observer = Arc::new(Telemetry::new(Arc::clone(&wake), config.database.backend()));
        let (store, engine) = open(&config, observer.clone()).await?;
        let control = config.database.file().map(bind_control).transpose();
        let control =
            control.map_err(|error| NodeError::new("cannot bind the control socket beside the database", error))?;

        let slow_keys = prepare_slow_keys(&config, &engine);
        let mut surfaces = mount(&config, &engine, &origin).await?;
        let administration = app::administration(&mut surfaces);
        if config.is_development {
            surfaces.push(inbox(&config, &engine)?);
        }
        let mut settings = Settings::new(Arc::new(SystemEntropy), observer);
        settings.trusted_proxies = std::mem::replace(&mut config.trusted_proxies, web::TrustedProxies::none());
        settings.development = config.is_development;
        let of_operators = Arc::new(settings.clone());
        settings.root = config.root.take();
        let application = Application::assemble(surfaces, &Arc::new(settings))?;
        let operators = match operators {
            None => None,
            Some(listener) => {
                let mut surfaces = administration;
                surfaces.push(own(
                    "operator",
                    &["/livez", "/readyz", "/metrics"],
                    operator::router(Arc::clone(&engine), prometheus.clone()),
                ));
                Some((listener, Application::assemble(surfaces, &of_operators)?))
            }
        };
        let control = match control {
            None => None,
            Some((listener, file)) => {
                let commands = vec![own("control", &["/"], control::router(Arc::clone(&engine)))];
                Some((listener, Application::assemble(commands, &of_operators)?, file))
            }
        };
        let courier = courier(&config, &engine)?;
        app::log_panics();
        Ok(Self {
            origin,
            is_development: config.is_development,
            engine,
            store,
            courier,
            wake,
            prometheus,
            public: (public, application),
            operators,
            control,
            slow_keys,
        })
    }

    /// What a developer wants to know first.
    pub(crate) fn greeting(&self) -> String {
        let origin = self.origin.as_str();
        let mut text = format!("countersign {} is at {origin}", env!("CARGO_PKG_VERSION"));
        if self.is_development {
            text.push_str("\nmail and codes are shown at ");
            text.push_str(origin);
            text.push_str("/dev/inbox");
        }
        if let Some(Ok(address)) = self.operators.as_ref().map(|(listener, _)| listener.local_addr()) {
            text.push_str("\n/livez, /readyz and /metrics are at http://");
            text.push_str(&address.to_string());
        }
        text
    }

    /// Serves until `stop`, or until a part of it falls.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) -> Result<(), NodeError> {
        let Self { origin, engine, store, courier, wake, prometheus, public, operators, .. } = self;
        let Self { control, slow_keys, .. } = self;
        tracing::info!(origin = origin.as_str(), "countersign is up");
        let (stopping, listening) = watch::channel(false);
        let (stopping_courier, couriering) = watch::channel(false);
        let mut listeners = JoinSet::new();
        listeners.spawn(serve(public.0, public.1, Limits::default(), told(listening.clone())));
        if let Some((listener, application)) = operators {
            listeners.spawn(serve(listener, application, Limits::default(), told(listening.clone())));
        }
        let socket_file = control.map(|(listener, application, file)| {
            listeners.spawn(serve(listener, application, Limits::default(), told(listening)));
            file
        });
        let mut couriers = JoinSet::new();
        let courier_stop = told(couriering);
        couriers.spawn(async move { courier.run(wake, courier_stop).await });
        let mut upkeep = JoinSet::new();
        upkeep.spawn(janitor::run(Arc::clone(&engine), prometheus));
        if let Some((store, number)) = store.numbered() {
            upkeep.spawn(database::keep_number(store, number, Arc::clone(&engine)));
        }

        let fell = tokio::select! {
            () = stop => None,
            Some(ended) = listeners.join_next() => Some(ended),
            Some(ended) = couriers.join_next() => Some(ended),
            Some(ended) = upkeep.join_next() => Some(ended),
        };
        tracing::info!("stopping: requests and mails under way may end");
        upkeep.shutdown().await;
        // Nobody listens only where all have ended already.
        let _ = stopping.send(true);
        while listeners.join_next().await.is_some() {}
        let _ = stopping_courier.send(true);
        while couriers.join_next().await.is_some() {}
        slow_keys.stop().await;
        store.close().await;
        drop(socket_file);
        match fell {
            None => Ok(()),
            Some(ended) => Err(NodeError::new(
                "a part of the server ended by itself",
                ended.err().map_or_else(|| "without an error".to_owned(), |error| error.to_string()),
            )),
        }
    }
}

/// Ends when it is told to, or when nobody is left to tell.
async fn told(mut listening: watch::Receiver<bool>) {
    let _ = listening.wait_for(|is_told| *is_told).await;
}

/// Ends with SIGTERM or SIGINT. They are listened to from the call on, not from the first poll: whoever is told that the server
/// is up may stop it gracefully at once.
pub(crate) fn interrupted() -> impl Future<Output = ()> {
    let signals =
        signal(SignalKind::terminate()).and_then(|terminated| Ok((terminated, signal(SignalKind::interrupt())?)));
    async {
        let Ok((mut terminated, mut interrupted)) = signals else {
            tracing::error!("signals cannot be listened to; only SIGKILL will end this process");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    }
}

/// Does what is asked in the database of a server that does not run.
pub(crate) async fn obey(config: Config, order: Order, request: &AddressRequest) -> Result<Obeyed, NodeError> {
    let (store, engine) = open(&config, Arc::new(engine::Deaf)).await?;
    let obeyed = control::obey(&engine, order, request).await.map_err(NodeError);
    store.close().await;
    obeyed
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address).await.map_err(|error| NodeError::new(&format!("cannot listen on {address}"), error))
}

fn local_address(listener: &TcpListener) -> Result<std::net::SocketAddr, NodeError> {
    listener.local_addr().map_err(|error| NodeError::new("cannot tell the listener's address", error))
}

/// Opens the database and the engine on it.
async fn open(config: &Config, observer: Arc<dyn Observer>) -> Result<(Opened, Arc<Engine>), NodeError> {
    let opened = Opened::open(config, Arc::clone(&observer)).await?;
    let parts = Parts {
        store: opened.database.store(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        node: opened.number.as_ref().map_or(0, NodeNumber::get),
        projects: config.projects.clone(),
        master_key: config.master_key.clone(),
        observer,
    };
    match Engine::open(parts).await {
        Ok(engine) => Ok((opened, Arc::new(engine))),
        Err(error) => {
            opened.close().await;
            Err(NodeError::new("cannot open the database", error))
        }
    }
}

/// Who mails are from: what the configuration of a surface says, else our own.
fn sender(config: &Config) -> Result<String, NodeError> {
    for dialect in dialects::all() {
        let Some(section) = config.dialects.get(dialect.name()) else { continue };
        if let Some(sender) = dialect.sender(section)? {
            return Ok(sender);
        }
    }
    Ok(config.sender.clone())
}

/// Mounts every surface, and makes the keys it signs with first.
async fn mount(config: &Config, engine: &Arc<Engine>, origin: &Origin) -> Result<Vec<Surface>, NodeError> {
    let mut surfaces = Vec::new();
    for dialect in dialects::all() {
        for algorithm in dialect.algorithms() {
            match algorithm {
                Algorithm::Es256 => prepare_keys(config, engine, *algorithm).await?,
                // Made in the background: see `prepare_slow_keys`.
                Algorithm::Rs256 => {}
            }
        }
        let app = App {
            engine: Arc::clone(engine),
            project: Arc::clone(config.projects.default_project()),
            origin: origin.as_str().to_owned(),
            development: config.is_development,
        };
        let section = config.dialects.get(dialect.name()).cloned().unwrap_or_default();
        surfaces.push(dialect.mount(app, section)?);
    }
    Ok(surfaces)
}

/// Has every project a key of `algorithm`.
async fn prepare_keys(config: &Config, engine: &Engine, algorithm: Algorithm) -> Result<(), NodeError> {
    for project in config.projects.iter() {
        engine.prepare_keys(&project.id, algorithm).await.map_err(|error| match error {
            engine::Error::Failed(fault) => NodeError::new("cannot prepare signing keys", fault.report()),
            engine::Error::Refused { refusal, .. } => NodeError(format!("cannot prepare signing keys: {refusal:?}")),
        })?;
    }
    Ok(())
}

/// RSA keys that are being made, on a thread of their own: making one takes a quarter of a second, and nobody waits for it who does
/// not need it.
struct SlowKeys {
    making: JoinSet<()>,
    is_enough: Arc<AtomicBool>,
}

impl SlowKeys {
    /// Makes no further one, and waits for the one that is being made: a process does not end in the midst of it.
    async fn stop(mut self) {
        self.is_enough.store(true, Ordering::Relaxed);
        while self.making.join_next().await.is_some() {}
    }
}

/// Has every project an RSA key, where a surface signs with one.
fn prepare_slow_keys(config: &Config, engine: &Arc<Engine>) -> SlowKeys {
    let mut keys = SlowKeys { making: JoinSet::new(), is_enough: Arc::default() };
    if !dialects::all().iter().any(|dialect| dialect.algorithms().contains(&Algorithm::Rs256)) {
        return keys;
    }
    let (engine, runtime) = (Arc::clone(engine), tokio::runtime::Handle::current());
    let projects: Vec<_> = config.projects.iter().map(|project| project.id.clone()).collect();
    let is_enough = Arc::clone(&keys.is_enough);
    keys.making.spawn_blocking(move || {
        for project in projects {
            if is_enough.load(Ordering::Relaxed) {
                return;
            }
            if let Err(engine::Error::Failed(fault)) = runtime.block_on(engine.prepare_keys(&project, Algorithm::Rs256))
            {
                tracing::error!(%project, fault = fault.report(), "an RSA key could not be prepared");
            }
        }
    });
    keys
}

fn templates() -> Result<Templates, NodeError> {
    Templates::new().map_err(|error| NodeError::new("cannot read the mail templates", error))
}

fn inbox(config: &Config, engine: &Arc<Engine>) -> Result<Surface, NodeError> {
    let letterhead = config.letterhead(config.projects.default_project())?;
    Ok(own("inbox", &["/dev"], Inbox::new(Arc::clone(engine), templates()?, letterhead).router()))
}

/// A surface of the server's own, which says failures neutrally.
fn own(name: &'static str, prefixes: &[&str], router: axum::Router) -> Surface {
    let router = router
        .fallback(|| async { app::neutral(Failure::NotFound) })
        .method_not_allowed_fallback(|| async { app::neutral(Failure::WrongVerb) });
    let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    Surface { name, prefixes, shared: Vec::new(), router, administration: None, failure: app::neutral }
}

fn courier(config: &Config, engine: &Arc<Engine>) -> Result<Courier, NodeError> {
    let relays = config
        .relays
        .iter()
        .map(|settings| Relay::new(settings.clone()).map_err(|error| NodeError::new("cannot use a mail relay", error)));
    let relays = relays.collect::<Result<Vec<_>, _>>()?;
    let transport = if relays.is_empty() { Transport::inbox() } else { Transport::relays(relays) };
    let others = config.projects.iter().map(|project| Ok((project.id.clone(), config.letterhead(project)?)));
    let others = others.collect::<Result<HashMap<_, _>, ConfigError>>()?;
    let letterhead = config.letterhead(config.projects.default_project())?;
    Ok(Courier::new(Arc::clone(engine), transport, templates()?, letterhead, others))
}
