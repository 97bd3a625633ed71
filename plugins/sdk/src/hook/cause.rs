//! What a `create` failed with, and whether the config is at fault.
//!
//! Owns the look behind an error: `anyhow`'s is no [`std::error::Error`], but can be seen as one, as a box can; others are one, and some can only
//! be displayed. The SDK depends on none of them. Which of these an error is, the compiler finds where `module!` is expanded, since the type is
//! known there: a method is looked for with as many `&` as the call has first, so the one that says most wins.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt::Display;
use std::marker::PhantomData;

use super::{Creation, Unmade};
use crate::ConfigError;

/// Sees an `E` as an error with sources, if it can be.
pub type Cause<E> = fn(&E) -> Option<&(dyn StdError + 'static)>;

/// The type of error that a `create` fails with.
#[derive(Debug)]
pub struct ErrorOf<E>(PhantomData<fn(&E)>);

impl<E> ErrorOf<E> {
    /// That of what `create` has returned.
    pub fn of<M: Creation<Error = E>>(_made: &M) -> Self {
        Self(PhantomData)
    }

    /// That of an error.
    pub fn at(_error: &E) -> Self {
        Self(PhantomData)
    }
}

/// Seen as an error that threads share: `anyhow::Error`, a `Box<dyn Error + Send + Sync>`, the SDK's own.
pub trait AsShared<E> {
    /// How to see it so.
    fn cause(&self) -> Cause<E>;
}

impl<E: AsRef<dyn StdError + Send + Sync>> AsShared<E> for &&&ErrorOf<E> {
    fn cause(&self) -> Cause<E> {
        |error| Some(error.as_ref())
    }
}

/// Seen as an error of this thread: a `Box<dyn Error>`.
pub trait AsLocal<E> {
    /// How to see it so.
    fn cause(&self) -> Cause<E>;
}

impl<E: AsRef<dyn StdError>> AsLocal<E> for &&ErrorOf<E> {
    fn cause(&self) -> Cause<E> {
        |error| Some(error.as_ref())
    }
}

/// Is an error.
pub trait AsChained<E> {
    /// How to see it so.
    fn cause(&self) -> Cause<E>;
}

impl<E: StdError + 'static> AsChained<E> for &ErrorOf<E> {
    fn cause(&self) -> Cause<E> {
        |error| Some(error)
    }
}

/// Anything else, such as a text.
pub trait AsError<E> {
    /// There is no more to see.
    fn cause(&self) -> Cause<E>;
}

impl<E> AsError<E> for ErrorOf<E> {
    fn cause(&self) -> Cause<E> {
        |_| None
    }
}

/// What is told of an error. The config is at fault if a [`ConfigError`] is among its sources, however deep.
pub fn unmade<E: Display + 'static>(error: &E, cause: Cause<E>) -> Unmade {
    let whole: &dyn Any = error;
    if let Some(Unmade { words, config }) = whole.downcast_ref() {
        return Unmade { words: words.clone(), config: *config };
    }
    let shown = error.to_string();
    let (words, config) = match cause(error) {
        None => (format!("{error:#}"), false),
        Some(first) => {
            let (told, config) = chain(first);
            let said = first.to_string();
            // Most often it is the first itself, and some show their whole chain; others have something to say before it.
            let words = match shown.strip_suffix(&said) {
                _ if shown.starts_with(&said) => told,
                Some(before) => format!("{before}{told}"),
                None => format!("{shown}: {told}"),
            };
            (words, config)
        }
    };
    Unmade { words, config: config || whole.is::<ConfigError>() }
}

