//! What the benches make of their measurements, and how they print them.

// Each bench uses a part of it.
#![allow(dead_code)]

pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Prints a value with its bound; true if it is over.
pub fn line(title: &str, value: f64, bound: f64) -> bool {
    let over = value > bound;
    println!("{title:<40}{value:>10.2}  at most {bound:<7}{}", if over { "over" } else { "ok" });
    over
}
