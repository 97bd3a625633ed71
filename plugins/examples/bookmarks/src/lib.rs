//! An axum application with a database and a client of HTTPS as a Hotbay module: bookmarks, each looked at when it is saved.
//!
//! ```console
//! $ curl -d '{"url": "https://example.com"}' -H 'content-type: application/json' http://127.0.0.1:8880/bookmarks
//! {"id":1,"url":"https://example.com/","title":"Example Domain"}
//! ```
//! sqlx and reqwest are used as in any other application: the pool and its connections belong to the instance, and end with it.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use hotbay_sdk::{Config, ConfigError, ModuleConfig};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use url::Url;

use crate::failed::Failed;

mod failed;
mod page;

/// Where bookmarks are kept, and how they are looked at.
#[derive(Debug, Deserialize, ModuleConfig)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where they are kept: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    #[config(secret, pattern = "^postgres(ql)?://")]
    database: String,
    /// Connections to the database, at most.
    #[config(min = 1, max = 100)]
    connections: u32,
    /// How long database and pages may keep a request waiting.
    patience: Duration,
    /// An authority that pages are trusted by, besides those of the system: a certificate as PEM.
    authority: Option<String>,
}

/// Why there is no application.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("failed to read the config")]
    Config(#[from] ConfigError),
    #[error("failed to prepare the database")]
    Database(#[from] sqlx::Error),
    #[error("failed to prepare the client")]
    Client(#[from] reqwest::Error),
}

/// What all requests share.
#[derive(Clone)]
struct Shared {
    pool: PgPool,
    client: reqwest::Client,
}

/// A bookmark as it is kept.
#[derive(Debug, Serialize, sqlx::FromRow)]
struct Bookmark {
    id: i64,
    url: String,
    title: Option<String>,
}

/// A bookmark as it is sent.
#[derive(Debug, Deserialize)]
struct New {
    url: Url,
}

async fn list(State(shared): State<Shared>) -> Result<Json<Vec<Bookmark>>, Failed> {
    let all = sqlx::query_as("SELECT id, url, title FROM bookmarks ORDER BY id");
    Ok(Json(all.fetch_all(&shared.pool).await?))
}

async fn show(State(shared): State<Shared>, Path(id): Path<i64>) -> Result<Json<Bookmark>, Failed> {
    let one = sqlx::query_as("SELECT id, url, title FROM bookmarks WHERE id = $1").bind(id);
    one.fetch_optional(&shared.pool).await?.map(Json).ok_or(Failed::Missing(id))
}

async fn save(
    State(shared): State<Shared>,
    Json(New { url }): Json<New>,
) -> Result<(StatusCode, Json<Bookmark>), Failed> {
    // First, so that no page is asked for in vain while the database is away.
    let mut connection = shared.pool.acquire().await?;
    let title = page::title(&shared.client, url.clone()).await?;
    let one = sqlx::query_as("INSERT INTO bookmarks (url, title) VALUES ($1, $2) RETURNING id, url, title");
    let bookmark = one.bind(url.as_str()).bind(title).fetch_one(&mut *connection).await?;
    Ok((StatusCode::CREATED, Json(bookmark)))
}

/// Makes the table. Instances in several pods may do it at once, which PostgreSQL does not like of `IF NOT EXISTS` alone.
async fn prepare(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('bookmarks'))").execute(&mut *transaction).await?;
    let table =
        "CREATE TABLE IF NOT EXISTS bookmarks (id BIGSERIAL PRIMARY KEY, url TEXT NOT NULL, title TEXT)";
    sqlx::query(table).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn app(config: Config) -> Result<Router, StartError> {
    let settings: Settings = config.parse()?;
    let mut client = reqwest::Client::builder().timeout(settings.patience);
    if let Some(authority) = &settings.authority {
        client = client.tls_certs_merge([reqwest::Certificate::from_pem(authority.as_bytes())?]);
    }
    let client = client.build()?;
    let pool = PgPoolOptions::new().max_connections(settings.connections).acquire_timeout(settings.patience);
    let pool = pool.connect(&settings.database).await?;
    prepare(&pool).await?;
    Ok(Router::new()
        .route("/bookmarks", get(list).post(save))
        .route("/bookmarks/{id}", get(show))
        .with_state(Shared { pool, client }))
}

hotbay_sdk::service!(app, config: Settings);
