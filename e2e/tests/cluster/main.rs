//! Hotbay on a real Kubernetes. `scripts/e2e` runs these: they need KUBECONFIG and REGISTRY, and fail without.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod barriers;
mod changes;
mod deaths;
mod first_path;
mod forms;
mod hello;
mod planes;
mod refusals;
mod swaps;
