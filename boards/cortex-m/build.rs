//! Hands the linker the board's memory map.

fn main() {
    let script = format!("{}/board.ld", env!("CARGO_MANIFEST_DIR"));
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rustc-link-arg-bins=-T{script}");
}
