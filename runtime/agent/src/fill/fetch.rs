//! One blob, from its ConfigMap into the bay, or from the blob service if it has none.
//!
//! Owns the order of the two (the service too if the ConfigMap holds other bytes), and the check that the bytes are what the digest names before they enter the bay. A blob that is there and
//! whole is not fetched, and the service is not asked for one that the bay has no room for.

use std::time::Duration;

use hotbay_api::names::{self, CONFIG_MAP_BLOB_KEY};
use hotbay_api::{Digest, Reason, Trouble};
use hotbay_bay::{WriteError, Writer, check_compressed};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;

use super::blob_service::BlobService;

/// How long the API server may take to answer with a blob.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the bay hold the blob.
pub(super) async fn fetch(
    api: &Api<ConfigMap>,
    service: Option<&BlobService>,
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
    match (get(api, &digest).await?, service) {
        (Some(zst), service) => match (put(writer.clone(), digest, size, zst).await, service) {
            // Somebody made the ConfigMap beside the operator, which looks at no blob's bytes again; its service has the right ones.
            (Err(trouble), Some(service)) if trouble.reason == Reason::DigestMismatch => {
                tracing::warn!(%digest, error = trouble.message, "a blob's ConfigMap holds other bytes; delete it to have it made anew");
                from_service(service, writer, digest, size).await?;
            }
            (done, _) => done?,
        },
        (None, Some(service)) => from_service(service, writer, digest, size).await?,
        (None, None) => {
            let name = names::blob_config_map(&digest);
            return Err(incomplete(
                &digest,
                &format!("no ConfigMap {name} holds it (yet), and no blob service is set"),
            ));
        }
    }
    tracing::info!(%digest, size, "blob written");
    Ok(())
}

async fn from_service(
    service: &BlobService,
    writer: Writer,
    digest: Digest,
    size: u64,
) -> Result<(), Trouble> {
    let checked = writer.clone();
    blocking(digest, move || checked.check_room(&digest, size).map_err(|error| trouble(&error))).await?;
    service.fetch(&writer, &digest, size).await
}

async fn put(writer: Writer, digest: Digest, size: u64, zst: Vec<u8>) -> Result<(), Trouble> {
    blocking(digest, move || {
        check_compressed(&digest, size, &zst)
            .map_err(|error| Trouble { reason: Reason::DigestMismatch, message: error.to_string() })?;
        writer.put_blob_compressed(&digest, &zst).map_err(|error| trouble(&error))
    })
    .await
}

/// The compressed blob from its ConfigMap; `None` if there is none, or somebody made one without it: the operator, which has the bytes, sees only
/// that a ConfigMap is there.
async fn get(api: &Api<ConfigMap>, digest: &Digest) -> Result<Option<Vec<u8>>, Trouble> {
    let name = names::blob_config_map(digest);
    let incomplete = |why: String| incomplete(digest, &why);
    let config_map = tokio::time::timeout(TIMEOUT, api.get_opt(&name))
        .await
        .map_err(|_| incomplete(format!("the API server did not answer in {TIMEOUT:?}")))?
        .map_err(|error| incomplete(format!("cannot get ConfigMap {name}: {error}")))?;
    let Some(config_map) = config_map else { return Ok(None) };
    let zst = config_map.binary_data.and_then(|mut data| data.remove(CONFIG_MAP_BLOB_KEY));
    if zst.is_none() {
        tracing::warn!(%digest, "ConfigMap {name} has no {CONFIG_MAP_BLOB_KEY}; delete it to have it made anew");
    }
    Ok(zst.map(|zst| zst.0))
}

fn trouble(error: &WriteError) -> Trouble {
    Trouble { reason: error.reason(), message: error.to_string() }
}

fn incomplete(digest: &Digest, why: &str) -> Trouble {
    Trouble { reason: Reason::Incomplete, message: format!("blob {digest}: {why}") }
}

async fn blocking<T: Send + 'static>(
    digest: Digest,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(incomplete(&digest, &format!("its check failed: {error}"))))
}

#[cfg(test)]
mod tests;
