# frozen_string_literal: true

require_relative "native"

module EventMachine
  module WebSocket
    # The option `:compression`: permessage-deflate (RFC 7692).
    #
    # @api private
    module Compression
      @known = {}

      # @param option [Boolean, Hash, nil]
      # @return [Native::Compression, nil] nil: no compression
      # @raise [ArgumentError] if a key is unknown, or a number out of its range
      def self.of(option)
        option ? (@known[option] ||= Native::Compression.new(option)) : nil
      end
    end
  end
end
