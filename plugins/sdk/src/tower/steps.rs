//! One call of a service.
//!
//! Owns its order: the service is ready, its future runs, the answer's body is sent. All of it stays in one box, because each of its parts may ask to
//! stay where it is.

use std::error::Error;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use hotbay_abi::{ERR, Handle, PENDING, READY, Rc};
use http_body::Body;
use tower_service::Service;

use super::offered::Offered;
use super::{Served, answer, request};
use crate::body::http_body::FromHttp;
use crate::call::{Stepping, Steps};
use crate::outgoing::Outgoing;
use crate::upgrade::Running;
use crate::{BodyError, Request, RequestBody, Trailers, host};

struct ServiceCall<S: Service<http::Request<RequestBody>>, B> {
    stage: Stage<S, S::Future, B>,
    is_head: bool,
    offer: Offered,
}

enum Stage<S, F, B> {
    Unready(Box<(S, http::Request<RequestBody>)>),
    Running(F),
    Sending(FromHttp<B>, Outgoing),
    Upgraded(Running),
    Failed(Box<dyn Error + Send + Sync>),
    /// The target is none that `http` knows.
    Refused,
}

/// Makes the call of a service; nothing of it runs yet.
pub(super) fn begin<S, B>(served: &Served<S>, asked: &Request<'_>) -> Stepping
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut offer: Offered = Default::default();
    let mut request = http::Request::new(RequestBody::none());
    let built = request::build(asked, served.options, &mut request);
    // Before there is anything to put into it, so that less of that is moved.
    let call = Box::<ServiceCall<S, B>>::new_uninit();
    let stage = if built {
        offer.make(asked, &mut request);
        Stage::of(served.service.clone(), request, asked.call)
    } else {
        Stage::Refused
    };
    let call = Box::write(call, ServiceCall { stage, is_head: asked.method() == "HEAD", offer });
    Box::into_pin(call)
}

impl<S, B> Stage<S, S::Future, B>
where
    S: Service<http::Request<RequestBody>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Most services are always ready, and then nothing has to be kept.
    #[inline(always)]
    fn of(mut service: S, request: http::Request<RequestBody>, call: Handle) -> Self {
        match service.poll_ready(&mut Context::from_waker(&host::waker(call))) {
            Poll::Ready(Ok(())) => Self::Running(service.call(request)),
            Poll::Ready(Err(error)) => Self::Failed(error.into()),
            Poll::Pending => Self::Unready(Box::new((service, request))),
        }
    }
}

impl<S, B> Steps for ServiceCall<S, B>
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>> + Send,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + Send,
{
    fn advance(self: Pin<&mut Self>, call: Handle) -> Rc {
        // SAFETY: future and body are pinned with `self`: below they are only polled through a pin, and dropped where they lie.
        let this = unsafe { self.get_unchecked_mut() };
        let waker = host::waker(call);
        let mut cx = Context::from_waker(&waker);
        loop {
            match &mut this.stage {
                Stage::Unready(waiting) => match waiting.0.poll_ready(&mut cx) {
                    Poll::Pending => return PENDING,
                    Poll::Ready(Err(error)) => return failed(call, &*error.into()),
                    Poll::Ready(Ok(())) => {
                        let Stage::Unready(waiting) = mem::replace(&mut this.stage, Stage::Refused) else {
                            return ERR;
                        };
                        let (mut service, request) = *waiting;
                        this.stage = Stage::Running(service.call(request));
                    }
                },
                Stage::Running(future) => {
                    // SAFETY: as above.
                    let response = match unsafe { Pin::new_unchecked(future) }.poll(&mut cx) {
                        Poll::Pending => return PENDING,
                        Poll::Ready(Err(error)) => return failed(call, &*error.into()),
                        Poll::Ready(Ok(response)) => response,
                    };
                    let (head, body) = response.into_parts();
                    if this.offer.is_taken(head.status, &body) {
                        match this.offer.accept(call, &head) {
                            Ok(running) => this.stage = Stage::Upgraded(running),
                            Err(rc) => return rc,
                        }
                        continue;
                    }
                    this.stage = Stage::Sending(FromHttp(body), Outgoing::default());
                    let Stage::Sending(body, outgoing) = &mut this.stage else { return ERR };
                    // SAFETY: as above.
                    match answer::send(call, head, unsafe { Pin::new_unchecked(body) }, this.is_head) {
                        Ok(rest) => *outgoing = rest,
                        Err(rc) => return rc.min(READY),
                    }
                }
                Stage::Sending(body, outgoing) => {
                    // SAFETY: as above.
                    return outgoing.advance(unsafe { Pin::new_unchecked(body) }, call);
                }
                Stage::Upgraded(running) => {
                    if running.as_mut().poll(&mut cx).is_pending() {
                        return PENDING;
                    }
                    host::finish(call, &Trailers::new());
                    return READY;
                }
                Stage::Failed(error) => return failed(call, &**error),
                Stage::Refused => return answer::refuse(call),
            }
        }
    }
}

fn failed(call: Handle, error: &(dyn Error + Send + Sync + 'static)) -> Rc {
    host::fail(call, &format!("the service failed: {error}"));
    BodyError::code(error)
}
