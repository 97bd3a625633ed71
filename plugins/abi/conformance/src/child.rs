//! A child: one scenario against one handler, in a process that may crash or hang.
//!
//! Owns what the scenarios do with instances, and the look for what is left behind. The parent, in `check`, starts it and reads what it says.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use hotbay_artifact::ModuleFacts;

use crate::drive::{self, Drive, Instance};
use crate::request::Shape;
use crate::scenario::Plan;
use crate::threads::Threads;
use crate::{Rule, Scenario, arena, crash, host, module, report};

/// Threads of the scenario `crowd`, and calls of each to each instance.
const THREADS: usize = 4;
const CALLS: usize = 8;

/// What a child is told.
#[derive(Debug, clap::Args)]
pub struct Task {
    /// The module.
    pub file: PathBuf,
    /// The scenario's name.
    #[arg(long)]
    pub scenario: String,
    /// The handler's index.
    #[arg(long, default_value_t = 0)]
    pub handler: u32,
    /// Where to write what happens.
    #[arg(long)]
    pub report: PathBuf,
    /// The instances' config.
    #[arg(long)]
    pub config: String,
    /// The config of a second instance that stands beside the first.
    #[arg(long)]
    pub other_config: String,
    /// What requests with a body have in it.
    #[arg(long)]
    pub body: String,
    /// Values of path parameters.
    #[arg(long)]
    pub param: Vec<String>,
    /// How long, in milliseconds, the module may leave a call pending without a wake.
    #[arg(long)]
    pub patience: u64,
}

/// Runs the scenario. What the module does wrong is in the report, not in the result.
///
/// # Errors
/// When this program cannot do its part.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let said = OpenOptions::new().append(true).open(&task.report).context("failed to open the report")?;
    report::open(said);
    let played = prepare_and_play(task);
    match &played {
        Ok(()) => report::done(),
        Err(error) => report::failed(&format!("{error:#}")),
    }
    played
}

fn prepare_and_play(task: &Task) -> anyhow::Result<()> {
    arena::reserve().context("failed to reserve memory")?;
    crash::install();
    // With the first thread that anybody makes, a sanitizer's runtime makes one of its own: before the module's are counted.
    thread::spawn(|| {}).join().map_err(|_| anyhow::anyhow!("failed to end a thread"))?;
    let scenario = Scenario::named(&task.scenario).context("there is no such scenario")?;
    let bytes = std::fs::read(&task.file).context("failed to read the module")?;
    let facts = ModuleFacts::read(&bytes).context("the module is not one")?;
    let path = task.file.canonicalize().context("failed to find the module")?;
    if let Some(module) = module::load(&path, &facts, scenario.script.newer) {
        let handler =
            facts.manifest.handlers.get(task.handler as usize).context("there is no such handler")?;
        let (index, body, params) = (task.handler, task.body.as_bytes(), &task.param[..]);
        let shape = Shape { handler, index, body, params, script: &scenario.script };
        let patience = Duration::from_millis(task.patience);
        let drive = Drive { module: &module, newer: scenario.script.newer, patience };
        play(scenario.plan, &Stage { drive, shape, configs: [&task.config, &task.other_config] });
    }
    Ok(())
}

/// What a scenario is played with.
struct Stage<'a> {
    drive: Drive<'a>,
    shape: Shape<'a>,
    /// Of the first instance, and of one beside it.
    configs: [&'a str; 2],
}

fn play(plan: Plan, stage: &Stage<'_>) {
    let before = Threads::now();
    match plan {
        Plan::Life => stage.life(),
        Plan::Calls => stage.calls(),
        Plan::Beside => stage.beside(),
        Plan::Crowd => stage.crowd(),
    }
    report::doing("what is left behind");
    for thread in before.left() {
        report::broken(Rule::Threads, &format!("the thread {thread:?} is left after stop and destroy"));
    }
    drive::compare_what_was_lent_for_ever();
    let (left, given) = host::pieces_not_released();
    if left > 0 {
        report::broken(Rule::Release, &format!("{left} of {given} pieces were never released"));
    }
}

impl Stage<'_> {
    fn one(&self) -> Option<Instance<'_>> {
        self.drive.instance("conformance/one", self.configs[0])
    }

    fn other(&self) -> Option<Instance<'_>> {
        self.drive.instance("conformance/two", self.configs[1])
    }

    fn life(&self) {
        let Some(first) = self.one() else { return };
        first.end();
        let both = [self.one(), self.other()];
        // The older one goes first: what they share must not go with it.
        both.into_iter().flatten().for_each(Instance::end);
        self.one().into_iter().for_each(Instance::end);
    }

    fn calls(&self) {
        let Some(one) = self.one() else { return };
        one.call(&self.shape);
        one.call(&self.shape);
        one.end();
    }

    fn beside(&self) {
        let Some(one) = self.one() else { return };
        let alone = one.call(&self.shape);
        // Answers that differ by themselves, such as a clock's, say nothing.
        let is_steady = one.call(&self.shape) == alone;
        let Some(other) = self.other() else { return one.end() };
        other.call(&self.shape);
        if is_steady && one.call(&self.shape) != alone {
            report::broken(Rule::Instances, "an instance answers otherwise since there is another one");
        }
        other.end();
        if is_steady && one.call(&self.shape) != alone {
            report::broken(Rule::Instances, "an instance answers otherwise since another one is gone");
        }
        one.end();
    }

    fn crowd(&self) {
        let Some(one) = self.one() else { return };
        let Some(two) = self.other() else { return one.end() };
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..CALLS {
                        one.call(&self.shape);
                        two.call(&self.shape);
                    }
                });
            }
        });
        one.end();
        two.end();
    }
}
