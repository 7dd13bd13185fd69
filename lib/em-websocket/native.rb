# frozen_string_literal: true

require "eventmachine"
require_relative "errors"

# Beside this file in a working tree and in an installed gem; some versions of RubyGems keep it in
# a directory of the load path that is for extensions alone.
begin
  require_relative "em_websocket_rs"
rescue LoadError
  require "em-websocket/em_websocket_rs"
end

module EventMachine
  module WebSocket
    private_constant :Native
  end
end
