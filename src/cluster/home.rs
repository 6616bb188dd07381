//! The folder of a cluster, the processes that run in it, and the guard that removes both.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::account::Account;
use super::binaries::Binaries;
use super::{Error, SUPERUSER};

const GUARD: &str = include_str!("guard.sh");

/// Writes the process id before it becomes the program, so that the guard knows of every process from its first moment.
const LAUNCH: &str = r#"echo $$ >"$0" && exec "$@""#;

/// A folder that exists as long as this does, guarded by a shell at the other end of a pipe.
///
/// ```text
/// pgvigil-XXXXXX/
///   data/         PostgreSQL's data directory
///   log           what its programs print
///   process/id    the process that runs now, for the guard, which renames the folder to shut the door to others
///   .s.PGSQL.<port>
/// ```
pub(super) struct Home {
    folder: PathBuf,
    pub(super) account: Account,
    process: Option<Child>,
    guard: Child,
}

impl Home {
    pub(super) fn new(parent: Option<&Path>) -> Result<Self, Error> {
        let account = Account::choose()?;
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = tempfile::Builder::new()
            .prefix("pgvigil-")
            .tempdir_in(&parent)
            .map_err(|source| Error::io("make a folder in", &parent, source))?;
        let process = folder.path().join("process");
        fs::create_dir(&process).map_err(|source| Error::io("make", &process, source))?;
        account.own(&process)?;
        account.own(folder.path())?;
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "pgvigil-guard"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(|source| Error::io("run", Path::new("/bin/sh"), source))?;
        Ok(Home { folder: folder.keep(), account, process: None, guard })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(super) fn read(&self, name: &str) -> Result<String, Error> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).map_err(|source| Error::io("read", &path, source))
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|source| Error::io("write", &path, source))?;
        self.account.own(&path)
    }

    /// Makes the data directory: from the template if there is one, else with `initdb`, and leaves a template for the next.
    pub(super) async fn initialize(&mut self, binaries: &Binaries, templates: Option<&Path>) -> Result<(), Error> {
        let data = self.folder.join("data");
        let name = format!("{}-{}", binaries.major, self.account.uid());
        let Some(templates) = templates else { return self.initdb(binaries, &data).await };
        let template = templates.join(&name);
        if template.is_dir() {
            return self.copy(&template, &data).await;
        }
        self.initdb(binaries, &data).await?;
        fs::create_dir_all(templates).map_err(|source| Error::io("make", templates, source))?;
        let draft = tempfile::Builder::new()
            .prefix(&name)
            .tempdir_in(templates)
            .map_err(|source| Error::io("make a folder in", templates, source))?;
        let copied = draft.path().join("data");
        self.copy(&data, &copied).await?;
        // Another process may have been faster; its template is as good as ours.
        match fs::rename(&copied, &template) {
            Err(source) if !template.is_dir() => Err(Error::io("rename", &copied, source)),
            _ => Ok(()),
        }
    }

    async fn initdb(&mut self, binaries: &Binaries, data: &Path) -> Result<(), Error> {
        // The C locale is the only one that is the same everywhere, and the one that every encoding goes with.
        let fixed = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--username", SUPERUSER, "--pgdata"];
        let arguments: Vec<&OsStr> = fixed.iter().map(OsStr::new).chain([data.as_os_str()]).collect();
        self.spawn(self.account, &binaries.program("initdb"), &arguments)?;
        self.finish("initdb").await
    }

    /// As ourselves, since the templates may lie where the server's account cannot read; `-a` keeps the owner.
    async fn copy(&mut self, from: &Path, to: &Path) -> Result<(), Error> {
        self.spawn(Account::Ourselves, Path::new("cp"), &["-a".as_ref(), from.as_os_str(), to.as_os_str()])?;
        self.finish("cp").await
    }

    /// Waits for the process, which has to end well.
    async fn finish(&mut self, program: &'static str) -> Result<(), Error> {
        let status = loop {
            match self.exit_status()? {
                Some(status) => break status,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        if status.success() { Ok(()) } else { Err(Error::Initialize { program, status, log: self.read("log")? }) }
    }

    /// Runs a program in a process group of its own, printing to the log. There is one at a time.
    pub(super) fn spawn(&mut self, account: Account, program: &Path, arguments: &[&OsStr]) -> Result<u32, Error> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LAUNCH]).arg(self.folder.join("process/id")).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.log()?);
        command.current_dir(&self.folder).process_group(0);
        // The user's PGPORT, PGDATA and the like are about another server.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C");
        account.apply(&mut command);
        let process = command.spawn().map_err(|source| Error::io("run", program, source))?;
        Ok(self.process.insert(process).id())
    }

    /// The process that runs now.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// How the process ended, once; one that is not there has ended well.
    pub(super) fn exit_status(&mut self) -> Result<Option<ExitStatus>, Error> {
        let Some(process) = &mut self.process else { return Ok(Some(ExitStatus::default())) };
        let ended = process.try_wait().map_err(|source| Error::io("wait for the process in", &self.folder, source))?;
        if ended.is_some() {
            // Its id may soon belong to another process, which the guard must not take for it.
            fs::remove_file(self.folder.join("process/id")).ok();
            self.process = None;
        }
        Ok(ended)
    }

    fn log(&self) -> Result<File, Error> {
        let path = self.log_path();
        let file = File::options().append(true).create(true).open(&path).map_err(|source| Error::io("open", &path, source))?;
        self.account.own(&path)?;
        Ok(file)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        if let Some(mut process) = self.process.take() {
            // The guard sees it vanish only when we have waited for it.
            process.wait().ok();
        }
        self.guard.wait().ok();
    }
}
