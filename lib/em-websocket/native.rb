# frozen_string_literal: true

require "eventmachine"
require_relative "errors"
require_relative "extension"

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

    Extension.load(__dir__)
  end
end
