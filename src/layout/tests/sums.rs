//! Values of several CPUs printed as one.

use super::ty;
use crate::layout::parse::value;
use crate::layout::print::{self, PerCpu};

/// The JSON of `texts`, one a CPU, summed; slots are rounded up to 8 bytes as the kernel does.
fn sum(ty_text: &str, texts: &[&str]) -> String {
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
    print::json(&ty, &PerCpu::new(&slots, stride), &mut out);
    String::from_utf8(out).expect("printed text is UTF-8")
}

#[test]
fn integers_add_up_beyond_their_own_width() {
    assert_eq!(sum("u8", &["255", "255", "1"]), "511");
    assert_eq!(sum("u64", &["18446744073709551615"; 3]), "55340232221128654845");
    assert_eq!(sum("i8", &["-128", "-128", "1"]), "-255");
    assert_eq!(sum("be32", &["1", "2"]), "3");
    assert_eq!(sum("f64", &["0.5", "0.25"]), "0.75");
    assert_eq!(sum("f64", &["inf", "-inf"]), "\"nan\"");
    assert_eq!(sum("u32[2]", &["[1,2]", "[3,4]"]), "[4,6]");
    assert_eq!(sum("struct{a: u8:3, b: i8:4}", &["a=7 b=-8", "a=7 b=-8"]), "{\"a\":14,\"b\":-16}");
    assert_eq!(sum("u128", &["340282366920938463463374607431768211455", "1"]), "null");
}

#[test]
fn what_cannot_be_added_shows_where_cpus_agree() {
    let ty = "struct{n: u32, who: char[4], at: ip4, how: enum:u8{A, B}, is: bool}";
    let one = "n=1 who=eth0 at=10.0.0.1 how=B is=true";
    let zero = "n=0 who=\"\" at=0.0.0.0 how=A is=false";
    let other = "n=5 who=eth1 at=10.0.0.1 how=B is=true";
    assert_eq!(
        sum(ty, &[zero, one, zero, one]),
        "{\"n\":2,\"who\":\"eth0\",\"at\":\"10.0.0.1\",\"how\":\"B\",\"is\":true}"
    );
    assert_eq!(
        sum(ty, &[one, other]),
        "{\"n\":6,\"who\":null,\"at\":\"10.0.0.1\",\"how\":\"B\",\"is\":true}"
    );
    assert_eq!(
        sum(ty, &[zero, zero]),
        "{\"n\":0,\"who\":\"\",\"at\":\"0.0.0.0\",\"how\":\"A\",\"is\":false}"
    );
}
