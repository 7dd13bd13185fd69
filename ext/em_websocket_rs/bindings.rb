# frozen_string_literal: true

require "json"
require "rbconfig"

# Ruby's C interface for Rust, generated beforehand (`rake native:bindings`) for a gem that is
# released, on the platforms and for the versions of Ruby that there are native gems for. rb-sys
# generates it with libclang otherwise, and compiles bindgen for that.
module Bindings
  DIRECTORY = File.expand_path("bindings", __dir__)
  # Flags of a Ruby's compilation that make another interface of it.
  OTHER = /-D\s*(?:RUBY_DEBUG|RUBY_DEVEL|USE_)/

  # Settings for Cargo (`--config`) that stand for the build script of rb-sys, which is then neither
  # compiled nor run; nil where there are none for this Ruby.
  #
  # @param host [String] the platform that Cargo builds for, as Rust calls it
  # @param config [Hash{String => String}] RbConfig's
  def self.settings(host, config = RbConfig::CONFIG)
    name = variant(host, config)
    base = File.join(DIRECTORY, name) if name
    return unless base && File.file?("#{base}.rs")

    "[target.#{host}.rb]\nrustc-env = { RB_SYS_BINDINGS_PATH = #{JSON.generate("#{base}.rs")} }\n" +
      File.read("#{base}.toml")
  end

  # Name of those that suit a Ruby, such as "3.1-x86_64-linux"; nil where none can.
  #
  # @param (see .settings)
  def self.variant(host, config = RbConfig::CONFIG)
    cpu = config["host_cpu"]
    return unless RUBY_ENGINE == "ruby" && host.match?(/\A#{cpu}-\w+-linux-gnu\z/)
    return if OTHER.match?(config.values_at(*FLAGS).join(" "))

    "#{config["MAJOR"]}.#{config["MINOR"]}-#{cpu}-linux"
  end

  FLAGS = %w[CFLAGS CPPFLAGS cflags cppflags DEFS].freeze
  private_constant :FLAGS

  # Platform that Cargo builds for where nothing else is said; nil where something is.
  def self.host(cargo)
    return if ENV["CARGO_BUILD_TARGET"]

    IO.popen([cargo, "-vV"], err: File::NULL, &:read)[/^host: (\S+)$/, 1]
  end
end
