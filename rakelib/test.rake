# frozen_string_literal: true

require "tmpdir"

# Crates that the models spend their time in. The rest they share with `cargo test`.
OPTIMISED = { "em-websocket" => 1, "generator" => 3, "loom" => 3 }.flat_map do |package, level|
  ["--config", "profile.dev.package.#{package}.opt-level=#{level}"]
end

namespace :test do
  desc "cargo test: the core, without Ruby"
  task :rust do
    sh Cargo.find, "test", "--locked", "--quiet", verbose: false
  end

  desc "cargo test with what is done on systems that are not Linux"
  task :portable do
    sh Cargo.find, "test", "--locked", "--quiet", "--features", "portable", verbose: false
  end

  desc "loom: where threads meet, in every order that may matter"
  task :loom do
    models = ["--locked", "--lib", "--features", "loom"]
    if cargo_has?("clippy")
      quietly "clippy, models", Cargo.find, "clippy", "--profile", "test", *models, "--",
              "-D", "warnings"
    end
    sh Cargo.find, "test", *models, *OPTIMISED, "--quiet", "--", "models", verbose: false
  end

  desc "rspec: the gem through real sockets, and the examples"
  task ruby: :compile do
    sh "rspec", verbose: false
  end
end

desc "Browsers: the demo page in Chromium, and what it and Firefox negotiate"
task browser: :compile do
  # .rspec leaves these out.
  sh "rspec", "--exclude-pattern", "", "spec/browser", "spec/apps/browser_spec.rb", verbose: false
end

# A place for a checkout: in a directory of the library's own name, behind a symbolic link, below
# one whose name has a space and more than ASCII, and far down.
ELSEWHERE = "some where é/#{"deep" * 30}/em-websocket-rs".freeze

# The examples that depend on it: they run programs, Bundler and browsers, and make directories.
PLACED = %w[spec/apps spec/docs spec/packaging spec/examples_spec.rb spec/stress spec/unit
            spec/integration/readme_spec.rb spec/integration/security_spec.rb
            spec/integration/tls_options_spec.rb].freeze

# This working tree, built, in another place.
def copy_checkout(place)
  listed = `git ls-files -z --cached --others --exclude-standard`.split("\0")
  [*listed, EXTENSION].select { |path| File.file?(path) }.each do |path|
    FileUtils.mkdir_p(File.dirname(File.join(place, path)))
    FileUtils.cp(path, File.join(place, path))
  end
  FileUtils.mkdir_p(File.join(place, "tmp"))
  FileUtils.ln_s(File.expand_path("tmp/clients"), File.join(place, "tmp/clients"))
end

namespace :test do
  desc "The examples that depend on where the checkout and TMPDIR are, in an unusual place"
  task elsewhere: :compile do
    Dir.mktmpdir("elsewhere") do |directory|
      place = File.join(directory, ELSEWHERE)
      copy_checkout(place)
      link = File.join(directory, "em-websocket")
      File.symlink(place, link)
      temporary = File.join(directory, "a temporary é")
      FileUtils.mkdir_p(temporary)
      sh({ "TMPDIR" => temporary }, "rspec", *PLACED, chdir: link, verbose: false)
    end
  end
end
