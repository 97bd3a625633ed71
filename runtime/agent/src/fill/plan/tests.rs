//! The rules of filling, one scene each: what the cluster says, and what must then be done.

use hotbay_api::{ENTRY_VERSION, EntryId, Limits, Reason, Revision, Timeouts, names};

use super::*;

fn key(name: &str) -> EntryKey {
    EntryKey::new("shop", name).unwrap()
}

fn mk_blob(content: &str) -> Blob {
    Blob { platform: Platform::current(), digest: Digest::of(content.as_bytes()), size: content.len() as u64 }
}

/// An entry whose revisions are these, each with a blob of that content.
fn mk_entry(name: &str, sequence: u64, revisions: &[&str]) -> Arc<Entry> {
    let revision = |content: &&str| Revision {
        revision: (*content).to_owned(),
        blobs: vec![
            Blob { platform: Platform { os: "plan9".into(), ..Platform::current() }, ..mk_blob("other") },
            mk_blob(content),
        ],
        routes: Vec::new(),
        config: serde_json::json!({}),
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    };
    Arc::new(Entry {
        version: ENTRY_VERSION,
        id: EntryId { namespace: "shop".into(), name: name.into(), uid: String::new() },
        created: "2026-01-01T00:00:00Z".into(),
        sequence: Some(sequence),
        revisions: revisions.iter().map(revision).collect(),
    })
}

fn mk_config_map(entry: &Entry) -> ConfigMap {
    let mut config_map = ConfigMap::default();
    config_map.metadata.name = Some(names::entry_config_map("default", &entry.key()));
    config_map.metadata.resource_version = entry.sequence.map(|sequence| sequence.to_string());
    // The operator writes no sequence: the agent sets it.
    let json = serde_json::to_string(&Entry { sequence: None, ..entry.clone() }).unwrap();
    config_map.data = Some(BTreeMap::from([(names::CONFIG_MAP_ENTRY_KEY.to_owned(), json)]));
    config_map
}

fn fetch(content: &str) -> Action {
    Action::Fetch { digest: mk_blob(content).digest, size: content.len() as u64 }
}

fn digests(contents: &[&str]) -> BTreeSet<Digest> {
    contents.iter().map(|content| mk_blob(content).digest).collect()
}

struct Case {
    plan: Plan,
    now: Instant,
}

impl Case {
    /// A plan for a bay that holds `in_bay`.
    fn new(in_bay: &[&Arc<Entry>]) -> Self {
        let in_bay = in_bay.iter().map(|entry| (entry.key(), (*entry).clone())).collect();
        Self { plan: Plan::new("default", Platform::current(), in_bay, "uid"), now: Instant::now() }
    }

    fn lists(&mut self, entries: &[&Arc<Entry>]) {
        self.take(Event::Init);
        for entry in entries {
            self.take(Event::InitApply(mk_config_map(entry)));
        }
        self.take(Event::InitDone);
    }

    fn take(&mut self, event: Event<ConfigMap>) {
        self.plan.take(event, self.now);
    }

    fn actions(&mut self) -> Vec<Action> {
        self.plan.actions(self.now)
    }

    fn fetched(&mut self, content: &str) {
        self.plan.fetched(mk_blob(content).digest, Ok(()), self.now);
    }

    fn not_fetched(&mut self, content: &str) {
        let why = Trouble { reason: Reason::Incomplete, message: "no ConfigMap".into() };
        self.plan.fetched(mk_blob(content).digest, Err(why), self.now);
    }

    fn wrote(&mut self, entry: &Arc<Entry>) {
        self.plan.wrote(entry, Ok(()), self.now);
    }

    /// Carries out all that there is to do until `end`; the sweeps among it, with their times.
    fn pass_until(&mut self, end: Instant) -> Vec<(Instant, Action)> {
        let mut sweeps = Vec::new();
        loop {
            let actions = self.actions();
            if actions.is_empty() {
                match self.plan.next_wake(self.now).filter(|at| *at < end) {
                    Some(at) => self.now = at,
                    None => break,
                }
            }
            for action in actions {
                match &action {
                    Action::Fetch { digest, .. } => self.plan.fetched(*digest, Ok(()), self.now),
                    Action::Write(entry) => self.wrote(entry),
                    Action::Remove(key) => self.plan.removed(key, true, self.now),
                    Action::Sweep { blobs, .. } => {
                        self.plan.swept(blobs, true, self.now);
                        sweeps.push((self.now, action));
                    }
                }
            }
        }
        self.now = end;
        sweeps
    }
}

