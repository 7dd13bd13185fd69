# frozen_string_literal: true

require_relative "../native"
require_relative "subprotocols"

module EventMachine
  module WebSocket
    # The options of {WebSocket.run} that the native core goes by.
    #
    # @api private
    module Settings
      # @param options [Hash{Symbol => Object}] checked; those that are nil are not given
      # @return [Native::Settings]
      def self.of(options)
        subprotocols = Subprotocols.native(options[:protocols], options[:protocols_required])
        Native::Settings.new(options[:compression], subprotocols, options)
      end
    end
  end
end
