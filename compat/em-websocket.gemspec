# frozen_string_literal: true

# A gem of the old name and nothing in it, for what pins `em-websocket`: it brings em-websocket-rs.
# Bundler finds it beside the other where a Gemfile says
#
#   gem "em-websocket", git: "<this repository>"      (or path:)

require_relative "../lib/em-websocket/version"

Gem::Specification.new do |spec|
  spec.name = "em-websocket"
  spec.version = "0.5.4"
  spec.authors = ["the em-websocket-rs authors"]
  spec.license = "MIT"
  spec.summary = "em-websocket-rs under the name em-websocket"
  spec.description = "Stands in for em-websocket 0.5 and depends on em-websocket-rs, which is all."

  spec.required_ruby_version = ">= 3.1"
  spec.files = []

  spec.add_dependency "em-websocket-rs", EventMachine::Websocket::VERSION
  # em-websocket depends on it, so its users load it without saying so.
  spec.add_dependency "http_parser.rb", "~> 0"

  spec.metadata["rubygems_mfa_required"] = "true"
end
