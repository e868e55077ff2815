//! What the tests of the contract have in common.

use engine::{Address, Clock as _, Purpose, Verified};
use rusqlite::Connection;
use rusqlite::types::FromSql;
use testkit::world::World;

/// The pattern of an answer that refuses.
macro_rules! refused {
    ($refusal:pat) => {
        Err(engine::Error::Refused { refusal: $refusal, .. })
    };
}
pub(crate) use refused;

pub(crate) fn address(name: &str) -> Address {
    Address::email(&format!("{name}@example.com")).unwrap()
}

/// What these tests do to a world beside asking its engine.
pub(crate) trait Look {
    /// Signs in or up with `address` in the flow called `key`.
    async fn sign_in(&self, key: &str, address: &Address) -> Verified;
    /// The codes the inbox shows for `address`, newest first.
    async fn shown(&self, address: &Address) -> Vec<Option<String>>;
    /// Runs statements as a foreign process would, for what the engine cannot do yet.
    fn execute(&self, sql: &str);
    /// The one value that a query gives.
    fn row<T: FromSql>(&self, sql: &str) -> T;
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
        connection(self).execute_batch(sql).unwrap();
    }

    fn row<T: FromSql>(&self, sql: &str) -> T {
        connection(self).query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn clock_millis(&self) -> i64 {
        self.clock.now().millis()
    }
}

pub(crate) fn connection(world: &World) -> Connection {
    let connection = Connection::open(world.database()).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection
}
