//! The client against a registry that is broken or hostile.

use std::io::Write;
use std::time::Duration;

use crate::support::faulty::{Answer, Asked, Faulty};
use crate::support::{LIMIT, client, module, platform};
use base64::Engine as _;
use bytes::Bytes;
use hotbay_api::{Digest, Reason};
use hotbay_artifact::oci::{Annotations, Form, PackedModule, media_type, pack};
use hotbay_pipeline::{Class, Source, SourceError};
use hotbay_registry::Credentials;

/// A module as a registry would serve it.
pub fn packed() -> PackedModule {
    pack(&module(1, 5000), &platform("amd64", None), Form::Artifact, "m.so", &Annotations::new()).unwrap()
}

/// Answers like an honest registry that holds [`packed`] under every tag.
pub fn honest(asked: &Asked) -> Answer {
    let packed = packed();
    if asked.path.contains("/manifests/") {
        return Answer::document(media_type::OCI_MANIFEST, &packed.manifest.bytes);
    }
    let blob = packed.blobs.iter().find(|blob| asked.path.ends_with(&blob.descriptor.digest.to_string()));
    blob.map_or(Answer::new(404), |blob| Answer::new(200).body(blob.bytes.clone()))
}

pub fn is_blob(asked: &Asked) -> bool {
    asked.path.contains("/blobs/")
}

/// What resolving and fetching from `server` comes to.
async fn outcome(server: &Faulty) -> Result<(), SourceError> {
    let (client, reference) = (client(|_| {}), server.reference("hello:1"));
    let digest = client.resolve(&reference).await?;
    client.fetch(&reference, &digest, LIMIT).await.map(|_| ())
}

