//! Equal filters made one, so that what was found out for one client holds for every client that asks the same.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Filter;

/// The filters in use. A filter is forgotten when its last user drops it.
#[derive(Debug, Default)]
pub struct Filters {
    known: Mutex<Vec<Weak<Filter>>>,
}

impl Filters {
    /// The one filter that asks for what `filter` asks for.
    pub fn intern(&self, filter: Filter) -> Arc<Filter> {
        // A list of weak references is right whatever happened while it was held.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.strong_count() > 0);
        let equal = known.iter().filter_map(Weak::upgrade).find(|known| **known == filter);
        equal.unwrap_or_else(|| {
            let filter = Arc::new(filter);
            known.push(Arc::downgrade(&filter));
            filter
        })
    }

    /// How many are in use.
    pub fn len(&self) -> usize {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|known| known.strong_count() > 0).count()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
