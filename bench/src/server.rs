//! The server under load: a process of its own, started as a user starts it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::client::Http;
use crate::machine::{self, Costs};

/// It is up long before; one that is not is not worth waiting for.
const STARTING: Duration = Duration::from_secs(10);

/// How often a server that is awaited is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// A graceful stop waits for mails, at most this long.
const STOPPING: Duration = Duration::from_secs(30);

/// Where a server keeps its data: in `folder`, or in a PostgreSQL database that others may share.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) database: Option<String>,
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Held open: a server that cannot print is another server.
    _greeting: Lines<BufReader<ChildStdout>>,
    public: SocketAddr,
    operator: SocketAddr,
    startup: Duration,
}

impl Server {
    /// Starts `binary` with its data in `place` and its mail sent to `smtp_port`, and waits for its first answer.
    pub(crate) async fn start(binary: &Path, place: &Place, smtp_port: u16) -> io::Result<Self> {
        let began = Instant::now();
        let mut command = Command::new(binary);
        command.args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.args(["--smtp", &format!("smtp://127.0.0.1:{smtp_port}"), "--data"]).arg(&place.folder);
        if let Some(url) = &place.database {
            command.args(["--database", url]);
        }
        let mut child = spawned(&mut command)?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("the server has no output"))?;
        let mut greeting = BufReader::new(output).lines();
        let (public, operator) = timeout(STARTING, addresses(&mut greeting))
            .await
            .map_err(|_| io::Error::other("the server did not say where it is"))??;
        Http::connect(public).await?.get("/.well-known/jwks.json").await?;
        Ok(Self { child, _greeting: greeting, public, operator, startup: began.elapsed() })
    }

    /// Starts `binary serve` with its data in `place`, mail sent to `smtp_port`, this process as its trusted proxy and `project` in the
    /// configuration of its project, and waits until it is ready.
    pub(crate) async fn serve(binary: &Path, place: &Place, smtp_port: u16, project: &str) -> io::Result<Self> {
        let (public, operator) = (free_address()?, free_address()?);
        let database = match &place.database {
            None => "database.path = \"countersign.db\"".to_owned(),
            Some(url) => format!("database = \"{url}\""),
        };
        let configuration = format!(
            "origin = \"http://{public}\"\n\
             server = {{ listen = \"{public}\", admin_listen = \"{operator}\", trusted_proxies = [\"127.0.0.1\"] }}\n\
             {database}\n\
             mail.from = \"load@load.test\"\n\
             log.level = \"warn\"\n\
             [[mail.relays]]\nurl = \"smtp+plain://127.0.0.1:{smtp_port}\"\n\
             [[projects]]\nid = \"main\"\nsign_up = true\n{project}\n"
        );
        // Several nodes have a file each.
        let file = place.folder.join(format!("countersign-{}.toml", public.port()));
        std::fs::write(&file, configuration)?;
        let began = Instant::now();
        let mut child = spawned(
            Command::new(binary)
                .arg("serve")
                .arg("--config")
                .arg(&file)
                // Nobody's: 32 bytes that are all the same.
                .env("COUNTERSIGN__KEYS__MASTER_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
        )?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("the server has no output"))?;
        let ready = async {
            loop {
                let asked = async { Http::connect(operator).await?.get("/readyz").await };
                match asked.await {
                    Ok(_) => return,
                    Err(_) => sleep(LOOK).await,
                }
            }
        };
        timeout(STARTING, ready).await.map_err(|_| io::Error::other("the server did not come up"))?;
        Ok(Self { child, _greeting: BufReader::new(output).lines(), public, operator, startup: began.elapsed() })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.public
    }

    /// How long it took from being started until its first answer.
    pub(crate) const fn startup(&self) -> Duration {
        self.startup
    }

    /// What it has cost so far.
    pub(crate) fn costs(&self) -> io::Result<Costs> {
        let id = self.child.id().ok_or_else(|| io::Error::other("the server has ended"))?;
        machine::costs(&id.to_string())
    }

    /// What it counts.
    pub(crate) async fn metrics(&self) -> io::Result<Metrics> {
        Ok(Metrics::parse(&Http::connect(self.operator).await?.get("/metrics").await?))
    }

    /// Asks it to end, and tells how long it took.
    pub(crate) async fn stop(&mut self) -> io::Result<Duration> {
        let began = Instant::now();
        let id = self.child.id().ok_or_else(|| io::Error::other("the server has ended"))?;
        // The standard library can only kill.
        let told = Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        if !told.success() {
            return Err(io::Error::other("the server could not be told to stop"));
        }
        match timeout(STOPPING, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(began.elapsed()),
            Ok(status) => Err(io::Error::other(format!("the server ended with {}", status?))),
            Err(_) => Err(io::Error::other("the server did not stop in time")),
        }
    }
}

