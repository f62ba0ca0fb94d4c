//! Closed lists: enums whose names are public, stored and never changed.
//!
//! Owns the one way in which such a name is written, read back and listed, so that database, API and metrics cannot
//! disagree. Must not know what any of the names mean.

/// A stored or received name that is in no list of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {list}: {name}")]
pub struct UnknownName {
    /// The enum that was asked.
    pub list: &'static str,
    /// What was found instead of one of its names.
    pub name: String,
}

/// Declares an enum together with the public name of each variant.
macro_rules! closed_list {
    ($(#[$outer:meta])* pub enum $list:ident { $($(#[$inner:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $list {
            $($(#[$inner])* #[serde(rename = $name)] $variant,)+
        }

        impl $list {
            /// Every one, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name under which it is stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $list {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $list {
            type Err = $crate::domain::closed_list::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                let unknown = || $crate::domain::closed_list::UnknownName { list: stringify!($list), name: name.to_owned() };
                Self::ALL.iter().copied().find(|value| value.as_str() == name).ok_or_else(unknown)
            }
        }
    };
}

pub(crate) use closed_list;
