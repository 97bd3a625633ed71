//! Registries that do not answer, beside one that does: real servers, the real client and the operator's turns.

use std::sync::Arc;

use hotbay_artifact::oci::{Annotations, Form, PackedModule, media_type, pack};
use hotbay_registry::{Client, Options, Pace, Room, RoomBytes, Shares};
use tokio::sync::mpsc;

use super::*;
use crate::blobs::Cache;
use crate::look_up::LookUps;
use crate::metrics::Metrics;
use crate::shared_source::SharedSource;
use faulty::{Answer, Asked, Faulty};

#[path = "../../../../registry/tests/client/support/faulty.rs"]
#[allow(dead_code, reason = "the registry client's own tests have more faults")]
mod faulty;

const DEADLINE: Duration = Duration::from_secs(60);
/// Longer than any test waits: what comes by then did not wait for a time limit.
const NEVER: Duration = Duration::from_secs(3600);

/// The smallest module: notes and an entry.
const MODULE: &str = r#"
#define NOTE __attribute__((section(".note.hotbay"), used, aligned(4)))
NOTE static const struct { unsigned n[3]; char name[8]; char json[120]; } manifest = {{7, 118, 1}, "Hotbay",
    "{\"manifest\":1,\"name\":\"tiny\",\"version\":\"1.0\",\"sdk\":\"c\",\"handlers\":[{\"name\":\"h\",\"methods\":[\"GET\"],\"path\":\"/good\"}]}     "};
NOTE static const struct { unsigned n[3]; char name[8]; unsigned short v[4]; } abi = {{7, 8, 2}, "Hotbay", {1, 0, 1, 0}};
const void *hotbay_module_v1(const void *host) { return host; }
"#;

fn packed() -> PackedModule {
    let folder = tempfile::tempdir().unwrap();
    let [source, output] = ["module.c", "module.so"].map(|name| folder.path().join(name));
    std::fs::write(&source, MODULE).unwrap();
    let gcc = std::process::Command::new("gcc")
        .args(["-shared", "-fPIC", "-O1", "-nostdlib", "-o"])
        .args([&output, &source])
        .status();
    assert!(gcc.expect("gcc must be installed; run make deps").success());
    let module = std::fs::read(output).unwrap().into();
    pack(&module, &Platform::current(), Form::Artifact, "module.so", &Annotations::new()).unwrap()
}

/// Answers like a registry that holds `packed` under every tag.
fn honest(packed: &PackedModule, asked: &Asked) -> Answer {
    if asked.path.contains("/manifests/") {
        return Answer::document(media_type::OCI_MANIFEST, &packed.manifest.bytes);
    }
    let blob = packed.blobs.iter().find(|blob| asked.path.ends_with(&blob.descriptor.digest.to_string()));
    blob.map_or(Answer::new(404), |blob| Answer::new(200).body(blob.bytes.clone()))
}

fn is_layer(asked: &Asked) -> bool {
    asked.path.contains("/blobs/")
}

/// Three registries: one never answers, one sends a byte of a layer now and then, one is well.
struct Registries {
    silent: Faulty,
    trickling: Faulty,
    good: Faulty,
}

impl Registries {
    async fn start() -> Self {
        let packed = Arc::new(packed());
        let (trickled, served) = (packed.clone(), packed);
        Self {
            silent: Faulty::start(|_| Answer::silence()).await,
            trickling: Faulty::start(move |asked| match is_layer(asked) {
                true => Answer::trickle(trickled.blobs[1].bytes.len()),
                false => honest(&trickled, asked),
            })
            .await,
            good: Faulty::start(move |asked| honest(&served, asked)).await,
        }
    }
}

/// The operator's look-ups with the least shares that let two hosts be slow at a time.
fn mk_look_ups(pace: Pace, folder: &tempfile::TempDir) -> Arc<LookUps<SharedSource<Client>>> {
    let room = Room::new(RoomBytes { arriving: 3 << 20, of_host: 1 << 20, unpacked: 1 << 20 });
    let mut options =
        Options { insecure: vec!["127.0.0.1".into()], room: room.clone(), ..Options::default() };
    (options.timeouts.idle, options.timeouts.resolve, options.timeouts.transfer) = (NEVER, NEVER, NEVER);
    options.timeouts.pace = pace;
    let cache = Arc::new(Cache::open(folder.path().to_owned(), 1 << 30).unwrap());
    let source = SharedSource::new(Client::new(options), cache, room, Shares::new(1, 2));
    Arc::new(LookUps::new(source, Shares::new(2, 4), Arc::new(Metrics::new())))
}

