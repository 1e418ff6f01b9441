//! Bytes that many connections send, and what all such bytes amount to.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes are held for peers that have not read them, by all workers of a process.
#[derive(Debug, Default)]
pub struct Account {
    bytes: AtomicUsize,
}

impl Account {
    /// So many more.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many less, which were added before.
    pub fn take(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Held {
    bytes: Box<[u8]>,
    account: Option<Arc<Account>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            account.take(self.bytes.len());
        }
    }
}

/// Bytes that many connections send: encoded once, never changed.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Held>);

impl Shared {
    /// Bytes that are on `account` until the last one who sends them has.
    pub fn on(account: &Arc<Account>, bytes: Vec<u8>) -> Self {
        account.add(bytes.len());
        Self(Arc::new(Held {
            bytes: bytes.into_boxed_slice(),
            account: Some(Arc::clone(account)),
        }))
    }

    /// The same bytes one after the other, on the account of the first.
    pub fn concat(parts: &[Self]) -> Self {
        let parts_bytes: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
        let whole = parts_bytes.concat();
        match parts.first().and_then(|part| part.0.account.as_ref()) {
            Some(account) => Self::on(account, whole),
            None => Self::from(whole),
        }
    }
}

impl Deref for Shared {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// Bytes on nobody's account.
impl From<Vec<u8>> for Shared {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Held {
            bytes: bytes.into_boxed_slice(),
            account: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_on_the_account_until_the_last_holder_has_gone() {
        let account = Arc::new(Account::default());
        let one = Shared::on(&account, b"one".to_vec());
        let other = one.clone();
        assert_eq!(account.bytes(), 3, "once, however many hold them");
        let both = Shared::concat(&[one, Shared::from(b"two".to_vec())]);
        assert_eq!((&*both, account.bytes()), (&b"onetwo"[..], 9));
        drop(both);
        assert_eq!((&*other, account.bytes()), (&b"one"[..], 3));
        drop(other);
        assert_eq!(account.bytes(), 0);
    }
}
