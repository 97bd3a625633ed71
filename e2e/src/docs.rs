//! The code blocks of the user's docs, and a reader who does what they say.
//!
//! A block's info string, behind its language, says what becomes of it:
//!
//! | info | a test |
//! | --- | --- |
//! | `sh tested` | runs it, after all blocks above it, in one folder |
//! | `sh tested background` | starts it and goes on; the next such block, or the end of the page, ends it by Ctrl-C, and it must exit 0 |
//! | `sh cluster`, `sh tested cluster` | runs it where there is a cluster |
//! | `text output` | expects each of its lines in what the block above prints, which is run until it does |
//! | `LANGUAGE file=NAME` | writes it into the folder |
//! | `yaml tested` | shows it to the API server, which may find nothing unknown in it |
//!
//! Other blocks are for people. Owns the reading and the walk; must not know any page.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::cargo::{on_its_own, workspace};
use crate::laptop::free_address;
use crate::wait::wait_for;

/// A code block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it begins, for messages: `quick-start.md:12`.
    pub place: String,
    /// The words behind the opening fence; the first is the language.
    pub info: Vec<String>,
    /// What is between the fences.
    pub text: String,
}

impl Block {
    /// Whether its info string holds this word.
    pub fn is(&self, word: &str) -> bool {
        self.info.iter().any(|known| known == word)
    }

    fn file(&self) -> Option<&str> {
        self.info.iter().find_map(|word| word.strip_prefix("file="))
    }
}

/// The code blocks of a page; `page` is a path in the workspace.
///
/// # Panics
/// When there is no such page.
pub fn page(page: &str) -> Vec<Block> {
    let text =
        std::fs::read_to_string(workspace().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    blocks(page, &text)
}

/// Every page for users: README.md and those in docs/.
///
/// # Panics
/// When docs/ cannot be read.
pub fn pages() -> Vec<String> {
    let files = std::fs::read_dir(workspace().join("docs")).expect("there is a folder docs");
    let names = files.flatten().map(|file| format!("docs/{}", file.file_name().to_string_lossy()));
    let mut pages: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

fn blocks(page: &str, text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) => {
                open = true;
                let info = info.split_whitespace().map(str::to_owned).collect();
                found.push(Block { place: format!("{page}:{}", index + 1), info, text: String::new() });
            }
            None if open => {
                if let Some(block) = found.last_mut() {
                    block.text += line;
                    block.text += "\n";
                }
            }
            None => {}
        }
    }
    found
}

/// A reader with a folder, who does what a page says.
pub struct Reader {
    home: TempDir,
    folder: PathBuf,
    hotbay: PathBuf,
    /// Where this reader's `hotbay run` serves, in place of 127.0.0.1:8880.
    address: SocketAddr,
    background: Option<Child>,
    has_cluster: bool,
}

impl Reader {
    /// A reader with this `hotbay` on the PATH. `has_cluster`: the environment leads to one.
    ///
    /// # Panics
    /// When there is no temporary folder.
    pub fn new(hotbay: &Path, has_cluster: bool) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        let folder = home.path().join("reader");
        std::fs::create_dir(&folder).expect("a folder can be made");
        let address = free_address();
        Self { folder, home, hotbay: hotbay.to_owned(), address, background: None, has_cluster }
    }

    /// Does what the blocks of a page say, and returns how many did something.
    ///
    /// # Panics
    /// When one does not do what the page says.
    pub async fn follow(&mut self, page: &str) -> usize {
        let blocks = self::page(page);
        let mut done = 0;
        for (index, block) in blocks.iter().enumerate() {
            if let Some(name) = block.file() {
                std::fs::write(self.cwd().join(name), &block.text).expect("a file can be written");
            } else if !self.is_to_run(block) {
                continue;
            } else if block.is("background") {
                self.end_background().await;
                self.start(block);
            } else {
                let output = blocks.get(index + 1).filter(|next| next.is("output"));
                self.run(block, output.map_or("", |output| &output.text)).await;
            }
            done += 1;
        }
        self.end_background().await;
        done
    }

    fn is_to_run(&self, block: &Block) -> bool {
        block.is("sh") && if block.is("cluster") { self.has_cluster } else { block.is("tested") }
    }

    /// Runs a block until it prints all lines of `expected`; one without must succeed at once.
    async fn run(&mut self, block: &Block, expected: &str) {
        let place = &block.place;
        if expected.is_empty() {
            let (success, said) = self.bash(block).await;
            assert!(success, "{place} fails: {said}");
            return;
        }
        let this = &*self;
        let what = format!("{place} prints what the page says");
        let printed = wait_for(&what, async || {
            let (success, said) = this.bash(block).await;
            let missing = expected.lines().find(|line| !said.contains(line));
            match (success, missing) {
                (true, None) => Ok(()),
                _ => Err(format!("{missing:?} is missing in {said:?}")),
            }
        });
        printed.await;
    }

    async fn bash(&self, block: &Block) -> (bool, String) {
        let output = self.command(&block.text).output().await.expect("bash can be started");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), format!("{out}{err}"))
    }

    fn start(&mut self, block: &Block) {
        let mut command = self.command(&format!("exec {}", block.text));
        self.background = Some(command.process_group(0).spawn().expect("bash can be started"));
    }

    /// As Ctrl-C does.
    async fn end_background(&mut self) {
        let Some(mut child) = self.background.take() else { return };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid = pid.expect("what runs in the background still runs");
        kill_process_group(pid, Signal::INT).expect("it can be told to end");
        let status = wait_for("what runs in the background ends", async || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        let status = status.await;
        assert!(status.success(), "it ends well: {status}");
    }

    /// Where the last block ended.
    fn cwd(&self) -> PathBuf {
        let folder = std::fs::read_to_string(self.home.path().join("cwd"));
        folder.map_or_else(|_| self.folder.clone(), |folder| PathBuf::from(folder.trim_end()))
    }

    /// A shell in the reader's folder. A `cd` of a block holds for those after it.
    fn command(&self, text: &str) -> Command {
        let text = text.replace("127.0.0.1:8880", &self.address.to_string());
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.hotbay.parent().unwrap_or(Path::new("."));
        let mut command = Command::new("bash");
        command.arg("-euo").arg("pipefail").arg("-c");
        command.arg(format!("trap 'pwd >\"$READER_CWD\"' EXIT\n{text}"));
        command.current_dir(self.cwd()).stdin(Stdio::null()).kill_on_drop(true);
        command.env("READER_CWD", self.home.path().join("cwd")).env("HOTBAY", workspace());
        command.env("PATH", format!("{}:{path}", bin.display()));
        command.env("HOTBAY_LISTEN", self.address.to_string());
        command.env("HOTBAY_ADMIN_LISTEN", free_address().to_string());
        command.env("XDG_CACHE_HOME", self.home.path().join("cache"));
        // Of the test's own build; a reader has none of it.
        on_its_own(command.as_std_mut());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_place_and_info() {
        let text = "a\n```sh tested\nls\npwd\n```\n    ```no\n```yaml file=m.yaml\na: 1\n```\n";
        let found = blocks("p.md", text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].place.as_str(), found[0].text.as_str()), ("p.md:2", "ls\npwd\n"));
        assert!(found[0].is("sh") && found[0].is("tested") && !found[0].is("background"));
        assert_eq!((found[1].file(), found[1].text.as_str()), (Some("m.yaml"), "a: 1\n"));
    }
}
