//! What becomes of an instance as its hooks go well, fail, wait and panic. Without a host: what is logged is on standard error.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::extract::Argument;
use crate::{BodyMode, ConfigError, Response, State as Taken, hook};

const ME: Handle = 1;

/// Ready at the second poll.
async fn wait_once() {
    let mut polls = 0;
    std::future::poll_fn(|_| {
        polls += 1;
        if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The module of one test: its hooks, and whether its handler takes a `u32` as the state.
macro_rules! module {
    ($name:ident: $($constant:ident: $kind:ty = $value:expr),* $(; $argument:ty)?) => {
        struct $name;

        impl Define for $name {
            const HANDLERS: &'static [Handler] = &[Handler {
                name: "only",
                methods: &[],
                path: "/",
                call: crate::call::Call::Plain(|_| Response::status(204)),
                body: BodyMode::Stream,
                blocking: false,
                arguments: &[$(Argument::of::<$argument>())?],
            }];
            $(const $constant: $kind = $value;)*
            const UNWINDS: bool = true;
        }
    };
}

fn create<M: Define>(json: &str) -> (Instance, Rc) {
    Instance::create::<M>(Config::new("default/a", json), ME)
}

/// One that is made.
fn made<M: Define>() -> Instance {
    let (instance, rc) = create::<M>("{}");
    assert_eq!(rc, READY);
    instance
}

fn plain<T: Any + Send + Sync>(made: Result<T, String>) -> Made {
    hook::erase(made, |_| None)
}

#[test]
fn create_takes_nothing_the_config_or_its_type() {
    fn nothing() -> Result<u32, String> {
        Ok(0)
    }
    fn borrowed(config: &Config) -> Result<u32, String> {
        u32::try_from(config.json().len()).map_err(|error| error.to_string())
    }
    fn owned(config: Config) -> Result<u32, String> {
        borrowed(&config)
    }
    async fn later(config: &Config) -> Result<u32, String> {
        wait_once().await;
        borrowed(config)
    }
    module! { Nothing: CREATE: Create = Create::Plain(|config| hook::create(nothing, config).and_then(plain)) }
    module! { Borrowed: CREATE: Create = Create::Plain(|config| hook::create(borrowed, config).and_then(plain)) }
    module! { Owned: CREATE: Create = Create::Plain(|config| hook::create(owned, config).and_then(plain)) }
    module! {
        Later: CREATE: Create = Create::Future(|config| Box::pin(async move {
            match hook::create(later, &config) {
                Ok(making) => plain(making.await),
                Err(unmade) => Err(unmade),
            }
        }))
    }
    let state = |instance: &Instance| *instance.handler(0).unwrap().1.state::<u32>().unwrap();
    assert_eq!(state(&made::<Nothing>()), 0);
    assert_eq!((state(&made::<Borrowed>()), state(&made::<Owned>())), (2, 2));
    let (instance, rc) = create::<Later>("{}");
    assert!(rc == PENDING && instance.handler(0).is_none());
    assert_eq!((instance.poll(ME), state(&instance), instance.poll(ME)), (READY, 2, READY));
}

#[cfg(feature = "json")]
#[test]
fn a_config_that_does_not_fit_is_denied_whoever_reads_it() {
    fn typed(limit: u32) -> Result<u32, String> {
        Ok(limit)
    }
    fn never() -> Result<u32, String> {
        panic!("create must not run with a config that does not fit")
    }
    module! { Typed: CREATE: Create = Create::Plain(|config| hook::create(typed, config).and_then(plain)) }
    module! {
        Named: CREATE: Create = Create::Plain(|config| hook::create(never, config).and_then(plain)),
        CHECK: Option<hook::Check> = Some(hook::check::<u32>)
    }
    module! { Taken: CREATE: Create = Create::Nothing; crate::Settings<u32> }
    for make in [create::<Typed>, create::<Named>, create::<Taken>] {
        assert_eq!(make("true").1, DENIED);
    }
    let (instance, rc) = create::<Taken>("7");
    assert_eq!((rc, instance.handler(0).unwrap().1.settings::<u32>()), (READY, Some(&7)));
    assert_eq!(create::<Typed>("7").1, READY);
}

#[test]
fn a_failure_is_final_and_the_configs_only_if_create_says_so() {
    module! { Fails: CREATE: Create = Create::Plain(|_| plain::<u32>(Err("no".to_owned()))) }
    module! {
        Denies: CREATE: Create = Create::Plain(|_| hook::erase(Err::<u32, _>(ConfigError::at("a", "is odd")), |_| None))
    }
    module! { Wants: CREATE: Create = Create::Nothing; Taken<u32> }
    assert_eq!((create::<Fails>("{}").1, create::<Denies>("{}").1), (ERR, DENIED));
    let (instance, rc) = create::<Wants>("{}");
    assert!(rc == ERR && instance.handler(0).is_none(), "its handler takes a state that it does not have");
    assert_eq!(instance.stop(ME), READY, "what was not made is not stopped");
    let unmade = Shared::new(Box::new(()), None).prepare(Wants::HANDLERS).unwrap_err();
    assert!(unmade.words().starts_with("the handler only: it asks for the state u32"), "{}", unmade.words());
}

static STOPPED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn stop_gets_the_state_as_it_likes_and_may_wait() {
    const STATE: hook::Makes<Arc<usize>> = PhantomData;
    fn by_reference(state: &Arc<usize>) {
        STOPPED.fetch_add(**state, Ordering::Relaxed);
    }
    async fn later(state: Arc<usize>) -> Result<(), String> {
        wait_once().await;
        STOPPED.fetch_add(*state, Ordering::Relaxed);
        Err("one is left".to_owned())
    }
    module! {
        Plain: CREATE: Create = Create::Plain(|_| plain(Ok(Arc::new(1_usize)))),
        STOP: Stop = Stop::Plain(|shared| hook::stop(STATE, by_reference, shared).and_then(hook::stopped))
    }
    module! {
        Later: CREATE: Create = Create::Plain(|_| plain(Ok(Arc::new(10_usize)))),
        STOP: Stop = Stop::Future(|shared| Box::pin(async move {
            match hook::stop(STATE, later, &shared) {
                Ok(stopping) => hook::stopped(stopping.await),
                Err(words) => Err(words),
            }
        }))
    }
    assert_eq!((made::<Plain>().stop(ME), STOPPED.load(Ordering::Relaxed)), (READY, 1));
    let instance = made::<Later>();
    assert_eq!((instance.stop(ME), STOPPED.load(Ordering::Relaxed)), (PENDING, 1));
    assert_eq!((instance.poll(ME), STOPPED.load(Ordering::Relaxed)), (READY, 11), "a failure ends it too");
}

#[test]
fn a_stop_hook_that_panics_ends_all_the_same() {
    fn panics() {
        panic!("in stop");
    }
    async fn panics_later() {
        wait_once().await;
        panic!("in stop, later");
    }
    module! {
        Panics: CREATE: Create = Create::Nothing,
        STOP: Stop = Stop::Plain(|shared| hook::stop(hook::made_nothing(), panics, shared).and_then(hook::stopped))
    }
    module! {
        Later: CREATE: Create = Create::Nothing,
        STOP: Stop = Stop::Future(|_| Box::pin(async {
            panics_later().await;
            Ok(())
        }))
    }
    assert_eq!(made::<Panics>().stop(ME), READY);
    let instance = made::<Later>();
    assert_eq!((instance.stop(ME), instance.poll(ME), instance.poll(ME)), (PENDING, READY, READY));
}
