//! Failures, and what a client is told of them.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Why a request has no other answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("there is no bookmark {0}")]
    Missing(i64),
    #[error("the page cannot be read")]
    Page(#[from] reqwest::Error),
    /// Its words are for the log: they may name hosts and tables.
    #[error("the bookmarks cannot be reached now")]
    Database(#[from] sqlx::Error),
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Page(error) => {
                tracing::info!(%error, "a page cannot be read");
                StatusCode::BAD_GATEWAY
            }
            Self::Database(error) => {
                tracing::error!(%error, "the database does not answer as it should");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        (status, format!("{self}\n")).into_response()
    }
}
