//! The book: the module's state, shared by all calls.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hotbay_sdk::Rejection;
use serde::{Deserialize, Serialize};

/// What a guest writes.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub name: String,
    #[serde(default)]
    pub text: String,
}

/// What stands in the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Guest {
    pub id: usize,
    #[serde(flatten)]
    pub entry: Entry,
}

/// Guests by their ids; who was taken out leaves a gap.
pub(crate) struct Book {
    max_guests: usize,
    pages: Mutex<Vec<Option<Entry>>>,
}

impl Book {
    pub fn new(max_guests: usize) -> Self {
        Self { max_guests, pages: Mutex::default() }
    }

    pub fn sign(&self, entry: Entry) -> Result<Guest, Rejection> {
        if entry.name.is_empty() {
            return Err(Rejection::new(422, "a guest has a name"));
        }
        let mut pages = self.pages();
        if pages.len() >= self.max_guests {
            return Err(Rejection::new(
                409,
                format!("the book is full: it has room for {}", self.max_guests),
            ));
        }
        pages.push(Some(entry.clone()));
        Ok(Guest { id: pages.len() - 1, entry })
    }

    pub fn guest(&self, id: usize) -> Result<Guest, Rejection> {
        let entry = self.pages().get(id).cloned().flatten().ok_or_else(|| nobody(id))?;
        Ok(Guest { id, entry })
    }

    pub fn guests(&self) -> Vec<Guest> {
        let pages = self.pages();
        let guests = pages.iter().enumerate();
        guests.filter_map(|(id, entry)| entry.clone().map(|entry| Guest { id, entry })).collect()
    }

    pub fn remove(&self, id: usize) -> Result<(), Rejection> {
        self.pages().get_mut(id).and_then(Option::take).map(drop).ok_or_else(|| nobody(id))
    }

    pub fn len(&self) -> usize {
        self.pages().iter().flatten().count()
    }

    fn pages(&self) -> MutexGuard<'_, Vec<Option<Entry>>> {
        // Each change is one step, so a panic elsewhere leaves no half of one.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nobody(id: usize) -> Rejection {
    Rejection::new(404, format!("there is no guest {id}"))
}
