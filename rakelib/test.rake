# frozen_string_literal: true

namespace :test do
  desc "cargo test: the core, without Ruby"
  task :rust do
    sh Cargo.find, "test", "--locked", "--quiet", verbose: false
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
