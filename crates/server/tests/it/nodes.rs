//! Several nodes on one PostgreSQL: killed, stopped, and with the database gone, back again or another one. Whatever was answered is
//! kept, each code passes once, and each mail that is owed is sent.

mod load;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use testkit::cluster::{Cluster, TestDatabase};
use testkit::mailbox::{Mailbox, MailboxOptions, Rule, Stage};
use testkit::server::{Client, Request, Server};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{BINARY, PATIENCE, configuration, folder_with};
use load::{Heard, Load, start_request};

/// How long requests may fail once the database is back.
const RECOVERY: Duration = Duration::from_secs(5);

/// How long a message is the node's that leased it.
const LEASE: Duration = Duration::from_mins(1);

/// How long mails may be owed: what a node had leased that is gone comes back when the lease ends.
const OWED: Duration = Duration::from_secs(90);

/// How many people sign in at once.
const PEOPLE: usize = 6;

/// What nodes run on.
struct Ground {
    database: TestDatabase,
    mailbox: Arc<Mailbox>,
}

impl Ground {
    /// A cluster of its own, which can be stopped; none where PostgreSQL or Python is missing, which is said.
    async fn new() -> Option<Self> {
        let mailbox = Arc::new(Mailbox::start(&MailboxOptions::default())?);
        let database = Cluster::started().await?.database().await;
        Some(Self { database, mailbox })
    }

    /// A node of `countersign serve` on the database at `url`.
    async fn node(&self, url: &str) -> Server {
        let relay = format!("url = \"smtp+plain://127.0.0.1:{}\"", self.mailbox.port());
        let limits = "sign_up = true\nnetwork_messages_per_hour = 1000000\nproject_messages_per_hour = 1000000\n";
        let text = configuration(&relay, limits).replace("path = \"data/countersign.db\"", &format!("url = {url:?}"));
        let text = format!("origin = \"https://id.example.com\"\n{text}");
        Server::serve(BINARY, folder_with(&text), &[]).await
    }

    async fn nodes(&self, url: &str) -> Vec<Server> {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(self.node(url).await);
        }
        nodes
    }
}

/// Where `nodes` are.
fn addresses(nodes: &[Server]) -> Vec<SocketAddr> {
    nodes.iter().map(Server::address).collect()
}

