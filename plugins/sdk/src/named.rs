//! How `module!` finds what `#[handler]` says of a function, by the function's name alone.
//!
//! Owns the words for a function without the attribute. Beside a function stands a trait by a name made of its own, with a method that returns
//! the description; `module!` calls that method with the trait in scope. Another method of that name, which needs one reference more, is there in
//! any case: so the compiler finds something, and says in the words below what it is not. Of a function that is named by a path,
//! the second trait has the first one's name, which shadows it.

use std::marker::PhantomData;

use crate::call::Handler;

/// What the traits beside functions are implemented for.
#[derive(Debug)]
pub struct Handlers;

/// What the second method returns. It has the function's type, so that nothing is said of one that is not there.
#[derive(Debug)]
pub struct NoAttribute<F>(PhantomData<fn(F)>);

impl<F> NoAttribute<F> {
    /// Of the function.
    pub fn of() -> Self {
        Self(PhantomData)
    }
}

/// A description of a function, as a type.
#[diagnostic::on_unimplemented(
    message = "this function has no `#[handler(…)]`",
    label = "not a handler",
    note = "put the attribute on the function, with its methods and its path: #[handler(GET, \"/hello\")]",
    note = "if it has one, name it by the path to where it stands: `module!(users::list)`; a `use` brings the function alone"
)]
pub trait IsHandler {
    /// The description.
    const HANDLER: Handler;
}

/// The description of the function whose method `find` calls. It is never called itself: its type says all.
pub const fn handler_of<T: IsHandler>(_find: fn(&'static Handlers) -> T) -> Handler {
    T::HANDLER
}

/// Puts a description beside a function: `__handler! { pub __hotbay_handler_get = Handler { … } }`.
#[doc(hidden)]
#[macro_export]
macro_rules! __handler {
    ($visibility:vis $name:ident = $handler:expr) => {
        #[doc(hidden)]
        #[allow(non_camel_case_types, missing_docs)]
        $visibility trait $name {
            type Handler: $crate::__private::IsHandler;
            fn $name<F>(&self, function: F) -> Self::Handler;
        }
        const _: () = {
            #[allow(missing_debug_implementations)]
            pub struct __HotbayNamed;
            #[allow(clippy::let_unit_value, clippy::unit_arg)]
            #[diagnostic::do_not_recommend]
            impl $crate::__private::IsHandler for __HotbayNamed {
                const HANDLER: $crate::__private::Handler = $handler;
            }
            impl $name for $crate::__private::Handlers {
                type Handler = __HotbayNamed;
                fn $name<F>(&self, _function: F) -> __HotbayNamed {
                    __HotbayNamed
                }
            }
        };
    };
}