#[test]
fn blobs_come_before_the_entry_and_only_this_platforms() {
    let mut case = Case::new(&[]);
    let entry = mk_entry("hello", 7, &["v2", "v1"]);
    case.lists(&[&entry]);
    assert_eq!(case.actions(), [fetch("v2"), fetch("v1")]);
    assert_eq!(case.actions(), [], "a fetch is started once");
    case.fetched("v2");
    assert_eq!(case.actions(), [Action::Write(entry.clone())], "the last good one's may come later");
    assert!(!case.plan.is_synced(case.now));
    case.wrote(&entry);
    assert!(case.plan.is_synced(case.now));
    case.fetched("v1");
    assert_eq!(case.actions(), []);
    assert!(case.plan.is_synced(case.now));
}

#[test]
fn nothing_is_done_before_a_list_is_complete() {
    let old = mk_entry("old", 1, &["v1"]);
    let mut case = Case::new(&[&old]);
    assert_eq!(case.actions(), []);
    case.take(Event::Init);
    case.take(Event::InitApply(mk_config_map(&mk_entry("new", 2, &["v1"]))));
    assert_eq!((case.actions(), case.plan.known(), case.plan.is_synced(case.now)), (vec![], None, false));
}

#[test]
fn a_restart_with_a_full_bay_changes_nothing_in_it() {
    let entries = [mk_entry("one", 1, &["v1"]), mk_entry("two", 2, &["v2"])];
    let mut case = Case::new(&[&entries[0], &entries[1]]);
    case.lists(&[&entries[0], &entries[1]]);
    assert_eq!(case.actions(), [fetch("v1"), fetch("v2")], "the blobs are looked at once");
    case.fetched("v1");
    case.fetched("v2");
    assert_eq!(case.actions(), []);
    case.now += SWEEP_AFTER;
    let keep =
        Action::Sweep { entries: BTreeSet::from([key("one"), key("two")]), blobs: digests(&["v1", "v2"]) };
    assert_eq!(case.actions(), [keep]);
}

#[test]
fn what_a_complete_list_lacks_is_removed() {
    let (one, two) = (mk_entry("one", 1, &["v1"]), mk_entry("two", 2, &["v2"]));
    let mut case = Case::new(&[&one, &two]);
    case.lists(&[&two]);
    assert_eq!(case.actions(), [Action::Remove(key("one")), fetch("v2")]);
    case.plan.removed(&key("one"), true, case.now);
    // A list that breaks off says nothing.
    case.take(Event::Init);
    assert_eq!(case.actions(), []);
    assert_eq!(case.plan.known().unwrap().len(), 1);
}

#[test]
fn a_deletion_that_was_seen_removes_at_once_and_the_blob_later() {
    let entry = mk_entry("hello", 1, &["v1"]);
    let mut case = Case::new(&[&entry]);
    case.lists(&[&entry]);
    case.actions();
    case.fetched("v1");
    case.take(Event::Delete(mk_config_map(&entry)));
    assert_eq!(case.actions(), [Action::Remove(key("hello"))]);
    case.plan.removed(&key("hello"), true, case.now);
    assert_eq!(case.plan.next_wake(case.now), Some(case.now + SWEEP_AFTER));
    case.now += SWEEP_AFTER;
    assert_eq!(case.actions(), [Action::Sweep { entries: BTreeSet::new(), blobs: BTreeSet::new() }]);
    case.plan.swept(&BTreeSet::new(), true, case.now);
    case.take(Event::Apply(mk_config_map(&entry)));
    assert_eq!(case.actions(), [fetch("v1")], "a blob that was swept is fetched again");
}

