//! hotbay-agent: the sidecar that fills a runtime pod's bay and reports back.

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let settings = hotbay_agent::Settings::parse();
    let filter = EnvFilter::try_new(&settings.log)?;
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    hotbay_agent::run(settings).await
}
