//! Runs a command that inherits live BPF map descriptors.
#![no_main]

bpf_exec::entry!(bpf_exec::internals::bpf_exec);
