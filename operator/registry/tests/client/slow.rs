//! The client against a registry that is slow: what it takes from others, and when it is given up.

use std::sync::Arc;
use std::time::Duration;

use hotbay_api::Reason;
use hotbay_artifact::oci::{Annotations, Form, PackedModule, media_type, pack};
use hotbay_pipeline::{Class, Source};
use hotbay_registry::{Pace, Room, RoomBytes};

use crate::faults::{chain, honest, is_blob, packed};
use crate::support::faulty::{Answer, Asked, Faulty};
use crate::support::{LIMIT, client, module, platform};

const DEADLINE: Duration = Duration::from_secs(60);

/// Answers honestly but for the layer, of which a byte comes now and then.
fn trickling(asked: &Asked) -> Answer {
    if is_blob(asked) { Answer::trickle(packed().blobs[1].bytes.len()) } else { honest(asked) }
}

#[tokio::test]
async fn a_registry_that_trickles_is_given_up_in_words() {
    let server = Faulty::start(trickling).await;
    let pace = Pace { bytes: 1000, within: Duration::from_millis(100) };
    let client = client(|options| options.timeouts.pace = pace);
    let digest = packed().manifest.descriptor.digest;
    let reference = server.reference("hello:1");
    let fetched = client.fetch(&reference, &digest, LIMIT);
    let error = tokio::time::timeout(DEADLINE, fetched).await.expect("it must be given up").unwrap_err();
    assert_eq!(error.verdict(), (Reason::SourceUnreachable, Class::Waiting));
    assert!(chain(&error).contains("sends too slowly"), "{}", chain(&error));
}

#[tokio::test]
async fn a_registry_that_trickles_takes_no_others_room() {
    let (slow, good) = (Faulty::start(trickling).await, Faulty::start(honest).await);
    let digest = packed().manifest.descriptor.digest;
    // A layer has a little less than 5 KiB: of one host there is room for one, and of all for two.
    let room = RoomBytes { arriving: 12 << 10, of_host: 6 << 10, unpacked: 1 << 20 };
    let client = Arc::new(client(|options| options.room = Room::new(room)));
    let slow_ones = ["a:1", "b:1"].map(|name| {
        let (client, reference) = (client.clone(), slow.reference(name));
        tokio::spawn(async move { client.fetch(&reference, &digest, LIMIT).await })
    });
    let layers = || slow.asked().iter().filter(|asked| is_blob(asked)).count();
    asked(&slow, is_blob, 1).await;
    asked(&slow, |asked| !is_blob(asked), 2).await;
    let reference = good.reference("hello:1");
    for _ in 0..3 {
        let fetched = tokio::time::timeout(DEADLINE, client.fetch(&reference, &digest, LIMIT)).await;
        let artifact = fetched.expect("the good registry's artifact must come").unwrap();
        assert_eq!(artifact.builds[0].bytes, module(1, 5000));
    }
    assert_eq!(layers(), 1, "the other waits for room");
    assert!(slow_ones.iter().all(|task| !task.is_finished()));
}

/// Waits until the server was asked so often.
async fn asked(server: &Faulty, what: impl Fn(&Asked) -> bool, count: usize) {
    let asked = async {
        while server.asked().iter().filter(|asked| what(asked)).count() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, asked).await.expect("the server must be asked");
}

#[tokio::test]
async fn what_is_fetched_keeps_its_room_until_its_bytes_are_let_go() {
    for form in [Form::Artifact, Form::Image] {
        let packed: PackedModule =
            pack(&module(1, 5000), &platform("amd64", None), form, "m.so", &Annotations::new()).unwrap();
        let digest = packed.manifest.descriptor.digest;
        let server = Faulty::start(move |asked| {
            let blob =
                packed.blobs.iter().find(|blob| asked.path.ends_with(&blob.descriptor.digest.to_string()));
            match blob {
                Some(blob) => Answer::new(200).body(blob.bytes.clone()),
                None => Answer::document(media_type::OCI_MANIFEST, &packed.manifest.bytes),
            }
        })
        .await;
        let room = RoomBytes { arriving: 6 << 10, of_host: 6 << 10, unpacked: 6 << 10 };
        let client = Arc::new(client(|options| options.room = Room::new(room)));
        let fetch = || {
            let (client, reference) = (client.clone(), server.reference("hello:1"));
            tokio::spawn(async move { client.fetch(&reference, &digest, 6000).await.unwrap() })
        };
        let first = tokio::time::timeout(DEADLINE, fetch()).await.unwrap().unwrap();
        let second = fetch();
        // A layer that is the module itself stays where it arrived; what is unpacked of an archive makes room for the next to arrive.
        let is_manifest = |asked: &Asked| !is_blob(asked);
        if form == Form::Artifact {
            asked(&server, is_manifest, 2).await
        } else {
            asked(&server, is_blob, 2).await
        }
        assert!(!second.is_finished(), "{form:?}: there is room for one");
        assert_eq!(first.builds[0].bytes, module(1, 5000));
        drop(first);
        let second = tokio::time::timeout(DEADLINE, second).await.expect("there is room again").unwrap();
        assert_eq!(second.builds[0].bytes, module(1, 5000));
    }
}
