//! Tells the linker that an undefined symbol is an error, and where memcpy and its like come from.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-nostartfiles");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,defs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,--gc-sections");
    // The C library stands in for the memory functions that a device's compiler brings along.
    println!("cargo::rustc-cdylib-link-arg=-lc");
}