impl World {
    /// A module appears; nothing is done about it yet.
    fn appears(&mut self, name: &str, reference: String) {
        let key = EntryKey::new("shop", name).unwrap();
        let version = self.next_version().to_string();
        let module: HandlerModule = object(json!({
            "apiVersion": "hotbay.dev/v1alpha1", "kind": "HandlerModule",
            "metadata": {"namespace": "shop", "name": name, "uid": name, "generation": 1, "resourceVersion": version},
            "spec": {"source": {"oci": {"reference": reference}}, "routes": [{"path": format!("/{name}"), "handler": "h"}]},
        }));
        self.modules.insert(key, module.clone());
        self.handle(Event::Module(Change::Applied(module)));
    }

    /// Carries out what is decided, look-ups for real, until the world is as it should be.
    async fn look_up_until(
        &mut self,
        look_ups: &Arc<LookUps<SharedSource<Client>>>,
        done: impl Fn(&Self) -> bool,
    ) {
        let (found_tx, mut found_rx) = mpsc::unbounded_channel();
        loop {
            let time = Time(Timestamp::from_second(1_790_000_000).unwrap());
            let actions = self.index.decide(self.now, &time);
            for action in actions {
                let Action::LookUp(request) = action else {
                    self.perform(action);
                    continue;
                };
                let (look_ups, found_tx) = (look_ups.clone(), found_tx.clone());
                tokio::spawn(async move {
                    let found = look_ups.look_up(&request).await;
                    found_tx.send(Event::LookedUp(request.key, request.ticket, found)).ok();
                });
            }
            if done(self) {
                return;
            }
            // What was written may lead to more.
            if let Ok(found) = found_rx.try_recv() {
                self.handle(found);
            } else if self.index.dirty.is_empty() {
                let found = tokio::time::timeout(DEADLINE, found_rx.recv()).await;
                self.handle(found.expect("a look-up must end").unwrap());
            }
        }
    }
}

#[tokio::test]
async fn a_module_of_a_good_registry_waits_for_no_slow_one() {
    let registries = Registries::start().await;
    let folder = tempfile::tempdir().unwrap();
    let look_ups = mk_look_ups(Pace { bytes: 1, within: NEVER }, &folder);
    let mut world = World::new();
    for number in 0..6 {
        world.appears(&format!("silent{number}"), registries.silent.reference(&format!("a{number}:1")));
        world.appears(&format!("trickling{number}"), registries.trickling.reference(&format!("a{number}:1")));
    }
    world.appears("well", registries.good.reference("hello:1"));
    world.look_up_until(&look_ups, |world| world.entry("well").is_some()).await;
    world.report();
    assert_eq!(world.ready("well"), "True Succeeded");
    assert!(world.ready("silent0").starts_with("False Progressing"), "{}", world.ready("silent0"));
    assert!(registries.silent.asked().len() <= 2, "two look-ups of one host at a time");
    let layers = registries.trickling.asked().iter().filter(|asked| is_layer(asked)).count();
    assert!(layers <= 1, "one fetch of one host at a time");
}

#[tokio::test]
async fn modules_of_a_trickling_registry_are_told_why_they_wait() {
    let registries = Registries::start().await;
    let folder = tempfile::tempdir().unwrap();
    let look_ups = mk_look_ups(Pace { bytes: 10_000, within: Duration::from_millis(100) }, &folder);
    let mut world = World::new();
    let names = ["a", "b", "c"];
    names.iter().for_each(|name| world.appears(name, registries.trickling.reference(&format!("{name}:1"))));
    let told = |world: &World| names.iter().all(|name| world.ready(name) == "False SourceUnreachable");
    world.look_up_until(&look_ups, told).await;
    let status = world.modules.values().next().unwrap().status.as_ref().unwrap();
    let ready = find(&status.conditions, READY).unwrap();
    assert!(ready.message.contains("it sends too slowly to wait for"), "{}", ready.message);
}
