# frozen_string_literal: true

require "json"
require "rbconfig"

# Ruby's C interface for Rust, generated beforehand (`rake native:bindings`) for the platforms and
# the versions of Ruby that there are native gems for. rb-sys generates it with libclang otherwise,
# and compiles bindgen for that.
module Bindings
  DIRECTORY = File.expand_path("bindings", __dir__)
  # What Ruby may have been configured with that makes another interface of it.
  OTHER = /-D\s*(?:RUBY_DEBUG|RUBY_DEVEL|USE_)/

  # Settings for Cargo (`--config`) that stand for the build script of rb-sys, which is then neither
  # compiled nor run; nil where there are none for this Ruby.
  #
  # @param host [String] the platform that Cargo builds for, as Rust calls it
  # @param config [Hash{String => String}] RbConfig's
  def self.settings(host, config = RbConfig::CONFIG)
    return if RUBY_ENGINE != "ruby" || OTHER.match?(config.values_at(*FLAGS).join(" "))

    base = File.join(DIRECTORY, "#{config["MAJOR"]}.#{config["MINOR"]}-#{config["host_cpu"]}-linux")
    return unless host.match?(/\A#{config["host_cpu"]}-\w+-linux-gnu\z/) && File.file?("#{base}.rs")

    "[target.#{host}.rb]\nrustc-env = { RB_SYS_BINDINGS_PATH = #{JSON.generate("#{base}.rs")} }\n" +
      File.read("#{base}.toml")
  end

  FLAGS = %w[CFLAGS CPPFLAGS cflags cppflags DEFS].freeze
  private_constant :FLAGS

  # What Cargo builds for where nothing else is said; nil where something is.
  def self.host(cargo)
    return if ENV["CARGO_BUILD_TARGET"]

    IO.popen([cargo, "-vV"], err: File::NULL, &:read)[/^host: (\S+)$/, 1]
  end
end
