# frozen_string_literal: true

require_relative "../checks"
require_relative "../native"

module EventMachine
  module WebSocket
    # The options `:protocols` and `:protocols_required`.
    #
    # @api private
    module Subprotocols
      # RFC 6455 section 4.1: what RFC 9110 calls a token.
      NAME = /\A[!#$%&'*+\-.^_`|~0-9A-Za-z]+\z/

      # @param option [Array<String>, String, #call]
      # @return [Array<String>, #call, nil] nil: the client's first is selected, as in em-websocket
      # @raise [ArgumentError] if it is none of these, or a name is no token
      def self.of(option)
        return option if option.respond_to?(:call)
        return if option == 0 # rubocop:disable Style/NumericPredicate -- it may be anything

        Array(option).map do |name|
          next name.dup.freeze if name.is_a?(String) && NAME.match?(name.b)

          raise ArgumentError, "protocols: #{Checks.shown(name)} is no name of a subprotocol: " \
                               "give Strings without spaces, such as \"chat.v1\", " \
                               "or an object that responds to call"
        end.freeze
      end

      # @param protocols [Array<String>, #call, nil] checked
      # @param required [Boolean, nil]
      # @return [Native::Subprotocols, nil] nil where the core decides nothing: it is the client's
      #   first, or what a callable answers once there is a handshake
      def self.native(protocols, required)
        return if protocols.respond_to?(:call)

        Native::Subprotocols.new(protocols, true & required) if protocols || required
      end
    end
  end
end
