//! What a keeper does, seen from outside.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hotbay_api::{EntryKey, Reason};
use hotbay_protocol::{Probe, ProbeOutcome, Quarantine, ToEngine};
use rustix::process::{Pid, Signal};

use crate::engine::{FINGERPRINT, MODULE};
use crate::fixture::{Keeper, is_gone};

/// Every scenario and its name.
pub const ALL: &[(&str, fn())] = &[
    ("the_first_engine_serves_and_all_is_well", the_first_engine_serves_and_all_is_well),
    ("a_handover_under_load_fails_nobody", a_handover_under_load_fails_nobody),
    ("a_killed_engine_is_replaced_and_nobody_is_refused", a_killed_engine_is_replaced_and_nobody_is_refused),
    ("no_metric_falls_over_kills_and_handovers", no_metric_falls_over_kills_and_handovers),
    ("two_crashes_quarantine_beyond_the_keeper", two_crashes_quarantine_beyond_the_keeper),
    ("two_exits_quarantine", || drop(two_deaths_quarantine("exit,exit,normal"))),
    ("two_aborts_in_a_load_quarantine", || drop(two_deaths_quarantine("abort-loading,abort-loading,normal"))),
    ("a_load_that_hangs_is_quarantined_at_once", a_load_that_hangs_is_quarantined_at_once),
    ("a_failed_handover_keeps_the_old_engine", a_failed_handover_keeps_the_old_engine),
    ("an_engine_that_is_never_ready_is_given_up", an_engine_that_is_never_ready_is_given_up),
    ("an_engine_that_hangs_is_replaced", an_engine_that_hangs_is_replaced),
    ("a_listener_that_was_shut_down_listens_again", a_listener_that_was_shut_down_listens_again),
    ("sigterm_drains_and_ends_well", sigterm_drains_and_ends_well),
    ("signals_change_the_log_of_keeper_and_engines", signals_change_the_log_of_keeper_and_engines),
    ("engines_die_with_their_keeper", engines_die_with_their_keeper),
    ("an_address_in_use_is_an_error", an_address_in_use_is_an_error),
    ("probes_pass_refuse_crash_and_hang", probes_pass_refuse_crash_and_hang),
];

fn the_first_engine_serves_and_all_is_well() {
    let mut keeper = Keeper::start("normal", |_| {});
    let report = keeper.await_engine(1);
    assert_eq!((report.trouble, report.entries.len()), (None, 1));
    assert_eq!(keeper.ask().unwrap().generation, 1);
    assert_eq!(["/healthz", "/readyz", "/other"].map(|path| keeper.health(path)), [200, 200, 404]);
    let rss_kib = keeper.rss_kib();
    println!("resident memory of the keeper (with the test harness in it): {rss_kib} KiB");
    assert!(rss_kib < 10 * 1024, "{rss_kib} KiB");
}

