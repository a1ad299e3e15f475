//! The feature `metrics`: the table of the documentation, and what a scrape shows.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use sansocket_runtime::cluster::{ClusterOptions, InProcessBus};
use sansocket_runtime::metrics::{METRICS, MetricKind, MetricsOptions};
use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{EngineServer, Server, ServerBuilder, Socket, adapter};
use std::collections::BTreeSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const TABLE: &str = include_str!("../../docs/metrics.md");

/// The rows of a table whose first column is a metric's name.
fn rows() -> Vec<Vec<String>> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| `sansocket_"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn the_table_of_the_documentation_is_that_of_the_code() {
    let of_code = METRICS.iter().map(|metric| {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
            kind => panic!("{kind:?} is new"),
        };
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        vec![format!("`{}`", metric.name), kind.to_owned(), labels.join(", "), metric.description.to_owned()]
    });
    assert_eq!(rows(), of_code.collect::<Vec<_>>());
}

#[test]
fn the_names_follow_the_conventions() {
    let mut names = BTreeSet::new();
    for metric in METRICS {
        assert!(names.insert(metric.name), "{} is there twice", metric.name);
        assert_eq!(metric.name.ends_with("_total"), metric.kind == MetricKind::Counter, "{}", metric.name);
        assert_eq!(
            metric.name.ends_with("_seconds"),
            metric.kind == MetricKind::Histogram,
            "{}",
            metric.name
        );
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    let dashboard = include_str!("../../docs/grafana-dashboard.json");
    let parsed: serde_json::Value = serde_json::from_str(dashboard).expect("the dashboard is JSON");
    assert!(parsed["panels"].as_array().is_some_and(|panels| panels.len() > 5));
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = dashboard.split(|character| !is_name(character));
    let asked: BTreeSet<_> = words
        .filter(|word| word.starts_with("sansocket_"))
        .map(|word| word.trim_end_matches("_bucket"))
        .collect();
    let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(asked, known);
}

/// A recorder of its own for a test, and what a scrape of it shows.
fn recorder() -> (PrometheusRecorder, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
}

/// The value of one series, which must be there.
fn value(scrape: &str, series: &str) -> f64 {
    let line =
        scrape.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("{series} is missing in:\n{scrape}"));
    line.rsplit(' ').next().expect("a value").parse().expect("a number")
}

/// The names of metrics that a scrape has.
fn names(scrape: &str) -> BTreeSet<&str> {
    scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

type Builder = ServerBuilder<Server, adapter::ServerOptions>;

#[test]
fn a_scrape_shows_what_a_server_has_done() {
    let (recorder, handle) = recorder();
    metrics::with_local_recorder(&recorder, || {
        let test = TestServer::new(|runtime| {
            Builder::new(runtime)
                .metrics(MetricsOptions::default().label("server", "test"))
                .cluster(ClusterOptions::new(InProcessBus::new()))
                .build()
        });
        let io = test.server();
        io.on("echo", async |data: sansocket_runtime::Args| data)
            .on("fails", async || Err::<(), _>("on purpose"))
            .on("join", async |socket: Socket| socket.join("room").map(drop));
        let (ada, bob) = (test.client("/"), test.client("/"));
        ada.socket().on("question", async || "answer");
        bob.socket().on("question", async |_: sansocket_runtime::Ack| std::future::pending::<()>().await);
        for number in 0..80 {
            assert_eq!(ada.call::<i32>("echo", &number), number);
        }
        ada.emit("fails", &());
        ada.emit("join", &());
        let answers = test.block_on(io.emit_with_ack("question", &(), SECOND));
        assert!(answers.is_err(), "Bob does not answer");
        // A heartbeat, and the time of a recording.
        test.advance(SECOND * 30);
        bob.disconnect();
        io.record_metrics();
    });
    let scrape = handle.render();
    let of_test = |name: &str| value(&scrape, &format!("{name}{{server=\"test\"}}"));
    let labelled = |name: &str, label: &str| value(&scrape, &format!("{name}{{server=\"test\",{label}}}"));
    assert_eq!(of_test("sansocket_sessions_opened_total"), 2.0);
    assert_eq!(
        labelled("sansocket_sessions", r#"transport="websocket""#)
            + labelled("sansocket_sessions", r#"transport="polling""#),
        1.0
    );
    assert_eq!(labelled("sansocket_sessions_closed_total", r#"reason="transport close""#), 1.0);
    assert_eq!(of_test("sansocket_events_received_total"), 82.0);
    // 80 acknowledgements, two questions, and the acknowledgement of `join`, for which nobody has asked: none.
    assert_eq!(of_test("sansocket_events_sent_total"), 82.0);
    assert_eq!(of_test("sansocket_namespaces"), 1.0);
    assert_eq!(of_test("sansocket_sockets"), 1.0);
    assert_eq!(of_test("sansocket_rooms"), 1.0);
    assert_eq!(of_test("sansocket_handler_errors_total"), 1.0);
    assert_eq!(labelled("sansocket_acks_total", r#"outcome="answered""#), 1.0);
    assert_eq!(labelled("sansocket_acks_total", r#"outcome="timeout""#), 1.0);
    assert_eq!(of_test("sansocket_ack_duration_seconds_count"), 1.0);
    assert_eq!(of_test("sansocket_heartbeat_duration_seconds_count"), 2.0);
    // The first of 82 events, and the 65th.
    assert_eq!(of_test("sansocket_handler_duration_seconds_count"), 2.0);
    for transport in [r#"transport="websocket""#, r#"transport="polling""#] {
        assert!(labelled("sansocket_received_bytes_total", transport) > 0.0);
        assert!(labelled("sansocket_sent_bytes_total", transport) > 0.0);
    }
    assert_eq!(of_test("sansocket_bus_up"), 1.0);
    // Everything in the table is in a scrape, and nothing else.
    assert_eq!(names(&scrape), METRICS.iter().map(|metric| metric.name).collect::<BTreeSet<_>>());
}

#[test]
fn counts_are_brought_up_to_date_by_themselves() {
    let (recorder, handle) = recorder();
    metrics::with_local_recorder(&recorder, || {
        let options = MetricsOptions::default().every(SECOND * 5);
        let test = TestServer::new(|runtime| Builder::new(runtime).metrics(options).build());
        let _client = test.client("/");
        test.advance(SECOND * 4);
        assert!(!names(&handle.render()).contains("sansocket_sockets"));
        test.advance(SECOND * 2);
        assert_eq!(value(&handle.render(), "sansocket_sockets"), 1.0);
        let _other = test.client("/");
        test.advance(SECOND * 5);
        assert_eq!(value(&handle.render(), "sansocket_sockets"), 2.0);
    });
}

#[test]
fn a_server_of_plain_engine_io_has_metrics_of_its_sessions() {
    let (recorder, handle) = recorder();
    metrics::with_local_recorder(&recorder, || {
        let test = TestServer::new(|runtime| {
            ServerBuilder::<EngineServer, _>::new(runtime).metrics(MetricsOptions::default()).build()
        });
        test.server().record_metrics();
        let scrape = handle.render();
        assert_eq!(value(&scrape, "sansocket_sessions_opened_total"), 0.0);
        assert!(!names(&scrape).contains("sansocket_sockets"), "there are none");
    });
}

#[test]
fn a_server_that_is_not_told_to_records_nothing() {
    let (recorder, handle) = recorder();
    metrics::with_local_recorder(&recorder, || {
        let test = TestServer::default();
        let client = test.client("/");
        test.server().on("echo", async || 1);
        assert_eq!(client.call::<i32>("echo", &()), 1);
        test.advance(SECOND * 60);
        test.server().record_metrics();
        assert_eq!(handle.render(), "");
    });
}

#[test]
fn handlers_are_timed_where_they_run_and_the_last_counts_are_those_of_the_shutdown() {
    let (recorder, handle) = recorder();
    metrics::with_local_recorder(&recorder, || {
        let test =
            TestServer::new(|runtime| Builder::new(runtime).metrics(MetricsOptions::default()).build());
        test.server().on_concurrent("slow", async |socket: Socket| {
            let _ = socket.emit_with_ack("nothing", &(), SECOND * 2).await;
        });
        // The first event of a session is timed, but this one has no handler.
        let nobody = test.client("/");
        nobody.emit("nobody", &());
        let client = test.client("/");
        client.emit("slow", &());
        test.advance(SECOND * 3);
        let scrape = handle.render();
        assert_eq!(value(&scrape, "sansocket_handler_duration_seconds_count"), 1.0);
        let took = value(&scrape, "sansocket_handler_duration_seconds_sum");
        assert!((2.0..3.0).contains(&took), "{took}");
        test.server().record_metrics();
        assert_eq!(value(&handle.render(), "sansocket_sockets"), 2.0);
        test.block_on(test.server().shutdown(SECOND));
        assert_eq!(value(&handle.render(), "sansocket_sockets"), 0.0);
    });
}
