//! Holds BPF descriptors, and hands them out.
#![no_main]

bpf_exec::entry!(bpf_exec::internals::bpf_agent);
