//! The agent's life: everything started, everything watched.
//!
//! Owns the tasks. If one of them ends the agent ends, with an error, and the kubelet starts it again; what is in the bay stays there.

use anyhow::Context as _;
use hotbay_api::RuntimeReport;
use hotbay_bay::Writer;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::fill::{BlobService, Filler, Known, Sources};
use crate::report::{Pace, Publisher, Reporter, spawn_watch};
use crate::{Settings, health};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When a setting does not work, or a part of the agent ends.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let Settings {
        bay,
        bay_size,
        report,
        pool,
        pod_namespace,
        pod_name,
        pod_uid,
        blobs_url,
        blobs_token,
        health_listen,
        report_longest_pause,
        log: _,
    } = settings;
    let version = env!("CARGO_PKG_VERSION");
    let service = blobs_url.as_ref().map(tracing::field::display);
    tracing::info!(version, arch = std::env::consts::ARCH, pool, bay = %bay.display(), bay_size, service, "hotbay-agent starts");
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let listener = TcpListener::bind(health_listen)
        .await
        .with_context(|| format!("failed to listen on {health_listen}"))?;
    tracing::info!(address = %health_listen, "health is served");

    let client = Client::try_default().await.context("failed to find the API server")?;
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &pod_namespace);
    let reports: Api<RuntimeReport> = Api::namespaced(client, &pod_namespace);
    let (known_tx, known_rx) = watch::channel(Known::default());
    let service = blobs_url.map(|url| BlobService { url, token: blobs_token });
    let sources = Sources { config_maps, service };
    let writer = Writer::new(&bay).with_context(|| format!("failed to open the bay {}", bay.display()))?;
    let filler = Filler::open(sources, &pool, &pod_uid, writer.with_size(bay_size), known_tx)?;
    let local = spawn_watch(report)?;
    let publisher = Publisher::new(reports, pod_name, pod_uid.clone());
    let pace = Pace::new(report_longest_pause, &pod_uid);
    let reporter = Reporter::new(pool.clone(), pod_uid, publisher, known_rx.clone(), local, pace);

    tokio::select! {
        ended = filler.run(pool) => ended.context("filling the bay ended"),
        ended = reporter.run() => ended.context("reporting ended"),
        ended = health::serve(listener, known_rx) => ended.context("serving health ended"),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}
