//! The options in the manual pages and those in `--help`.

use super::{pages, section, text};
use crate::common::*;
use std::collections::BTreeSet;

/// One option in a help: all ways to write it, such as `-r` and `--read-only`.
type Spellings = BTreeSet<String>;

/// The options in a text: words such as `-r` and `--read-only`.
fn options(text: &str) -> Spellings {
    let is_part = |c: char| c == '-' || c.is_ascii_alphanumeric();
    let words = text.split(|c: char| !is_part(c) && c != '_');
    let options = words.filter(|word| {
        let name = word.trim_start_matches('-');
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
        match word.len() - name.len() {
            1 => begins_well && name.len() == 1,
            2 => begins_well,
            _ => false,
        }
    });
    options.map(str::to_owned).collect()
}

/// The options that `--help` of a program or a command lists.
fn listed_in_help(lab: &Lab, words: &[&str]) -> Vec<Spellings> {
    let help = stdout_of(&mut lab.program(words[0], [&words[1..], &["--help"]].concat()));
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let heads = lines.map(|line| line.split("  ").next().unwrap_or_default());
    let listed: Vec<Spellings> = heads.map(options).collect();
    assert!(listed.iter().any(|option| option.contains("--help")), "{words:?}: {help}");
    listed
}

/// The commands that `bpf-map --help` lists.
pub fn commands(lab: &Lab) -> Vec<String> {
    let help = stdout_of(&mut lab.map(["--help"]));
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.collect()
}

/// The tags of the paragraphs (.TP) in roff, without its requests, fonts and quotes.
fn tags(roff: &str) -> Vec<String> {
    let lines: Vec<&str> = roff.lines().collect();
    let tags = lines.windows(2).filter(|pair| pair[0] == ".TP").map(|pair| {
        let tag = pair[1].split_once(' ').filter(|(request, _)| request.starts_with('.'));
        let mut tag = tag.map_or(pair[1], |(_, tag)| tag).to_owned();
        for escape in ["\\fB", "\\fI", "\\fR", "\\fP", "\\ ", "\""] {
            tag = tag.replace(escape, " ");
        }
        tag
    });
    tags.collect()
}

/// The options in all tags of some roff.
fn tagged(roff: &str) -> Spellings {
    tags(roff).iter().flat_map(|tag| options(tag)).collect()
}

/// Options that only bpf-map(1) describes, for all commands.
fn is_common(option: &Spellings) -> bool {
    ["--key", "--value", "--help"].iter().any(|common| option.contains(*common))
}

#[test]
fn pages_and_helps_have_the_same_options() {
    let lab = Lab::new();
    for program in ["bpf-exec", "bpf-agent"] {
        let help: Spellings = listed_in_help(&lab, &[program]).into_iter().flatten().collect();
        assert_eq!(tagged(&text(&format!("{program}.1"))), help, "{program}");
    }
}

#[test]
fn command_pages_have_the_options_of_their_helps() {
    let lab = Lab::new();
    let commands = commands(&lab);
    for page in pages() {
        let Some(command) = page.strip_prefix("bpf-map-") else { continue };
        let command = command.strip_suffix(".1").expect(&page);
        assert!(commands.iter().any(|name| name == command), "{page}: no such command");
        let help = listed_in_help(&lab, &["bpf-map", command]);
        let help: Spellings = help.into_iter().filter(|o| !is_common(o)).flatten().collect();
        let text = text(&page);
        assert_eq!(tagged(&text), help, "{page}");
        let synopsis = options(section(&text, "SYNOPSIS"));
        assert!(synopsis.is_subset(&help), "{page}: SYNOPSIS: {synopsis:?}");
    }
}

#[test]
fn commands_in_bpf_map_1_have_the_options_of_their_helps() {
    let lab = Lab::new();
    let page = text("bpf-map.1");
    let usages = tags(section(&page, "COMMANDS"));
    let described = tagged(section(&page, "OPTIONS"));
    let mut accepted: Spellings =
        listed_in_help(&lab, &["bpf-map"]).into_iter().flatten().collect();
    for command in commands(&lab) {
        // `pin object path` is not the entry of `object`.
        let is_named = |usage: &&String| {
            usage.split(',').any(|entry| entry.split_whitespace().next() == Some(&command))
        };
        let usage = usages.iter().find(is_named).unwrap_or_else(|| panic!("{command}: no entry"));
        if pages().contains(&format!("bpf-map-{command}.1")) {
            continue;
        }
        let help = listed_in_help(&lab, &["bpf-map", &command]);
        let own: Vec<&Spellings> = help.iter().filter(|option| !is_common(option)).collect();
        let usage = options(usage);
        for option in &own {
            assert!(!usage.is_disjoint(option), "{command}: not in COMMANDS: {option:?}");
        }
        for option in &usage {
            assert!(own.iter().any(|own| own.contains(option)), "{command} has no {option}");
        }
        accepted.extend(help.into_iter().flatten());
    }
    assert_eq!(described, accepted, "OPTIONS");
}

#[test]
fn pages_mention_only_options_that_exist() {
    let lab = Lab::new();
    let commands = commands(&lab);
    let mut invocations = vec![vec!["bpf-exec"], vec!["bpf-agent"], vec!["bpf-map"]];
    invocations.extend(commands.iter().map(|command| vec!["bpf-map", command]));
    let helps = invocations.iter().flat_map(|words| listed_in_help(&lab, words));
    let existing: Spellings = helps.flatten().filter(|option| option.starts_with("--")).collect();
    for page in pages() {
        let mut in_block = false;
        for line in text(&page).lines() {
            match line {
                ".EX" | ".nf" => in_block = true,
                ".EE" | ".fi" => in_block = false,
                // Blocks contain commands of other programs.
                _ if in_block => {}
                _ => {
                    let long = options(line).into_iter().filter(|o| o.starts_with("--"));
                    let unknown: Vec<String> = long.filter(|o| !existing.contains(o)).collect();
                    assert!(unknown.is_empty(), "{page}: {unknown:?}: {line}");
                }
            }
        }
    }
}

#[test]
fn readme_lists_every_page() {
    let path = format!("{}/README.md", env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(path).unwrap();
    for page in pages() {
        assert!(readme.contains(&format!("(man/{page})")), "{page}");
    }
}
