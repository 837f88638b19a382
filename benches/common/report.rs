//! Evaluates and prints the measurements of the benches.

// Each bench uses only a part of this module.
#![allow(dead_code)]

pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Prints a value with its upper bound; returns whether the value exceeds it.
pub fn line(title: &str, value: f64, bound: f64) -> bool {
    let over = value > bound;
    println!("{title:<40}{value:>10.2}  at most {bound:<7}{}", if over { "over" } else { "ok" });
    over
}
