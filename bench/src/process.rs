//! Server processes: started afresh for every measurement, and read from outside.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::cli::Server;

/// How long a server may take until it says where it listens.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How much of a server's standard error an error message shows, in bytes.
const LOG_TAIL_BYTES: usize = 2_000;

/// Where the programs are, and where their data goes.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// The `ams` program.
    pub ams: PathBuf,
    /// Further arguments for `ams serve`.
    pub ams_arguments: Vec<String>,
    /// This program, which contains the minimal servers.
    pub bench: PathBuf,
    /// Each server gets a new directory in here, which is removed afterwards.
    pub data: PathBuf,
}

/// A running server; dropping it kills it and removes its data.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    clock: ClockId,
    directory: PathBuf,
}

/// A process's resident memory, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Now.
    pub resident_kib: u64,
    /// The most there has been.
    pub peak_kib: u64,
}

impl ServerProcess {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(server: Server, programs: &Programs) -> Result<Self> {
        let directory = programs.data.join(format!("{}-{}", server.name(), std::process::id()));
        if directory.exists() {
            fs::remove_dir_all(&directory).with_context(|| format!("cannot empty {}", directory.display()))?;
        }
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let log_path = directory.join("stderr.log");
        let program = if server == Server::Ams { &programs.ams } else { &programs.bench };
        let mut command = Command::new(program);
        command.arg("serve");
        if server != Server::Ams {
            command.arg(server.name());
        }
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(directory.join("data"));
        if server == Server::Ams {
            command.args(&programs.ams_arguments);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log_path)?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let clock = process_clock(child.id());
        let address = child.stdout.take().context("the server's output is not connected").and_then(read_address);
        match (address, clock) {
            (Ok(address), Ok(clock)) => Ok(Self { address, child, clock, directory }),
            (Err(error), _) | (_, Err(error)) => {
                child.kill().ok();
                let status = child.wait()?;
                let log = tail(&log_path);
                let context = format!("{} did not start ({status}); its standard error:\n{log}", server.name());
                fs::remove_dir_all(&directory).ok();
                Err(error.context(context))
            }
        }
    }

    /// CPU time of all its threads since it started, user and system, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        read_clock(self.clock)
    }

    /// Its resident memory.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let kib = |name: &str| status_kib(&status, name).with_context(|| format!("{path} has no {name}"));
        Ok(Memory { resident_kib: kib("VmRSS")?, peak_kib: kib("VmHWM")? })
    }

    /// The end of its standard error, to explain what went wrong.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.directory.join("stderr.log"))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// CPU time of this process, the generator, in nanoseconds.
pub(crate) fn own_cpu_ns() -> Result<u64> {
    read_clock(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// Lets this process, and the servers it starts, have as many connections as is allowed. Gives that number.
pub(crate) fn raise_file_limit() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

fn process_clock(process: u32) -> Result<ClockId> {
    let process = Pid::from_raw(i32::try_from(process)?);
    clock_getcpuclockid(process).context("cannot read the CPU time of another process")
}

fn read_clock(clock: ClockId) -> Result<u64> {
    let time = clock_gettime(clock).context("cannot read a process's CPU clock")?;
    Ok(Duration::from(time).as_nanos() as u64)
}

/// Waits for the line that names the address, and goes on emptying the pipe afterwards so that the server never blocks.
fn read_address(stdout: ChildStdout) -> Result<SocketAddr> {
    let (lines, inbox) = mpsc::channel();
    // Ends with the server, whose standard output closes then.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            lines.send(line).ok();
        }
    });
    loop {
        match inbox.recv_timeout(START_TIMEOUT) {
            Ok(line) => {
                if let Some(address) = find_address(&line) {
                    return address.to_socket_addrs()?.next().with_context(|| format!("no address in: {line}"));
                }
            }
            Err(RecvTimeoutError::Timeout) => bail!("it printed no line with http:// within {START_TIMEOUT:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("it ended without a line with http://"),
        }
    }
}

/// The `host:port` behind the first `http://` of a line.
fn find_address(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]-".contains(c))).unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches('.'))
}

/// A value of /proc/PID/status, in KiB.
fn status_kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn tail(path: &Path) -> String {
    let log = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL_BYTES)..]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_whatever_line_names_it() {
        assert_eq!(find_address("listening on http://127.0.0.1:4711"), Some("127.0.0.1:4711"));
        assert_eq!(find_address("AMS at http://127.0.0.1:80/ (ctrl-c stops)"), Some("127.0.0.1:80"));
        assert_eq!(find_address("http://[::1]:80."), Some("[::1]:80"));
        assert_eq!(find_address("starting"), None);
    }

    #[test]
    fn memory_is_read_from_the_kernels_text() {
        let status = "Name:\tams\nVmHWM:\t    5264 kB\nVmRSS:\t    4100 kB\n";
        assert_eq!((status_kib(status, "VmHWM"), status_kib(status, "VmRSS")), (Some(5264), Some(4100)));
        assert_eq!(status_kib(status, "VmSwap"), None);
    }

    #[test]
    fn own_cpu_time_grows() {
        let before = own_cpu_ns().unwrap();
        let work: u64 = (0..1_000_000u64).map(std::hint::black_box).sum();
        assert!(work != 0 && before < own_cpu_ns().unwrap());
    }
}
