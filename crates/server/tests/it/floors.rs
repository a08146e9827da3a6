//! The floors of the workspace: every arrow points strictly down, heavy libraries have one owner, and every licence is
//! one that we may pass on.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{Metadata, MetadataCommand, Package};

/// Each crate's floor, and the folder it lies in under the workspace's root.
const FLOORS: &[(&str, u8)] = &[
    ("ams-core", 0),
    ("ams-engine", 1),
    ("ams-web", 1),
    ("ams-door-streams", 2),
    // Imports of a door only its `wire`: the shapes of its frames.
    ("ams-client", 3),
    ("ams-server", 3),
    ("ams", 4),
    ("ams-bench", 5),
];

/// Who may name a library that decides much.
const OWNERS: &[(&str, &[&str])] =
    &[("rusqlite", &["ams-engine"]), ("axum", &["ams-web", "ams-door-streams", "ams-server"])];

/// Has to be nowhere: one TLS provider in the whole tree, and it is ring.
const BANNED: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl-sys"];

fn metadata() -> Metadata {
    // Without the network: whatever could be built here is here. Other platforms' crates are cargo-deny's business.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let options = ["--offline".to_owned(), "--filter-platform".to_owned(), platform];
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .other_options(options)
        .exec()
        .unwrap()
}

fn floors() -> BTreeMap<&'static str, u8> {
    FLOORS.iter().copied().collect()
}

#[test]
fn every_crate_has_a_floor_and_every_floor_a_crate() {
    let metadata = metadata();
    let found: BTreeSet<&str> = metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let known: BTreeSet<&str> = floors().into_keys().collect();
    assert_eq!(found, known);
}

#[test]
fn every_arrow_points_strictly_down() {
    let (metadata, floors) = (metadata(), floors());
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let Some(below) = floors.get(dependency.name.as_str()) else { continue };
            let above = floors[package.name.as_str()];
            assert!(*below < above, "{} (floor {above}) uses {} (floor {below})", package.name, dependency.name);
        }
    }
}

#[test]
fn a_heavy_library_is_named_by_its_owners_alone() {
    let metadata = metadata();
    for (library, owners) in OWNERS {
        for package in metadata.workspace_packages() {
            let uses = package.dependencies.iter().any(|dependency| dependency.name == *library);
            assert!(!uses || owners.contains(&package.name.as_str()), "{} uses {library}", package.name);
        }
    }
}

#[test]
fn the_client_takes_only_the_wire_of_a_door() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../client/src");
    let mut folders = vec![std::path::PathBuf::from(sources)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for used in line.split("ams_door_streams").skip(1) {
                    assert!(used.starts_with("::wire"), "{}: {line}", entry.path().display());
                }
            }
        }
    }
}

#[test]
fn what_is_banned_is_nowhere_in_the_tree() {
    let metadata = metadata();
    let used = used(&metadata);
    for banned in BANNED {
        assert!(used.iter().all(|package| package.name.as_str() != *banned), "{banned} is in the tree");
    }
}

#[test]
fn every_licence_is_allowed() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deny.toml")).unwrap();
    let rules: toml::Table = text.parse().unwrap();
    let allowed = rules["licenses"]["allow"].as_array().unwrap();
    let allowed: Vec<&str> = allowed.iter().filter_map(toml::Value::as_str).collect();
    let metadata = metadata();
    for package in used(&metadata) {
        let licence = package.license.as_deref().unwrap_or("none");
        assert!(is_allowed(licence, &allowed), "{} has the licence {licence}", package.name);
    }
}

/// Everything that is built on this platform with the features that are on.
fn used(metadata: &Metadata) -> Vec<&Package> {
    let resolved = metadata.resolve.as_ref().unwrap();
    resolved.nodes.iter().map(|node| &metadata[&node.id]).collect()
}

/// Whether an SPDX expression can be met: an `OR` by one side, an `AND` by both. `/` is an old way to write `OR`.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any(&words, &mut at, allowed);
    met && at == words.len()
}

fn any(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut met = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all(words, at, allowed);
    }
    met
}

fn all(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let word = words.get(*at).copied();
    *at += 1;
    if word == Some("(") {
        let met = any(words, at, allowed);
        *at += 1;
        return met;
    }
    // An exception only ever adds a permission.
    if words.get(*at) == Some(&"WITH") {
        *at += 2;
    }
    word.is_some_and(|word| allowed.contains(&word))
}

#[test]
fn a_licence_expression_is_read_as_it_is_meant() {
    let allowed = ["MIT", "Apache-2.0"];
    for expression in
        ["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR GPL-3.0) AND Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(is_allowed(expression, &allowed), "{expression}");
    }
    for expression in ["GPL-3.0", "MIT AND GPL-3.0", "none", "", "(GPL-3.0 OR LGPL-3.0) AND MIT"] {
        assert!(!is_allowed(expression, &allowed), "{expression}");
    }
}
