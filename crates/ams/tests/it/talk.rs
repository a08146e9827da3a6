//! Talking through a real server from the command line, also when it dies in the middle of a sentence.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread;

use serde_json::Value;

use crate::server::TestServer;

/// The program in a home of its own, with nothing set.
fn ams(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ams"));
    command.env_clear().env("HOME", home).current_dir(home);
    command
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A server on disk, and an account on it.
struct Server(TestServer);

impl Server {
    fn start() -> Server {
        let server = Server(TestServer::start_with(&[]));
        server.json(&["account", "create", "acme", "--base", &format!("http://{}", server.0.address())]);
        server
    }

    fn run_client(&self, arguments: &[&str]) -> Output {
        ams(self.0.home()).args(arguments).output().expect("it runs")
    }

    /// What a command that succeeds prints.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run_client(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {told}"))
    }

    fn code(&self, arguments: &[&str]) -> i32 {
        self.run_client(arguments).status.code().expect("it exits")
    }

    fn conversation(&self, arguments: &[&str]) -> String {
        let created = self.json(&[&["conversation", "create"], arguments].concat());
        created["magic_link"].as_str().expect("a link").to_owned()
    }

    /// Starts a client that goes on, and waits until it is in.
    fn join(&self, arguments: &[&str]) -> Client {
        let mut command = ams(self.0.home());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(command.spawn().expect("it starts"));
        let mut notices = BufReader::new(running.0.stderr.take().expect("it is piped"));
        let mut line = String::new();
        notices.read_line(&mut line).expect("it says something");
        assert!(line.starts_with("joined "), "{line}");
        Client { running, notices }
    }
}

struct Client {
    running: Running,
    notices: BufReader<ChildStderr>,
}

impl Client {
    /// Reads this many bytes of its stdout.
    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.running.0.stdout.as_mut().expect("it is piped").read_exact(&mut bytes).expect("so much is printed");
        bytes
    }

    fn write(&mut self, bytes: &[u8]) {
        self.running.0.stdin.as_mut().expect("it is piped").write_all(bytes).expect("it reads");
    }

    /// Ends its stdin and waits; its exit code and what it still said.
    fn finish(mut self) -> (i32, String) {
        drop(self.running.0.stdin.take());
        let mut notices = String::new();
        self.notices.read_to_string(&mut notices).expect("it is text");
        (self.running.0.wait().expect("it ends").code().expect("it exits"), notices)
    }
}

/// Text of about this many bytes in which no two places are alike, with characters of every width.
fn text(bytes: usize) -> String {
    (0..)
        .map(|number: u32| format!("{number} Grüße 漢字 🙂 \"\\\u{1}\n"))
        .scan(0, |length, line| {
            *length += line.len();
            (*length <= bytes).then_some(line)
        })
        .collect()
}

#[test]
fn lines_go_from_one_to_the_other_and_back() {
    let server = Server::start();
    let link = server.conversation(&["--alias", "talk"]);
    let mut ann = server.join(&["join", &link, "--name", "ann", "--raw"]);
    let mut bob = server.join(&["join", &link, "--name", "bob"]);
    ann.write(b"hello\n");
    assert_eq!(bob.read(11), b"ann: hello\n");
    bob.write(b"and you?\n");
    assert_eq!(ann.read(9), b"and you?\n");
    let (code, notices) = bob.finish();
    assert_eq!(code, 0, "{notices}");
    let (code, notices) = ann.finish();
    assert_eq!(code, 0, "{notices}");
    assert!(notices.contains("bob joined") && notices.contains("bob left"), "{notices}");
}

#[test]
fn a_large_text_arrives_byte_for_byte() {
    for durable in [&["--durable"][..], &[]] {
        let server = Server::start();
        let link = server.conversation(durable);
        let mut reader = server.join(&["listen", &link, "--raw"]);
        let text = text(4_000_000);
        let mut writer = server.join(&["join", &link, "--raw"]);
        let sent = text.clone();
        let writing = thread::spawn(move || {
            writer.write(sent.as_bytes());
            writer.finish()
        });
        assert!(reader.read(text.len()) == text.as_bytes(), "durable: {durable:?}");
        assert_eq!(writing.join().expect("it does not panic").0, 0);
    }
}

