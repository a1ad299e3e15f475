//! A server with a page for Prometheus.
//!
//! ```text
//! cargo run -p sansocket-tokio --features metrics --example metrics
//! curl http://127.0.0.1:3000/metrics
//! ```
//!
//! Connect with `sansocket connect http://127.0.0.1:3000` and emit `echo`, `join` or `slow` to see the numbers change. All
//! metrics are listed in `docs/metrics.md`; `docs/grafana-dashboard.json` shows them in Grafana. Set `PORT` for another port.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use sansocket_tokio::metrics::MetricsOptions;
use sansocket_tokio::{Args, Data, HubError, Listener, Server, Socket};
use std::time::Duration;

/// The upper ends of the buckets of durations, in seconds.
const BUCKETS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)?
        .install_recorder()?;
    let io = Server::builder().metrics(MetricsOptions::default()).build()?;
    io.on("echo", async |args: Args| args)
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(&room)?;
            Ok::<_, HubError>(socket.rooms().len())
        })
        .on("slow", async || tokio::time::sleep(Duration::from_millis(20)).await);

    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let of_page = io.clone();
    let listening = Listener::bind(("127.0.0.1", port))
        .await?
        .mount(&io)
        .fallback(move |request| {
            let (io, prometheus) = (of_page.clone(), prometheus.clone());
            async move {
                if request.uri().path() != "/metrics" {
                    let mut response = http::Response::new("see /metrics".into());
                    *response.status_mut() = http::StatusCode::NOT_FOUND;
                    return response;
                }
                io.record_metrics();
                // Durations that were recorded go into their buckets.
                prometheus.run_upkeep();
                http::Response::new(prometheus.render().into())
            }
        })
        .spawn()?;
    println!("http://{}/metrics", listening.local_addr());
    tokio::signal::ctrl_c().await?;
    io.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
