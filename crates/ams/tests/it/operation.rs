//! Running a server as an operator does: start, signals, configuration, backup and restore.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::server::TestServer;

/// The program in a directory of its own, with nothing set.
fn ams(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ams"));
    command.env_clear().current_dir(home);
    command
}

/// A server in a directory that outlives it.
struct Serving(TestServer);

impl Serving {
    fn start(home: &Path) -> Serving {
        Serving(TestServer::start_in(home))
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.0.address()).expect("it listens")
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    fn stop(mut self) -> Option<i32> {
        self.0.terminate();
        self.0.wait()
    }
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON on stdout")
}

#[test]
fn a_server_says_where_it_listens_and_ends_well() {
    let home = home();
    let serving = Serving::start(home.path());
    let answer = serving.ask("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(home.path().join("ams-data/secrets.toml").exists());
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let home = home();
    let mut serving = Serving::start(home.path());
    let mut stream = serving.connect();
    let head = "POST /v1/accounts HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it reads");
    // Its answer means that the request is in flight, and would hold up the end for ten seconds.
    stream.read_exact(&mut [0; 12]).expect("it continues");
    serving.0.signal(Signal::TERM);
    while TcpStream::connect(serving.0.address()).is_ok() {}
    serving.0.signal(Signal::INT);
    assert_eq!(serving.0.wait(), Some(130));
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let home = home();
    std::fs::write(
        home.path().join("ams.toml"),
        "listen = '127.0.0.1:3'\nlog = 'warn'\n[streams]\nattach_wait = '1s'\n",
    )
    .expect("it is written");
    let shown = ams(home.path())
        .env("AMS_LISTEN", "127.0.0.1:2")
        .env("AMS_LOG", "debug")
        .env("TOKEN_PEPPER", "a-secret-of-16-bytes")
        .args(["config", "show", "--json", "--listen", "127.0.0.1:1"])
        .output()
        .expect("it runs");
    let settings = json(&shown);
    let of = |name: &str| {
        let all = settings.as_array().expect("a list");
        let found = all.iter().find(|setting| setting["name"] == name).expect("every setting is shown");
        [found["value"].as_str(), found["origin"].as_str()].map(|text| text.unwrap_or_default().to_owned())
    };
    assert_eq!(of("listen"), ["127.0.0.1:1", "flag"]);
    assert_eq!(of("log"), ["debug", "environment AMS_LOG"]);
    assert_eq!(of("streams-attach-wait"), ["1s", "ams.toml:4"]);
    assert_eq!(of("drain-timeout"), ["10s", "default"]);
    assert_eq!(of("credential-pepper"), ["(set)", "environment TOKEN_PEPPER"]);
    assert!(!String::from_utf8_lossy(&shown.stdout).contains("a-secret"));
}

#[test]
fn a_configuration_that_cannot_be_is_refused_before_anything_starts() {
    let home = home();
    std::fs::write(home.path().join("ams.toml"), "\nlisen = '127.0.0.1:3'\n").expect("it is written");
    for command in [&["serve"][..], &["config", "check"]] {
        let refused = ams(home.path()).args(command).output().expect("it runs");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(code(&refused), Some(2), "{said}");
        assert!(said.contains("ams.toml:2") && said.contains("did you mean `listen`?"), "{said}");
    }
    assert!(!home.path().join("ams-data").exists());
}

#[test]
fn a_backup_of_a_running_server_can_take_its_place() {
    let home = home();
    let serving = Serving::start(home.path());
    let mint = "POST /v1/accounts HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 20\r\n\r\n{\"namespace\":\"acme\"}";
    let minted = serving.ask(mint);
    assert!(minted.starts_with("HTTP/1.1 201 "), "{minted}");

    let backup = || ams(home.path()).args(["backup", "--to", "copy", "--json"]).output().expect("it runs");
    let made = backup();
    assert_eq!(code(&made), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(json(&made)["secrets"], true);
    assert_eq!(code(&backup()), Some(6), "the copy is in the way");

    let restore =
        |words: &[&str]| ams(home.path()).args(["restore", "copy", "--json"]).args(words).output().expect("it runs");
    assert_eq!(code(&restore(&["--move-aside"])), Some(6), "the server is in the way");
    assert_eq!(serving.stop(), Some(0));
    assert_eq!(code(&restore(&[])), Some(6), "the data is in the way");
    let restored = restore(&["--move-aside"]);
    assert_eq!(code(&restored), Some(0), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_ne!(json(&restored)["epoch"], json(&made)["epoch"]);
    assert!(json(&restored)["moved_to"].is_string());

    let serving = Serving::start(home.path());
    let again = serving.ask(mint);
    assert!(again.starts_with("HTTP/1.1 409 "), "the namespace is taken: {again}");
}

#[test]
fn what_is_no_data_cannot_be_copied() {
    let home = home();
    let refused = ams(home.path()).args(["backup", "--to", "copy"]).output().expect("it runs");
    assert_eq!(code(&refused), Some(5), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(!home.path().join("copy").exists());
}