#[test]
fn a_server_that_dies_in_the_middle_loses_and_doubles_nothing() {
    let mut server = Server::start();
    let link = server.conversation(&["--durable"]);
    let text = text(3_000_000);
    let mut reader = server.join(&["listen", &link, "--raw"]);
    let mut writer = server.join(&["join", &link, "--raw"]);
    let parts: Vec<_> = text.as_bytes().chunks(text.len() / 3 + 1).map(<[u8]>::to_vec).collect();
    let count = parts.len();
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    let writing = thread::spawn(move || {
        for part in parts {
            writer.write(&part);
            // Whoever restarts the server says when.
            let _said = waits.recv();
        }
        writer.finish()
    });
    let mut read = Vec::new();
    for _ in 1..count {
        read.extend(reader.read(text.len() / (2 * count)));
        server.0.die_and_come_back_here();
        go_on.send(()).expect("the writer is there");
    }
    drop(go_on);
    read.extend(reader.read(text.len() - read.len()));
    assert!(read == text.as_bytes(), "what arrived is not what was written");
    let (code, notices) = writing.join().expect("it does not panic");
    assert_eq!(code, 0, "{notices}");
    assert!(notices.contains("back; nothing was missed"), "{notices}");
    let count = server.json(&["conversation", "show", &link])["head_seq"].to_string();
    let kept = server.run_client(&["listen", &link, "--since", "1", "--raw", "--count", &count]).stdout;
    assert!(kept == text.as_bytes(), "what is kept is not what was written");
}

#[test]
fn one_token_is_confirmed_and_read_later() {
    let server = Server::start();
    let link = server.conversation(&["--durable"]);
    let receipt = server.json(&["say", &link, "--json", "the", "build", "is", "green"]);
    assert_eq!(receipt["type"], "x_receipt");
    let output = server.run_client(&["listen", &link, "--last", "1", "--count", "1", "--raw", "--timeout", "30s"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "the build is green");
    let output = server.run_client(&["listen", &link, "--since", "1h", "--count", "1", "--json", "--timeout", "30s"]);
    let frames: Vec<Value> =
        output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!((&frames[0]["type"], &frames[1]["data"]), (&"joined".into(), &"the build is green".into()));
    assert_eq!(server.code(&["listen", &link, "--count", "1", "--timeout", "100ms"]), 9);
}

#[test]
fn a_conversation_is_shown_closed_opened_and_deleted() {
    let server = Server::start();
    let link = server.conversation(&["--alias", "room", "--metadata", "{\"topic\":\"x\"}", "--expires-in", "1h"]);
    let shown = server.json(&["conversation", "show", "room"]);
    assert_eq!((&shown["metadata"]["topic"], &shown["alias"]), (&"x".into(), &"room".into()));
    assert!(shown["link_expires_at"].is_string(), "{shown}");
    assert_eq!(server.json(&["conversation", "show", &link])["alias"], "room");
    assert_eq!(server.json(&["conversation", "expire", "room", "--never"])["link_expires_at"], Value::Null);
    assert_eq!(server.json(&["conversation", "list"])["alias"], "room");

    assert_eq!(server.code(&["conversation", "revoke", "room"]), 0);
    assert_eq!(server.code(&["listen", &link, "--anonymous"]), 4);
    let fresh =
        server.json(&["conversation", "rotate-link", "room"])["magic_link"].as_str().expect("a link").to_owned();
    assert_eq!(server.code(&["say", &link, "x"]), 4);
    assert_eq!(server.code(&["say", &fresh, "x"]), 0);
    assert_eq!(server.code(&["conversation", "create", "--alias", "room"]), 6);
    assert_eq!(server.code(&["conversation", "delete", "room", "--yes"]), 0);
    assert_eq!(server.code(&["say", &fresh, "x"]), 5);
    assert_eq!(server.code(&["conversation", "show", "room"]), 5);
}

#[test]
fn an_account_changes_its_credential_and_goes() {
    let server = Server::start();
    let kept = || std::fs::read_to_string(server.0.home().join(".config/ams/config.toml")).expect("it is kept");
    let before = kept();
    let rotated = server.json(&["account", "rotate"]);
    let credential = rotated["credential"].as_str().expect("a credential");
    assert!(kept().contains(credential) && kept() != before);
    server.conversation(&[]);
    let old =
        before.lines().find_map(|line| line.strip_prefix("credential = \"")?.strip_suffix('"')).expect("it was kept");
    let file = server.0.home().join("old");
    std::fs::write(&file, old).expect("it is written");
    assert_eq!(server.code(&["conversation", "create", "--credential-file", &file.to_string_lossy()]), 3);
    assert_eq!(server.code(&["account", "create", "acme", "--profile", "again"]), 6);
    assert_eq!(server.code(&["account", "delete", "--yes"]), 0);
    assert!(!kept().contains(credential));
}

#[test]
fn the_same_name_by_the_same_account_takes_the_stream_over() {
    let server = Server::start();
    let link = server.conversation(&[]);
    let first = server.join(&["listen", &link, "--name", "ann"]);
    let _second = server.join(&["listen", &link, "--name", "ann"]);
    let (code, notices) = first.finish();
    assert_eq!(code, 6, "{notices}");
    assert!(notices.contains("stream_displaced"), "{notices}");
    assert_eq!(server.code(&["say", &link, "x", "--name", "ann", "--anonymous"]), 6);
}
