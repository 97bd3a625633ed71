//! Hotbay on a real Kubernetes. `scripts/e2e` runs these: they need KUBECONFIG and REGISTRY, and fail without.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod barriers;
mod blobs;
mod changes;
mod culprits;
mod deaths;
mod disk;
mod docs;
mod events;
mod first_path;
mod forms;
mod hello;
mod lists;
mod planes;
mod privilege;
mod refusals;
mod survival;
mod swaps;
mod upgrade;