#[test]
fn a_bay_whose_entries_never_rest_is_swept_every_minute_and_soon_after_they_do() {
    let mut case = Case::new(&[]);
    case.lists(&[]);
    let (start, mut sweeps) = (case.now, Vec::new());
    let pause = Duration::from_secs(4);
    for sequence in 0..=30 {
        let version = format!("v{sequence}");
        case.take(Event::Apply(mk_config_map(&mk_entry("hello", sequence, &[&version]))));
        sweeps.extend(case.pass_until(case.now + pause));
    }
    sweeps.extend(case.pass_until(case.now + SWEEP_WITHIN));
    let sweep = |seconds: u64, blobs: &[&str]| {
        let keep = Action::Sweep { entries: BTreeSet::from([key("hello")]), blobs: digests(blobs) };
        (start + Duration::from_secs(seconds), keep)
    };
    assert_eq!(sweeps, [sweep(60, &["v14", "v15"]), sweep(120, &["v29", "v30"]), sweep(125, &["v30"])]);
}

#[test]
fn a_blob_that_a_sweep_may_have_removed_as_it_arrived_is_looked_at_again() {
    let entry = mk_entry("hello", 1, &["v1"]);
    for needed_before_it_came in [true, false] {
        let mut case = Case::new(&[]);
        case.lists(&[&entry]);
        assert_eq!(case.actions(), [fetch("v1")]);
        case.take(Event::Delete(mk_config_map(&entry)));
        case.now += SWEEP_AFTER;
        assert_eq!(case.actions(), [Action::Sweep { entries: BTreeSet::new(), blobs: BTreeSet::new() }]);
        // Its file came just before the sweep removed it; that it came is told after the sweep.
        case.plan.swept(&BTreeSet::new(), true, case.now);
        if needed_before_it_came {
            case.take(Event::Apply(mk_config_map(&entry)));
            assert_eq!(case.actions(), [], "it is being fetched");
            case.fetched("v1");
        } else {
            case.fetched("v1");
            assert_eq!(case.actions(), [], "nobody needs it");
            case.take(Event::Apply(mk_config_map(&entry)));
        }
        assert_eq!(case.actions(), [fetch("v1")], "needed before it came: {needed_before_it_came}");
        case.fetched("v1");
        assert_eq!(case.actions(), [Action::Write(entry.clone())]);
    }
}

#[test]
fn a_missing_blob_holds_up_its_entry_alone_and_the_old_one_stays() {
    let old = mk_entry("late", 1, &["v1"]);
    let (new, other) = (mk_entry("late", 2, &["v2"]), mk_entry("other", 3, &["v3"]));
    let mut case = Case::new(&[&old]);
    case.lists(&[&new, &other]);
    assert_eq!(case.actions(), [fetch("v2"), fetch("v3")]);
    case.not_fetched("v2");
    case.fetched("v3");
    assert_eq!(case.actions(), [Action::Write(other.clone())]);
    case.wrote(&other);
    let known = case.plan.known().unwrap();
    assert_eq!(known[0].trouble.as_ref().map(|trouble| &trouble.reason), Some(&Reason::Incomplete));
    assert_eq!(known[1].trouble, None);
    assert!(!case.plan.is_synced(case.now), "what was just not there may come in a moment");
    case.now += SWEEP_AFTER - Duration::from_millis(1);
    assert_eq!(case.actions(), [fetch("v2")], "it is tried again");
    assert_eq!(case.plan.known().unwrap(), known, "another try is no news");
    case.now += Duration::from_millis(1);
    let keep = digests(&["v1", "v2", "v3"]);
    assert_eq!(
        case.actions(),
        [Action::Sweep { entries: BTreeSet::from([key("late"), key("other")]), blobs: keep }]
    );
    case.fetched("v2");
    assert_eq!(case.actions(), [Action::Write(new.clone())]);
    case.wrote(&new);
    case.now += SWEEP_AFTER;
    let Some(Action::Sweep { blobs, .. }) = case.actions().pop() else {
        panic!("the old blob must be swept")
    };
    assert_eq!(blobs, digests(&["v2", "v3"]));
}

