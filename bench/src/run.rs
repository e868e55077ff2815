//! One run: servers are started, people sign in, and what that cost is read before and after.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use testkit::folder::TempFolder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Options;
use crate::client::Person;
use crate::machine::{self, Costs};
use crate::measured::{Measured, Meter};
use crate::postgres::{Counting, Database, Figures, Statements, between, sum};
use crate::report::Report;
use crate::server::{Metrics, Place, Server};
use crate::sink::Sink;

/// How long servers are left alone before their idle memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// Has people sign in on `nodes` servers, which keep their data in `database` or else in a file.
pub(crate) async fn run(
    options: &Options,
    nodes: u32,
    database: Option<&Database>,
    counting: Counting,
) -> io::Result<Report> {
    let mut running = Running::start(options, nodes, database, counting).await?;
    running.measure(Duration::from_secs(options.warm_up), Duration::from_secs(options.seconds)).await?;
    running.stop().await
}

/// Servers that are up, and people who sign in on them whenever that is measured.
pub(crate) struct Running<'a> {
    database: Option<&'a Database>,
    counting: Counting,
    folder: TempFolder,
    disk: String,
    clients: u32,
    servers: Vec<Server>,
    idle: Costs,
    meter: Arc<Meter>,
    people: JoinSet<()>,
    receiving: JoinSet<()>,
    used: Used,
    measured: Measured,
}

/// What was used while it was measured.
#[derive(Debug, Default)]
pub(crate) struct Used {
    pub(crate) time: Duration,
    /// Processor time of the servers.
    pub(crate) server: Duration,
    /// Bytes that the servers caused to be written.
    pub(crate) written: u64,
    /// Processor time of the load itself.
    pub(crate) load: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) database: Option<Figures>,
    /// What PostgreSQL ran, where that was counted.
    pub(crate) statements: Option<Statements>,
}

impl<'a> Running<'a> {
    /// Starts them; nobody signs in yet.
    pub(crate) async fn start(
        options: &Options,
        nodes: u32,
        database: Option<&'a Database>,
        counting: Counting,
    ) -> io::Result<Self> {
        let folder = machine::folder_on_disk(&options.data)?;
        // The probe is written where the data will be.
        let disk = machine::disk(folder.path())?;
        let sink = Arc::new(Sink::new(options.clients));
        let mail = sink.listen().await?;
        let mut receiving = JoinSet::new();
        receiving.spawn(Arc::clone(&sink).receive(mail.listener));

        let place = Place { folder: folder.path().to_owned(), database: database.map(Database::url) };
        let mut servers = Vec::new();
        for _ in 0..nodes {
            servers.push(if options.production {
                Server::serve(&options.binary, &place, mail.port, &options.project).await?
            } else {
                Server::start(&options.binary, &place, mail.port).await?
            });
        }
        sleep(IDLE).await;
        let idle = costs(&servers)?;

        // In production an address is sent a code every half a minute, so each is signed in with once.
        let addresses = if options.production { u32::MAX } else { options.addresses };
        let meter = Arc::new(Meter::default());
        let mut people = JoinSet::new();
        for (number, server) in (0..options.clients).zip(servers.iter().cycle()) {
            let person = Person::new(number, addresses, server.address(), Arc::clone(&sink));
            people.spawn(person.sign_in_again_and_again(Arc::clone(&meter)));
        }
        Ok(Self {
            database,
            counting,
            folder,
            disk,
            clients: options.clients,
            servers,
            idle,
            meter,
            people,
            receiving,
            used: Used::default(),
            measured: Measured::default(),
        })
    }

    /// Has people sign in, which counts behind `warm_up` and for as long as `measured`, and tells how many did a second. What was
    /// measured before is kept, too.
    pub(crate) async fn measure(&mut self, warm_up: Duration, measured: Duration) -> io::Result<f64> {
        self.meter.run();
        sleep(warm_up).await;
        let before = self.moment().await?;
        let began = Instant::now();
        self.meter.count();
        sleep(measured).await;
        self.meter.rest();
        let time = began.elapsed();
        let after = self.moment().await?;
        self.used.add(after.since(&before, time));
        let measured = self.meter.take();
        let rate = measured.sign_ins() / time.as_secs_f64();
        self.measured.add(measured);
        Ok(rate)
    }

    /// What was used until now.
    async fn moment(&self) -> io::Result<Moment> {
        let load = machine::costs("self")?;
        let server = costs(&self.servers)?;
        let (database, statements) = match self.database {
            Some(database) => (Some(database.figures().await?), database.counted(self.counting).await?),
            None => (None, None),
        };
        let mut nodes = Vec::new();
        for server in &self.servers {
            nodes.push(server.metrics().await?);
        }
        Ok(Moment { server, load, metrics: Metrics::of_all(nodes), database, statements })
    }

    /// Stops them, and tells what came of all that was measured.
    pub(crate) async fn stop(mut self) -> io::Result<Report> {
        let after = costs(&self.servers)?;
        // Sign-ins under way may end, so that stopping the servers interrupts none.
        self.meter.end();
        while let Some(ended) = self.people.join_next().await {
            ended.map_err(io::Error::other)?;
        }
        let nodes = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        let mut stopped_in = Duration::ZERO;
        let mut startup = Duration::ZERO;
        for server in &mut self.servers {
            startup = startup.max(server.startup());
            stopped_in = stopped_in.max(server.stop().await?);
        }
        self.receiving.shutdown().await;
        drop(self.folder);
        Ok(Report {
            clients: self.clients,
            nodes,
            disk: self.disk,
            startup,
            idle: self.idle,
            after,
            used: self.used,
            measured: self.measured,
            stopped_in,
        })
    }
}

impl Used {
    fn add(&mut self, other: Self) {
        self.time += other.time;
        self.server += other.server;
        self.written += other.written;
        self.load += other.load;
        self.metrics = Metrics::of_all([mem::take(&mut self.metrics), other.metrics]);
        self.database = both(self.database, other.database, Figures::and);
        self.statements = both(self.statements.take(), other.statements, sum);
    }
}

/// What `sum` makes of two, or the one that there is.
fn both<T>(one: Option<T>, other: Option<T>, sum: fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(sum(one, other)),
        (one, other) => one.or(other),
    }
}

/// What is read at the beginning and at the end of what is measured.
struct Moment {
    server: Costs,
    load: Costs,
    metrics: Metrics,
    database: Option<Figures>,
    statements: Option<Statements>,
}

impl Moment {
    /// What was used since `before`, in `time`.
    fn since(self, before: &Self, time: Duration) -> Used {
        Used {
            time,
            server: self.server.processor.saturating_sub(before.server.processor),
            written: self.server.written.saturating_sub(before.server.written),
            load: self.load.processor.saturating_sub(before.load.processor),
            metrics: self.metrics.since(&before.metrics),
            database: self.database.zip(before.database).map(|(after, before)| after.since(before)),
            statements: before.statements.as_ref().zip(self.statements).map(|(before, after)| between(before, after)),
        }
    }
}

fn costs(servers: &[Server]) -> io::Result<Costs> {
    servers.iter().map(Server::costs).sum()
}
