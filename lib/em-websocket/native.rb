# frozen_string_literal: true

require "eventmachine"
require_relative "errors"

module EventMachine
  module WebSocket
    # The extension's own names.
    #
    # @api private
    module Native
      # EventMachine's function, called past {Signatures}: that is Ruby's, and between two of its
      # instructions another thread may have its turn.
      SEND_DATA = EventMachine.method(:send_data)
    end
    private_constant :Native
  end
end

# Beside this file in a working tree and in an installed gem; some versions of RubyGems keep it in
# a directory of the load path that is for extensions alone.
begin
  require_relative "em_websocket_rs"
rescue LoadError
  begin
    require "em-websocket/em_websocket_rs"
  rescue LoadError => e
    raise unless e.path == "em-websocket/em_websocket_rs"

    raise LoadError, "em-websocket-rs: the extension is not built for ruby #{RUBY_VERSION}: run " \
                     "`rake compile` in a checkout, `gem pristine em-websocket-rs` for an " \
                     "installed gem"
  end
end
