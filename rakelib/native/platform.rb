# frozen_string_literal: true

# A platform that native gems are built for: its name at RubyGems, Rust, Debian, zig and qemu.
NativePlatform = Struct.new(:gem, :rust, :debian, :zig, :qemu, keyword_init: true) do
  # Name for environment variables of Cargo's, as in CARGO_TARGET_..._LINKER.
  def variable = rust.tr("-", "_").upcase

  def to_s = gem
end

class NativePlatform
  # Oldest glibc that the libraries load with: Rust's own least.
  GLIBC = "2.17"

  ALL = [
    new(gem: "x86_64-linux", rust: "x86_64-unknown-linux-gnu", debian: "amd64",
        zig: "x86_64-linux-gnu"),
    new(gem: "aarch64-linux", rust: "aarch64-unknown-linux-gnu", debian: "arm64",
        zig: "aarch64-linux-gnu", qemu: "qemu-aarch64-static")
  ].freeze
end

# A version of Ruby that the native gems hold a library for, the suites of Debian that have it, and
# whether they have EventMachine for it.
NativeRuby = Struct.new(:version, :suites, :eventmachine) do
  def to_s = version
end

class NativeRuby
  ALL = [
    new("3.1", %w[bookworm], true),
    new("3.3", %w[trixie], true),
    # Its dependencies are in sid.
    new("3.4", %w[sid experimental], false)
  ].freeze

  # Versions that RubyGems installs a native gem on. 3.2 is between, no suite of Debian's has it,
  # and so it takes the source gem: its last release is of 2026, the list of its releases complete.
  REQUIREMENT = [">= 3.1", "< 3.5.dev", *(0..20).map { |teeny| "!= 3.2.#{teeny}" }].freeze
end
