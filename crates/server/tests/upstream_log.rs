//! The log upstream, through its public face.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test that cannot go on says where, and owns its sockets and files"
)]

mod support;

use bartizan_server::app::path::UpstreamError;
use bartizan_server::upstream::Upstream;
use support::{context, device, folder, message, open};

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_message_is_a_line_of_its_own() {
    let (_folder, path) = folder();
    let file = path.join("city.ndjson");
    let log = open(&format!("log:{}", file.display()), context().0).await;
    let log = std::sync::Arc::new(log);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..500 {
        let log = std::sync::Arc::clone(&log);
        tasks.spawn(async move { log.deliver(&device(n), message("/r", &format!("{{\"n\":{n}}}"))).await });
    }
    while let Some(outcome) = tasks.join_next().await {
        assert_eq!(outcome.unwrap().unwrap().code, 0x44);
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let mut devices: Vec<String> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((line["tenant"].as_str(), line["method"].as_str()), (Some("city"), Some("POST")));
            line["device"].as_str().unwrap().to_owned()
        })
        .collect();
    devices.sort();
    devices.dedup();
    assert_eq!(devices.len(), 500);
    assert_eq!(log.counted().delivered, 500);
}

#[tokio::test]
async fn after_draining_nothing_is_accepted_and_the_file_is_free() {
    let (_folder, path) = folder();
    let config = format!("log:{}", path.join("city.ndjson").display());
    let log = open(&config, context().0).await;
    log.deliver(&device(1), message("/r", "1")).await.unwrap();
    assert!(Upstream::open(config.parse().unwrap(), context().0).await.is_err(), "one writer at a time");
    log.drain().await;
    assert!(matches!(log.deliver(&device(1), message("/r", "2")).await, Err(UpstreamError::Unavailable(_))));
    let again = open(&config, context().0).await;
    again.deliver(&device(1), message("/r", "3")).await.unwrap();
    assert_eq!(std::fs::read_to_string(path.join("city.ndjson")).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_not_opened() {
    let outcome = Upstream::open("log:/nonexistent/city.ndjson".parse().unwrap(), context().0).await;
    let Err(UpstreamError::Unavailable(why)) = outcome else { panic!("it was opened") };
    assert!(why.contains("/nonexistent/city.ndjson"), "{why}");
}
