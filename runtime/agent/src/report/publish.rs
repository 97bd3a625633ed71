//! The pod's RuntimeReport on the API server.
//!
//! Owns the object: named as the pod, owned by it, written by nobody else. Created by POST and replaced by PUT with the resourceVersion that was
//! seen, so that a write which is late changes nothing.

use std::time::Duration;

use hotbay_api::{RuntimeReport, RuntimeReportFields};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::PostParams;

/// How long one write may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The report's name for this writer in `managedFields`.
const FIELD_MANAGER: &str = "hotbay-agent";
/// How often a write starts again when the object was not as expected.
const ATTEMPTS: usize = 3;

/// What a [`Publisher`] asks of the API server. Tests play one that takes a write and does not answer.
pub trait Reports {
    /// The report of this name, if there is one.
    async fn look(&self, name: &str) -> Result<Option<RuntimeReport>, kube::Error>;
    /// Creates it.
    async fn post(&self, report: &RuntimeReport) -> Result<RuntimeReport, kube::Error>;
    /// Replaces it, if it has the same resourceVersion.
    async fn put(&self, name: &str, report: &RuntimeReport) -> Result<RuntimeReport, kube::Error>;
}

/// Writes one pod's report.
pub struct Publisher<R = Api<RuntimeReport>> {
    api: R,
    pod_name: String,
    pod_uid: String,
    /// Of the object as last seen; `None` if it is not known to be there.
    resource_version: Option<String>,
}

/// Why the report was not written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The API server refused it or could not be reached.
    #[error("failed to write RuntimeReport {name}")]
    Api {
        /// The report's name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// The API server took too long.
    #[error("RuntimeReport {name} was not written within {TIMEOUT:?}")]
    Timeout {
        /// The report's name.
        name: String,
    },
    /// Somebody else writes it too.
    #[error("RuntimeReport {name} changed at each of {ATTEMPTS} tries; who else writes it?")]
    Contended {
        /// The report's name.
        name: String,
    },
}

impl Reports for Api<RuntimeReport> {
    async fn look(&self, name: &str) -> Result<Option<RuntimeReport>, kube::Error> {
        self.get_opt(name).await
    }

    async fn post(&self, report: &RuntimeReport) -> Result<RuntimeReport, kube::Error> {
        self.create(&params(), report).await
    }

    async fn put(&self, name: &str, report: &RuntimeReport) -> Result<RuntimeReport, kube::Error> {
        self.replace(name, &params(), report).await
    }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

impl<R: Reports> Publisher<R> {
    /// A writer of the report of the pod `pod_name`.
    pub fn new(api: R, pod_name: String, pod_uid: String) -> Self {
        Self { api, pod_name, pod_uid, resource_version: None }
    }

    /// Makes the report say `fields`.
    ///
    /// # Errors
    /// When it could not be written. It may be all the same, if the answer was lost; the next write finds out.
    pub async fn publish(&mut self, fields: &RuntimeReportFields) -> Result<(), PublishError> {
        let name = self.pod_name.clone();
        match tokio::time::timeout(TIMEOUT, self.write(fields)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(PublishError::Contended { name }),
            Ok(Err(source)) => Err(PublishError::Api { name, source }),
            Err(_) => Err(PublishError::Timeout { name }),
        }
    }

    /// Whether it was written within [`ATTEMPTS`].
    async fn write(&mut self, fields: &RuntimeReportFields) -> Result<bool, kube::Error> {
        for _ in 0..ATTEMPTS {
            let report = self.report(fields);
            let result = match self.resource_version {
                Some(_) => self.api.put(&self.pod_name, &report).await,
                None => self.api.post(&report).await,
            };
            match result {
                Ok(written) => {
                    self.resource_version = written.metadata.resource_version;
                    return Ok(true);
                }
                // There already (an agent before us), changed, or gone: look, and try again.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                    let there = self.api.look(&self.pod_name).await?;
                    self.resource_version = there.and_then(|there| there.metadata.resource_version);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn report(&self, fields: &RuntimeReportFields) -> RuntimeReport {
        let mut report = RuntimeReport::new(&self.pod_name, fields.clone());
        report.metadata.resource_version.clone_from(&self.resource_version);
        report.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: self.pod_name.clone(),
            uid: self.pod_uid.clone(),
            ..OwnerReference::default()
        }]);
        report
    }
}
