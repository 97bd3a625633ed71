//! How the store names and orders each kind of object.

use hotbay_api::names::{blob_config_map, entry_config_map};
use hotbay_api::{HandlerModule, RuntimePool, RuntimeReport};
use kube::api::ObjectMeta;

use super::store::{Name, Stored};
use crate::objects::{ReadyPods, StoredBlob, StoredEntry, version};

fn name(meta: &ObjectMeta) -> Name {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

macro_rules! by_metadata {
    ($($kind:ty),+) => {$(
        impl Stored for $kind {
            fn name(&self) -> Name {
                name(&self.metadata)
            }

            fn version(&self) -> u64 {
                version(&self.metadata)
            }
        }
    )+};
}

by_metadata!(HandlerModule, RuntimePool, RuntimeReport);

impl Stored for ObjectMeta {
    fn name(&self) -> Name {
        name(self)
    }

    fn version(&self) -> u64 {
        version(self)
    }
}

impl Stored for StoredEntry {
    fn name(&self) -> Name {
        (self.pool.namespace.clone(), entry_config_map(&self.pool.name, &self.key))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Stored for StoredBlob {
    fn name(&self) -> Name {
        (self.namespace.clone(), blob_config_map(&self.digest))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Stored for ReadyPods {
    fn name(&self) -> Name {
        (self.namespace.clone(), self.name.clone())
    }

    fn version(&self) -> u64 {
        self.version
    }
}
