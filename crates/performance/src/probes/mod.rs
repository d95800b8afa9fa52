//! wip
pub mod cgroup;
pub mod cpu;
pub mod memory;
pub mod mounts;
pub mod pressure;
pub mod proc_file;
pub mod process;
pub mod reading;
pub mod threads;
