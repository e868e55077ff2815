//! What the tests of the contract have in common.

use std::pin::pin;
use std::task::{Context, Waker};

use engine::{Address, Clock as _, Purpose, Verified};
use rusqlite::Connection;
use testkit::world::World;

use crate::image;

/// The pattern of an answer that refuses.
macro_rules! refused {
    ($refusal:pat) => {
        Err(engine::Error::Refused { refusal: $refusal, .. })
    };
}
pub(crate) use refused;

/// A world on the database that the module is about, under a policy if one is given. Where that database is not installed, which has
/// then been said, the test is over.
macro_rules! world {
    () => {
        world!(testkit::world::unlimited())
    };
    ($policy:expr) => {
        match testkit::world::World::on(super::BACKEND, $policy).await {
            Some(world) => world,
            None => return,
        }
    };
}
pub(crate) use world;

pub(crate) fn address(name: &str) -> Address {
    Address::email(&format!("{name}@example.com")).unwrap()
}

/// A value that a foreign program reads.
pub(crate) trait Value {
    /// Reads it from SQLite's form.
    fn of_sqlite(row: &rusqlite::Row<'_>) -> Self;
    /// Reads it from PostgreSQL's text.
    fn of_text(text: &str) -> Self;
}

impl Value for i64 {
    fn of_sqlite(row: &rusqlite::Row<'_>) -> Self {
        row.get(0).unwrap()
    }

    fn of_text(text: &str) -> Self {
        text.parse().unwrap()
    }
}

impl Value for String {
    fn of_sqlite(row: &rusqlite::Row<'_>) -> Self {
        row.get(0).unwrap()
    }

    fn of_text(text: &str) -> Self {
        text.to_owned()
    }
}

impl Value for Option<String> {
    fn of_sqlite(row: &rusqlite::Row<'_>) -> Self {
        row.get(0).unwrap()
    }

    fn of_text(text: &str) -> Self {
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }
}

impl Value for Vec<u8> {
    fn of_sqlite(row: &rusqlite::Row<'_>) -> Self {
        row.get(0).unwrap()
    }

    fn of_text(text: &str) -> Self {
        let digits = text.strip_prefix("\\x").unwrap().as_bytes();
        let pairs = digits.chunks_exact(2).map(|pair| str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }
}

/// What these tests do to a world beside asking its engine.
pub(crate) trait Look {
    /// Signs in or up with `address` in the flow called `key`.
    async fn sign_in(&self, key: &str, address: &Address) -> Verified;
    /// The codes the inbox shows for `address`, newest first.
    async fn shown(&self, address: &Address) -> Vec<Option<String>>;
    /// Runs statements as a foreign process would, for what the engine cannot do.
    fn execute(&self, sql: &str);
    /// The one value that a query gives.
    fn row<T: Value>(&self, sql: &str) -> T;
    /// The time, as rows keep it.
    fn clock_millis(&self) -> i64;
}

impl Look for World {
    async fn sign_in(&self, key: &str, address: &Address) -> Verified {
        self.start(key, Purpose::SignInOrUp, address).await.unwrap();
        let code = self.code(address).await.unwrap();
        self.verify(key, &code).await.unwrap()
    }

    async fn shown(&self, address: &Address) -> Vec<Option<String>> {
        let shown = self.engine.inbox(Some(address.clone())).await.unwrap();
        shown.into_iter().map(|it| it.code.map(|code| code.expose().clone())).collect()
    }

    fn execute(&self, sql: &str) {
        match (self.postgres(), self.memory()) {
            (Some(database), _) => drop(database.ask(sql)),
            (None, Some(store)) => image::execute(store, sql),
            (None, None) => connection(self).execute_batch(sql).unwrap(),
        }
    }

    fn row<T: Value>(&self, sql: &str) -> T {
        match self.postgres() {
            Some(database) => T::of_text(&database.ask(sql)),
            None => connection(self).query_row(sql, [], |row| Ok(T::of_sqlite(row))).unwrap(),
        }
    }

    fn clock_millis(&self) -> i64 {
        self.clock.now().millis()
    }
}

/// A connection to the world's SQLite database, or to an image of what it has in memory.
pub(crate) fn connection(world: &World) -> Connection {
    if let Some(store) = world.memory() {
        return image::of(&store.tables());
    }
    let connection = Connection::open(world.database()).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection
}

/// Begins `asking` and goes away at once: what a connection does that is closed in the middle of a request.
pub(crate) fn begin_and_leave(asking: impl Future) {
    // Hardly ever answered already; then nobody reads the answer.
    let _ = pin!(asking).poll(&mut Context::from_waker(Waker::noop()));
}
