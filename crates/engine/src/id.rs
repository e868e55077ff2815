//! Typed 63-bit ids: one type per noun, so that a session's id cannot be given where an identity's is wanted.

use std::fmt;

use crate::env::Timestamp;

/// Declares an id type over `i64`.
macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// The id `value`, as the store keeps it.
            pub const fn new(value: i64) -> Self {
                Self(value)
            }

            /// When it was made, as far as a millisecond tells.
            pub const fn made_at(self) -> Timestamp {
                crate::env::made_at(self.0)
            }

            /// The number.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    )+};
}

typed_id! {
    /// Names a [`Flow`](crate::Flow).
    FlowId
    /// Names an [`Identity`](crate::Identity).
    IdentityId
    /// Names a [`VerifiableAddress`](crate::VerifiableAddress).
    AddressId
    /// Names a [`Session`](crate::Session).
    SessionId
    /// Names a [`Device`](crate::Device).
    DeviceId
    /// Names an [`OutboxMessage`](crate::OutboxMessage).
    MessageId
}
