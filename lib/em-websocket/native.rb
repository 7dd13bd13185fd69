# frozen_string_literal: true

# Where several Ruby versions share one directory, each has its own build.
begin
  require "em-websocket/#{RUBY_VERSION[/\d+\.\d+/]}/em_websocket_rs"
rescue LoadError
  require "em-websocket/em_websocket_rs"
end

EventMachine::WebSocket.private_constant :Native
