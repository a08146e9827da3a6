//! A server as it is run: the real program on a free port, with a directory of its own.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Its first line ends with the address.
const LISTENING: &str = "listening on http://";
/// Any port that is free.
const ANYWHERE: &str = "127.0.0.1:0";

/// A server in the foreground; killed when dropped, and then asked whether anything in it has panicked.
pub(crate) struct TestServer {
    home: PathBuf,
    /// Removed with the server.
    own: Option<TempDir>,
    wrapper: Vec<String>,
    arguments: Vec<String>,
    running: Running,
}

struct Running {
    child: Child,
    /// Kept open, so that whatever the server still prints has somewhere to go.
    _stdout: BufReader<ChildStdout>,
    address: String,
}

impl TestServer {
    /// Serves with these arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> TestServer {
        TestServer::start_under(&[], arguments)
    }

    /// Serves as the child of another program, which is given the command to run and must become it.
    pub(crate) fn start_under(wrapper: &[&str], arguments: &[&str]) -> TestServer {
        let own = tempfile::tempdir().expect("a temporary directory");
        let mut server = TestServer::start_at(own.path(), wrapper, arguments);
        server.own = Some(own);
        server
    }

    /// Serves what is in this directory, which outlives the server.
    pub(crate) fn start_in(home: &Path) -> TestServer {
        TestServer::start_at(home, &[], &[])
    }

    fn start_at(home: &Path, wrapper: &[&str], arguments: &[&str]) -> TestServer {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (wrapper, arguments) = (owned(wrapper), owned(arguments));
        let running = Running::start(home, ANYWHERE, &wrapper, &arguments);
        TestServer { home: home.to_owned(), own: None, wrapper, arguments, running }
    }

    /// Where it listens now: a restart changes the port.
    pub(crate) fn address(&self) -> &str {
        &self.running.address
    }

    /// The directory that it was started in, and its `HOME`.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Everything it has said on stderr, through all restarts.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(log_of(&self.home)).unwrap_or_default()
    }

    /// Ends at once, without a word, and comes back over the same data, on another port.
    pub(crate) fn die_and_come_back(&mut self) {
        self.running.kill();
        self.running = Running::start(&self.home, ANYWHERE, &self.wrapper, &self.arguments);
    }

    /// The same, on the same port; for clients that cannot be told of another.
    pub(crate) fn die_and_come_back_here(&mut self) {
        self.running.kill();
        let address = self.running.address.clone();
        self.running = Running::start(&self.home, &address, &self.wrapper, &self.arguments);
    }

    /// Asks it to end; [`Self::wait`] waits until it has.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.running.child.id()).ok().and_then(Pid::from_raw).expect("it has an id");
        kill_process(process, signal).expect("it runs");
    }

    /// Waits for its end, and tells its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.running.child.wait().expect("it ends").code()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.running.kill();
        let log = self.log();
        if std::thread::panicking() {
            show(&log);
        } else {
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

#[expect(clippy::print_stderr, reason = "a test that failed shows what its server said")]
fn show(log: &str) {
    eprintln!("--- the server said:\n{log}");
}

impl Running {
    fn start(home: &Path, listen: &str, wrapper: &[String], arguments: &[String]) -> Running {
        let program = env!("CARGO_BIN_EXE_ams").to_owned();
        let words: Vec<&String> = wrapper.iter().chain([&program]).collect();
        let log: File = OpenOptions::new().create(true).append(true).open(log_of(home)).expect("it can be made");
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear().env("HOME", home).env("AMS_LOG", "warn").current_dir(home);
        command.args(["serve", "--listen", listen]).args(arguments).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it says something");
        let Some(address) = line.trim_end().strip_prefix(LISTENING).map(str::to_owned) else {
            panic!("its first line says where: {line:?}: {}", std::fs::read_to_string(log_of(home)).unwrap_or_default())
        };
        Running { child, _stdout: stdout, address }
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn log_of(home: &Path) -> PathBuf {
    home.join("stderr.log")
}
