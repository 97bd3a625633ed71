//! One request and its answer.
//!
//! Owns the HTTP clients, redirects by hand, and bounds on time and size. An `Authorization` header goes to the origin it was made for and
//! to no other, whatever redirects say. Must not know what the bytes mean, nor where credentials come from.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, redirect};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::address::{AddressPolicy, ChosenBy, GuardedResolver};
use crate::fault::Fault;
use crate::observer::Observer;
use crate::pace::{Pace, Paced};

/// Registries redirect a blob once, to their storage; some add a step for the region.
const MAX_REDIRECTS: usize = 5;

/// How long one connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until connected.
    pub(crate) connect: Duration,
    /// Between two reads.
    pub(crate) idle: Duration,
    /// Of a body.
    pub(crate) pace: Pace,
}

/// Sends requests.
pub(crate) struct Transport {
    policy: AddressPolicy,
    patience: Patience,
    /// PEM of authorities beside the system's.
    authorities: Vec<u8>,
    observer: Observer,
    /// Clients do not share connections: one that was dialled for a user's private host must not serve a redirect to it. Those for TLS
    /// are apart because making one fails on a machine without CA certificates, which plain HTTP does not need.
    clients: [[OnceLock<reqwest::Client>; 2]; 2],
}

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Ask {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }
}

impl Transport {
    pub(crate) fn new(
        policy: AddressPolicy,
        patience: Patience,
        authorities: Vec<u8>,
        observer: Observer,
    ) -> Self {
        Self { policy, patience, authorities, observer, clients: Default::default() }
    }

    /// Sends `ask` and follows where it is led, if it only reads. `named` is the host that the user chose.
    pub(crate) async fn send(
        &self,
        named: &str,
        ask: &Ask,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Fault> {
        let mut url = ask.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let entitled = authorization.filter(|_| url.origin() == ask.url.origin());
            let response = self.send_once(named, ask, &url, entitled).await?;
            match redirect_target(&response, &url)? {
                Some(next) if reads(&ask.method) => url = next,
                _ => return Ok(response),
            }
        }
        Err(Fault::unreachable(format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn send_once(
        &self,
        named: &str,
        ask: &Ask,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Fault> {
        let chosen_by = if url.host_str() == Some(named) { ChosenBy::User } else { ChosenBy::Registry };
        self.policy.check_url(url, chosen_by).map_err(|error| Fault::Unreachable(error.into()))?;
        let client = self.client(chosen_by, url.scheme() == "https")?;
        let mut request = client.request(ask.method.clone(), url.clone()).headers(ask.headers.clone());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        // Also an empty one: some registries want the Content-Length.
        if !reads(&ask.method) {
            request = request.body(ask.body.clone());
        }
        let sent = request.send().await;
        let status = sent.as_ref().ok().map(|response| response.status().as_u16());
        self.observer.hears(ask.method.as_str(), status);
        sent.map_err(Fault::from_client)
    }

    /// The whole body, if it has at most `limit` bytes and comes fast enough.
    pub(crate) async fn read_body(
        &self,
        mut response: Response,
        what: &'static str,
        limit: u64,
    ) -> Result<Bytes, Fault> {
        let stated = response.content_length().unwrap_or_default();
        if stated > limit {
            return Err(Fault::TooLarge { what, limit });
        }
        let mut body = BytesMut::with_capacity(usize::try_from(stated).unwrap_or_default());
        let mut paced = Paced::new(self.patience.pace, Instant::now());
        loop {
            let Ok(next) = timeout_at(paced.ends(), response.chunk()).await else {
                paced.go_on()?;
                continue;
            };
            let Some(chunk) = next.map_err(Fault::from_client)? else { return Ok(body.freeze()) };
            if body.len() as u64 + chunk.len() as u64 > limit {
                return Err(Fault::TooLarge { what, limit });
            }
            paced.brought(chunk.len());
            body.extend_from_slice(&chunk);
        }
    }

    fn client(&self, chosen_by: ChosenBy, tls: bool) -> Result<&reqwest::Client, Fault> {
        let slot = &self.clients[usize::from(chosen_by == ChosenBy::User)][usize::from(tls)];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let builder = reqwest::Client::builder()
            .user_agent(concat!("hotbay/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(GuardedResolver { policy: self.policy, chosen_by })
            .redirect(redirect::Policy::none())
            // A proxy would dial for us, and look at no address.
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(self.patience.connect)
            .read_timeout(self.patience.idle);
        let builder = match tls {
            true => {
                let authorities = reqwest::Certificate::from_pem_bundle(&self.authorities);
                builder.tls_certs_merge(authorities.map_err(Fault::from_client)?)
            }
            false => builder.tls_certs_only([]),
        };
        let client = builder.build().map_err(Fault::from_client)?;
        Ok(slot.get_or_init(|| client))
    }
}

fn reads(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
}

/// Where an answer leads; `None` if it is no redirect.
fn redirect_target(response: &Response, url: &Url) -> Result<Option<Url>, Fault> {
    let redirects = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !redirects.contains(&response.status()) {
        return Ok(None);
    }
    location(response, url).map(Some)
}

/// The URL in an answer's `Location`, which may be relative to `url`; never from TLS to plain text.
pub(crate) fn location(response: &Response, url: &Url) -> Result<Url, Fault> {
    let text = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let next = text.and_then(|text| url.join(text).ok()).filter(|next| next.host().is_some());
    let next =
        next.ok_or_else(|| Fault::unreachable("the registry answered with a location that is no URL"))?;
    match (url.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(next),
        _ => Err(Fault::unreachable(format!("the registry leads from https to {}", next.scheme()))),
    }
}

/// What an answer's status means when it is not the one that was hoped for.
pub(crate) fn fault_of(status: StatusCode) -> Fault {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::Unauthorized,
        StatusCode::NOT_FOUND => Fault::NotFound,
        status => Fault::unreachable(format!("it answered {status}")),
    }
}
