//! One run: servers are started, people sign in, and what that cost is read before and after.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Options;
use crate::client::Person;
use crate::machine::{self, Costs};
use crate::measured::{Measured, Meter};
use crate::postgres::{Counting, Database, Figures, Statements, between};
use crate::report::Report;
use crate::server::{Metrics, Place, Server};
use crate::sink::Sink;

/// How long servers are left alone before their idle memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// What is read at the beginning and at the end of what is measured.
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) server: Costs,
    pub(crate) load: Costs,
    pub(crate) metrics: Metrics,
    pub(crate) database: Option<Figures>,
}

impl Moment {
    async fn now(servers: &[Server], database: Option<&Database>) -> io::Result<Self> {
        let at = Instant::now();
        let load = machine::costs("self")?;
        let server = costs(servers)?;
        let database = match database {
            Some(database) => Some(database.figures().await?),
            None => None,
        };
        let mut nodes = Vec::new();
        for server in servers {
            nodes.push(server.metrics().await?);
        }
        Ok(Self { at, server, load, metrics: Metrics::of_all(nodes), database })
    }
}

/// Has people sign in on `nodes` servers, which keep their data in `database` or else in a file.
pub(crate) async fn run(
    options: &Options,
    nodes: u32,
    database: Option<&Database>,
    counting: Counting,
) -> io::Result<Report> {
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
    // In production an address is sent a code every half a minute, so each is signed in with once.
    let addresses = if options.production { u32::MAX } else { options.addresses };
    sleep(IDLE).await;
    let idle = costs(&servers)?;

    let meter = Arc::new(Meter::default());
    let mut people = JoinSet::new();
    for (number, server) in (0..options.clients).zip(servers.iter().cycle()) {
        let person = Person::new(number, addresses, server.address(), Arc::clone(&sink));
        people.spawn(person.sign_in_again_and_again(Arc::clone(&meter)));
    }
    sleep(Duration::from_secs(options.warm_up)).await;
    let run_before = counted(database, counting).await?;
    let before = Moment::now(&servers, database).await?;
    meter.begin();
    sleep(Duration::from_secs(options.seconds)).await;
    meter.end();
    let after = Moment::now(&servers, database).await?;
    let run_after = counted(database, counting).await?;
    let statements = run_before.zip(run_after).map(|(before, after)| between(&before, after));

    // Sign-ins under way may end, so that stopping the servers interrupts none.
    let mut measured = Measured::default();
    while let Some(ended) = people.join_next().await {
        measured.add(ended.map_err(io::Error::other)?);
    }
    let mut stopped_in = Duration::ZERO;
    let mut startup = Duration::ZERO;
    for server in &mut servers {
        startup = startup.max(server.startup());
        stopped_in = stopped_in.max(server.stop().await?);
    }
    receiving.shutdown().await;
    Ok(Report { clients: options.clients, nodes, disk, startup, idle, before, after, measured, stopped_in, statements })
}

async fn counted(database: Option<&Database>, counting: Counting) -> io::Result<Option<Statements>> {
    match database {
        Some(database) => database.counted(counting).await,
        None => Ok(None),
    }
}

fn costs(servers: &[Server]) -> io::Result<Costs> {
    servers.iter().map(Server::costs).sum()
}
