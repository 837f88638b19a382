//! `bpf-map`.

#[path = "../common/mod.rs"]
mod common;

mod batch;
mod bpffs;
mod completion;
mod create;
mod dump;
mod expose;
mod iteration;
mod json_strings;
mod kinds;
mod lasting;
mod layout_source;
mod list;
mod load;
mod locks;
mod nested;
mod object;
mod other_objects;
mod output_file;
mod padding;
mod peer;
mod percpu;
mod pin;
mod pins;
mod possible_cpus;
mod preload;
mod prometheus;
mod queue;
mod replaced;
mod send;
mod show;
mod unreadable;
mod values;
mod watch;
