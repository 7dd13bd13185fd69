# frozen_string_literal: true

require_relative "lib/em-websocket/version"

Gem::Specification.new do |spec|
  spec.name = "em-websocket-rs"
  spec.version = EventMachine::Websocket::VERSION
  spec.authors = ["the em-websocket-rs authors"]
  spec.license = "MIT"
  spec.summary = "A WebSocket server for EventMachine, in Rust: em-websocket, only faster"
  spec.description = <<~TEXT
    A replacement for the gem em-websocket with the same Ruby API. Sockets, TLS and frames are
    Rust's, on a thread of their own; your blocks run on EventMachine's reactor as they always
    did. Serves RFC 6455 and every draft that em-websocket does.
  TEXT

  spec.required_ruby_version = ">= 3.1"
  spec.files = Dir.chdir(__dir__) do
    Dir["Cargo.{toml,lock}", "src/**/*.rs", "ext/em_websocket_rs/{Cargo.toml,*.rb,src/**/*.rs}",
        "ext/em_websocket_rs/bindings/*", "ext/once/configure", "lib/**/*.rb", "sig/**/*.rbs",
        "docs/**/*.md", "{README,CHANGELOG}.md", "LICENSE"]
      .grep_v(%r{\Asrc/.*/(?:tests|models)/|\Asrc/.*/(?:tests|simulation)\.rs\z})
  end
  # In this order: the second looks at what the first has installed.
  spec.extensions = ["ext/em_websocket_rs/extconf.rb", "ext/once/configure"]
  spec.require_paths = ["lib"]

  # Debian's eventmachine calls itself 1.3.0.dev.1, and RubyGems takes a prerelease only where the
  # requirement names one.
  spec.add_dependency "eventmachine", ">= 1.2.dev", "< 2"

  spec.metadata["rubygems_mfa_required"] = "true"
end
