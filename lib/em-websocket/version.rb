# frozen_string_literal: true

module EventMachine
  # Lower-case s, as in em-websocket.
  module Websocket
    # The version of this gem.
    VERSION = "0.1.0"
  end
end