/// Waits until an operator's page of `node` answers with `status`.
async fn wait_for_page(node: &Server, page: &str, status: u16) {
    let mut client = Client::new(node.admin());
    let waiting = async {
        while client.get(page).await.status != status {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{page} does not come to {status}"));
}

/// Sees that `nodes` say that they are alive, and are no place to send anybody to.
async fn are_alive_and_not_ready(nodes: &[Server]) {
    for node in nodes {
        wait_for_page(node, "/readyz", 503).await;
        assert_eq!(Client::new(node.admin()).get("/livez").await.status, 200);
    }
}

/// Waits until no message is owed any more.
async fn wait_for_mails(database: &TestDatabase) {
    let began = Instant::now();
    while database.ask("SELECT count(*) FROM outbox WHERE state = 'owed'") != "0" {
        assert!(began.elapsed() < OWED, "mails stay owed");
        sleep(Duration::from_millis(200)).await;
    }
    println!("nothing was owed any more after {:?}", began.elapsed());
}

/// Sees that all that was `heard` is true, asking `nodes`, which are then stopped.
async fn all_is_kept(ground: &Ground, database: &TestDatabase, mut heard: Heard, nodes: Vec<Server>) {
    println!("{heard}");
    heard.bring_again(&addresses(&nodes)).await;
    wait_for_mails(database).await;
    let (mails, copies) = heard.every_mail_has_come(&ground.mailbox.offered().await);
    println!("{mails} mails, {copies} of them second copies");
    for mut node in nodes {
        node.terminate();
        assert_eq!(node.ended().await, Some(0), "{}", node.log());
    }
    assert_eq!(database.ask("SELECT count(*) FROM outbox WHERE state = 'owed'"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_and_a_database_that_is_restarted_lose_nothing_that_was_acknowledged() {
    let Some(ground) = Ground::new().await else { return };
    let mut nodes = ground.nodes(&ground.database.url()).await;
    let load = Load::begin(addresses(&nodes), &ground.mailbox, PEOPLE);
    load.go_on_for(Duration::from_secs(3)).await;
    // It dies while it has mails on their way.
    ground.mailbox.add_rule(Rule::wait(Stage::Mail, Duration::from_secs(1))).await;
    load.wait_for_answers(&addresses(&nodes[2..])).await;
    sleep(Duration::from_millis(300)).await;
    nodes[2].kill().await;
    ground.mailbox.clear_rules().await;
    load.go_on_for(Duration::from_secs(2)).await;
    ground.database.cluster().crash();
    are_alive_and_not_ready(&nodes[..2]).await;
    ground.database.cluster().start().await;
    let took = load.wait_for_answers(&addresses(&nodes[..2])).await;
    println!("after the database was back all nodes answered within {took:?}");
    assert!(took < RECOVERY, "{took:?}");
    for node in &nodes[..2] {
        wait_for_page(node, "/readyz", 200).await;
    }
    load.go_on_for(Duration::from_secs(2)).await;
    nodes[2].start().await;
    load.go_on_for(Duration::from_secs(1)).await;
    let heard = load.end().await;
    all_is_kept(&ground, &ground.database, heard, nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_promoted_has_everything_that_was_acknowledged() {
    let Some(ground) = Ground::new().await else { return };
    let replica = ground.database.cluster().replica().await;
    let url = ground.database.url_with(&replica);
    let mut nodes = ground.nodes(&url).await;
    let load = Load::begin(addresses(&nodes), &ground.mailbox, PEOPLE);
    load.go_on_for(Duration::from_secs(3)).await;
    ground.database.cluster().crash();
    are_alive_and_not_ready(&nodes).await;
    replica.promote();
    let took = load.wait_for_answers(&addresses(&nodes)).await;
    println!("after the replica was promoted all nodes answered within {took:?}");
    assert!(took < RECOVERY, "{took:?}");
    // One that comes up now finds it behind the name of the one that is gone.
    nodes.push(ground.node(&url).await);
    load.go_on_for(Duration::from_secs(2)).await;
    let heard = load.end().await;
    all_is_kept(&ground, &ground.database.in_replica(&replica), heard, nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_told_to_stop_under_load_lets_nobody_down() {
    let Some(ground) = Ground::new().await else { return };
    let mut nodes = ground.nodes(&ground.database.url()).await;
    let load = Load::begin(addresses(&nodes), &ground.mailbox, PEOPLE);
    load.go_on_for(Duration::from_secs(2)).await;
    let mut leaver = nodes.remove(0);
    leaver.terminate();
    let told = Instant::now();
    assert_eq!(leaver.ended().await, Some(0), "{}", leaver.log());
    println!("the node was gone after {:?}", told.elapsed());
    assert_eq!(ground.database.ask("SELECT count(*) FROM nodes"), "2", "its number is given back");
    load.go_on_for(Duration::from_secs(2)).await;
    let heard = load.end().await;
    assert_eq!(heard.unavailable(), 0, "nothing but its connections went away: {heard}");
    // Nobody's lease has to end for that.
    let began = Instant::now();
    wait_for_mails(&ground.database).await;
    assert!(began.elapsed() < LEASE / 2, "what the node had leased was sent or given back");
    all_is_kept(&ground, &ground.database, heard, nodes).await;
}

#[tokio::test]
async fn without_its_database_each_surface_says_when_to_come_again_and_it_comes_back_by_itself() {
    let Some(ground) = Ground::new().await else { return };
    let node = ground.node(&ground.database.url()).await;
    let requests: Vec<Request> = vec![
        #[cfg(feature = "login")]
        Request::post("/v1/login", r#"{"email":"ada@example.com"}"#),
        start_request("bob@example.com"),
    ];
    ground.database.cluster().crash();
    are_alive_and_not_ready(std::slice::from_ref(&node)).await;
    for request in &requests {
        let answer = node.client().send(request).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{}", answer.whole());
        assert!(answer.header("content-type").is_some_and(|it| it.starts_with("application/json")));
    }
    ground.database.cluster().start().await;
    wait_for_page(&node, "/readyz", 200).await;
    // Of those that were refused nothing is left.
    assert_eq!(ground.database.ask("SELECT count(*) FROM flows"), "0");
    assert_eq!(ground.database.ask("SELECT count(*) FROM outbox"), "0");
    for request in &requests {
        assert_eq!(node.client().send(request).await.status, 200);
    }
    wait_for_mails(&ground.database).await;
}
