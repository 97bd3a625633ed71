//! Bodies in the words of the crates `http` and `http-body`.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http_body::SizeHint;
use http_body_util::{Full, Limited};

use super::{Body, Frame, Kind, Source, StreamError};
use crate::{BodyError, RequestBody, Trailers};

impl Body {
    /// Any body of the crate `http-body`. An error of it cuts the connection.
    pub fn from_http<B>(body: B) -> Self
    where
        B: http_body::Body + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::from_source(FromHttp(body))
    }
}

/// A body of the crate `http-body`, as a source.
pub(crate) struct FromHttp<B>(pub B);

impl<B> Source for FromHttp<B>
where
    B: http_body::Body + Send,
    B::Error: Into<StreamError>,
{
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, StreamError>>> {
        // SAFETY: the body is pinned with `self`, and never moved out of it.
        let body = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        Poll::Ready(ready!(body.poll_frame(cx)).map(|frame| frame.map(frame_of).map_err(Into::into)))
    }

    fn is_over(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// For most bodies the data are `Bytes` already, and then nothing is copied.
fn frame_of(frame: http_body::Frame<impl Buf>) -> Frame {
    match frame.into_data() {
        Ok(mut data) => Frame::Data(data.copy_to_bytes(data.remaining())),
        Err(frame) => Frame::Trailers(frame.into_trailers().map(trailers_of).unwrap_or_default()),
    }
}

fn trailers_of(map: http::HeaderMap) -> Trailers {
    let mut trailers = Trailers::new();
    for (name, value) in &map {
        trailers.push(name.as_str().to_owned().into(), value.as_bytes().to_vec().into());
    }
    trailers
}

impl From<Trailers> for http::HeaderMap {
    /// Names and values that HTTP forbids are left out.
    fn from(trailers: Trailers) -> Self {
        let pair = |(name, value): (&str, &[u8])| {
            let name = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, http::HeaderValue::from_bytes(value).ok()?))
        };
        let mut map = Self::new();
        trailers.iter().filter_map(pair).for_each(|(name, value)| {
            map.append(name, value);
        });
        map
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    /// [`BodyError::Gone`], or `http_body_util::LengthLimitError` for a body that is too large.
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, StreamError>>> {
        if let Some(piece) = ready!(self.poll_piece(cx)) {
            let frame = piece.map(|piece| http_body::Frame::data(piece.into()));
            return Poll::Ready(Some(frame.map_err(in_the_words_of_others)));
        }
        let trailers = self.take_trailers();
        Poll::Ready(trailers.map(|trailers| Ok(http_body::Frame::trailers(trailers.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// axum and others answer 413 to what `http_body_util` calls too large, and 400 to any other error.
#[cold]
fn in_the_words_of_others(error: BodyError) -> StreamError {
    if error == BodyError::TooLarge {
        // It can only be had of a body that is: one byte, where none is allowed.
        let mut body = Limited::new(Full::new(Bytes::from_static(b"-")), 0);
        let polled =
            http_body::Body::poll_frame(Pin::new(&mut body), &mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Some(Err(too_large))) = polled {
            return too_large;
        }
    }
    Box::new(error)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, StreamError>>> {
        let Kind::Stream(source) = &mut self.0 else {
            let bytes = self.take_bytes();
            return Poll::Ready((!bytes.is_empty()).then(|| Ok(http_body::Frame::data(bytes))));
        };
        Poll::Ready(ready!(source.as_mut().poll_frame(cx)).map(|frame| {
            frame.map(|frame| match frame {
                Frame::Data(data) => http_body::Frame::data(data),
                Frame::Trailers(trailers) => http_body::Frame::trailers(trailers.into()),
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Stream(source) => source.is_over(),
            _ => self.bytes().is_none_or(<[u8]>::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes().map_or_else(SizeHint::default, |bytes| SizeHint::with_exact(bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::FromRequest as _;
    use axum::response::IntoResponse as _;
    use http_body::Body as _;

    use super::*;

    /// What axum answers when a body ends so.
    fn answered(error: BodyError) -> u16 {
        let stream = axum::body::Body::new(Body::stream(Failing(Some(in_the_words_of_others(error)))));
        let request = http::Request::new(stream);
        let bytes = crate::test::block_on(Bytes::from_request(request, &()));
        bytes.map_or_else(|refused| refused.into_response().status().as_u16(), |_| 200)
    }

    struct Failing(Option<StreamError>);

    impl futures_core::Stream for Failing {
        type Item = Result<Bytes, StreamError>;

        fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.take().map(Err))
        }
    }

    #[test]
    fn axum_knows_what_is_too_large_from_what_broke_off() {
        assert_eq!((answered(BodyError::TooLarge), answered(BodyError::Gone)), (413, 400));
    }

    #[test]
    fn a_body_that_is_there_is_one_frame() {
        let mut body = RequestBody::whole("hi");
        assert!(!body.is_end_stream());
        let frame = crate::test::block_on(std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)));
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "hi");
        assert!(body.is_end_stream());
    }
}
