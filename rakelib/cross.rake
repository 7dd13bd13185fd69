# frozen_string_literal: true

# Systems that the core is checked for, by a compiler alone.
CROSS_TARGETS = %w[aarch64-apple-darwin x86_64-unknown-freebsd x86_64-unknown-linux-musl].freeze

# Debian's source of the standard library; rustup has it, too (`rustup component add rust-src`).
RUST_SOURCE = "lib/rustlib/src/rust/library/std/Cargo.toml"

# A Cargo whose rustc has that source, and that rustc.
def cargo_with_source
  [[Cargo.find, "rustc"], ["/usr/bin/cargo", "/usr/bin/rustc"]].find do |cargo, rustc|
    next unless File.executable?(cargo)

    sysroot = IO.popen([rustc, "--print", "sysroot"], err: File::NULL, &:read).chomp
    File.exist?(File.join(sysroot, RUST_SOURCE))
  rescue SystemCallError
    false
  end
end

desc "Check the core for macOS, FreeBSD and musl (the compiler alone: nothing of it runs)"
task :cross do
  cargo, rustc = cargo_with_source
  next skip("cross", "source of Rust's standard library") unless cargo

  CROSS_TARGETS.each do |target|
    # ring's C is not compiled: a check links nothing. -Zbuild-std is not stable, and nothing that
    # is released comes of it.
    variable = target.tr("-", "_")
    quietly target, cargo, "check", "--locked", "-Zbuild-std=std", "--target", target,
            "--target-dir", File.join(TARGET_DIRECTORY, "cross"),
            env: { "RUSTC" => rustc, "RUSTC_BOOTSTRAP" => "1", "CC_#{variable}" => "true",
                   "AR_#{variable}" => "true" } do |output|
      "it warns" if output.match?(/^warning: (?!.*-Zbuild-std)/)
    end
  end
end
