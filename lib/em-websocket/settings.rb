# frozen_string_literal: true

require_relative "compression"
require_relative "native"
require_relative "subprotocols"

module EventMachine
  module WebSocket
    # The options of {WebSocket.run} that the native core goes by.
    #
    # @api private
    module Settings
      # @param options [Hash]
      # @return [Native::Settings]
      # @raise [ArgumentError, TypeError] if an option cannot be what it is
      def self.of(options)
        Native::Settings.new(
          Compression.of(options[:compression]),
          Subprotocols.of(options[:protocols], options[:protocols_required]), options
        )
      end
    end
  end
end
