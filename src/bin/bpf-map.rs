//! Reads and writes the elements of BPF maps.
#![no_main]

bpf_exec::entry!(bpf_exec::internals::bpf_map);