/// Starts a server that is read from and ends with its value.
fn spawned(command: &mut Command) -> io::Result<Child> {
    // What it says of errors is to be read where it goes wrong.
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    command.spawn().map_err(|error| io::Error::other(format!("the server cannot be started: {error}")))
}

/// An address that nobody listens at, for now.
fn free_address() -> io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Where the greeting says the server and its operator's pages are.
async fn addresses(greeting: &mut Lines<BufReader<ChildStdout>>) -> io::Result<(SocketAddr, SocketAddr)> {
    let mut public = None;
    while let Some(line) = greeting.next_line().await? {
        let address = line.rsplit_once("http://").and_then(|(_, address)| address.parse::<SocketAddr>().ok());
        match (address, line.starts_with("/livez")) {
            (Some(operator), true) => {
                let public = public.ok_or_else(|| io::Error::other("the server did not say where it is"))?;
                return Ok((public, operator));
            }
            (Some(address), false) if public.is_none() => public = Some(address),
            _ => {}
        }
    }
    Err(io::Error::other("the server did not come up"))
}

/// Sums of the Prometheus text format, by name and by the value of the label `op` where there is one.
#[derive(Debug, Default)]
pub(crate) struct Metrics(BTreeMap<(String, String), f64>);

impl Metrics {
    fn parse(text: &str) -> Self {
        let mut sums = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let operation = labels.split_once("op=\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or("");
            if let Ok(value) = value.parse::<f64>() {
                *sums.entry((name.to_owned(), operation.to_owned())).or_default() += value;
            }
        }
        Self(sums)
    }

    /// The sums of all of `several`.
    pub(crate) fn of_all(several: impl IntoIterator<Item = Self>) -> Self {
        let mut sums = BTreeMap::new();
        for (series, value) in several.into_iter().flat_map(|one| one.0) {
            *sums.entry(series).or_default() += value;
        }
        Self(sums)
    }

    /// How much each has grown since `before`.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (series, value) in &mut self.0 {
            *value -= before.0.get(series).unwrap_or(&0.0);
        }
        self
    }

    /// The sum of `name` of `operation`.
    pub(crate) fn sum(&self, name: &str, operation: &str) -> f64 {
        *self.0.get(&(name.to_owned(), operation.to_owned())).unwrap_or(&0.0)
    }

    /// The operations that `name` is counted for.
    pub(crate) fn operations<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.keys().filter(move |(this, _)| this == name).map(|(_, operation)| operation.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_by_name_and_operation() {
        let before = Metrics::parse("# TYPE a counter\na 1\n");
        let after = Metrics::parse(
            "a 3\nb_sum{backend=\"sqlite\",op=\"start\"} 0.5\nb_sum{op=\"start\",x=\"y\"} 1\nb_sum{op=\"verify\"} 2\n",
        );
        let growth = after.since(&before);
        assert_eq!(growth.sum("a", "").to_string(), "2");
        assert_eq!(growth.sum("b_sum", "start").to_string(), "1.5");
        assert_eq!(growth.sum("c", "").to_string(), "0");
        let twice = Metrics::of_all([Metrics::parse("a 3\n"), growth]);
        assert_eq!(twice.sum("a", "").to_string(), "5");
        assert_eq!(twice.operations("b_sum").collect::<Vec<_>>(), ["start", "verify"]);
    }
}
