//! Who gets no place, and who loses it.

use tokio::net::TcpSocket;

use super::*;

#[tokio::test]
async fn one_too_many_comes_again_later() {
    let service = Service::start(None).await;
    service.cache.put_blob(&Digest::of(b"blob"), b"blob").unwrap();
    let all = u32::try_from(service.transfers.available_permits()).unwrap();
    let taken = service.transfers.acquire_many(all).await.unwrap();
    let (head, _) = service.get(b"blob", "pod-of-hotbay").await;
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1"), "{head}");
    drop(taken);
    assert_eq!(service.get(b"blob", "pod-of-hotbay").await.1, b"blob");
}

#[tokio::test]
async fn one_address_cannot_have_every_connection() {
    let service = Service::start(None).await;
    service.cache.put_blob(&Digest::of(b"blob"), b"blob").unwrap();
    let mut silent = Vec::new();
    while silent.len() < 16 {
        silent.push(TcpStream::connect(service.address).await.unwrap());
    }
    let (head, body) = service.get(b"blob", "pod-of-hotbay").await;
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("as many connections of this address as it takes, 16"));
    let text = service.metrics.text();
    assert!(text.contains(r#"blob_connections_closed_total{why="address"} 1"#), "{text}");
    assert!(text.contains("blob_connections 16"), "{text}");
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let other = socket.connect(service.address).await.unwrap();
    let path = blob_path(&Digest::of(b"blob"));
    let (head, body) = Service::ask_over(other, "GET", &path, Some("pod-of-hotbay")).await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && body == b"blob", "{head}");
    silent.clear();
    // The service notices when it reads next, and then the address has places again.
    let again = async {
        while !service.get(b"blob", "pod-of-hotbay").await.0.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("its places are given back");
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_nothing_of_a_blob_loses_the_connection_and_the_transfer() {
    let (service, blobs, _listener) = Service::mk(None).await;
    let content = large();
    service.cache.put_blob(&Digest::of(&content), &content).unwrap();
    let (ours, mut theirs) = tokio::io::duplex(1 << 10);
    let asked = request("GET", &blob_path(&Digest::of(&content)), Some("pod-of-hotbay"));
    theirs.write_all(asked.as_bytes()).await.unwrap();
    let all = service.transfers.available_permits();
    let start = tokio::time::Instant::now();
    Arc::new(blobs).attend(ours).await;
    assert_eq!(start.elapsed().as_secs(), 30);
    drop(service.transfers.acquire_many(u32::try_from(all).unwrap()).await.unwrap());
    let text = service.metrics.text();
    assert!(text.contains(r#"blob_connections_closed_total{why="slow"} 1"#), "{text}");
    let mut got = Vec::new();
    theirs.read_to_end(&mut got).await.unwrap();
    assert!(got.len() < content.len(), "the connection ends before the blob does");
}
