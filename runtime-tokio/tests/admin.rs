//! The admin UI's passwords, which are checked in threads of their own: in real time, and without a network.

use sansocket_tokio::admin::AdminOptions;
use sansocket_tokio::testing::Loopback;
use sansocket_tokio::{Client, ConnectError, Data, Server};
use serde_json::{Value, json};
use std::future::ready;
use std::time::Duration;
use tokio::sync::mpsc;

/// "secret", at the lowest cost that bcrypt has, as JavaScript's bcryptjs writes it.
const HASH: &str = "$2a$04$qFKIvcHzWFDxCQuUuDMEf.LUrM6FGS449ElPKVIaJz69aIj5Qd9v2";

/// A page, or the words with which it was refused; and the session that it gets.
async fn connect(
    network: &Loopback,
    auth: Value,
) -> Result<(Client, mpsc::UnboundedReceiver<String>), String> {
    let client = Client::builder("http://test/admin").dial(network.clone()).auth(&auth).build();
    let client = client.map_err(|error| error.to_string())?;
    let (told, sessions) = mpsc::unbounded_channel();
    client.on("session", move |Data(session): Data<String>| {
        let _ = told.send(session);
        ready(())
    });
    match client.connect().await {
        Ok(()) => Ok((client, sessions)),
        Err(ConnectError::Refused(refusal)) => Err(refusal.message().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn the_password_of_a_bcrypt_hash_lets_a_page_in_and_nothing_else_does() {
    let io = Server::builder().build().expect("a server");
    io.instrument(AdminOptions::basic("admin", HASH).expect("a hash")).expect("it is not instrumented");
    let network = Loopback::to(&io);
    for auth in [
        json!({}),
        json!({ "username": "admin" }),
        json!({ "username": "admin", "password": "" }),
        json!({ "username": "admin", "password": "Secret" }),
        json!({ "username": "admin", "password": "x".repeat(5000) }),
        json!({ "username": "admin", "password": 1 }),
        json!({ "username": "admin", "password": HASH }),
        json!({ "username": "Admin", "password": "secret" }),
        json!({ "sessionId": "secret" }),
    ] {
        let refused = connect(&network, auth.clone()).await.map(drop);
        assert_eq!(refused, Err("invalid credentials".into()), "{auth}");
    }
    let good = json!({ "username": "admin", "password": "secret" });
    let (page, mut sessions) = connect(&network, good).await.expect("it is let in");
    let session = sessions.recv().await.expect("a session");
    let (again, _) = connect(&network, json!({ "sessionId": session })).await.expect("it is let in");
    assert!(page.is_connected() && again.is_connected());
    io.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_logins_at_once_are_judged_or_told_to_come_later_and_leave_room() {
    let io = Server::builder().build().expect("a server");
    io.instrument(AdminOptions::basic("admin", HASH).expect("a hash")).expect("it is not instrumented");
    let network = Loopback::to(&io);
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let network = network.clone();
        tries.spawn(async move {
            connect(&network, json!({ "username": "admin", "password": "guess" })).await.map(drop)
        });
    }
    while let Some(refused) = tries.join_next().await {
        let words = refused.expect("no panic").expect_err("it is refused");
        let is_known = ["invalid credentials", "too many logins at once: try again"].contains(&&*words);
        assert!(is_known, "{words}");
    }
    let good = json!({ "username": "admin", "password": "secret" });
    assert!(connect(&network, good).await.is_ok());
}