/// Asks from four threads while `act` runs. How many were answered, and how many were cut off in the middle; nobody may be refused.
fn under_load(keeper: &mut Keeper, act: impl FnOnce(&mut Keeper)) -> (usize, usize) {
    let (stop, answered, cut) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let client = keeper.client();
    let ask = || {
        while !stop.load(Ordering::Relaxed) {
            match client.ask() {
                Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                Err(error)
                    if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) =>
                {
                    cut.fetch_add(1, Ordering::Relaxed)
                }
                Err(error) => panic!("nobody may be refused: {error}"),
            };
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        act(keeper);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    (answered.into_inner(), cut.into_inner())
}

fn a_handover_under_load_fails_nobody() {
    let mut keeper = Keeper::start("normal", |_| {});
    keeper.await_engine(1);
    let (answered, cut) = under_load(&mut keeper, |keeper| {
        for generation in 2..=20 {
            let old = keeper.ask().unwrap();
            keeper.signal(Signal::HUP);
            keeper.await_engine(generation);
            keeper.eventually("the old engine ends", |_| is_gone(old.pid).then_some(()));
            assert_eq!((keeper.ask().unwrap().generation, keeper.health("/readyz")), (generation, 200));
        }
    });
    println!("{answered} connections over 19 handovers");
    assert!(answered > 100 && cut == 0, "{answered} answered, {cut} cut");
}

fn a_killed_engine_is_replaced_and_nobody_is_refused() {
    let mut keeper = Keeper::start("normal", |_| {});
    keeper.await_engine(1);
    let (answered, cut) = under_load(&mut keeper, |keeper| {
        for generation in 2..=4 {
            let pid = keeper.client().ask_until_answered().pid;
            rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
            keeper.await_engine(generation);
            assert_eq!(keeper.health("/readyz"), 200, "it stays ready");
        }
    });
    println!("{answered} connections over 3 kills, {cut} cut off");
    assert!(answered > 20 && cut <= 3 * 4, "{answered} answered, {cut} cut: at most what was in flight");
    assert!(!keeper.path("state/journal.json").exists(), "a kill from outside blames nobody");
}

fn no_metric_falls_over_kills_and_handovers() {
    const ANSWERS: &str = r#"hotbay_requests_total{module="shop/faulty",code="200"}"#;
    const COUNT: &str = "hotbay_request_duration_seconds_count";
    let mut keeper = Keeper::start("normal", |_| {});
    for generation in 1..=7 {
        keeper.await_engine(generation);
        // Three of each engine, and one more of each before it.
        let asked = 4 * generation - 1;
        for _ in 0..3 {
            keeper.client().ask_until_answered();
        }
        // Answers are as old as a tenth of a second.
        keeper
            .eventually("all answers are counted", |keeper| (keeper.metric(ANSWERS) == asked).then_some(()));
        assert_eq!((keeper.metric(COUNT), keeper.metric("hotbay_requests_in_flight")), (asked, 0));
        let pid = keeper.ask().unwrap().pid;
        keeper.eventually("one more", |keeper| (keeper.metric(ANSWERS) == asked + 1).then_some(()));
        match generation % 2 {
            0 => keeper.signal(Signal::HUP),
            _ => rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap(),
        }
        keeper.eventually("the engine is gone", |_| is_gone(pid).then_some(()));
        assert!(keeper.metric(ANSWERS) > asked, "what the dead have counted stays");
    }
    keeper.await_engine(8);
    let status: serde_json::Value = serde_json::from_str(&keeper.admin("/status.json")).unwrap();
    let counts =
        ["requests", "handovers", "engineCrashes", "engineStarts"].map(|name| &status["totals"][name]);
    assert_eq!(counts, [28, 3, 4, 8], "{status}");
    assert_eq!(status["crashes"][0]["story"], "died of SIGKILL, outside all modules");
    assert_eq!(status["crashes"][0]["module"], serde_json::Value::Null, "a kill from outside blames nobody");
}

fn quarantined() -> Vec<(EntryKey, String)> {
    let (namespace, name) = MODULE.split_once('/').unwrap();
    vec![(EntryKey::new(namespace, name).unwrap(), format!("{FINGERPRINT:016x}"))]
}

fn names(list: Vec<Quarantine>) -> Vec<(EntryKey, String)> {
    list.into_iter().map(|quarantine| (quarantine.key, quarantine.fingerprint)).collect()
}

/// Two engines die of one module, at their first connection or before; the third one serves.
fn two_deaths_quarantine(modes: &str) -> Keeper {
    let mut keeper = Keeper::start(modes, |_| {});
    // A connection that reached a dying engine is cut; the next one waits for the next engine.
    let answer = keeper.client().ask_until_answered();
    assert_eq!(answer.generation, 3);
    assert_eq!(keeper.quarantined(1), []);
    assert_eq!(keeper.quarantined(2), [], "one death is no reason yet");
    assert_eq!(names(keeper.quarantined(3)), quarantined());
    keeper.await_engine(3);
    keeper
}

fn two_crashes_quarantine_beyond_the_keeper() {
    let mut keeper = two_deaths_quarantine("crash,crash,normal");
    let message = &keeper.quarantined(3)[0].message;
    assert_eq!(message, "SIGABRT; it ended two engines within a minute");
    keeper.replace();
    keeper.eventually("the next keeper's first engine is told", |keeper| {
        keeper.told("policies").get(3).map(drop)
    });
    assert_eq!(names(keeper.quarantined(4)), quarantined());
}

fn a_load_that_hangs_is_quarantined_at_once() {
    let mut keeper = Keeper::start("load-hangs,normal", |_| {});
    keeper.await_engine(2);
    assert_eq!(names(keeper.quarantined(2)), quarantined());
}

fn a_failed_handover_keeps_the_old_engine() {
    let mut keeper = Keeper::start("normal,die-starting,normal", |_| {});
    keeper.await_engine(1);
    keeper.signal(Signal::HUP);
    let trouble = keeper.eventually("the failure is reported", |keeper| keeper.report()?.trouble);
    assert_eq!(trouble.reason, Reason::HandoverFailed);
    assert!(trouble.message.contains("exited with code 3"), "{}", trouble.message);
    assert_eq!((keeper.ask().unwrap().generation, keeper.health("/readyz")), (1, 200));
    assert_eq!(keeper.await_engine(3).trouble, None, "the next try succeeds");
}

fn an_engine_that_is_never_ready_is_given_up() {
    // Time enough for the look at what is not ready, and for the second one to start on a machine that has much to do.
    let mut keeper = Keeper::start("never-ready,normal", |config| config.ready_timeout_ms = 8000);
    assert_eq!(
        keeper.eventually("healthz answers", |keeper| Some(keeper.health("/healthz")).filter(|&is| is != 0)),
        200
    );
    assert_eq!(keeper.health("/readyz"), 503, "no engine has ever served");
    keeper.await_engine(2);
    assert_eq!(keeper.health("/readyz"), 200);
}

fn an_engine_that_hangs_is_replaced() {
    let keeper = Keeper::start("hang,normal", |config| config.hang_timeout_ms = 1000);
    // The one that hangs cannot answer. On a machine that has much to do the second one may be too slow as well.
    assert!(keeper.client().ask_until_answered().generation > 1);
}

fn a_listener_that_was_shut_down_listens_again() {
    let mut keeper = Keeper::start("deafen", |_| {});
    let answer = keeper.eventually("connections are taken again", |keeper| keeper.ask().ok());
    assert_eq!(answer.generation, 1, "no engine had to be replaced");
    // It is said after it is mended.
    keeper.eventually("the log says that it had been deaf", |keeper| {
        let log = std::fs::read_to_string(keeper.path("log")).unwrap();
        log.contains("deaf: true").then_some(())
    });
}

fn sigterm_drains_and_ends_well() {
    // Within the delay it is seen that it is not ready, and still serves.
    let mut keeper = Keeper::start("normal", |config| config.shutdown_delay_ms = 8000);
    keeper.await_engine(1);
    keeper.signal(Signal::TERM);
    keeper.eventually("it is not ready any more", |keeper| (keeper.health("/readyz") == 503).then_some(()));
    let engine = keeper.ask().unwrap();
    let status = keeper.wait();
    assert!(status.success(), "{status}");
    assert!(is_gone(engine.pid), "the engine has ended first");
    assert_eq!(keeper.ask().unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

fn signals_change_the_log_of_keeper_and_engines() {
    let mut keeper = Keeper::start("normal", |_| {});
    keeper.await_engine(1);
    let logged = |keeper: &Keeper, words: &str| {
        std::fs::read_to_string(keeper.path("log")).unwrap().matches(words).count()
    };
    let told = |keeper: &mut Keeper, steps: &[i8]| {
        let steps: Vec<_> = steps.iter().map(|&step| ToEngine::Log { step }).collect();
        keeper.eventually(&format!("engines are told {steps:?}"), |keeper| {
            (keeper.told("log-steps") == steps).then_some(())
        });
    };
    assert_eq!(logged(&keeper, "DEBUG"), 0);
    keeper.signal(Signal::USR1);
    told(&mut keeper, &[1]);
    assert_eq!(logged(&keeper, "what is logged changes filter=hotbay=debug,info"), 1);
    // Two signals of one kind may arrive as one, so each is waited for.
    keeper.signal(Signal::USR1);
    told(&mut keeper, &[1, 2]);
    keeper.signal(Signal::HUP);
    keeper.await_engine(2);
    let mut steps = vec![1, 2, 2];
    told(&mut keeper, &steps);
    for step in [1, 0, -1] {
        keeper.signal(Signal::USR2);
        steps.push(step);
        told(&mut keeper, &steps);
    }
    let infos = logged(&keeper, "INFO");
    keeper.signal(Signal::HUP);
    keeper.await_engine(3);
    assert_eq!(logged(&keeper, "INFO"), infos, "a handover is told to nobody any more");
}

fn engines_die_with_their_keeper() {
    // One that does not look at its socket, and so would never notice.
    let mut keeper = Keeper::start("never-ready", |_| {});
    let pid = keeper.eventually("the engine runs", |keeper| {
        let text = std::fs::read_to_string(keeper.path("engine-pid")).ok()?;
        text.parse::<i32>().ok()
    });
    keeper.kill();
    keeper.eventually("the engine is gone", |_| is_gone(pid).then_some(()));
}

fn an_address_in_use_is_an_error() {
    let mut keeper = Keeper::start("normal", |_| {});
    keeper.await_engine(1);
    assert_eq!(keeper.second().code(), Some(74));
    assert_eq!(keeper.ask().unwrap().generation, 1);
}

fn probes_pass_refuse_crash_and_hang() {
    let mut keeper = Keeper::start("probes,normal", |_| {});
    keeper.await_engine(1);
    let outcome = |name: &str| {
        let digest = hotbay_api::Digest::of(name.as_bytes());
        let mut probed = keeper.told("probed").into_iter().filter_map(|message| match message {
            ToEngine::Probed(probe) => Some(probe),
            _ => None,
        });
        probed.find(|probe: &Probe| probe.digest == digest).unwrap().outcome
    };
    assert_eq!(outcome("passed"), ProbeOutcome::Passed);
    assert_eq!(
        outcome("refused"),
        ProbeOutcome::Refused { reason: Reason::StaticTls, message: "no room".into() }
    );
    assert_eq!(
        outcome("crashed"),
        ProbeOutcome::Crashed { message: "loading it ended the probe by SIGABRT".into() }
    );
    assert_eq!(["hung", "hung-2", "hung-3"].map(outcome), [const { ProbeOutcome::TimedOut }; 3]);
    keeper.signal(Signal::HUP);
    keeper.await_engine(2);
    let verified = match &keeper.told("policies")[1] {
        ToEngine::Policy { verified, .. } => verified.clone(),
        other => panic!("{other:?} is no policy"),
    };
    assert_eq!(verified, [hotbay_api::Digest::of(b"passed")]);
}
