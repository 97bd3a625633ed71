//! Who asks: tokens, and what the API server says of them.
//!
//! Owns the check that a token is a pod's and was made for the blob service, and a short memory of the answers, so that a pod that starts with
//! fifty modules is reviewed once. A token itself is never kept nor logged, only its digest. Must not decide what a pod may have.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hotbay_api::names::BLOBS_AUDIENCE;
use hotbay_api::{Digest, chain};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::Instant;

/// How long a pod is believed to be there. A token of a pod that is gone opens what the namespace's other pods may read anyway.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// How long a refusal is repeated: whoever mends something is not held up, and whoever hammers does so here.
const REFUSED_FOR: Duration = Duration::from_secs(2);
/// Answers that are remembered: more pods than that do not ask within half a minute.
const MEMORY: usize = 1024;
/// For an answer of the API server.
const LIMIT: Duration = Duration::from_secs(10);
/// Service account tokens have one to two KiB.
const MAX_TOKEN_BYTES: usize = 8 << 10;

/// The API server's key for the pod that a token is bound to.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// 401.
    #[error("the token is not valid for the audience {BLOBS_AUDIENCE}: {0}")]
    Invalid(String),
    /// 403.
    #[error("{0} is not the account of a pod; blobs are for the pods of a pool")]
    NotAPod(String),
    /// 503.
    #[error("the API server cannot be asked about the token: {0}")]
    Unknown(String),
}

/// Who reviews tokens.
pub trait Reviewer: Send + Sync + 'static {
    /// What is to be said of this token, or why nothing can be.
    fn review(&self, token: &str) -> impl Future<Output = Result<TokenReviewStatus, String>> + Send;
}

/// The API server.
pub struct ApiServer(Api<TokenReview>);

impl ApiServer {
    /// It, through this client.
    pub fn new(client: Client) -> Self {
        Self(Api::all(client))
    }
}

impl Reviewer for ApiServer {
    async fn review(&self, token: &str) -> Result<TokenReviewStatus, String> {
        let spec =
            TokenReviewSpec { audiences: Some(vec![BLOBS_AUDIENCE.to_owned()]), token: token.to_owned() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let params = PostParams::default();
        match tokio::time::timeout(LIMIT, self.0.create(&params, &review)).await {
            Ok(Ok(review)) => review.status.ok_or_else(|| "it gave no status".to_owned()),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        }
    }
}

/// Tokens and their short memory.
pub struct Tokens<R> {
    reviewer: R,
    known: Mutex<HashMap<Digest, Known>>,
}

struct Known {
    until: Instant,
    verdict: Result<String, Denial>,
}

impl<R: Reviewer> Tokens<R> {
    /// A memory of what `reviewer` says.
    pub fn new(reviewer: R) -> Self {
        Self { reviewer, known: Mutex::default() }
    }

    /// The namespace of the pod whose token this is.
    ///
    /// # Errors
    /// When it is none's, or nobody can say.
    pub async fn namespace_of(&self, token: &str) -> Result<String, Denial> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Denial::Invalid(format!("it has more than {MAX_TOKEN_BYTES} bytes")));
        }
        let key = Digest::of(token.as_bytes());
        if let Some(known) = self.lock().get(&key).filter(|known| known.until > Instant::now()) {
            return known.verdict.clone();
        }
        // Not kept: the next one may ask again.
        let status = self.reviewer.review(token).await.map_err(Denial::Unknown)?;
        let verdict = judge(status);
        let kept = if verdict.is_ok() { KNOWN_FOR } else { REFUSED_FOR };
        self.keep(key, Known { until: Instant::now() + kept, verdict: verdict.clone() });
        verdict
    }

    fn keep(&self, key: Digest, new: Known) {
        let mut known = self.lock();
        if known.len() >= MEMORY {
            let now = Instant::now();
            known.retain(|_, known| known.until > now);
        }
        // Still full: it works without memory too.
        if known.len() < MEMORY {
            known.insert(key, new);
        }
    }

    /// A poisoned lock is a panic elsewhere, which ends the process anyway; the data are whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The namespace of the pod that the API server speaks of.
