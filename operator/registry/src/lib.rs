//! A bounded client for OCI registries and image layouts: resolve, fetch, push.
//!
//! Owns how bytes travel: addresses, credentials, redirects, limits, digests. What a module looks like in there is
//! `hotbay_artifact::oci`'s to say. Must not trust an answer further than its digest: registries, their token servers and what lies
//! between are hostile.

mod address;
mod auth;
mod client;
mod credentials;
mod fault;
mod fetch;
mod layout;
mod observer;
mod options;
mod pace;
mod push;
mod reference;
mod remote;
mod room;
mod shares;
mod store;
mod transport;

pub use address::AddressPolicy;
pub use client::Client;
pub use credentials::Credentials;
pub use observer::Observer;
pub use options::{Mirror, MirrorTarget, Options, Timeouts};
pub use pace::Pace;
pub use push::PlatformBuild;
pub use reference::{Reference, ReferenceError, Selector};
pub use room::{Room, RoomBytes, Space};
pub use shares::{Share, Shares, Waiters};
