# frozen_string_literal: true

require_relative "native"

module EventMachine
  module WebSocket
    # The options `:protocols` and `:protocols_required`.
    #
    # @api private
    module Subprotocols
      # RFC 6455 section 4.1: what RFC 9110 calls a token.
      NAME = /\A[!#$%&'*+\-.^_`|~0-9A-Za-z]+\z/

      @known = {}

      # @param protocols [Array<String>, String, #call, nil]
      # @param required [Object] whether it is truthy counts
      # @return [Native::Subprotocols, nil] nil: the client's first is selected, as in em-websocket
      # @raise [ArgumentError] if it is none of these, or a name is no token
      def self.of(protocols, required)
        if protocols.respond_to?(:call)
          # What it answers is known only once there is a handshake.
          nil
        elsif protocols || required
          required = required ? true : false
          @known[[protocols, required]] ||= Native::Subprotocols.new(names(protocols), required)
        end
      end

      def self.names(protocols)
        return if protocols.nil?

        Array(protocols).each do |name|
          unless name.is_a?(String) && NAME.match?(name)
            raise ArgumentError, "protocols: #{name.inspect} is no name of a subprotocol"
          end
        end
      end
      private_class_method :names
    end
  end
end
