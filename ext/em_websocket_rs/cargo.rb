# frozen_string_literal: true

# Finds the Cargo that builds the extension: $CARGO, the one on PATH, or rustup's.
module Cargo
  # Its message says what is wrong and what to do.
  class Missing < StandardError; end

  MANIFEST = File.expand_path("Cargo.toml", __dir__)
  MINIMUM = File.read(MANIFEST)[/^rust-version = "(.+)"/, 1]

  def self.find
    versions = candidates.to_h { |path| [path, version(path)] }.compact
    path, = versions.find { |_, version| version >= Gem::Version.new(MINIMUM) }
    return path if path

    found = versions.map { |candidate, version| "#{candidate} is #{version}" }.join(", ")
    raise Missing, "em-websocket-rs is built with Rust #{MINIMUM} or newer, and " \
                   "#{found.empty? ? "no cargo was found" : found}. Debian 12 and 13 have it as " \
                   "the packages cargo-web and rustc-web."
  end

  def self.candidates
    directories = ENV.fetch("PATH", "").split(File::PATH_SEPARATOR)
    directories << File.join(ENV.fetch("CARGO_HOME") { File.join(Dir.home, ".cargo") }, "bin")
    [ENV.fetch("CARGO", nil), *directories.map { |directory| File.join(directory, "cargo") }]
      .compact.uniq.select { |path| File.file?(path) && File.executable?(path) }
  end

  def self.version(path)
    text = IO.popen([path, "--version"], err: File::NULL, &:read)[/\Acargo (\d+\.\d+\.\d+)/, 1]
    text && Gem::Version.new(text)
  rescue SystemCallError
    nil
  end

  private_class_method :candidates, :version
end

if $PROGRAM_NAME == __FILE__
  begin
    puts Cargo.find
  rescue Cargo::Missing => e
    abort e.message
  end
end