#[test]
fn the_last_good_revision_is_served_while_the_wanted_ones_blob_is_missing() {
    let entry = mk_entry("hello", 7, &["v2", "v1"]);
    let mut case = Case::new(&[]);
    case.lists(&[&entry]);
    case.actions();
    case.fetched("v1");
    assert_eq!(case.actions(), [], "the wanted one's may be here in a moment");
    case.not_fetched("v2");
    assert_eq!(case.actions(), [Action::Write(entry.clone())]);
    case.wrote(&entry);
    let trouble = case.plan.known().unwrap().remove(0).trouble;
    assert_eq!(trouble.map(|trouble| trouble.reason), Some(Reason::Incomplete));
    case.now += Duration::from_secs(1);
    assert_eq!(case.actions(), [fetch("v2")], "it is tried on");
    case.fetched("v2");
    assert_eq!((case.actions(), case.plan.is_synced(case.now)), (vec![], true));
}

#[test]
fn a_missing_last_good_blob_neither_holds_up_the_entry_nor_is_its_trouble() {
    let entry = mk_entry("hello", 7, &["v2", "v1"]);
    let mut case = Case::new(&[]);
    case.lists(&[&entry]);
    case.actions();
    case.not_fetched("v1");
    case.fetched("v2");
    assert_eq!(case.actions(), [Action::Write(entry.clone())]);
    case.wrote(&entry);
    assert_eq!(case.plan.known().unwrap()[0].trouble, None);
    assert!(case.plan.is_synced(case.now));
}

#[test]
fn a_blob_that_may_come_is_waited_for_a_while_and_one_that_cannot_is_not() {
    let entry = mk_entry("hello", 1, &["v1"]);
    let mut case = Case::new(&[]);
    case.lists(&[&entry]);
    let end = case.now + PATIENCE;
    while case.now < end {
        assert!(!case.plan.is_synced(case.now), "{:?} before the end", end - case.now);
        if case.actions().contains(&fetch("v1")) {
            case.not_fetched("v1");
        }
        case.now = case.plan.next_wake(case.now).unwrap();
    }
    assert_eq!(case.now, end, "the end of the patience is an event");
    assert!(case.plan.is_synced(case.now), "one bad entry does not hold up the pod for ever");
    let mut case = Case::new(&[]);
    case.lists(&[&entry]);
    case.actions();
    let why = Trouble { reason: Reason::DigestMismatch, message: "other bytes".into() };
    case.plan.fetched(mk_blob("v1").digest, Err(why), case.now);
    assert!(case.plan.is_synced(case.now), "waiting does not help");
}

