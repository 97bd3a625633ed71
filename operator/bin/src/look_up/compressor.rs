//! The blobs of builds.
//!
//! Owns how many are compressed at a time: at its best level zstd takes up to 49 MiB for a build of 4 MiB, which is in nobody's room, and there
//! may be as many builds in memory as there is room for. Whoever has its turn waits for nothing else, so the turns always go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use hotbay_api::Digest;
use hotbay_pipeline::{Build, InlineBlob, InlineLimits, inline};
use tokio::sync::Semaphore;

/// One for each core of a small node. With a full room, two contexts take nearly all of the chart's memory limit.
const AT_A_TIME: usize = 2;

/// Blobs to be written, and the compressed sizes of all.
pub type Blobs = (Vec<InlineBlob>, Vec<(Digest, u64)>);

type Inline = Arc<dyn Fn(&Build, InlineLimits) -> Option<InlineBlob> + Send + Sync>;

/// See the module.
pub struct Compressor {
    turns: Arc<Semaphore>,
    inline: Inline,
}

impl Default for Compressor {
    fn default() -> Self {
        Self::with(Arc::new(inline))
    }
}

impl Compressor {
    fn with(inline: Inline) -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_A_TIME)), inline }
    }

    /// Of the blobs that fit into a ConfigMap those that are not stored yet, and the compressed sizes of all.
    pub async fn blobs(
        &self,
        builds: Vec<Build>,
        limits: InlineLimits,
        stored: Arc<BTreeMap<Digest, u64>>,
    ) -> Blobs {
        // Never closed, so there is always a turn in the end. The thread holds it, which goes on when nobody waits for it any more.
        let turn = self.turns.clone().acquire_owned().await;
        let inline = self.inline.clone();
        let compress = move || {
            let _turn = turn;
            let (mut blobs, mut sizes) = (Vec::new(), Vec::new());
            for build in &builds {
                if let Some(bytes) = stored.get(&build.digest) {
                    sizes.push((build.digest, *bytes));
                } else if let Some(blob) = inline(build, limits) {
                    sizes.push((build.digest, blob.compressed.len() as u64));
                    blobs.push(blob);
                }
            }
            (blobs, sizes)
        };
        // It keeps a thread for tens of milliseconds a megabyte.
        match tokio::task::spawn_blocking(compress).await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::RwLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;

    #[test]
    fn many_modules_are_compressed_a_few_at_a_time() {
        // As many threads for blocking work as there are turns, and one.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().max_blocking_threads(AT_A_TIME + 1).build().unwrap();
        let (gate, compressed) = (Arc::new(RwLock::new(())), Arc::new(AtomicUsize::new(0)));
        let (passed, counted) = (gate.clone(), compressed.clone());
        let compressor = Compressor::with(Arc::new(move |build, limits| {
            drop(passed.read());
            counted.fetch_add(1, Ordering::SeqCst);
            inline(build, limits)
        }));
        let build = |number: u8| {
            let bytes = bytes::Bytes::from(vec![number; 100]);
            Build { platform: None, digest: Digest::of(&bytes), bytes }
        };
        let limits = InlineLimits { max_blob_bytes: 1000 };
        let modules = 6;
        let blobs = (0..modules).map(|number| compressor.blobs(vec![build(number)], limits, Arc::default()));
        let mut all = Box::pin(join_all(blobs));
        let closed = gate.write().unwrap();
        runtime.block_on(async {
            assert!(all.as_mut().now_or_never().is_none(), "nothing is compressed behind a closed gate");
            // Its turn would only come after theirs if they had all threads.
            let free = tokio::task::spawn_blocking(|| ());
            tokio::time::timeout(Duration::from_secs(60), free).await.expect("a thread is left").unwrap();
        });
        assert_eq!(compressed.load(Ordering::SeqCst), 0);
        drop(closed);
        let all = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), all).await });
        for (number, (blobs, sizes)) in (0..modules).zip(all.expect("each has its turn in the end")) {
            assert_eq!(sizes[0].0, build(number).digest);
            assert_eq!(blobs.len(), 1);
        }
        assert_eq!(compressed.load(Ordering::SeqCst), usize::from(modules));
    }
}