async fn refused(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> SourceError {
    outcome(&Faulty::start(answer).await).await.expect_err("this registry must be refused")
}

/// The error with all its causes.
pub fn chain(error: &SourceError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A client that knows the password of one registry.
fn client_for(registry: &str, folder: &tempfile::TempDir) -> hotbay_registry::Client {
    let path = folder.path().join("config.json");
    let auth = base64::engine::general_purpose::STANDARD.encode("ali:secret");
    std::fs::write(&path, format!(r#"{{"auths": {{"{registry}": {{"auth": "{auth}"}}}}}}"#)).unwrap();
    client(|options| options.credentials = Credentials::DockerConfig(path))
}

#[tokio::test]
async fn the_honest_answers_are_accepted() {
    outcome(&Faulty::start(honest).await).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_names_no_digest_is_asked_for_the_manifest() {
    let server = Faulty::start(|asked| match &*asked.method {
        "HEAD" => Answer::new(200),
        _ => honest(asked),
    });
    outcome(&server.await).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_knows_no_head_is_asked_by_get() {
    for status in [400, 403, 405, 501] {
        let server = Faulty::start(move |asked| match &*asked.method {
            "HEAD" => Answer::new(status),
            _ => honest(asked),
        });
        let server = server.await;
        let digest = client(|_| {}).resolve(&server.reference("hello:1")).await.unwrap();
        assert_eq!(digest, packed().manifest.descriptor.digest, "HEAD answered {status}");
    }
}

#[tokio::test]
async fn what_get_refuses_too_is_refused() {
    let error = refused(|_| Answer::new(403)).await;
    assert_eq!(error.verdict().0, Reason::SourceUnauthorized);
}

#[tokio::test]
async fn a_look_up_of_a_tag_is_one_head_and_is_heard() {
    let server = Faulty::start(honest).await;
    let heard = std::sync::Arc::new(std::sync::Mutex::new(vec![]));
    let log = heard.clone();
    let client = client(|options| {
        options.observer = hotbay_registry::Observer::new(move |method, status| {
            log.lock().unwrap().push((method.to_owned(), status));
        });
    });
    client.resolve(&server.reference("hello:1")).await.unwrap();
    let asked: Vec<String> = server.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(asked, ["HEAD"]);
    client.resolve("127.0.0.1:1/hello:1").await.unwrap_err();
    assert_eq!(*heard.lock().unwrap(), [("HEAD".to_owned(), Some(200)), ("HEAD".to_owned(), None)]);
}

#[tokio::test]
async fn other_bytes_than_promised_are_a_mismatch() {
    let error = refused(|asked| {
        if asked.method == "GET" && !is_blob(asked) {
            return Answer::document(media_type::OCI_MANIFEST, &Bytes::from_static(b"{}"));
        }
        honest(asked)
    });
    assert_eq!(error.await.verdict(), (Reason::DigestMismatch, Class::Waiting), "a manifest");
    for other in [module(2, 5000), module(1, 4999)] {
        let error =
            refused(
                move |asked| {
                    if is_blob(asked) { Answer::new(200).body(other.clone()) } else { honest(asked) }
                },
            );
        assert_eq!(error.await.verdict(), (Reason::DigestMismatch, Class::Waiting), "a layer");
    }
}

#[tokio::test]
async fn bodies_without_end_are_cut() {
    let layer =
        refused(|asked| if is_blob(asked) { Answer::new(200).endless() } else { honest(asked) }).await;
    assert_eq!(layer.verdict().0, Reason::TooLarge, "{layer}");
    let manifest =
        refused(|asked| if asked.method == "GET" { Answer::new(200).endless() } else { honest(asked) }).await;
    assert_eq!(manifest.verdict().0, Reason::TooLarge, "{manifest}");
}

#[tokio::test]
async fn a_compressed_bomb_is_cut() {
    // 64 MiB of zeroes, as the one file of an archive whose header is honest about nothing.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 64 << 20]).unwrap();
    let bomb = Bytes::from(encoder.finish().unwrap());
    let manifest = Bytes::from(
        serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": {"mediaType": media_type::EMPTY, "digest": Digest::of(b"{}").to_string(), "size": 2},
            "layers": [{"mediaType": media_type::OCI_TAR_GZIP, "digest": Digest::of(&bomb).to_string(), "size": bomb.len()}],
        })
        .to_string(),
    );
    let error = refused(move |asked| match is_blob(asked) {
        true => Answer::new(200).body(bomb.clone()),
        false => Answer::document(media_type::OCI_MANIFEST, &manifest),
    });
    // Zeroes end an archive at once: what follows is read only to its bound.
    let error = error.await;
    assert_eq!(error.verdict().0, Reason::TooLarge, "{error}");
}

#[tokio::test]
async fn a_layer_that_says_it_is_huge_is_not_even_asked_for() {
    let packed = packed();
    let size = format!("\"size\":{}", packed.blobs[1].descriptor.size);
    let text =
        String::from_utf8(packed.manifest.bytes.to_vec()).unwrap().replace(&size, "\"size\":99999999999");
    let manifest = Bytes::from(text);
    let server = Faulty::start(move |_| Answer::document(media_type::OCI_MANIFEST, &manifest)).await;
    assert_eq!(outcome(&server).await.unwrap_err().verdict().0, Reason::TooLarge);
    assert!(!server.asked().iter().any(is_blob), "the layer must not be asked for");
}

#[tokio::test]
async fn failures_of_the_server_are_waited_out_and_name_it() {
    for status in [500, 502, 503, 429] {
        let error = refused(move |_| Answer::new(status)).await;
        assert_eq!(error.verdict(), (Reason::SourceUnreachable, Class::Waiting));
        let SourceError::Unreachable { registry, source, .. } = error else {
            panic!("it must be unreachable")
        };
        assert!(
            registry.starts_with("127.0.0.1:") && source.to_string().contains(&status.to_string()),
            "{source}"
        );
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_by_either_limit() {
    let server = Faulty::start(|_| Answer::silence()).await;
    let idle = client(|options| options.timeouts.idle = Duration::from_millis(50));
    let whole = client(|options| options.timeouts.resolve = Duration::from_millis(50));
    for (client, words) in [(idle, "operation timed out"), (whole, "it took longer than")] {
        let error = client.resolve(&server.reference("hello:1")).await.unwrap_err();
        assert_eq!(error.verdict().0, Reason::SourceUnreachable);
        assert!(chain(&error).contains(words), "{} must say {words:?}", chain(&error));
    }
}

#[tokio::test]
async fn a_document_that_is_served_as_another_kind_is_refused() {
    let manifest = packed().manifest.bytes;
    let error = refused(move |_| Answer::document(media_type::OCI_INDEX, &manifest)).await;
    assert!(matches!(&error, SourceError::NotAModule { why, .. } if why.contains("ambiguous")), "{error}");
}

#[tokio::test]
async fn an_index_in_an_index_is_refused() {
    let inner = Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
        media_type::OCI_INDEX
    ));
    let outer = Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{0}","manifests":[{{"mediaType":"{0}","digest":"{1}","size":{2}}}]}}"#,
        media_type::OCI_INDEX,
        Digest::of(&inner),
        inner.len()
    ));
    let error = refused(move |asked| {
        let wanted = if asked.path.ends_with(&Digest::of(&inner).to_string()) { &inner } else { &outer };
        Answer::document(media_type::OCI_INDEX, wanted)
    });
    let error = error.await;
    assert!(
        matches!(&error, SourceError::NotAModule { why, .. } if why.contains("another index")),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirect_is_followed_without_the_token() {
    let storage = Faulty::start(honest).await;
    let there = storage.address;
    let server =
        Faulty::start(move |asked| match (asked.headers.contains_key("authorization"), is_blob(asked)) {
            (false, _) => Answer::new(401).with("WWW-Authenticate", "Basic realm=\"x\""),
            (true, true) => Answer::new(307).with("Location", format!("http://{there}{}", asked.path)),
            (true, false) => honest(asked),
        });
    let server = server.await;
    let folder = tempfile::tempdir().unwrap();
    let client = client_for(&server.address.to_string(), &folder);
    let reference = server.reference("hello:1");
    let digest = client.resolve(&reference).await.unwrap();
    client.fetch(&reference, &digest, LIMIT).await.unwrap();
    let asked = storage.asked();
    assert_eq!(asked.len(), 1, "the redirect must be followed");
    assert!(
        !asked[0].headers.contains_key("authorization"),
        "another origin must not see the token: {asked:?}"
    );
}

#[tokio::test]
async fn an_error_behind_a_redirect_does_not_show_its_signature() {
    let storage = Faulty::start(|_| Answer::hang_up()).await;
    let there = storage.address;
    let error =
        refused(move |_| Answer::new(307).with("Location", format!("http://{there}/?signature=s3cret")))
            .await;
    assert!(!storage.asked().is_empty(), "the redirect must be followed");
    assert_eq!(error.verdict().0, Reason::SourceUnreachable);
    assert!(!format!("{error:?} {}", chain(&error)).contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn a_redirect_to_another_private_host_is_not_followed() {
    let inside = Faulty::start_at("127.0.0.2", honest).await;
    let there = inside.address;
    let server = Faulty::start(move |asked| {
        Answer::new(302).with("Location", format!("http://{there}{}", asked.path))
    })
    .await;
    assert_eq!(outcome(&server).await.unwrap_err().verdict().0, Reason::SourceUnreachable);
    let port = there.port();
    let by_name = Faulty::start(move |asked| {
        Answer::new(302).with("Location", format!("http://localhost:{port}{}", asked.path))
    });
    let by_name = by_name.await;
    assert_eq!(outcome(&by_name).await.unwrap_err().verdict().0, Reason::SourceUnreachable);
    assert_eq!(inside.asked().len(), 0, "the other host must not be asked");
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let server = Faulty::start(|asked| Answer::new(302).with("Location", &asked.path)).await;
    assert_eq!(outcome(&server).await.unwrap_err().verdict().0, Reason::SourceUnreachable);
    assert!(server.asked().len() < 10, "{} requests", server.asked().len());
}

#[tokio::test]
async fn a_token_is_fetched_with_the_registrys_own_credentials_and_used_there_only() {
    let realm = Faulty::start(|_| Answer::new(200).body(r#"{"token": "t0ken"}"#)).await;
    let there = realm.address;
    let server = Faulty::start(move |asked| match asked.headers.get("authorization").map(String::as_str) {
        Some("Bearer t0ken") => honest(asked),
        _ => Answer::new(401)
            .with("WWW-Authenticate", format!("Bearer realm=\"http://{there}/t\",service=\"r\",scope=\"s\"")),
    });
    let server = server.await;
    let folder = tempfile::tempdir().unwrap();
    let client = client_for(&server.address.to_string(), &folder);
    let digest = client.resolve(&server.reference("hello:1")).await.unwrap();
    client.fetch(&server.reference("hello:1"), &digest, LIMIT).await.unwrap();
    let asked = realm.asked();
    assert_eq!(asked.len(), 2, "one token an operation: {asked:?}");
    assert_eq!(asked[0].path, "/t?service=r&scope=s");
    assert!(asked[0].headers["authorization"].starts_with("Basic "), "{asked:?}");
    let sent: Vec<_> =
        server.asked().iter().filter_map(|asked| asked.headers.get("authorization").cloned()).collect();
    assert!(sent.iter().all(|sent| sent == "Bearer t0ken"), "the password is for the token server: {sent:?}");
}

#[tokio::test]
async fn a_registry_gets_no_credentials_of_another_however_it_asks() {
    let realm = Faulty::start(|_| Answer::new(200).body(r#"{"token": "t"}"#)).await;
    let there = realm.address;
    let folder = tempfile::tempdir().unwrap();
    let client = client_for("registry.example.com", &folder);
    for challenge in [
        "Basic realm=\"registry.example.com\"".to_owned(),
        format!("Bearer realm=\"http://{there}/registry.example.com\""),
    ] {
        let server = Faulty::start(move |_| Answer::new(401).with("WWW-Authenticate", &challenge)).await;
        let error = client.resolve(&server.reference("hello:1")).await.unwrap_err();
        assert_eq!(error.verdict().0, Reason::SourceUnauthorized);
        let all: Vec<_> = server.asked().into_iter().chain(realm.asked()).collect();
        assert!(!format!("{all:?}").contains("Basic YWxp"), "{all:?}");
    }
    assert!(!realm.asked().is_empty(), "an anonymous token must have been asked for");
}

#[tokio::test]
async fn a_token_server_at_another_private_host_is_not_asked() {
    let inside = Faulty::start_at("127.0.0.2", |_| Answer::new(200).body(r#"{"token": "t"}"#)).await;
    let there = inside.address;
    let error = refused(move |_| {
        Answer::new(401).with("WWW-Authenticate", format!("Bearer realm=\"http://{there}/t\""))
    })
    .await;
    assert_eq!(error.verdict().0, Reason::SourceUnreachable, "{error}");
    assert_eq!(inside.asked().len(), 0, "the other host must not be asked");
}

#[tokio::test]
async fn the_operator_asks_nothing_on_loopback_by_address_or_by_name() {
    let server = Faulty::start(honest).await;
    let client = client(|options| {
        options.addresses.refuse_loopback = true;
        options.insecure.push("localhost".into());
    });
    for reference in [server.reference("hello:1"), format!("localhost:{}/hello:1", server.address.port())] {
        let error = client.resolve(&reference).await.unwrap_err();
        assert!(
            chain(&error).contains("is a loopback address, which must not be asked"),
            "{}",
            chain(&error)
        );
    }
    assert_eq!(server.asked().len(), 0, "nothing may be dialled");
}