#[test]
fn retries_come_more_and_more_seldom_and_never_spin() {
    let mut case = Case::new(&[]);
    case.lists(&[&mk_entry("hello", 1, &["v1"])]);
    let (mut waits, mut last, mut wakes) = (Vec::new(), case.now, 0);
    while waits.len() < 11 {
        if case.actions().contains(&fetch("v1")) {
            waits.push((case.now - last).as_millis());
            last = case.now;
            case.not_fetched("v1");
        }
        case.plan.next_sweep = None;
        case.now = case.plan.next_wake(case.now).unwrap();
        wakes += 1;
    }
    let longest = [0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
    let fits = |(wait, longest): (&u128, &u128)| (longest * 4 / 5..=*longest).contains(wait);
    assert!(waits.iter().zip(&longest).all(fits), "{waits:?}");
    assert_eq!(wakes, 12, "one for each try, and one when the patience ends");
    case.take(Event::Delete(mk_config_map(&mk_entry("hello", 1, &["v1"]))));
    case.now += Duration::from_secs(60);
    case.actions();
    assert_eq!(case.plan.next_wake(case.now), None, "a retry that nobody needs must wake nobody");
}

#[test]
fn a_failed_write_is_told_and_tried_again() {
    let entry = mk_entry("hello", 1, &["v1"]);
    let mut case = Case::new(&[]);
    case.lists(&[&entry]);
    case.actions();
    case.fetched("v1");
    assert_eq!(case.actions(), [Action::Write(entry.clone())]);
    let full = Trouble { reason: Reason::NoSpace, message: "the disk is full".into() };
    case.plan.wrote(&entry, Err(full.clone()), case.now);
    assert_eq!(case.plan.known().unwrap()[0].trouble, Some(full));
    assert_eq!(case.actions(), []);
    case.now = case.plan.next_wake(case.now).unwrap();
    assert_eq!(case.actions(), [Action::Write(entry)]);
}

#[test]
fn what_did_not_fit_is_told_and_tried_again_as_soon_as_a_sweep_has_made_room() {
    let (old, new) = (mk_entry("old", 1, &["v1"]), mk_entry("new", 2, &["v2"]));
    let mut case = Case::new(&[&old]);
    case.lists(&[&old, &new]);
    case.actions();
    case.fetched("v1");
    let full = Trouble { reason: Reason::NoSpace, message: "it does not fit".into() };
    // Often enough for the longest pause.
    for _ in 0..9 {
        case.plan.fetched(mk_blob("v2").digest, Err(full.clone()), case.now);
        case.now += Duration::from_secs(40);
        assert!(case.actions().contains(&fetch("v2")), "it is tried again by the clock, too");
    }
    case.plan.fetched(mk_blob("v2").digest, Err(full.clone()), case.now);
    assert_eq!(case.plan.known().unwrap()[0].trouble, Some(full));
    assert!(case.plan.is_synced(case.now), "what does not fit does not hold up the pod");
    case.plan.swept(&digests(&["v1", "v2"]), false, case.now);
    assert_eq!(case.actions(), [], "a sweep that removed nothing makes no room");
    case.take(Event::Delete(mk_config_map(&old)));
    assert_eq!(case.actions(), [Action::Remove(key("old"))]);
    case.plan.removed(&key("old"), true, case.now);
    case.now += SWEEP_AFTER;
    let keep = Action::Sweep { entries: BTreeSet::from([key("new")]), blobs: digests(&["v2"]) };
    assert_eq!(case.actions(), [keep]);
    case.plan.swept(&digests(&["v2"]), true, case.now);
    assert_eq!(case.actions(), [fetch("v2")]);
    case.fetched("v2");
    assert_eq!(case.actions(), [Action::Write(new)]);
}

#[test]
fn an_entry_that_cannot_be_read_keeps_the_old_one() {
    let old = mk_entry("hello", 1, &["v1"]);
    let mut case = Case::new(&[&old]);
    let mut config_map = mk_config_map(&mk_entry("hello", 2, &["v2"]));
    for entry in config_map.data.as_mut().unwrap().values_mut() {
        *entry = entry.replace(r#""version":1"#, r#""version":2"#);
    }
    case.take(Event::Init);
    case.take(Event::InitApply(config_map));
    case.take(Event::InitDone);
    assert_eq!(case.actions(), []);
    let known = case.plan.known().unwrap();
    assert_eq!((known[0].sequence, &known[0].trouble.as_ref().unwrap().reason), (2, &Reason::EntryVersion));
    case.now += SWEEP_AFTER;
    assert_eq!(
        case.actions(),
        [Action::Sweep { entries: BTreeSet::from([key("hello")]), blobs: digests(&["v1"]) }]
    );
}

#[test]
fn config_maps_that_are_not_named_as_this_pools_entries_are_passed_over() {
    let entry = mk_entry("hello", 1, &["v1"]);
    for name in [
        "hm.other.shop.hello",
        "hm.default.shop",
        "hello",
        "hm.default.shop.hello.more",
        "hm.default.Shop.hello",
    ] {
        let mut case = Case::new(&[]);
        let mut config_map = mk_config_map(&entry);
        config_map.metadata.name = Some(name.into());
        case.lists(&[]);
        case.take(Event::Apply(config_map));
        assert_eq!((case.actions(), case.plan.known()), (vec![], Some(vec![])), "{name}");
    }
}

#[test]
fn an_entry_about_another_module_than_its_config_map_is_refused() {
    let mut case = Case::new(&[]);
    let mut config_map = mk_config_map(&mk_entry("hello", 1, &["v1"]));
    config_map.metadata.name = Some("hm.default.shop.victim".into());
    case.lists(&[]);
    case.take(Event::Apply(config_map));
    assert_eq!(case.actions(), []);
    assert_eq!(case.plan.known().unwrap()[0].trouble.as_ref().unwrap().reason, Reason::ManifestInvalid);
}
