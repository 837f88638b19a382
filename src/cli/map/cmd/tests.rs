//! Whether the table of commands is sound.

use std::ffi::OsStr;

#[test]
fn short_lines_give_the_arguments_that_the_option_parser_gives() {
    for (line, is_short) in [
        ("get m 1", true),
        ("get m 1 2 .field", true),
        ("get m .field", true),
        ("get m 1 .a .b", true),
        ("get m 0x2a/7", true),
        ("set m 1 2", true),
        ("set m 1 .field 2", true),
        ("set prog:m a=b c=d", true),
        ("get m -1", false),
        ("get m 1 --json", false),
        ("set m 1 -2", false),
        ("set m 1 2 --if-absent", false),
        ("set m -- 1 2", false),
        ("set m 1 x 2", false),
        ("set m 1 2 3 4", false),
        ("set m 1", false),
        ("get m", false),
        ("get", false),
        ("set m 1 .a 2 .b 3", true),
        ("set m .a 1 .b 2", true),
        ("add m 1 2", true),
        ("add m 1 .field 2", true),
        ("add m 1 x 2", false),
        ("add m 1 -2", false),
        ("add m 1 2 --create", false),
        ("add m 1", false),
    ] {
        let words: Vec<&OsStr> = line.split(' ').map(OsStr::new).collect();
        let short = super::parse_short(&words);
        assert_eq!(short.is_some(), is_short, "{line}");
        let Some(short) = short else { continue };
        let all = std::iter::once(OsStr::new(super::PROGRAM)).chain(words);
        let matches = super::command().try_get_matches_from(all).unwrap();
        assert_eq!(short, super::parse(&matches).unwrap().0, "{line}");
    }
}

#[test]
fn option_parser_is_sound() {
    let mut command = super::command();
    command.build(); // runs what is deferred
    command.debug_assert();
}