/// What an error and its sources say, and whether one of them is about the config.
fn chain(first: &(dyn StdError + 'static)) -> (String, bool) {
    let (mut words, mut config) = (first.to_string(), first.is::<ConfigError>());
    let mut next = first.source();
    while let Some(source) = next {
        config |= source.is::<ConfigError>();
        let said = source.to_string();
        // Many errors end with what their source says. That its words stand elsewhere may be chance.
        if !words.ends_with(&said) {
            words.push_str(": ");
            words.push_str(&said);
        }
        next = source.source();
    }
    (words, config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    macro_rules! unmade_of {
        ($error:expr) => {{
            let error = $error;
            let cause = (&&&&ErrorOf::at(&error)).cause();
            let Unmade { words, config } = unmade(&error, cause);
            (words, config)
        }};
    }

    #[derive(Debug, thiserror::Error)]
    enum Opening {
        #[error("the limits make no sense")]
        Limits(#[source] ConfigError),
        #[error("no shop: {0}")]
        Shop(#[source] std::num::ParseIntError),
    }

    /// As `anyhow::Error` is one: it can be displayed and seen as an error, and is none.
    struct Like(Box<dyn StdError + Send + Sync>);

    impl Display for Like {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt(f)
        }
    }

    impl AsRef<dyn StdError + Send + Sync> for Like {
        fn as_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
            &*self.0
        }
    }

    impl AsRef<dyn StdError> for Like {
        fn as_ref(&self) -> &(dyn StdError + 'static) {
            &*self.0
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open /a")]
    struct Reading(#[source] Refused);

    #[derive(Debug, thiserror::Error)]
    #[error("open")]
    struct Refused;

    /// As `anyhow::Error` with a context: the alternate form is its whole chain.
    struct Chained(Reading);

    impl Display for Chained {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            if f.alternate() { write!(f, "{}: {}", self.0, self.0.0) } else { self.0.fmt(f) }
        }
    }

    impl AsRef<dyn StdError + Send + Sync> for Chained {
        fn as_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
            &self.0
        }
    }

    fn odd() -> ConfigError {
        ConfigError::at("a", "is odd")
    }

    fn shop() -> Opening {
        Opening::Shop("x".parse::<u8>().unwrap_err())
    }

    #[test]
    fn the_config_is_at_fault_wherever_its_error_is() {
        let whole = "the limits make no sense: spec.config.a: is odd";
        assert_eq!(unmade_of!(odd()), ("spec.config.a: is odd".to_owned(), true));
        assert_eq!(unmade_of!(Opening::Limits(odd())), (whole.to_owned(), true));
        assert_eq!(unmade_of!(Like(Opening::Limits(odd()).into())), (whole.to_owned(), true));
        assert_eq!(unmade_of!(Error::from(Opening::Limits(odd()))), (whole.to_owned(), true));
        let (shared, local): (Box<dyn StdError + Send + Sync>, Box<dyn StdError>) =
            (Opening::Limits(odd()).into(), Opening::Limits(odd()).into());
        assert_eq!(
            (unmade_of!(shared), unmade_of!(local)),
            ((whole.to_owned(), true), (whole.to_owned(), true))
        );
        assert_eq!(unmade_of!(Unmade::from(odd())), ("spec.config.a: is odd".to_owned(), true));
    }

    #[test]
    fn other_errors_are_told_with_their_sources_once() {
        let whole = "no shop: invalid digit found in string";
        assert_eq!(unmade_of!(shop()), (whole.to_owned(), false));
        assert_eq!(unmade_of!(Like(shop().into())), (whole.to_owned(), false));
        assert_eq!(unmade_of!(Error::from(shop())), (whole.to_owned(), false));
        assert_eq!(unmade_of!("no shop".to_owned()), ("no shop".to_owned(), false));
        assert_eq!(unmade_of!(odd().to_string()), ("spec.config.a: is odd".to_owned(), false), "words alone");
    }

    #[test]
    fn a_source_is_told_though_its_words_stand_in_those_before_by_chance() {
        let whole = "cannot open /a: open";
        assert_eq!(unmade_of!(Reading(Refused)), (whole.to_owned(), false));
        assert_eq!(unmade_of!(Chained(Reading(Refused))), (whole.to_owned(), false), "and once");
        assert_eq!(unmade_of!(Error::from(Reading(Refused))), (whole.to_owned(), false));
    }
}
