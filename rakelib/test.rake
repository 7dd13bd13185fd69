# frozen_string_literal: true

# What the models spend their time in. The rest they share with `cargo test`.
OPTIMISED = { "em-websocket" => 1, "generator" => 3, "loom" => 3 }.flat_map do |package, level|
  ["--config", "profile.dev.package.#{package}.opt-level=#{level}"]
end

namespace :test do
  desc "cargo test: the core, without Ruby"
  task :rust do
    sh Cargo.find, "test", "--locked", "--quiet", verbose: false
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
