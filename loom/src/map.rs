//! In place of `papaya`.

use std::borrow::Borrow;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize as PlainUsize;

use loom::sync::atomic::{AtomicUsize, Ordering};

/// Entries that one check may make, those included that lost the race to be put in.
const ENTRIES_MAX: usize = 16;
/// [`HashMap::slot`] of a map without an entry.
const EMPTY: usize = 0;

/// A map of one key, as much of it as its users may count on: an atomic slot that a reader may see late, an insertion and
/// a removal that each are one compare-and-swap on it, and a condition of the removal that is asked before, of the entry that
/// the swap then expects. Nothing is freed while the map lives, as nothing is in the real one that somebody still reads.
#[derive(Debug)]
pub struct HashMap<K, V, S> {
    entries: [OnceLock<(K, V)>; ENTRIES_MAX],
    /// Those made so far. Not a step that loom has to look at.
    made: PlainUsize,
    /// 1 more than the index of the entry that is in the map.
    slot: AtomicUsize,
    hasher: PhantomData<S>,
}

impl<K, V, S> Default for HashMap<K, V, S> {
    fn default() -> Self {
        Self {
            entries: std::array::from_fn(|_| OnceLock::new()),
            made: PlainUsize::new(0),
            slot: AtomicUsize::new(EMPTY),
            hasher: PhantomData,
        }
    }
}

impl<K, V, S> HashMap<K, V, S> {
    /// The way to its entries.
    pub fn pin(&self) -> HashMapRef<'_, K, V, S, LocalGuard<'_>> {
        HashMapRef {
            map: self,
            guard: PhantomData,
        }
    }

    /// How many entries there are.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks for it")]
    pub fn len(&self) -> usize {
        usize::from(self.slot.load(Ordering::Acquire) != EMPTY)
    }

    fn entry(&self, slot: usize) -> Option<&(K, V)> {
        self.entries[slot.checked_sub(1)?].get()
    }
}

/// What keeps entries from being freed; here they are not.
pub trait Guard {}

/// The guard of [`HashMap::pin`].
#[derive(Debug)]
pub struct LocalGuard<'m>(PhantomData<&'m ()>);

impl Guard for LocalGuard<'_> {}

/// The map with a guard.
#[derive(Debug)]
pub struct HashMapRef<'m, K, V, S, G> {
    map: &'m HashMap<K, V, S>,
    guard: PhantomData<G>,
}

impl<K: Eq, V, S, G: Guard> HashMapRef<'_, K, V, S, G> {
    /// The entry at that key.
    pub fn get_key_value<Q: Eq + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let (own, value) = self.map.entry(self.map.slot.load(Ordering::Acquire))?;
        assert!(own.borrow() == key, "this map is for one key");
        Some((own, value))
    }

    /// The value at that key, this one where there was none.
    pub fn get_or_insert(&self, key: K, value: V) -> &V {
        let index = self
            .map
            .made
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (key, value) = self.map.entries[index].get_or_init(|| (key, value));
        let put =
            self.map
                .slot
                .compare_exchange(EMPTY, index + 1, Ordering::Release, Ordering::Acquire);
        match put.err().and_then(|slot| self.map.entry(slot)) {
            None => value,
            Some((other, value)) => {
                assert!(other == key, "this map is for one key");
                value
            }
        }
    }

    /// Takes the entry at that key out if it is as `condition` says.
    ///
    /// # Errors
    /// The entry that is not.
    pub fn remove_if<Q: Eq + ?Sized>(
        &self,
        key: &Q,
        mut condition: impl FnMut(&K, &V) -> bool,
    ) -> Result<Option<(&K, &V)>, (&K, &V)>
    where
        K: Borrow<Q>,
    {
        let mut slot = self.map.slot.load(Ordering::Acquire);
        while let Some((own, value)) = self.map.entry(slot) {
            assert!(own.borrow() == key, "this map is for one key");
            if !condition(own, value) {
                return Err((own, value));
            }
            let taken =
                self.map
                    .slot
                    .compare_exchange(slot, EMPTY, Ordering::Release, Ordering::Acquire);
            match taken {
                Ok(_) => return Ok(Some((own, value))),
                Err(now) => slot = now,
            }
        }
        Ok(None)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let entry = self.map.entry(self.map.slot.load(Ordering::Acquire));
        entry.map(|(key, value)| (key, value)).into_iter()
    }
}
