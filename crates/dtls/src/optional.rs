//! What can be left out of a build: DTLS 1.3 (feature `dtls13`), and certificates and raw public keys in DTLS 1.2
//! (feature `certificates`).
//!
//! States that only DTLS 1.3 has stand in [`Only13`], of which no value exists in a build without it. So every `match`
//! is the same in every build, and the compiler drops what those states lead to: that keeps it out of a small image
//! and asks for no `cfg` anywhere else.

use core::ops::{Deref, DerefMut};

pub(crate) use chosen::Only13;

/// Whether DTLS 1.2 takes and shows certificates and raw public keys.
pub(crate) const CERTIFICATES: bool = cfg!(feature = "certificates");

#[cfg(feature = "dtls13")]
mod chosen {
    use crate::Error;

    /// Something of DTLS 1.3.
    #[derive(Clone)]
    pub(crate) struct Only13<T>(T);

    impl<T> Only13<T> {
        /// # Errors
        /// What `make` returned.
        pub fn new(make: impl FnOnce() -> Result<T, Error>) -> Result<Self, Error> {
            make().map(Self)
        }

        /// Something that comes of it.
        #[expect(clippy::unused_self, reason = "it shows that DTLS 1.3 is there")]
        pub const fn with<U>(&self, other: U) -> Only13<U> {
            Only13(other)
        }

        pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Only13<U> {
            Only13(make(self.0))
        }

        pub const fn get(&self) -> &T {
            &self.0
        }

        pub const fn get_mut(&mut self) -> &mut T {
            &mut self.0
        }
    }
}

#[cfg(not(feature = "dtls13"))]
mod chosen {
    use core::convert::Infallible;
    use core::marker::PhantomData;

    use crate::Error;

    /// Something of DTLS 1.3: nothing.
    #[derive(Clone)]
    pub(crate) struct Only13<T>(Infallible, PhantomData<T>);

    impl<T> Only13<T> {
        /// # Errors
        /// Always `Misuse`.
        pub fn new(_make: impl FnOnce() -> Result<T, Error>) -> Result<Self, Error> {
            Err(Error::Misuse("built without DTLS 1.3"))
        }

        pub const fn with<U>(&self, _other: U) -> Only13<U> {
            match self.0 {}
        }

        pub fn map<U>(self, _make: impl FnOnce(T) -> U) -> Only13<U> {
            match self.0 {}
        }

        pub const fn get(&self) -> &T {
            match self.0 {}
        }

        pub const fn get_mut(&mut self) -> &mut T {
            match self.0 {}
        }
    }
}

impl<T> Deref for Only13<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.get()
    }
}

impl<T> DerefMut for Only13<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.get_mut()
    }
}

/// In a build without it, states of DTLS 1.3 take no room.
#[cfg(not(feature = "dtls13"))]
const _: () = assert!(size_of::<Option<Only13<[u64; 100]>>>() == 0);
