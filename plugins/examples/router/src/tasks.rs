//! What tokio does for an application: timers, tasks, threads for what blocks, sockets, files.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/sleep/{millis}", get(sleep))
        .route("/spawn/{number}", get(spawn))
        .route("/blocking/{number}", get(blocking))
        .route("/tcp", get(tcp))
        .route("/file", get(file))
}

async fn sleep(Path(millis): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    "slept\n"
}

async fn spawn(Path(number): Path<u64>) -> Result<String, Failed> {
    let task = tokio::spawn(async move {
        tokio::task::yield_now().await;
        number * 2
    });
    Ok(format!("{}\n", task.await?))
}

async fn blocking(Path(number): Path<u64>) -> Result<String, Failed> {
    let task = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(1));
        number * 3
    });
    Ok(format!("{}\n", task.await?))
}

#[derive(Deserialize)]
struct Tcp {
    /// Whom to call.
    address: String,
    /// What to say.
    words: String,
}

/// Calls somebody, says something, and answers with what is answered.
async fn tcp(Query(Tcp { address, words }): Query<Tcp>) -> Result<Vec<u8>, Failed> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(words.as_bytes()).await?;
    connection.shutdown().await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[derive(Deserialize)]
struct Note {
    /// Where it is written.
    folder: PathBuf,
    /// What it says.
    words: String,
}

/// Writes a note, and answers with what a second look finds in it.
async fn file(Query(Note { folder, words }): Query<Note>) -> Result<String, Failed> {
    let note = folder.join("note.txt");
    let mut file = tokio::fs::File::create(&note).await?;
    file.write_all(words.as_bytes()).await?;
    file.sync_all().await?;
    Ok(tokio::fs::read_to_string(&note).await?)
}

/// A failure that the client is told.
struct Failed(io::Error);

impl<E: Into<io::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::BAD_GATEWAY, format!("{}\n", self.0)).into_response()
    }
}
