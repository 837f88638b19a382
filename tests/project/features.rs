//! The record of tests that need a kernel feature: see `common/features.rs`.

use crate::common::features::{Feature, record};
use crate::common::*;

fn name_of(closure: impl Fn()) -> &'static str {
    std::any::type_name_of_val(&closure)
}

#[test]
fn refused_features_are_recorded_one_test_a_line() {
    let lab = Lab::new();
    let list = lab.path("refused");
    for _ in 0..2 {
        record(name_of(|| ()), Feature::ElementIterator, Some(list.as_os_str()));
    }
    let line = "project features::refused_features_are_recorded_one_test_a_line ElementIterator\n";
    assert_eq!(std::fs::read_to_string(list).unwrap(), line.repeat(2));
}

#[test]
#[should_panic(expected = "the kernel refuses ElementIterator: run scripts/test")]
fn refused_feature_without_a_list_fails_the_test() {
    record(name_of(|| ()), Feature::ElementIterator, None);
}
