//! The path's parameters as the author's type.
//!
//! Owns the decoding of `%20` and the like, and the words about a parameter that does not fit. What does not fit because of the template (another
//! name, another number) is nobody's fault who asks: it is logged and answered with 500.

use serde::de::DeserializeOwned;

use crate::{FromRequest, Rejection, Request};

mod value;
mod whole;

use whole::{Params, Unfit};

/// What the path has in the places of its parameters, percent-decoded: one value, a tuple in their order, or a struct or map by their names.
///
/// ```
/// use hotbay_sdk::{Path, handler, test};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Place { room: String, seat: u8 }
///
/// #[handler(GET, "/rooms/{room}/{seat}")]
/// fn seat(Path(Place { room, seat }): Path<Place>) -> String {
///     format!("{room}, {seat}")
/// }
///
/// let request = test::get("/rooms/a%2Fb/7").param("room", "a%2Fb").param("seat", "7");
/// assert_eq!(test::call(seat, &request).body(), b"a/b, 7");
/// ```
/// A value that does not fit is answered with 400.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<'r, T: DeserializeOwned> FromRequest<'r> for Path<T> {
    type Rejection = Rejection;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        T::deserialize(Params(request.params())).map(Self).map_err(|unfit| match unfit {
            Unfit::Value(words) => Rejection::bad_request(format!("the path does not fit: {words}")),
            Unfit::Template(words) => Rejection::internal(format_args!(
                "the path {} does not have the parameters that its handler takes: {words}",
                request.path()
            )),
        })
    }

    /// `None` if the route's path has no parameters.
    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        if request.params().is_empty() { Ok(None) } else { Self::from_request(request).map(Some) }
    }
}