fn judge(status: TokenReviewStatus) -> Result<String, Denial> {
    let TokenReviewStatus { audiences, authenticated, error, user } = status;
    // One that knows nothing of audiences answers without any: then the token may be meant for somebody else.
    let ours = audiences.iter().flatten().any(|audience| audience == BLOBS_AUDIENCE);
    let user = user.filter(|_| authenticated == Some(true) && ours);
    let Some(user) = user else {
        let why = error
            .filter(|error| !error.is_empty())
            .unwrap_or_else(|| "the API server does not know it".to_owned());
        return Err(Denial::Invalid(why));
    };
    let name = user.username.unwrap_or_default();
    let is_bound = user.extra.is_some_and(|extra| extra.contains_key(POD_NAME));
    let account = name.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
    match account {
        Some((namespace, _)) if is_bound => Ok(namespace.to_owned()),
        _ => Err(Denial::NotAPod(name)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;

    fn valid() -> TokenReviewStatus {
        let user = UserInfo {
            username: Some("system:serviceaccount:hotbay:hotbay-default".into()),
            extra: Some(BTreeMap::from([(POD_NAME.to_owned(), vec!["pod".to_owned()])])),
            ..UserInfo::default()
        };
        TokenReviewStatus {
            audiences: Some(vec![BLOBS_AUDIENCE.into()]),
            authenticated: Some(true),
            error: None,
            user: Some(user),
        }
    }

    fn refused(break_it: fn(&mut TokenReviewStatus)) -> Denial {
        let mut status = valid();
        break_it(&mut status);
        judge(status).unwrap_err()
    }

    #[test]
    fn only_a_pods_own_token_for_this_service_opens() {
        assert_eq!(judge(valid()), Ok("hotbay".to_owned()));
        let invalid = |why: &str| Denial::Invalid(why.to_owned());
        let unknown = invalid("the API server does not know it");
        assert_eq!(refused(|status| status.authenticated = None), unknown);
        assert_eq!(refused(|status| status.audiences = None), unknown);
        assert_eq!(refused(|status| status.audiences = Some(vec!["kubernetes".into()])), unknown);
        let expired = |status: &mut TokenReviewStatus| {
            (status.authenticated, status.error) = (Some(false), Some("token has expired".into()));
        };
        assert_eq!(refused(expired), invalid("token has expired"));
        let not_a_pod = |name: &str| Denial::NotAPod(name.to_owned());
        assert_eq!(
            refused(|status| status.user.as_mut().unwrap().extra = None),
            not_a_pod("system:serviceaccount:hotbay:hotbay-default")
        );
        let somebody =
            |status: &mut TokenReviewStatus| status.user.as_mut().unwrap().username = Some("eve".into());
        assert_eq!(refused(somebody), not_a_pod("eve"));
    }

    /// Counts its reviews; of a token `bad` nothing good is to be said, and of `away` nothing.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Reviewer for Counted {
        async fn review(&self, token: &str) -> Result<TokenReviewStatus, String> {
            self.0.fetch_add(1, Ordering::SeqCst);
            match token {
                "away" => Err("it is away".to_owned()),
                "bad" => Ok(TokenReviewStatus::default()),
                _ => Ok(valid()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_remembered_for_a_while() {
        let tokens = Tokens::new(Counted::default());
        let reviews = || tokens.reviewer.0.load(Ordering::SeqCst);
        for _ in 0..3 {
            assert!(tokens.namespace_of("good").await.is_ok() && tokens.namespace_of("bad").await.is_err());
        }
        assert_eq!(reviews(), 2);
        tokio::time::advance(REFUSED_FOR).await;
        assert!(tokens.namespace_of("good").await.is_ok() && tokens.namespace_of("bad").await.is_err());
        assert_eq!(reviews(), 3);
        tokio::time::advance(KNOWN_FOR).await;
        assert!(tokens.namespace_of("good").await.is_ok());
        assert_eq!(reviews(), 4);
        for _ in 0..2 {
            assert_eq!(tokens.namespace_of("away").await, Err(Denial::Unknown("it is away".into())));
        }
        assert_eq!(reviews(), 6, "what nobody could say is asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded() {
        let tokens = Tokens::new(Counted::default());
        for number in 0..MEMORY + 10 {
            assert!(tokens.namespace_of(&number.to_string()).await.is_ok());
        }
        assert_eq!(tokens.lock().len(), MEMORY);
        tokio::time::advance(KNOWN_FOR).await;
        assert!(tokens.namespace_of("new").await.is_ok());
        assert_eq!(tokens.lock().len(), 1);
    }
}
