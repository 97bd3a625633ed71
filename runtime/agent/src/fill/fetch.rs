//! One blob, from its ConfigMap into the bay.
//!
//! Owns the check that the bytes are what the digest names before they enter the bay. A blob that is there and whole is not fetched.

use std::time::Duration;

use hotbay_api::names::{self, CONFIG_MAP_BLOB_KEY};
use hotbay_api::{Digest, Reason, Trouble};
use hotbay_bay::{Writer, check_compressed};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;

/// How long the API server may take to answer with a blob.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the bay hold the blob.
pub(super) async fn fetch(
    api: &Api<ConfigMap>,
    writer: Writer,
    digest: Digest,
    size: u64,
) -> Result<(), Trouble> {
    let held = {
        let writer = writer.clone();
        blocking(digest, move || Ok(writer.holds_blob(&digest, size))).await?
    };
    if held {
        return Ok(());
    }
    let zst = get(api, &digest).await?;
    blocking(digest, move || {
        check_compressed(&digest, size, &zst)
            .map_err(|error| Trouble { reason: Reason::DigestMismatch, message: error.to_string() })?;
        writer
            .put_blob_compressed(&digest, &zst)
            .map_err(|error| Trouble { reason: error.reason(), message: error.to_string() })
    })
    .await?;
    tracing::info!(%digest, size, "blob written");
    Ok(())
}

async fn get(api: &Api<ConfigMap>, digest: &Digest) -> Result<Vec<u8>, Trouble> {
    let name = names::blob_config_map(digest);
    let incomplete =
        |why: String| Trouble { reason: Reason::Incomplete, message: format!("blob {digest}: {why}") };
    let config_map = tokio::time::timeout(TIMEOUT, api.get_opt(&name))
        .await
        .map_err(|_| incomplete(format!("the API server did not answer in {TIMEOUT:?}")))?
        .map_err(|error| incomplete(format!("cannot get ConfigMap {name}: {error}")))?
        .ok_or_else(|| incomplete(format!("there is no ConfigMap {name} (yet)")))?;
    let zst = config_map.binary_data.and_then(|mut data| data.remove(CONFIG_MAP_BLOB_KEY));
    zst.map(|zst| zst.0).ok_or_else(|| incomplete(format!("ConfigMap {name} has no {CONFIG_MAP_BLOB_KEY}")))
}

async fn blocking<T: Send + 'static>(
    digest: Digest,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Trouble {
            reason: Reason::Incomplete,
            message: format!("blob {digest}: its check failed: {error}"),
        })
    })
}
