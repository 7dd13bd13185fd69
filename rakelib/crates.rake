# frozen_string_literal: true

require "json"
require_relative "deny"

namespace :lint do
  desc "Licences, duplicates and origins of crates are as deny.toml says (cargo-deny, where it is)"
  task :crates do
    if cargo_has?("deny")
      quietly "cargo deny", Cargo.find, "deny", "--locked", "check", "bans", "licenses", "sources"
      next
    end

    policy = File.read("deny.toml")
    targets = Deny.targets(policy).flat_map { |target| ["--filter-platform", target] }
    metadata = IO.popen([Cargo.find, "metadata", "--locked", "--all-features", "--format-version",
                         "1", *targets, { err: File::NULL }], &:read)
    complaints = Deny.new(policy, JSON.parse(metadata).fetch("packages")).complaints
    abort "crates: #{complaints.join("\n        ")}" if complaints.any?
  end
end
