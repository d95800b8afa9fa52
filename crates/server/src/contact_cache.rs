//! Contacts and pages of contacts, kept as the bytes that were answered for as long as they hold.
//!
//! Nothing is invalidated. Each answer is kept with the store's stamp that was read before its
//! rows, and is given out only while the stamp is still the same. The store moves a stamp after the
//! commit of a change and before its answer, so that whoever has heard of a change never sees what
//! was before it, and an answer that took long to read can bring nothing stale back.
//!
//! A page that many ask for at once is read once. Joining such a load is safe for the same reason:
//! it is known by its stamp, so only those join who would have read the same.

use std::time::Duration;

use autom8_api::contact::{ContactList, ContactListMeta};
use autom8_model::{Contact, ContactId};
use autom8_performance::cache::{CacheLimits, CacheStatistics, LruCache, TtlCache};
use autom8_store::Store;
use bytes::Bytes;
use serde::Serialize;

use crate::error::ApiProblem;
use crate::extract::contact_query::{ContactListQuery, write_cursor};

/// Names of the layers, in metrics and where they are cleared.
pub const LAYERS: [&str; 2] = ["contact", "contact_list"];

/// Beside the bytes, which bound both layers: what tables of so many entries take themselves.
const CONTACTS_MAX: usize = 131_072;
const LISTS_MAX: usize = 1_024;
/// A shard keeps no page that is heavier than its part of the layer, so there are few.
const LIST_SHARDS: usize = 4;
/// A page that nobody has asked for since is let go, though it may hold.
const LIST_TTL: Duration = Duration::from_secs(60);
/// About what an entry takes beside what it holds.
const ENTRY_BYTES: u64 = 128;

/// An answer, and the stamp under which it holds.
#[derive(Clone, Debug)]
struct Kept {
    stamp: u64,
    body: Bytes,
}

impl Kept {
    fn under(&self, stamp: u64) -> Option<Bytes> {
        (self.stamp == stamp).then(|| self.body.clone())
    }
}

/// What was answered about contacts.
pub struct ContactCache {
    contacts: LruCache<ContactId, Kept>,
    lists: TtlCache<ContactListQuery, Kept>,
    /// Pages being read. It keeps none: it has those wait who ask for the same.
    loads: LruCache<(ContactListQuery, u64), Bytes, ApiProblem>,
}

impl ContactCache {
    /// Bounds in bytes; 0 keeps nothing.
    pub fn new(contact_bytes_max: u64, list_bytes_max: u64, seed: u64) -> Self {
        let contacts = CacheLimits::weighed(CONTACTS_MAX, contact_bytes_max, |_, kept: &Kept| {
            ENTRY_BYTES + kept.body.len() as u64
        });
        let lists = CacheLimits::weighed(
            LISTS_MAX,
            list_bytes_max,
            |query: &ContactListQuery, kept: &Kept| {
                let search = query.search.as_ref().map_or(0, String::len);
                ENTRY_BYTES + search as u64 + kept.body.len() as u64
            },
        );
        ContactCache {
            contacts: LruCache::new(contacts, seed),
            lists: TtlCache::new(lists.with_shards(LIST_SHARDS), LIST_TTL, seed),
            loads: LruCache::new(CacheLimits::entries(0), seed),
        }
    }

    /// A contact as JSON.
    ///
    /// # Errors
    /// What the store says.
    pub async fn contact(
        &self,
        store: &dyn Store,
        id: ContactId,
    ) -> Result<Option<Bytes>, ApiProblem> {
        let stamp = store.contact_stamp(id);
        if let Some(body) = self.contacts.get_with(&id, |kept| kept.under(stamp)) {
            return Ok(Some(body));
        }
        let Some(contact) = store.contact(id).await? else {
            return Ok(None);
        };
        let body = written(&contact, contact_bytes(&contact))?;
        let kept = Kept {
            stamp,
            body: body.clone(),
        };
        self.contacts.insert(id, kept);
        Ok(Some(body))
    }

    /// A page of contacts as JSON.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(
        &self,
        store: &dyn Store,
        query: &ContactListQuery,
        now_ns: u64,
    ) -> Result<Bytes, ApiProblem> {
        let stamp = store.contacts_stamp();
        let hit = self.lists.get_with(query, now_ns, |kept| kept.under(stamp));
        if let Some(body) = hit {
            return Ok(body);
        }
        let load = || async {
            let body = page(store, query).await?;
            let kept = Kept {
                stamp,
                body: body.clone(),
            };
            self.lists.insert(query.clone(), kept, now_ns);
            Ok(body)
        };
        let key = (query.clone(), stamp);
        self.loads.get_or_load_async(key, load).await
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.contacts.clear();
        self.lists.clear();
        self.loads.clear();
    }

    /// Of each layer, by its name.
    pub fn statistics(&self) -> [(&'static str, CacheStatistics); 2] {
        let [contact, contact_list] = LAYERS;
        let lists = CacheStatistics {
            coalesced: self.loads.statistics().coalesced,
            ..self.lists.statistics()
        };
        [(contact, self.contacts.statistics()), (contact_list, lists)]
    }
}

async fn page(store: &dyn Store, query: &ContactListQuery) -> Result<Bytes, ApiProblem> {
    let page = store.contacts(query.filter()).await?;
    let total = (!query.is_search()).then(|| store.totals().contacts);
    let bytes = page.contacts.iter().map(contact_bytes).sum::<usize>();
    let list = ContactList {
        meta: ContactListMeta {
            total,
            limit: query.limit,
            offset: query.after.is_none().then_some(query.offset),
            next_cursor: page.next.map(|next| write_cursor(&next, query.order)),
        },
        contacts: page.contacts,
    };
    written(&list, bytes)
}

/// About how long a contact is as JSON: what varies, and as much as the rest takes.
fn contact_bytes(contact: &Contact) -> usize {
    const FRAME_BYTES: usize = 192;
    let email = contact
        .email
        .as_ref()
        .map_or(0, |email| email.as_str().len());
    let tags: usize = contact.tags.iter().map(|tag| tag.as_str().len() + 3).sum();
    let phone = contact.phone.as_str().len();
    FRAME_BYTES + contact.name.len() + phone + email + tags + contact.attributes.get().len()
}

fn written(value: &impl Serialize, bytes: usize) -> Result<Bytes, ApiProblem> {
    let mut body = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut body, value)
        .map_err(|error| ApiProblem::internal(format!("contacts are no JSON: {error}")))?;
    // What is kept is not to hold more than it shows.
    Ok(Bytes::from(body.into_boxed_slice()))
}

#[cfg(test)]
#[path = "contact_cache_tests.rs"]
mod tests;
