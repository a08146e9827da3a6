//! The command line's own behaviour, without a server: exit codes, what is said where, and what is kept.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// Nobody listens on port 1.
const NOBODY: &str = "http://127.0.0.1:1";

/// The program with a home of its own and nothing set.
fn ams(home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ams"));
    command.env_clear().env("HOME", home.path());
    command
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn config(home: &TempDir) -> std::path::PathBuf {
    home.path().join(".config/ams/config.toml")
}

fn keep_profile(path: &Path, base: &str) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("it is made");
    let text = format!(
        "current = \"acme\"\n[profiles.acme]\nbase = \"{base}\"\nnamespace = \"acme\"\ncredential = \"ams_sk_SECRET\"\n\
         [profiles.other]\nbase = \"https://ams.example\"\nnamespace = \"other\"\ncredential = \"ams_sk_OTHER\"\n"
    );
    fs::write(path, text).expect("it is written");
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("it runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("it exits"), stdout, stderr(&output))
}

#[test]
fn without_a_word_it_teaches() {
    let (code, _, help) = run(&mut ams(&home()));
    assert_eq!(code, 2);
    assert!(help.contains("ams conversation create") && help.contains("Exit codes"), "{help}");
    let (code, version, _) = run(ams(&home()).arg("--version"));
    assert_eq!((code, version), (0, format!("ams {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn what_is_wrong_with_an_argument_is_said_with_exit_code_2() {
    let home = home();
    let wrong: [(&[&str], &str); 6] = [
        (&["join", "http://x/y"], "/<namespace>/conversations/<alias>"),
        (&["listen", "http://h/a/conversations/b"], "token"),
        (&["account", "create", "Acme"], "a-z"),
        (&["join", "http://h/a/conversations/b?t=x", "--since", "soon"], "how long ago"),
        (&["join", "http://h/a/conversations/b?t=x", "--metadata", "[]"], "JSON object"),
        (&["conversation", "expire", "room"], "--never"),
    ];
    for (arguments, told) in wrong {
        let (code, stdout, stderr) = run(ams(&home).args(arguments));
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    }
}

#[test]
fn nobody_there_is_exit_code_8() {
    let home = home();
    let link = format!("{NOBODY}/acme/conversations/room?t=x");
    for arguments in [["listen", &link], ["join", &link]] {
        let (code, _, stderr) = run(ams(&home).args(arguments));
        assert_eq!(code, 8, "{stderr}");
        assert!(stderr.contains("cannot reach"), "{stderr}");
    }
    let (code, _, stderr) = run(ams(&home).args(["say", &link, "hello"]));
    assert_eq!(code, 8, "{stderr}");
    let (code, stdout, stderr) = run(ams(&home).args(["account", "create", "acme", "--json", "--base", NOBODY]));
    assert_eq!((code, stdout.as_str()), (8, ""));
    let told: serde_json::Value = serde_json::from_str(&stderr).expect("one JSON document");
    assert_eq!(told["error"], "unreachable");
    assert!(!config(&home).exists(), "nothing was made, so nothing is kept");
}

#[test]
fn without_an_account_it_says_how_to_get_one() {
    let (code, _, stderr) = run(ams(&home()).args(["conversation", "create"]));
    assert_eq!(code, 3);
    assert!(stderr.contains("ams account create"), "{stderr}");
}

#[test]
fn what_cannot_be_undone_needs_a_yes_that_can_be_given() {
    let home = home();
    keep_profile(&config(&home), NOBODY);
    let (code, _, stderr) = run(ams(&home).args(["conversation", "delete", "room"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("--yes"), "{stderr}");
}

#[test]
fn profiles_are_listed_chosen_and_forgotten_without_showing_a_secret() {
    let home = home();
    keep_profile(&config(&home), NOBODY);
    let (code, list, _) = run(ams(&home).args(["profile", "list"]));
    let list_of: Vec<serde_json::Value> = serde_json::from_str(&list).expect("a JSON list");
    assert_eq!((code, list_of.len()), (0, 2));
    assert_eq!((&list_of[0]["name"], &list_of[0]["in_use"]), (&"acme".into(), &true.into()));

    assert_eq!(run(ams(&home).args(["profile", "use", "other"])).0, 0);
    let (_, shown, _) = run(ams(&home).args(["profile", "show"]));
    assert!(shown.contains("https://ams.example") && !shown.contains("ams_sk_"), "{shown}");
    assert_eq!(run(ams(&home).args(["profile", "remove", "other"])).0, 0);
    assert_eq!(run(ams(&home).args(["profile", "use", "other"])).0, 5);
    assert!(!list.contains("ams_sk_"), "{list}");
    let kept = fs::read_to_string(config(&home)).expect("the file is there");
    assert!(kept.contains("ams_sk_SECRET") && !kept.contains("ams_sk_OTHER"), "{kept}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(config(&home)).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn flag_beats_environment_beats_profile() {
    let home = home();
    keep_profile(&config(&home), NOBODY);
    let base = |command: &mut Command| {
        let (code, shown, stderr) = run(command.args(["account", "show"]));
        assert_eq!(code, 0, "{stderr}");
        serde_json::from_str::<serde_json::Value>(&shown).expect("JSON")["base"].clone()
    };
    assert_eq!(base(&mut ams(&home)), NOBODY);
    assert_eq!(base(ams(&home).env("AMS_PROFILE", "other")), "https://ams.example");
    let variable = |command: &mut Command| {
        command.env("AMS_BASE", "http://127.0.0.1:2").env("AMS_CREDENTIAL", "c").env("AMS_NAMESPACE", "n");
    };
    let mut command = ams(&home);
    variable(&mut command);
    assert_eq!(base(&mut command), "http://127.0.0.1:2");
    let mut command = ams(&home);
    variable(&mut command);
    let (_, shown, _) = run(command.args(["account", "show", "--base", "http://127.0.0.1:3"]));
    assert!(shown.contains("http://127.0.0.1:3"), "{shown}");
}

#[test]
fn a_credential_is_not_sent_to_another_server_than_its_own() {
    let home = home();
    keep_profile(&config(&home), "https://ams.example");
    // The profile in use is of another server than the one that was named: it is not used at all.
    let (code, _, stderr) = run(ams(&home).args(["conversation", "create", "--base", NOBODY]));
    assert_eq!(code, 3, "{stderr}");
    let link = format!("{NOBODY}/acme/conversations/room?t=x");
    let (code, _, stderr) = run(ams(&home).args(["listen", &link]));
    assert_eq!(code, 8);
    assert!(stderr.contains("another server than profile acme"), "{stderr}");
    let (code, _, stderr) = run(ams(&home).args(["listen", &link, "--profile", "acme"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("its credential is not sent there"), "{stderr}");
    let (code, _, stderr) = run(ams(&home).args(["listen", &link]).env("AMS_CREDENTIAL", "ams_sk_x"));
    assert_eq!(code, 8);
    assert!(stderr.contains("another server than AMS_BASE"), "{stderr}");
}

#[test]
fn a_link_can_come_from_a_file() {
    let home = home();
    let file = home.path().join("link");
    fs::write(&file, format!("{NOBODY}/acme/conversations/room?t=x\n")).expect("it is written");
    let (code, _, stderr) = run(ams(&home).args(["listen", &format!("@{}", file.display())]));
    assert_eq!(code, 8, "{stderr}");
}

#[test]
fn completions_and_manuals_are_made() {
    let home = home();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, script, _) = run(ams(&home).args(["completions", shell]));
        assert!(code == 0 && script.contains("conversation"), "{shell}");
    }
    let (code, page, _) = run(ams(&home).arg("man"));
    assert!(code == 0 && page.contains(".TH ams 1"));
    assert_eq!(run(ams(&home).arg("man").arg(home.path())).0, 0);
    for page in ["ams.1", "ams-join.1", "ams-conversation-create.1"] {
        assert!(home.path().join(page).exists(), "{page}");
    }
    let (code, _, stderr) = run(ams(&home).args(["man", "/nowhere/at/all"]));
    assert!(code == 1 && stderr.contains("/nowhere"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_closed_stdout_ends_it_quietly() {
    let home = home();
    let mut shell = Command::new("sh");
    shell.env_clear().env("HOME", home.path()).args(["-c", "{ \"$0\" completions zsh; echo \"code $?\" >&2; } | true"]);
    let (_, _, stderr) = run(shell.arg(env!("CARGO_BIN_EXE_ams")));
    assert_eq!(stderr, "code 0\n");
}
