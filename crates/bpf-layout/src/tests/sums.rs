//! Sums over the values of several CPUs.

use super::ty;
use crate::Type;
use crate::parse::value;
use crate::print::{self, PerCpu};

/// Returns the sum of `texts`, one for each CPU, as JSON.
fn sum(ty: &str, texts: &[&str]) -> String {
    printed(ty, texts, |ty, sum, out| print::json(ty, sum, out))
}

/// Prints the sum of `texts`. Values are padded to 8 bytes, as in the kernel.
fn printed(ty_text: &str, texts: &[&str], print: impl Fn(&Type, &PerCpu, &mut Vec<u8>)) -> String {
    let ty = ty(ty_text);
    let stride = ty.size().next_multiple_of(8);
    let mut slots = Vec::new();
    for text in texts {
        let mut bytes =
            value(&ty, text).unwrap_or_else(|error| panic!("{ty_text} {text}: {error}"));
        bytes.resize(stride, 0xee);
        slots.extend(bytes);
    }
    let mut out = Vec::new();
    print(&ty, &PerCpu::new(&slots, stride), &mut out);
    String::from_utf8(out).expect("printed text is UTF-8")
}

#[test]
fn percpu_integers_sum_beyond_their_width() {
    assert_eq!(sum("u8", &["255", "255", "1"]), "511");
    assert_eq!(sum("u64", &["18446744073709551615"; 3]), "55340232221128654845");
    assert_eq!(sum("i8", &["-128", "-128", "1"]), "-255");
    assert_eq!(sum("be32", &["1", "2"]), "3");
    assert_eq!(sum("f64", &["0.5", "0.25"]), "0.75");
    assert_eq!(sum("f64", &["inf", "-inf"]), "\"nan\"");
    assert_eq!(sum("u32[2]", &["[1,2]", "[3,4]"]), "[4,6]");
    assert_eq!(sum("struct{a: u8:3, b: i8:4}", &["a=7 b=-8", "a=7 b=-8"]), "{\"a\":14,\"b\":-16}");
    assert_eq!(sum("ptr", &["0x10", "0x10"]), "\"0x10\"");
    assert_eq!(sum("ptr", &["0x10", "0x20"]), "null");
    assert_eq!(sum("u128", &["340282366920938463463374607431768211455", "1"]), "null");
}

#[test]
fn percpu_padding_prints_if_all_cpus_agree() {
    let ty = "struct{a: u8, b: u16}";
    let clean = "a=1 b=2";
    let dirty = "a=1 b=2 @1=hex:07";
    assert_eq!(sum(ty, &[clean, clean]), "{\"a\":2,\"b\":4}");
    assert_eq!(sum(ty, &[dirty, dirty]), "{\"a\":2,\"b\":4,\"@1\":\"hex:07\"}");
    assert_eq!(sum(ty, &[clean, dirty]), "{\"a\":2,\"b\":4,\"@1\":null}");
    assert_eq!(sum(ty, &[dirty, "a=1 b=2 @1=hex:08"]), "{\"a\":2,\"b\":4,\"@1\":null}");
}

#[test]
fn percpu_text_and_flags_print_if_all_cpus_agree() {
    let ty = "struct{n: u32, who: char[4], at: ip4, how: enum:u8{A, B}, is: bool, one: u8:1, two: u8:2, raw: hex[3]}";
    let one = "n=1 who=eth0 at=10.0.0.1 how=B is=true one=1 two=2 raw=00ff00";
    let zero = "n=0 who=\"\" at=0.0.0.0 how=A is=false one=0 two=0 raw=000000";
    let other = "n=5 who=eth1 at=10.0.0.1 how=B is=true one=1 two=1 raw=00ff00";
    for (texts, json, words) in [
        (
            &[one, one][..],
            r#"{"n":2,"who":"eth0","at":"10.0.0.1","how":"B","is":true,"one":1,"two":4,"raw":"00ff00"}"#,
            "n=2 who=eth0 at=10.0.0.1 how=B is=true one=1 two=4 raw=00ff00",
        ),
        (
            &[one, other],
            r#"{"n":6,"who":null,"at":"10.0.0.1","how":"B","is":true,"one":1,"two":3,"raw":"00ff00"}"#,
            "n=6 who=- at=10.0.0.1 how=B is=true one=1 two=3 raw=00ff00",
        ),
        (
            &[zero, one, zero],
            r#"{"n":1,"who":null,"at":null,"how":null,"is":null,"one":null,"two":2,"raw":null}"#,
            "n=1 who=- at=- how=- is=- one=- two=2 raw=-",
        ),
        (
            &[zero, zero],
            r#"{"n":0,"who":"","at":"0.0.0.0","how":"A","is":false,"one":0,"two":0,"raw":"000000"}"#,
            "n=0 who=\"\" at=0.0.0.0 how=A is=false one=0 two=0 raw=000000",
        ),
        (
            &[one],
            r#"{"n":1,"who":"eth0","at":"10.0.0.1","how":"B","is":true,"one":1,"two":2,"raw":"00ff00"}"#,
            one,
        ),
    ] {
        assert_eq!(sum(ty, texts), json);
        assert_eq!(printed(ty, texts, |ty, sum, out| print::plain(ty, sum, out)), words);
    }
    for (ty, texts) in [
        ("bool", ["true", "false"]),
        ("enum:u8{A, B}", ["A", "B"]),
        ("char[4]", ["a", ""]),
        ("ip4", ["::", "1.2.3.4"]),
    ] {
        let texts = texts.map(|text| text.replace("::", "0.0.0.0"));
        let texts = texts.each_ref().map(String::as_str);
        assert_eq!(printed(ty, &texts, |ty, sum, out| print::cell(ty, sum, out)), "-", "{ty}");
    }
}
