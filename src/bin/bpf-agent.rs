//! Holds BPF descriptors, and hands them out.
#![no_main]

bpf_inherit::entry!(bpf_exec::bpf_agent);
